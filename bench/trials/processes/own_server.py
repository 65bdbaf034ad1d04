"""A server of one's own for as long as it is needed, on a free port of this machine."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def own_server() -> Iterator[str]:
    """Start `wirelab serve`, give its address, and end it. Raises
    `bench.trials.processes.child.ChildFailed`."""
    from bench.trials.processes.child import Child
    from bench.trials.trial import START_TIMEOUT_S, server_url

    with tempfile.TemporaryDirectory(prefix="wirelab-") as scratch:
        command = [sys.executable, "-m", "bench.cli", "serve", "--port", "0"]
        server = Child("server", command, errors=Path(scratch, "server.log"), core=None)
        try:
            yield server_url(server.line(START_TIMEOUT_S))
        finally:
            server.end()
