"""nginx with nchan as a system; `server.py` starts it, `publisher.py` and `clients.py` speak to it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from bench.systems.nchan import program
from bench.systems.nchan.clients import (
    NchanLongPollSubscriber,
    NchanShortPollSubscriber,
    NchanSseSubscriber,
    NchanWebSocketSubscriber,
)
from bench.systems.nchan.publisher import NchanPublisher
from bench.systems.system import Options, System


class Nchan(System):
    """A server in C that does nothing else: what a program can do where it is made for this."""

    name = "nchan"
    label = "nginx + nchan"
    transports: ClassVar = {
        "short-poll": NchanShortPollSubscriber,
        "long-poll": NchanLongPollSubscriber,
        "sse": NchanSseSubscriber,
        "websocket": NchanWebSocketSubscriber,
    }
    unreported = ("accepted_us", "missed")
    uncompressed = (None,)
    waits_in_s = 1.0

    def missing(self) -> str | None:
        """It needs both."""
        return program.missing()

    def version(self) -> str | None:
        """Of both."""
        nginx, module = program.nginx(), program.module()
        return program.version(nginx, module) if nginx and module else None

    def command(self, options: Options, scratch: Path) -> list[str]:
        """One worker, on a free port. It compresses nothing, and takes everybody."""
        given = (options.host, options.max_subscribers, options.ping_interval_s, scratch)
        return [sys.executable, "-m", "bench.systems.nchan.server", *map(str, given)]

    def publisher(
        self, url: str, stream: str, payload_bytes: int, *, seed: int = 0, keyed: bool = False
    ) -> NchanPublisher:
        """It makes the batches. nchan has no keys: a lost connection is final."""
        return NchanPublisher(url, stream, payload_bytes=payload_bytes, seed=seed)
