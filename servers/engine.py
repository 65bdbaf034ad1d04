"""Engine.IO 4 by python-engineio, on threads or greenlets: its handshake, its checks of a request, its error
bodies. Sessions are our own (`sessions.py`, `engine_session.py`), and so is who pings them (`pinger.py`).

No compression, whoever asks for it, and no JSONP.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import engineio

from servers.connection import Connection
from servers.departures import Departures
from servers.engine_session import Session, Upgraded
from servers.pinger import Pinger
from servers.problems import problem
from servers.rules.engine_io import TOO_MANY_UPGRADES, options
from servers.sessions import Sessions
from servers.stream import Streams
from servers.unaccepted import Unaccepted

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Response


class Engine(Sessions, engineio.Server):  # type: ignore[misc]
    """The sessions of one server."""

    def __init__(
        self,
        *,
        streams: Streams,
        pinger: Pinger,
        unaccepted: Unaccepted,
        departures: Departures,
        connect: Callable[["WSGIEnvironment"], Connection],
        **more: Any,
    ) -> None:
        engineio.Server.__init__(self, async_mode="threading", **options(streams.settings), **more)
        Sessions.__init__(self, streams, pinger, unaccepted)
        self.departures = departures
        self._connect = connect

    def answer(
        self, environ: "WSGIEnvironment", sid: str | None
    ) -> "Response | tuple[str, list[tuple[str, str]], list[bytes]]":
        """A request's answer: a response of ours, or python-engineio's status, headers and body. `sid` is the
        session that it names."""
        started: list[tuple[str, list[tuple[str, str]]]] = []
        try:
            body = self.handle_request(environ, lambda *start: started.append(start))
        except KeyError:
            if sid is None or sid in self.sockets:
                raise
            # python-engineio looked for the session twice, and it has ended between.
            return self.refusal("Invalid session")
        return (*started[0], body) if started else body

    def refusal(self, message: str) -> tuple[str, list[tuple[str, str]], list[bytes]]:
        """A bad request in Engine.IO's own form."""
        refused = self._bad_request(message)
        return refused["status"], refused["headers"], [refused["response"]]

    def _handle_connect(
        self,
        environ: "WSGIEnvironment",
        start_response: "StartResponse",
        transport: str,
        jsonp_index: int | None = None,
    ) -> Any:
        """The handshake; raises Stopping."""
        self.streams.refuse_if_stopping()
        session = Session(self, self.generate_id(), environ)
        packet = self.open(session, transport)
        if transport == "websocket":
            return self.upgrade(session, environ, packet)
        session.connected = True
        return session.payload([packet], None)

    def upgrade(
        self, session: Session, environ: "WSGIEnvironment", first_packet: str | None = None
    ) -> "Response":
        """Carry a session on a WebSocket until either ends. `first_packet` is that of a new session."""
        if first_packet is None and not self.may_upgrade(session):
            return problem(503, TOO_MANY_UPGRADES)
        session.serve(self._connect(environ), first_packet)
        return Upgraded()
