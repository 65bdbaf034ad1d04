"""gunicorn's configuration of the stock server: what has to be said in Python. How it serves is unchanged.

- The harness wants one line that says where the server is.
- No socket to control it by, which would be a file in the user's home.
- When its master is killed, so is the worker: by itself it would wait for its threads, and these for clients.
"""

from __future__ import annotations

import signal
from typing import Any

from bench.systems.parent import end_with_parent

control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """The first worker can serve, and there is only one."""
    end_with_parent(signal.SIGKILL)
    for listener in worker.sockets:
        host, port = listener.getsockname()[:2]
        print(f"serving on http://{host}:{port} (stock)", flush=True)
