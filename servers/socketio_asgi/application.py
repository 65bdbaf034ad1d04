"""`/socket.io/` as an ASGI application, for scopes of http and of websocket.

Rules:
1. A page of a foreign origin is refused, as everywhere (`servers/rules/handshake.py`). The rest of a
   handshake is the server's to check, and whether it answers under this name.
2. A body is read only for a session that there is.
3. A WebSocket is refused by HTTP, so the server has ASGI's extension `websocket.http.response`.
4. Whoever sends raises OSError if the client has gone (ASGI 2.4).
"""

from servers.addresses import Addresses
from servers.asyncio_server.turns import Turns
from servers.pinger import Pinger
from servers.refusals import Refused
from servers.rules import engine_io, problems
from servers.socketio_asgi import bodies
from servers.socketio_asgi.engine import AsyncEngine
from servers.socketio_asgi.requests import Answer, Receive, Request, Scope, Send, problem_answer
from servers.socketio_server import SocketIO
from servers.stream import Streams
from servers.unaccepted import Claim, Unaccepted


class Application:
    """Serves one server's streams by Socket.IO."""

    def __init__(self, streams: Streams, pinger: Pinger, unaccepted: Unaccepted, turns: Turns) -> None:
        self._streams = streams
        self._settings = streams.settings
        self._unaccepted = unaccepted
        self._addresses = Addresses(streams.settings.trusted_proxy)
        server = SocketIO(AsyncEngine, streams, pinger=pinger, unaccepted=unaccepted, turns=turns)
        self._engine: AsyncEngine = server.eio

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            answer = await self._answer(request)
        except Refused as refused:
            answer = problem_answer(problems.of(refused))
        if answer is not None:
            await request.answer(answer)

    def has_session(self, sid: str | None) -> bool:
        """Whether there is a session of this name."""
        return sid in self._engine.sockets

    async def _answer(self, request: Request) -> Answer | None:
        """Raises Refused."""
        origin = request.field(b"origin")
        refused = engine_io.origin_refusal(origin, request.field(b"host") or "", self._settings)
        if refused:
            return problem_answer(refused)
        sid = request.arguments.get("sid")
        if sid is not None and not self.has_session(sid):
            self._streams.refuse_if_stopping()
        answer = await self._from_engine(request, sid)
        if answer is not None:
            answer.fields.extend(engine_io.origin_fields(origin, self._settings).items())
        return answer

    async def _from_engine(self, request: Request, sid: str | None) -> Answer | None:
        misused = engine_io.misuse(request.arguments, request.is_websocket)
        if misused:
            return await self._engine.refusal(misused)
        address = self._share(request)
        if request.method != "POST" or not self.has_session(sid):
            return await self._engine.answer(request, address)
        claim = Claim(self._unaccepted)
        try:
            limits = self._settings.max_body_bytes, self._settings.body_limit
            body = await bodies.read(request, claim, *limits)
            return await self._engine.answer(request, address, body)
        finally:
            claim.release()

    def _share(self, request: Request) -> str | None:
        """Whose share of the places a request's subscriber takes."""
        client = request.scope.get("client")
        forwarded = request.field(b"x-forwarded-for") or ""
        return self._addresses.share_of(client[0] if client else "", forwarded)
