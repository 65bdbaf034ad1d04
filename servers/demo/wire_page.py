"""What the page /wire shows: one real exchange of each transport, performed by the server with itself.

Rules:
1. It goes to the address that the request came in by, from its socket, never to one that a request names (its
   Host header, say), so nobody can send the server elsewhere.
2. One exchange at a time, and each is kept for `KEEP_S`: whoever looks meanwhile is shown the same, so a
   whole class costs what one viewer does. Every wait in it has an end (`clients/explain/exchange.py`).
3. The notifications are published on a stream of its own, to which in LAN mode only this machine may publish.
"""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, request

from clients.errors import ClientError
from clients.explain.exchange import exchange, printed, printed_as_data
from clients.headers import HEADER_SETS, HeaderSet
from servers.problems import problem
from servers.process import url_of
from servers.transports import TRANSPORTS

KEEP_S = 4.0
TURN_S = 15.0
HEADERS: dict[str, HeaderSet] = {kind: kind for kind in HEADER_SETS}


class Kept:
    """Results by name, each made when it is asked for and too old; the names are a few, so nothing grows."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._made: dict[str, tuple[float, bytes]] = {}

    def get(self, name: str, make: Callable[[], Any]) -> bytes | None:
        """The result as JSON; None if the turn did not come. Raises what `make` raises."""
        if not self._turn.acquire(timeout=TURN_S):
            return None
        try:
            made_s, result = self._made.get(name, (float("-inf"), b""))
            if time.monotonic() - made_s > KEEP_S:
                result = json.dumps(make(), ensure_ascii=False).encode()
                self._made[name] = (time.monotonic(), result)
            return result
        finally:
            self._turn.release()


def add_routes(app: Flask) -> None:
    """`GET /wire/<transport>.json?headers=minimal|browser` and `GET /wire/as-printed.json`"""
    kept = Kept()

    @app.get("/wire/<transport>.json")
    def wire(transport: str) -> Response:
        if transport not in TRANSPORTS:
            return problem(404, f"There is no such transport here; there are {', '.join(TRANSPORTS)}.")
        headers = HEADERS.get(request.args.get("headers", "minimal"))
        if headers is None:
            return problem(400, f"headers must be one of {', '.join(HEADERS)}.")
        url = url_of(request.environ["gunicorn.socket"])
        return _answer(kept, f"{transport} {headers}", lambda: exchange(url, transport, headers).as_data())

    @app.get("/wire/as-printed.json")
    def as_printed() -> Response:
        url = url_of(request.environ["gunicorn.socket"])
        return _answer(kept, "as-printed", lambda: printed_as_data(printed(url)))


def from_this_machine(environ: dict[str, Any]) -> bool:
    """Whether the peer has the address that it connected to: then it is on this machine."""
    return bool(environ["gunicorn.socket"].getsockname()[0] == environ.get("REMOTE_ADDR"))


def _answer(kept: Kept, name: str, make: Callable[[], Any]) -> Response:
    try:
        result = kept.get(name, make)
    except ClientError as error:
        return problem(503, f"The exchange failed: {error}")
    if result is None:
        return problem(503, "Too many want to see an exchange at once; try again soon.")
    return Response(result, content_type="application/json", headers={"Cache-Control": "no-store"})
