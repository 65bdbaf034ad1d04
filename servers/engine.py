"""Engine.IO 4 by python-engineio: its handshake, its checks of a request, its error bodies. Sessions are our
own (`engine_session.py`), and so is who pings them (`pinger.py`) and who makes way.

Rules:
1. A session that does not answer a ping within `patience_s` is closed then, and not at the next ping.
2. Until it has joined a stream, a session takes no subscriber's place. So there are few such sessions beside
   the free places; the oldest of them makes way, and each has `JOIN_TIMEOUT_S`.
3. The server sends no CLOSE packet: clients take it for the last word, and would not come back.
4. No compression, whoever asks for it, and no JSONP.
"""

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import engineio

from servers.connection import Connection
from servers.departures import Departures
from servers.engine_session import Session, Upgraded
from servers.pinger import Pinger
from servers.problems import problem
from servers.settings import PONG_PATIENCE_S, Settings
from servers.stream import Streams
from servers.unaccepted import Unaccepted

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Response

MOST_PATIENCE_S = 8.0
JOIN_TIMEOUT_S = 10.0
MAX_UNJOINED = 32
"""Sessions that have joined no stream, beside those that there are places for."""
MAX_UPGRADES = 16
"""Upgrades under way, beside as many as there are places: on threads each takes one."""


def patience_s(interval_s: float) -> float:
    """How long a pong may take: 8 seconds of 20, less if pings are more frequent."""
    return min(MOST_PATIENCE_S, max(PONG_PATIENCE_S, 0.4 * interval_s))


class JoinTimeout:
    """Ends a session that has joined no stream when its time is up; it is timed as pings are."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def ping(self, now_s: float) -> None:
        self._session.close()


class Unjoined:
    """The sessions that have joined no stream, the oldest first. Each has `JOIN_TIMEOUT_S`."""

    def __init__(self, pinger: Pinger) -> None:
        self._pinger = pinger
        self._timeouts: dict[Session, JoinTimeout] = {}
        self._lock = threading.Lock()

    def add(self, session: Session) -> None:
        """Who is among them already gains no time by it."""
        with self._lock:
            if session not in self._timeouts:
                timeout = self._timeouts[session] = JoinTimeout(session)
                self._pinger.watch(timeout)
                self._pinger.ping_in(timeout, JOIN_TIMEOUT_S)
        if session.closed:
            # Perhaps it was removed before it was added.
            self.remove(session)

    def remove(self, session: Session) -> None:
        """It has joined, or is closed."""
        with self._lock:
            timeout = self._timeouts.pop(session, None)
            if timeout:
                self._pinger.forget(timeout)

    def superfluous(self, most: int) -> Session | None:
        """The one that must make way, if there are more than so many."""
        with self._lock:
            return next(iter(self._timeouts)) if len(self._timeouts) > most else None


class Engine(engineio.Server):  # type: ignore[misc]
    """The sessions of one server. `names` are the transports' names, on polling and on a WebSocket."""

    on_message: Callable[[Session, str], None]

    def __init__(
        self,
        *,
        streams: Streams,
        departures: Departures,
        pinger: Pinger,
        unaccepted: Unaccepted,
        settings: Settings,
        names: tuple[str, str],
        connect: Callable[["WSGIEnvironment"], Connection],
        **options: Any,
    ) -> None:
        super().__init__(
            async_mode="threading",
            monitor_clients=False,
            ping_interval=settings.ping_interval_s,
            ping_timeout=patience_s(settings.ping_interval_s),
            max_http_buffer_size=settings.max_body_bytes,
            http_compression=False,
            cors_allowed_origins=[],
            **options,
        )
        self.streams = streams
        self.departures = departures
        self.pinger = pinger
        self.unaccepted = unaccepted
        self.names = names
        self.unjoined = Unjoined(pinger)
        self._connect = connect
        self._upgrading = 0
        self._lock = threading.Lock()

    def create_queue(self, *_: object, **__: object) -> None:
        """None: a session of ours has its own."""

    def _log_error_once(self, message: str, message_key: str) -> None:
        """Nothing: the client is told, and clients go wrong every day."""

    def answer(
        self, environ: "WSGIEnvironment"
    ) -> "Response | tuple[str, list[tuple[str, str]], list[bytes]]":
        """A request's answer: a response of ours, or python-engineio's status, headers and body."""
        started: list[tuple[str, list[tuple[str, str]]]] = []
        try:
            body = self.handle_request(environ, lambda *start: started.append(start))
        except KeyError:
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
        self.sockets[session.sid] = session
        self._trigger_event("connect", session.sid, session.environ)
        self.pinger.watch(session)
        self.unjoined.add(session)
        superfluous = self.unjoined.superfluous(self._places + MAX_UNJOINED)
        if superfluous:
            superfluous.close()
        session.asked()
        opening = {
            "sid": session.sid,
            "upgrades": [] if transport == "websocket" else ["websocket"],
            "pingInterval": round(1000 * self.ping_interval),
            "pingTimeout": round(1000 * self.ping_timeout),
            "maxPayload": self.max_http_buffer_size,
        }
        packet = "0" + json.dumps(opening, separators=(",", ":"))
        if transport == "websocket":
            return self.upgrade(session, environ, packet)
        session.connected = True
        return session.payload([packet], None)

    def upgrade(
        self, session: Session, environ: "WSGIEnvironment", first_packet: str | None = None
    ) -> "Response":
        """Carry a session on a WebSocket until either ends. `first_packet` is that of a new session."""
        if first_packet is None:
            with self._lock:
                if session.upgrading or self._upgrading >= self._places + MAX_UPGRADES:
                    return problem(503, "Too many upgrades are under way; the session goes on by polling.")
                session.upgrading = True
                self._upgrading += 1
        session.serve(self._connect(environ), first_packet)
        return Upgraded()

    def upgrade_ended(self, session: Session) -> None:
        """An upgrade is no longer under way, whether it succeeded or not."""
        with self._lock:
            if session.upgrading:
                session.upgrading = False
                self._upgrading -= 1

    @property
    def _places(self) -> int:
        return self.streams.settings.max_subscribers - self.streams.subscribers

    def ended(self, session: Session, reason: str) -> None:
        """A session's word that it is closed."""
        self.pinger.forget(session)
        self.unjoined.remove(session)
        self.sockets.pop(session.sid, None)
        self._trigger_event("disconnect", session.sid, reason)
