"""The noise floor as a system; the server itself is `bench/systems/bare/server.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from bench.systems.system import Options, System
from clients.long_poll import LongPollSubscriber
from clients.short_poll import ShortPollSubscriber
from clients.websocket import WebSocketSubscriber


class Bare(System):
    """A server that sends prepared bytes. It takes no options: it keeps everybody, and pings nobody."""

    name = "bare"
    label = "bare server"
    transports: ClassVar = {
        "short-poll": ShortPollSubscriber,
        "long-poll": LongPollSubscriber,
        "websocket": WebSocketSubscriber,
    }
    noise_floor = True

    def command(self, options: Options, scratch: Path) -> list[str]:
        """On a free port, which it names."""
        return [sys.executable, "-m", "bench.systems.bare.server", options.host]
