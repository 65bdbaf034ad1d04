"""Engine.IO 4 by python-engineio: its handshake, its checks of a request, its error bodies. Sessions are our
own (`engine_session.py`), and so is who pings them and who makes way.

Rules:
1. One thread pings all sessions and closes those that do not answer in time (`patience_s`). Its clock counts
   what the server was awake for, as that of the WebSockets' pinger does.
2. Until it has joined a stream, a session takes no subscriber's place. So there are few such sessions beside
   the free places; the oldest of them makes way, and each has `JOIN_TIMEOUT_S`.
3. The server sends no CLOSE packet: clients take it for the last word, and would not come back.
4. No compression, whoever asks for it, and no JSONP.
"""

import json
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import engineio

from servers.connection import Connection
from servers.departures import Departures
from servers.engine_session import Session, Upgraded
from servers.problems import problem
from servers.settings import PONG_PATIENCE_S, Settings
from servers.stream import Streams
from servers.unaccepted import Unaccepted

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment
    from flask import Response

MOST_PATIENCE_S = 8.0
JOIN_TIMEOUT_S = 10.0
TICKS_AN_INTERVAL = 25
# A tick may come late on a busy server. What is later than so many ticks was a pause.
MOST_TICKS = 5
MAX_UNJOINED = 32
"""Sessions that have joined no stream, beside those that there are places for."""
MAX_UPGRADES = 16
"""Upgrades under way, beside as many as there are places: on threads each takes one."""


def patience_s(interval_s: float) -> float:
    """How long a pong may take: 8 seconds of 20, less if pings are more frequent."""
    return min(MOST_PATIENCE_S, max(PONG_PATIENCE_S, 0.4 * interval_s))


class Heart:
    """Pings sessions, and ends those that do not answer or do not join."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._patience_s = patience_s(interval_s)
        self._tick_s = interval_s / TICKS_AN_INTERVAL
        self._awake_s = 0.0
        self._due_s: dict[Session, float] = {}
        self._pinged: set[Session] = set()
        self._unjoined: dict[Session, float] = {}
        self._lock = threading.Lock()
        self._running = False

    def watch(self, session: Session, most_unjoined: int) -> Session | None:
        """Begin with a new session. Returns the one that must make way, if it is one too many."""
        with self._lock:
            self._due_s[session] = self._awake_s + self._interval_s
            self._unjoined[session] = self._awake_s + JOIN_TIMEOUT_S
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, daemon=True, name="heart").start()
            return next(iter(self._unjoined)) if len(self._unjoined) > most_unjoined else None

    def joined(self, session: Session) -> None:
        with self._lock:
            self._unjoined.pop(session, None)

    def left(self, session: Session) -> None:
        """It has left its stream, and has as long to join another."""
        with self._lock:
            if session in self._due_s:
                self._unjoined[session] = self._awake_s + JOIN_TIMEOUT_S

    def answered(self, session: Session) -> None:
        """A pong: the next ping is due an interval from now."""
        with self._lock:
            if session in self._pinged:
                self._pinged.discard(session)
                self._due_s[session] = self._awake_s + self._interval_s

    def forget(self, session: Session) -> None:
        with self._lock:
            self._due_s.pop(session, None)
            self._pinged.discard(session)
            self._unjoined.pop(session, None)

    def _run(self) -> None:
        before_s = time.monotonic()
        while True:
            time.sleep(self._tick_s)
            now_s = time.monotonic()
            self.tick(now_s - before_s)
            before_s = now_s

    def tick(self, passed_s: float) -> None:
        """Ping whoever is due, and end whoever is late, so many seconds after the last tick."""
        with self._lock:
            self._awake_s += min(passed_s, MOST_TICKS * self._tick_s)
            now_s = self._awake_s
            due = [session for session, due_s in self._due_s.items() if due_s <= now_s]
            late = [session for session in due if session in self._pinged]
            late += [session for session, until_s in self._unjoined.items() if until_s <= now_s]
            pinged = [session for session in due if session not in self._pinged]
            for session in pinged:
                self._pinged.add(session)
                self._due_s[session] = now_s + self._patience_s
        for session in late:
            session.close()
        for session in pinged:
            session.ping()


class Engine(engineio.Server):  # type: ignore[misc]
    """The sessions of one server. `names` are the transports' names, on polling and on a WebSocket."""

    on_message: Callable[[Session, str], None]

    def __init__(
        self,
        *,
        streams: Streams,
        departures: Departures,
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
        self.unaccepted = unaccepted
        self.names = names
        self.heart = Heart(settings.ping_interval_s)
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
        superfluous = self.heart.watch(session, self._places + MAX_UNJOINED)
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
        session.serve(self._connect(environ), first_packet, self._upgraded)
        return Upgraded()

    def _upgraded(self, session: Session) -> None:
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
        self.heart.forget(session)
        self.sockets.pop(session.sid, None)
        self._trigger_event("disconnect", session.sid, reason)
