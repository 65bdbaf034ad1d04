"""Socket.IO 5 by python-socketio, on Engine.IO 4: on any server model, since nothing here waits.

The stream and the cursor are in the connection's `auth`: `{"stream":…,"after":…}`. Each batch is the argument
of an event `batch`. The event `publish` takes `{"data":…}` and is acknowledged with `{"id":…,"cursor":…}`, or
with `{"problem":…}`. A connection that is refused gets a `connect_error` with the sentence, and as its data
the status that an HTTP answer would have, `{"status":400}`.

What is published is read from the packet's own text: another parser's numbers are not what was sent.
"""

import json
import re
import threading
from collections.abc import Callable
from typing import Any

import socketio
from engineio.exceptions import EngineIOError
from socketio.exceptions import ConnectionRefusedError as Refusal

from servers.drafts import parse_draft
from servers.refusals import BadCursor, BadName, BadNotification, Refused
from servers.rules.engine_io import MESSAGE
from servers.rules.frames import CloseWith
from servers.rules.problems import STATUS
from servers.sessions import BaseSession
from servers.stream import Streams

MAX_AUTH_CHARACTERS = 4096
AUTH = 'auth must be {"stream":…,"after":…}: a stream\'s name and a cursor, or no after to join at the head.'
PUBLISH_ONLY = 'The only event that is taken is publish, with one argument, {"data":…}, as JSON.'
# Of a text or a binary event: the number of its attachments, its acknowledgement's id, its arguments.
EVENT = re.compile(r"[25](?:([0-9]{1,9})-)?([0-9]{0,16})(\[.*)", re.DOTALL)
PUBLISH = re.compile(r'\[\s*"publish"\s*,(.*)\]\s*', re.DOTALL)
CONNECT, DISCONNECT, EVENTS, ACKNOWLEDGEMENTS = "0", "1", ("2", "5"), ("3", "6")

Guard = Callable[[str, str, dict[str, Any]], None]


class LockedManager(socketio.Manager):  # type: ignore[misc]
    """python-socketio's tables of who is connected, which threads would spoil for each other."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()

    def pre_connect(self, eio_sid: str, namespace: str) -> Any:
        with self._lock:
            return super().pre_connect(eio_sid, namespace)

    def connect(self, sid: str, namespace: str) -> Any:
        with self._lock:
            return super().connect(sid, namespace)

    def pre_disconnect(self, sid: str, namespace: str) -> Any:
        with self._lock:
            return super().pre_disconnect(sid, namespace)

    def disconnect(self, sid: str, namespace: str, **kwargs: Any) -> Any:
        with self._lock:
            return super().disconnect(sid, namespace, **kwargs)


class SocketIO(socketio.Server):  # type: ignore[misc]
    """Joins sessions to streams, and publishes what they send."""

    def __init__(self, engine: type[Any], streams: Streams, **engine_options: Any) -> None:
        """`engine` is one of python-engineio's server classes, with our sessions (`sessions.py`)."""
        self._engine = engine
        super().__init__(
            client_manager=LockedManager(), async_handlers=False, streams=streams, **engine_options
        )
        self.guard: Guard | None = None
        """Raises CloseWith if a client may not publish this text to this stream."""
        self._streams = streams
        self.eio.on_message = self.receive
        self.on("connect", self._join)

    def _engineio_server_class(self) -> type[Any]:
        return self._engine

    def _send_packet(self, eio_sid: str, pkt: Any) -> None:
        """An answer to what the client sent; none has attachments."""
        session: BaseSession | None = self.eio.sockets.get(eio_sid)
        if session is not None:
            session.reply(MESSAGE + pkt.encode())

    def receive(self, session: BaseSession, text: str) -> None:
        """A packet of Socket.IO; raises EngineIOError for what is none, and as the session's `reply` does."""
        kind = text[:1]
        if kind == CONNECT:
            self.take_connect(session, text)
            session.begin()
        elif kind == DISCONNECT:
            self._handle_disconnect(session.sid, "/", self.reason.CLIENT_DISCONNECT)
            session.leave()
        elif kind in EVENTS:
            self._take_event(session, text)
        elif kind not in ACKNOWLEDGEMENTS:
            raise EngineIOError

    def take_connect(self, session: BaseSession, text: str) -> None:
        """Answer who asks to connect; raises EngineIOError for what is no such packet."""
        if len(text) > MAX_AUTH_CHARACTERS:
            raise EngineIOError
        try:
            self._handle_eio_message(session.sid, text)
        except (ValueError, RecursionError, KeyError):
            raise EngineIOError from None

    def _join(self, sid: str, environ: dict[str, Any], auth: object) -> None:
        """python-socketio's event: whether a session may connect."""
        session: BaseSession = self.eio.sockets[self.manager.eio_sid_from_sid(sid, "/")]
        try:
            if not isinstance(auth, dict) or not auth.keys() <= {"stream", "after"}:
                raise BadName(AUTH)
            name, after = auth.get("stream"), auth.get("after")
            if not isinstance(name, str):
                raise BadName(AUTH)
            if not (after is None or isinstance(after, str)):
                raise BadCursor(AUTH)
            stream = self._streams.get(name)
            session.join(stream, stream.position(after))
        except Refused as refused:
            raise Refusal(str(refused), {"status": STATUS[type(refused)]}) from None

    def _take_event(self, session: BaseSession, text: str) -> None:
        event = EVENT.fullmatch(text)
        if event is None or session.stream is None:
            raise EngineIOError
        attachments, number, arguments = event.groups()
        answer: dict[str, Any]
        try:
            published = PUBLISH.fullmatch(arguments)
            if published is None or attachments is not None:
                raise BadNotification(PUBLISH_ONLY)
            self._streams.refuse_if_stopping()
            if self.guard:
                self.guard(session.stream.name, published[1], session.environ)
            draft = parse_draft(published[1], session.stream.max_notification_bytes)
            answer = session.stream.publish(draft)._asdict()
        except (Refused, CloseWith) as refused:
            answer = {"problem": str(refused)}
        if number:
            session.reply(f"43{number}{json.dumps([answer], separators=(',', ':'))}")
