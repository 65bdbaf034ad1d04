"""Addresses: what is to be had at each, and by which methods."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

from servers.rules import engine_io

TRANSPORTS = ("short-poll", "long-poll", "sse", "websocket", *engine_io.TRANSPORTS)
"""What the server models without Flask deliver by, in the registry's order (`servers/transports.py`)."""
NOTHING_HERE = "There is nothing at this address; README.md names all that there are."
OTHER_METHODS = "This address has other methods; Allow names them."
OF_A_STREAM = re.compile(r"/streams/([^/]+)/([a-z-]+)")
REMEMBERED = 1024


class Route(NamedTuple):
    """One address, and who answers."""

    methods: dict[str, Any]
    upgrade: Any = None
    """If a WebSocket is asked for."""

    @property
    def allow(self) -> str:
        also = {"HEAD"} if "GET" in self.methods else set()
        return ", ".join(sorted({*self.methods, *also, "OPTIONS"}))


def finder(
    of_streams: dict[str, Route], others: dict[str, Route]
) -> Callable[[str], tuple[Route | None, str]]:
    """Finds a path's route, and the stream's name in it. A stream's are given by what follows its name."""

    @lru_cache(maxsize=REMEMBERED)
    def find(path: str) -> tuple[Route | None, str]:
        match = OF_A_STREAM.fullmatch(path)
        return (of_streams.get(match[2]), match[1]) if match else (others.get(path), "")

    return find
