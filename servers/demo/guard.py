"""Who may do what while a class is in the room.

Rules:
1. Without LAN mode only this machine can reach the server, and everybody is the teacher. In LAN mode the
   teacher is who holds the token's cookie.
2. What changes things by POST must be JSON and must not come from a foreign page (Origin): a page elsewhere
   can send neither unasked. A cookie alone never suffices, and it is SameSite=Strict besides.
3. Students publish to the play streams only, `MAX_PUBLISH_BYTES` at a time, at a rate; what they ask of the
   server by POST has a rate too. A rate is told by 429 and Retry-After, or on a WebSocket by 1013.
4. A client is a participant (`participants.py`), else an address. `MAX_CLIENTS` are remembered; the longest
   silent one is forgotten first.
5. The wire page's exchange is the server's own client: from this machine its stream may be published to.
6. The data member `teacher` is the server's own mark: students cannot publish it, so pages may believe it.
"""

import json
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any

from flask import Flask, Response, request

from clients.explain.story import STREAM as WIRE_STREAM
from servers.bodies import Bodies
from servers.connection import Connection
from servers.demo.wire_page import from_this_machine
from servers.problems import problem
from servers.rules.frames import MESSAGE_TOO_BIG, POLICY_VIOLATION, TRY_AGAIN_LATER, CloseWith
from servers.rules.handshake import is_own_origin
from servers.settings import Settings
from servers.stream import Streams

PLAY_STREAMS = ("whiteboard", "chat", "sensors", "game")
COOKIE = "wirelab_teacher"
MAX_PUBLISH_BYTES = 8 * 1024
PUBLISHES_PER_S = 30.0
PUBLISH_BURST = 90
ASKS_PER_S = 10.0
ASK_BURST = 60
MAX_CLIENTS = 1000
# Socket.IO's events are held against the rules one by one (`refuse_event`), its greetings' connections too
# (`refuse_too_fast`), and its Origin by its own route.
NOT_JSON = ("/echo", "/socket.io/", "/welcome/socket.io/")
STREAM_PATH = re.compile(r"/streams/([^/]+)/")

TEACHERS_ONLY = "This is the teacher's to change; open the teacher's link that `wirelab demo` printed."
NOT_A_PLAY_STREAM = f"Students publish to these streams only: {', '.join(PLAY_STREAMS)}."
TEACHERS_MARK = 'The data member "teacher" is the teacher\'s; leave it out.'
TOO_FAST = "Slow down: {rate:g} a second, {burst} at once, is the limit for each client."
STUDENTS_LIMIT = "what students may publish at a time"


class Rate:
    """Token buckets, one a client: `burst` at once, and `per_s` in the long run."""

    def __init__(self, per_s: float, burst: int) -> None:
        self.per_s = per_s
        self.burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, client: str, now_s: float | None = None) -> float:
        """Take one token. Returns 0, or the seconds until there will be one."""
        now_s = time.monotonic() if now_s is None else now_s
        with self._lock:
            tokens, at_s = self._buckets.pop(client, (float(self.burst), now_s))
            tokens = min(self.burst, tokens + (now_s - at_s) * self.per_s)
            allowed = tokens >= 1
            self._buckets[client] = (tokens - 1 if allowed else tokens, now_s)
            if len(self._buckets) > MAX_CLIENTS:
                self._buckets.popitem(last=False)
            return 0.0 if allowed else (1 - tokens) / self.per_s

    @property
    def sentence(self) -> str:
        """What is told to who exceeds it."""
        return TOO_FAST.format(rate=self.per_s, burst=self.burst)


