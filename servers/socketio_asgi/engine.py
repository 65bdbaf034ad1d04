"""Engine.IO 4 by python-engineio on asyncio: its handshake, its checks of a request, its error bodies.

A request is handed to it as few of WSGI's names as it asks for, and its answers are sent by us.
"""

from typing import Any

import engineio
from engineio.async_drivers.asgi import _async as ASGI

from servers.asyncio_server.turns import Turns
from servers.pinger import Pinger
from servers.rules.engine_io import TOO_MANY_UPGRADES, options
from servers.rules.problems import Problem
from servers.sessions import Sessions
from servers.socketio_asgi.requests import (
    ADDRESS,
    BODY,
    REQUEST,
    Answer,
    Request,
    problem_answer,
    short_answer,
)
from servers.socketio_asgi.session import AsyncSession
from servers.stream import Streams
from servers.unaccepted import Unaccepted


class AsyncEngine(Sessions, engineio.AsyncServer):  # type: ignore[misc]
    """The sessions of one server."""

    def __init__(
        self, *, streams: Streams, pinger: Pinger, unaccepted: Unaccepted, turns: Turns, **more: Any
    ) -> None:
        engineio.AsyncServer.__init__(self, async_mode="asgi", **options(streams.settings), **more)
        Sessions.__init__(self, streams, pinger, unaccepted)
        self.turns = turns
        self._async = ASGI | {"translate_request": lambda environ: environ}

    async def answer(self, request: Request, address: str | None, body: bytes = b"") -> Answer | None:
        """A request's answer; None if it was a WebSocket that has ended. `address` is whose share of places
        it takes."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "QUERY_STRING": request.query,
            REQUEST: request,
            BODY: body,
            ADDRESS: address,
        }
        if request.is_websocket:
            environ["HTTP_UPGRADE"] = "websocket"
        answer: Answer | None = await self.handle_request(environ)
        return answer

    async def _make_response(self, told: dict[str, Any], environ: dict[str, Any]) -> Answer:
        status = int(told["status"].split()[0])
        return short_answer(status, [*told["headers"], ("Cache-Control", "no-store")], told["response"])

    async def refusal(self, message: str) -> Answer:
        """A bad request in Engine.IO's own form."""
        return await self._make_response(self._bad_request(message), {})

    async def disconnect(self, sid: str) -> None:
        """End a session."""
        self.sockets[sid].close()

    async def _handle_connect(
        self, environ: dict[str, Any], transport: str, jsonp_index: int | None = None
    ) -> Answer | None:
        """The handshake; raises Stopping."""
        self.streams.refuse_if_stopping()
        session = AsyncSession(self, self.generate_id(), environ[ADDRESS])
        packet = self.open(session, transport)
        if transport == "websocket":
            await session.carry(environ[REQUEST], packet)
            return None
        session.connected = True
        return session.payload([packet], None)

    async def upgrade(self, session: AsyncSession, request: Request) -> Answer | None:
        """Carry a session on a WebSocket until either ends."""
        if not self.may_upgrade(session):
            return problem_answer(Problem(503, TOO_MANY_UPGRADES))
        await session.carry(request, None)
        return None
