"""The article's stack as a system: express, ws and socket.io on Node. Its server is `servers/node`."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.systems.node import packages
from bench.systems.system import Options, System
from clients import TRANSPORTS
from servers.settings import Settings


class Node(System):
    """One process of Node, which serves the whole contract (servers/node/README.md tells what differs)."""

    name = "node"
    label = "Node"
    transports = TRANSPORTS

    def missing(self) -> str | None:
        """Installs its packages at the first need."""
        return packages.missing()

    def version(self) -> str | None:
        return packages.versions()

    def command(self, options: Options, scratch: Path) -> list[str]:
        """On a free port, which it names."""
        given = {
            "--host": options.host,
            "--port": 0,
            "--max-subscribers": options.max_subscribers,
            "--ping-interval-s": options.ping_interval_s,
        }
        if options.max_subscribers > Settings.max_subscribers_per_address:
            # Across an emulated link all of them have one address.
            given["--max-subscribers-per-address"] = options.max_subscribers
        command = [sys.executable, "-m", "bench.systems.node.start"]
        command += [str(part) for option in given.items() for part in option]
        return [*command, "--permessage-deflate"] if options.permessage_deflate else command
