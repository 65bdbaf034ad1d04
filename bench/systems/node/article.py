"""Starts the article's own server: `python -m bench.systems.node.article PARENT` becomes Node.

It serves `servers/node/article` as it is printed, on a free port of loopback, and says which. It ends when
PARENT, a process id, does. Why it cannot be started it says in a line on stdout.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys

from bench.systems.node import packages
from bench.systems.parent import end_with_parent


def main(parent: str) -> int:
    """Become the server. Returns 1 if it cannot be started, else not at all."""
    # An exception, so that an installation under way is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    end_with_parent(signal.SIGTERM)
    if os.getppid() != int(parent):
        return 1
    said = packages.missing()
    node = shutil.which("node")
    if said or node is None:
        print(said, flush=True)
        return 1
    environ = os.environ | {
        "HOST": "127.0.0.1",
        "PORT": "0",
        # `require` looks there last: the packages of an installed wheel are in a cache folder.
        "NODE_PATH": str(packages.folder() / "node_modules"),
    }
    environ.pop("NODE_OPTIONS", None)
    return os.execve(node, [node, str(packages.SERVER / "article" / "server.cjs")], environ)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