class Guard:
    """The rules above, for one server. `token` is None where everybody is the teacher; `client` names whom a
    rate is counted for."""

    def __init__(self, token: str | None, client: Callable[[dict[str, Any]], str]) -> None:
        self.token = token
        self._client = client
        self.publishes = Rate(PUBLISHES_PER_S, PUBLISH_BURST)
        self.asks = Rate(ASKS_PER_S, ASK_BURST)

    def is_token(self, given: str) -> bool:
        return self.token is not None and secrets.compare_digest(given.encode(), self.token.encode())

    def is_teacher(self, environ: dict[str, Any]) -> bool:
        """Whether a request comes from the teacher."""
        if self.token is None:
            return True
        return self.is_token(cookie_value(environ, COOKIE))

    def refuse_publish(self, stream: str, body: str | bytes, environ: dict[str, Any]) -> None:
        """Raises CloseWith, with the code and the reason of a close frame, where rule 3 or 6 forbids it.

        Whoever reads the body has held its size against MAX_PUBLISH_BYTES.
        """
        if self.may_publish_anything(stream, environ):
            return
        self.refuse_stream(stream)
        if self.publishes.take(self._client(environ)):
            raise CloseWith(TRY_AGAIN_LATER, self.publishes.sentence)
        if _bears_teachers_mark(body):
            raise CloseWith(POLICY_VIOLATION, TEACHERS_MARK)

    def refuse_event(self, stream: str, text: str, environ: dict[str, Any]) -> None:
        """The same for what comes by an event of Socket.IO, whose size nobody has looked at yet."""
        if self.is_teacher(environ):
            return
        self.refuse_stream(stream)
        if len(text.encode()) > MAX_PUBLISH_BYTES:
            raise CloseWith(
                MESSAGE_TOO_BIG,
                f"A message may take {MAX_PUBLISH_BYTES} bytes at the most ({STUDENTS_LIMIT}).",
            )
        self.refuse_publish(stream, text, environ)

    def refuse_too_fast(self, environ: dict[str, Any]) -> None:
        """Raises CloseWith where a student asks for more than the rate allows."""
        if not self.is_teacher(environ) and self.asks.take(self._client(environ)):
            raise CloseWith(TRY_AGAIN_LATER, self.asks.sentence)

    def refuse_stream(self, stream: str) -> None:
        """Raises CloseWith where students may not publish to this stream at all."""
        if stream not in PLAY_STREAMS:
            raise CloseWith(POLICY_VIOLATION, NOT_A_PLAY_STREAM)

    def may_publish_anything(self, stream: str, environ: dict[str, Any]) -> bool:
        return self.is_teacher(environ) or (stream == WIRE_STREAM and from_this_machine(environ))

    def protect(self, app: Flask, settings: Settings) -> None:
        """Hold every request of the application against the rules."""
        status = {
            POLICY_VIOLATION: 403,
            TRY_AGAIN_LATER: 429,
        }

        @app.before_request
        def check() -> Response | None:
            if request.method != "POST" or request.path in NOT_JSON:
                return None
            origin = request.headers.get("Origin")
            if origin is not None and not is_own_origin(origin, request.headers.get("Host", ""), settings):
                return problem(
                    403, "Pages of a foreign Origin may change nothing here; open the page from this host."
                )
            if request.mimetype != "application/json":
                return problem(415, "Send JSON with Content-Type: application/json.")
            stream = STREAM_PATH.match(request.path)
            if not stream:
                if not self.is_teacher(request.environ) and (
                    wait_s := self.asks.take(self._client(request.environ))
                ):
                    return problem(429, self.asks.sentence, Retry_After=_whole(wait_s))
                return None
            if self.may_publish_anything(stream[1], request.environ):
                streams: Streams = app.extensions["streams"]
                streams.allow(stream[1])
                return None
            try:
                self.refuse_stream(stream[1])
                bodies: Bodies = app.extensions["bodies"]
                with bodies.read(request.environ, MAX_PUBLISH_BYTES, STUDENTS_LIMIT) as body:
                    self.refuse_publish(stream[1], body, request.environ)
            except CloseWith as refusal:
                headers = {"Retry_After": "1"} if refusal.code == TRY_AGAIN_LATER else {}
                return problem(status[refusal.code], refusal.reason, **headers)
            return None

    def connection_class(self) -> type[Connection]:
        """The server's WebSocket connection, with rule 3 for what comes in by it."""
        guard = self

        class GuardedConnection(Connection):
            def listen(self, on_message: Any, on_end: Any) -> None:
                stream = STREAM_PATH.match(self.environ["PATH_INFO"])

                def guarded(message: str | bytes) -> None:
                    if stream:
                        guard.refuse_publish(stream[1], message, self.environ)
                    on_message(message)

                if stream and not guard.may_publish_anything(stream[1], self.environ):
                    self.lower_message_limit(MAX_PUBLISH_BYTES, STUDENTS_LIMIT)
                super().listen(guarded, on_end)

        return GuardedConnection


def cookie_value(environ: dict[str, Any], name: str) -> str:
    """The value of a request's cookie, "" where there is none."""
    try:
        cookie = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(name)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


def _bears_teachers_mark(body: str | bytes) -> bool:
    """What is not JSON bears no mark; the stream will refuse it in its own words."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return False
    data = value.get("data") if isinstance(value, dict) else None
    return isinstance(data, dict) and "teacher" in data


def _whole(seconds: float) -> str:
    return str(max(1, round(seconds + 0.5)))
