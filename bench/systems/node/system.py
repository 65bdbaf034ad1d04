"""The article's stack as a system: express, ws and socket.io on Node. Its server is `servers/node`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from bench.systems.node import packages
from bench.systems.system import Options, System
from clients import TRANSPORTS


class Node(System):
    """One process of Node, which serves the whole contract (servers/node/README.md tells what differs)."""

    name = "node"
    label = "Node"
    transports: ClassVar = {
        name: TRANSPORTS[name]
        for name in ("short-poll", "long-poll", "sse", "websocket", "socketio", "socketio-polling")
    }

    def missing(self) -> str | None:
        """Installs its packages at the first need."""
        return packages.missing()

    def version(self) -> str | None:
        return packages.versions()

    def command(self, options: Options, scratch: Path) -> list[str]:
        """On a free port, which it names."""
        return [sys.executable, "-m", "bench.systems.node.start", *options.words()]
