"""One real exchange over a raw socket, kept byte by byte: a notification is published and delivered.

    exchange("http://127.0.0.1:8000", "websocket") -> Exchange

Rules:

1. What is kept is what was on the wire, whole: every step's bytes are explained by `wire_spans`, and the sums
   are the sums of what was sent and received. TCP's and IP's own headers are not in it.
2. Every exchange tells the same story in the same phases: `join` (a subscriber arrives and learns its
   cursor), `publish` (somebody publishes), `deliver` (the notification reaches the subscriber), `leave`. So
   the phases of two transports can be compared.
3. A transport that is not known here is asked as plain HTTP, and what it answers is shown as that.
4. Everything is bounded: TIMEOUT_S for each wait, MOST_BYTES for each answer.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode

from clients.errors import BadAnswer, ConnectionLost, Refused
from clients.event_stream import Event, EventStreamReader
from clients.explain import printed_handshake, socketio
from clients.explain.events import event_spans
from clients.explain.spans import (
    PARTS,
    Accept,
    Answer,
    Cut,
    Part,
    Span,
    frame_spans,
    parse_frame,
    request_spans,
    work_out_accept,
)
from clients.explain.story import DATA, HELD_S, STREAM
from clients.frames import frame_bounds
from clients.headers import HeaderSet, event_stream_headers, handshake_headers, poll_headers
from clients.wire import Endpoint

Side = Literal["client", "server"]
Phase = Literal["join", "publish", "deliver", "leave"]
PHASES: tuple[Phase, ...] = ("join", "publish", "deliver", "leave")
Totals = dict[Side, dict[Part, int]]

SETTLE_S = 0.5
"""How long an answer that does not end is listened to after the notification was published."""
TIMEOUT_S = 5.0
MOST_BYTES = 1 << 16


class Sums(NamedTuple):
    """Bytes by what they are."""

    head: int
    framing: int
    payload: int

    @property
    def whole(self) -> int:
        """All of them."""
        return sum(self)

    @property
    def price(self) -> float | None:
        """Bytes of head and framing for each byte of payload; None if there is no payload."""
        return (self.head + self.framing) / self.payload if self.payload else None


@dataclass(frozen=True)
class Step:
    """One message on the wire: a request, an answer or a frame."""

    phase: Phase
    connection: Literal["subscriber", "publisher"]
    sender: Side
    protocol: Literal["http", "websocket"]
    at_ms: float
    """When it was sent or whole, since the exchange began."""
    title: str
    says: str
    data: bytes
    spans: list[Span]

    @property
    def parts(self) -> dict[Part, int]:
        """Its bytes by what they are."""
        return {part: sum(span.size for span in self.spans if span.part == part) for part in PARTS}

    @property
    def sums(self) -> Sums:
        """The same as sums."""
        return Sums(**self.parts)


@dataclass
class Exchange:
    """All of it, in order."""

    transport: str
    headers: HeaderSet
    steps: list[Step] = field(default_factory=list)
    accept: Accept | None = None
    """How the handshake's key became the accept value; None if there was no handshake."""
    accept_received: str | None = None
    notes: list[str] = field(default_factory=list)

    def sums(self, phase: Phase | None = None, upto: int | None = None, sender: Side | None = None) -> Sums:
        """Bytes of one phase or all, of the first `upto` steps or all, sent by one side or both."""
        chosen = [
            step.sums
            for step in self.steps[:upto]
            if phase in (None, step.phase) and sender in (None, step.sender)
        ]
        return Sums(*(sum(one[place] for one in chosen) for place in range(len(PARTS))))

    def totals(self, phase: Phase | None = None, upto: int | None = None) -> Totals:
        """The same by sender and part, for JSON."""
        sides: tuple[Side, ...] = ("client", "server")
        return {side: dict(zip(PARTS, self.sums(phase, upto, side), strict=True)) for side in sides}

    def as_data(self) -> dict[str, Any]:
        """For JSON: what the page draws, and `wirelab wire --json` prints. Bytes are in hexadecimal."""
        return {
            "transport": self.transport,
            "headers": self.headers,
            "steps": [
                {
                    **{name: getattr(step, name) for name in ("phase", "connection", "sender", "protocol")},
                    "at_ms": round(step.at_ms, 3),
                    "title": step.title,
                    "says": step.says,
                    "bytes": len(step.data),
                    "hex": step.data.hex(),
                    "spans": [
                        {**span._asdict(), "bits": [bits._asdict() for bits in span.bits]}
                        for span in step.spans
                    ],
                    "parts": step.parts,
                    "totals": self.totals(upto=number + 1),
                }
                for number, step in enumerate(self.steps)
            ],
            "phases": {phase: self.totals(phase) for phase in PHASES},
            "totals": self.totals(),
            "accept": None if self.accept is None else dataclasses.asdict(self.accept),
            "accept_received": self.accept_received,
            "notes": self.notes,
        }


def exchange(url: str, transport: str, headers: HeaderSet = "minimal") -> Exchange:
    """Perform one. Raises ConnectionLost, Refused (by the server) or BadAnswer."""
    return Recorder(url, transport, headers).run()


def printed(url: str) -> dict[str, Exchange]:
    """The article's handshake as printed, and with key and version added: each with its answer."""
    found = {}
    for name, added in {
        "printed": (),
        "completed": (printed_handshake.KEY.format(key=_key()), printed_handshake.VERSION),
    }.items():
        recorder = Recorder(url, "websocket", "minimal")
        host = recorder.endpoint.host_header
        target = f"ws://{host}{recorder.endpoint.path}/streams/{STREAM}/websocket"
        request = printed_handshake.handshake(target, host, *added)
        try:
            with recorder.connect() as connection:
                recorder.ask(
                    connection, "join", "subscriber", request, ("The handshake", ""), ("The answer", "")
                )
        except (OSError, ValueError) as error:
            raise ConnectionLost(f"the printed handshake got no answer: {error}") from None
        found[name] = recorder.found
    return found


def printed_as_data(found: dict[str, Exchange]) -> dict[str, Any]:
    """For JSON: both handshakes, their answers' status, and what the RFC finds missing."""
    return {
        **{name: each.as_data() for name, each in found.items()},
        "status": {name: status(each) for name, each in found.items()},
        "missing": [missing._asdict() for missing in printed_handshake.MISSING],
        "refuse": printed_handshake.REFUSE,
        "target": printed_handshake.TARGET,
    }


def status(found: Exchange) -> int:
    """The first answer's HTTP status."""
    step = next(step for step in found.steps if step.sender == "server")
    return int(step.data.split(b" ", 2)[1])


def read_answer(
    connection: socket.socket, request: bytes, until_s: float | None = None, answer: Answer | None = None
) -> Answer:
    """Read the answer to a request until it ends; if a time is given, no longer than until then, once it has
    begun.

    Raises TimeoutError, ConnectionLost, and ValueError for what is not HTTP or has more than MOST_BYTES."""
    answer = answer or Answer(request)
    try:
        while not answer.ended:
            if until_s is not None and answer.status is not None:
                connection.settimeout(max(0.001, until_s - time.monotonic()))
            data = connection.recv(MOST_BYTES)
            answer.feed(data)
            if not data and not answer.ended:
                raise ConnectionLost("the server closed the connection within an answer")
            if len(answer.data) > MOST_BYTES:
                raise ValueError(f"the answer has more than {MOST_BYTES} bytes")
    except TimeoutError:
        if until_s is None or answer.status is None:
            raise
    finally:
        connection.settimeout(TIMEOUT_S)
    return answer


class Recorder:
    """Performs an exchange and notes each step."""

    def __init__(self, url: str, transport: str, headers: HeaderSet) -> None:
        """Raises ValueError if the URL is none of ours."""
        self.endpoint = Endpoint.of(url)
        self.found = Exchange(transport, headers)
        self.cut: Cut | None = None
        """How what the subscriber's messages carry is explained further."""
        self._started_s = time.perf_counter()

    def run(self) -> Exchange:
        tell: dict[str, Callable[[socket.socket], None]] = {
            "short-poll": self._short_poll,
            "long-poll": self._long_poll,
            "sse": self._sse,
            "websocket": self._websocket,
            "socketio": partial(socketio.by_websocket, self),
            "socketio-polling": partial(socketio.by_polling, self),
        }
        try:
            with self.connect() as connection:
                tell.get(self.found.transport, self._plain_http)(connection)
        except TimeoutError:
            raise ConnectionLost(f"no answer within {TIMEOUT_S:g} s") from None
        except OSError as error:
            raise ConnectionLost(f"the connection was lost: {error}") from None
        except ValueError as error:
            raise BadAnswer(str(error)) from None
        return self.found

    def connect(self) -> socket.socket:
        address = (self.endpoint.host, self.endpoint.port)
        connection = socket.create_connection(address, timeout=TIMEOUT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    # The transports' stories.

    def _short_poll(self, connection: socket.socket) -> None:
        cursor = self._join(connection, "", "A poll without a cursor joins where the stream is now.")
        answer = self.ask(
            connection,
            "join",
            "subscriber",
            self._poll(f"after={cursor}"),
            (
                "Is there news?",
                "The same question, T later. Most polls of a quiet stream end like this.",
            ),
            ("No", "An empty batch: the whole price, and no news."),
        )
        self.publish()
        answer = self.ask(
            connection,
            "deliver",
            "subscriber",
            self._poll(f"after={cursor}"),
            ("Is there news?", "Asked again on the next tick: up to T after it was published."),
            ("Yes", "The notification, at last."),
        )
        self.must_deliver(answer.body)

    def _long_poll(self, connection: socket.socket) -> None:
        cursor = self._join(connection, "wait=0", "A poll that is not held: it fetches the cursor alone.")
        answer = self.hold(
            connection,
            self._poll(f"after={cursor}&wait=25"),
            (
                "Tell me when there is news",
                "The server holds this request until there is news, 25 s at the most.",
            ),
            (
                "Now there is",
                "The held request's answer. To hear of the next notification, the client asks again at once.",
            ),
        )
        self.must_deliver(answer.body)

    def _sse(self, connection: socket.socket) -> None:
        head = event_stream_headers(self.found.headers, self.endpoint.host_header)
        request = f"GET {self._path('sse')} HTTP/1.1\r\n{head}".encode("ascii")
        connection.sendall(request)
        says = "One request, for an answer that does not end."
        self.note("join", "subscriber", "client", "Tell me whenever there is news", says, request)
        answer, events = Answer(request), EventStreamReader()
        first = self._event(connection, answer, events)
        self._cursor(first.data.encode())
        begun = len(answer.data)
        spans = [span for span in answer.spans() if span.part == "head"]
        says = "A head without a length, and a first event. Its batch is empty: it tells the cursor."
        spans += event_spans(answer.data, spans[-1].end)
        self.note("join", "subscriber", "server", "The answer begins", says, answer.data, spans)
        self.publish()
        news = self._event(connection, answer, events)
        says = "One more chunk of the same answer: nobody asked again."
        data = answer.data[begun:]
        self.note("deliver", "subscriber", "server", "And it comes down", says, data, event_spans(data))
        self.must_deliver(news.data.encode())
        told = len(answer.data)
        connection.shutdown(socket.SHUT_WR)
        while not answer.ended and (data := connection.recv(MOST_BYTES)):
            answer.feed(data)
        if end := answer.data[told:]:
            says = "The client has gone, which the server has seen; it ends the answer that it began."
            self.note("leave", "subscriber", "server", "Goodbye", says, end, event_spans(end))

    def _event(self, connection: socket.socket, answer: Answer, events: EventStreamReader) -> Event:
        """Read on until the next event is whole. Raises Refused for another answer."""
        while True:
            body = len(answer.body)
            data = connection.recv(MOST_BYTES)
            answer.feed(data)
            if answer.status not in (None, 200) and answer.ended:
                raise Refused(answer.status or 0, _detail(answer.body))
            if not data or answer.ended or len(answer.data) > MOST_BYTES:
                raise ConnectionLost("the server ended the answer, or sent no event")
            found = events.feed(answer.body[body:])
            if found:
                return found[0]

    def _websocket(self, connection: socket.socket) -> None:
        frames = self.upgrade(
            connection,
            self._path("websocket"),
            ("The handshake", "A GET that asks to change the protocol. This is the last HTTP that is sent."),
            ("Accepted", "From the next byte on, both sides may send frames whenever they like."),
        )
        self._cursor(frames.read("join", "The first batch", "Empty: it tells the cursor."))
        says = "The client publishes on the connection that it has. Its frames are masked."
        published = json.dumps({"data": DATA}, separators=(",", ":"))
        frames.send("publish", "A notification goes up", says, published)
        says = "The notification, sent by the server because there is news, not because somebody asked."
        self.must_deliver(frames.read("deliver", "And comes down", says))
        frames.close("Each side sends one close frame, and then the connection ends.")

    def _plain_http(self, connection: socket.socket) -> None:
        """Any other transport: a GET, and another with a cursor where the first gave one."""
        self.found.notes.append(f"{self.found.transport} is shown as plain HTTP, which is what carries it.")
        request = self._poll("")
        connection.sendall(request)
        self.note("join", "subscriber", "client", "A request", "", request)
        answer = read_answer(connection, request, until_s=time.monotonic() + SETTLE_S)
        if not answer.ended:
            # It streams: what is published now comes within this same answer.
            self.publish()
            read_answer(connection, request, until_s=time.monotonic() + SETTLE_S, answer=answer)
            self.found.notes.append("The answer does not end; what had come of it is shown.")
        phase: Phase = "join" if answer.ended else "deliver"
        self.note_answer(phase, "subscriber", "The answer", "", answer)
        try:
            cursor = json.loads(answer.body)["cursor"] if answer.ended else None
        except (ValueError, KeyError, TypeError):
            cursor = None
        if isinstance(cursor, str):
            self.publish()
            request = self._poll(f"after={cursor}")
            self.ask(connection, "deliver", "subscriber", request, ("Asked again", ""), ("The answer", ""))

    # What they share.

    def ask(
        self,
        connection: socket.socket,
        phase: Phase,
        who: Literal["subscriber", "publisher"],
        request: bytes,
        asks: tuple[str, str],
        answers: tuple[str, str],
        good: int | None = None,
    ) -> Answer:
        """Send a request, read its answer, and note both with title and explanation."""
        connection.sendall(request)
        self.note(phase, who, "client", *asks, request)
        answer = read_answer(connection, request)
        self.note_answer(phase, who, *answers, answer)
        if good is not None and answer.status != good:
            raise Refused(answer.status or 0, _detail(answer.body))
        return answer

    def hold(
        self,
        connection: socket.socket,
        request: bytes,
        asks: tuple[str, str],
        answers: tuple[str, str],
    ) -> Answer:
        """Send a request that is held, publish meanwhile, and read its answer. Notes all of it."""
        connection.sendall(request)
        self.note("deliver", "subscriber", "client", *asks, request)
        time.sleep(HELD_S)
        self.publish()
        answer = read_answer(connection, request)
        self.note_answer("deliver", "subscriber", *answers, answer)
        return answer

    def upgrade(
        self, connection: socket.socket, target: str, asks: tuple[str, str], answers: tuple[str, str]
    ) -> Frames:
        """Make a WebSocket of the connection; note the handshake, and how its accept value comes about."""
        key = _key()
        head = handshake_headers(self.found.headers, self.endpoint.host_header, key, None)
        request = f"GET {target} HTTP/1.1\r\n{head}".encode("ascii")
        answer = self.ask(connection, "join", "subscriber", request, asks, answers, good=101)
        self.found.accept = work_out_accept(key)
        self.found.accept_received = answer.header("sec-websocket-accept")
        if self.found.accept_received != self.found.accept.accept:
            raise ValueError("the server's Sec-WebSocket-Accept does not match the key that was sent")
        return Frames(self, connection, answer.rest)

    def _join(self, connection: socket.socket, query: str, says: str) -> str:
        answer = self.ask(
            connection,
            "join",
            "subscriber",
            self._poll(query),
            ("The first poll", says),
            ("The cursor", "An empty batch: what it gives is the cursor to ask from."),
            good=200,
        )
        return self._cursor(answer.body)

    def publish(self) -> None:
        """What a page that polls does to publish: a POST, on another connection."""
        body = json.dumps({"data": DATA}, separators=(",", ":")).encode()
        kind = poll_headers(self.found.headers, self.endpoint.host_header).removesuffix("\r\n")
        extra = ""
        if self.found.headers == "browser":
            extra = f"Origin: http://{self.endpoint.host_header}\r\n"
        head = (
            f"POST {self._path('notifications')} HTTP/1.1\r\n{kind}{extra}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with self.connect() as connection:
            self.ask(
                connection,
                "publish",
                "publisher",
                head.encode("ascii") + body,
                ("Meanwhile somebody publishes", "Upstream is one more request, on another connection."),
                ("Taken", "It is in the log now; who polls will find it."),
                good=201,
            )

    def _path(self, last: str) -> str:
        return f"{self.endpoint.path}/streams/{STREAM}/{last}"

    def _poll(self, query: str) -> bytes:
        target = self._path(self.found.transport) + (f"?{query}" if query else "")
        head = poll_headers(self.found.headers, self.endpoint.host_header)
        return f"GET {target} HTTP/1.1\r\n{head}".encode("ascii")

    def note(
        self,
        phase: Phase,
        who: Literal["subscriber", "publisher"],
        sender: Side,
        title: str,
        says: str,
        data: bytes,
        spans: list[Span] | None = None,
    ) -> None:
        """Note a message with its spans; those of an answer are given, for only who reads it knows them."""
        http = spans is not None or data[:4] in (b"GET ", b"POST")
        if spans is None:
            cut = self._cut(who)
            spans = request_spans(data, cut) if http else frame_spans(data, cut)
        at_ms = (time.perf_counter() - self._started_s) * 1000
        protocol: Literal["http", "websocket"] = "http" if http else "websocket"
        self.found.steps.append(Step(phase, who, sender, protocol, at_ms, title, says, data, spans))

    def note_answer(
        self, phase: Phase, who: Literal["subscriber", "publisher"], title: str, says: str, answer: Answer
    ) -> None:
        """Note an answer, or what has come of it."""
        self.note(phase, who, "server", title, says, answer.data, answer.spans(self._cut(who)))

    def _cut(self, who: Literal["subscriber", "publisher"]) -> Cut | None:
        return self.cut if who == "subscriber" else None

    def _cursor(self, body: bytes) -> str:
        try:
            return str(json.loads(body)["cursor"])
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"the answer is not a batch: {body[:80]!r}") from None

    def must_deliver(self, body: bytes) -> None:
        """Whether the batch has the notification that was published."""
        self._cursor(body)
        if not any(each.get("data") == DATA for each in json.loads(body)["notifications"]):
            raise ValueError("the notification that was published did not come")


class Frames:
    """The frames of a connection, each noted as its own bytes."""

    def __init__(self, recorder: Recorder, connection: socket.socket, data: bytes) -> None:
        self._recorder = recorder
        self._connection = connection
        self._data = data
        self._writer = FrameProtocol(client=True, extensions=[])

    def send(self, phase: Phase, title: str, says: str, message: str) -> None:
        """Send a text message, and note it."""
        self._send(phase, title, says, self._writer.send_data(message))

    def close(self, says: str) -> None:
        """Say goodbye, and read the server's."""
        self._send("leave", "Goodbye", says, self._writer.close(CloseReason.NORMAL_CLOSURE))
        self.read("leave", "Goodbye", "The server's close frame: nothing follows it.", Opcode.CLOSE)

    def read(self, phase: Phase, title: str, says: str, wanted: Opcode = Opcode.TEXT) -> bytes:
        """Read frames up to one of this kind, note each, and return its payload."""
        while True:
            data = self._next()
            opcode, payload = parse_frame(data)
            if opcode is wanted:
                self._recorder.note(phase, "subscriber", "server", title, says, data)
                return payload
            self._recorder.note(phase, "subscriber", "server", opcode.name.lower(), "", data)
            if opcode is Opcode.CLOSE:
                code = int.from_bytes(payload[:2], "big")
                raise Refused(code, payload[2:].decode("utf-8", "replace") or "(it does not say why)")

    def _send(self, phase: Phase, title: str, says: str, frame: bytes) -> None:
        self._connection.sendall(frame)
        self._recorder.note(phase, "subscriber", "client", title, says, frame)

    def _next(self) -> bytes:
        while True:
            bounds = frame_bounds(self._data)
            if bounds is not None:
                _, end = bounds
                if end > MOST_BYTES:
                    raise ValueError(f"a frame has {end} bytes, more than {MOST_BYTES}")
                if len(self._data) >= end:
                    frame, self._data = self._data[:end], self._data[end:]
                    return frame
            received = self._connection.recv(MOST_BYTES)
            if not received:
                raise ConnectionLost("the server closed the connection without a close frame")
            self._data += received


def _detail(body: bytes) -> str:
    """What a problem document says (RFC 9457)."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode("utf-8", "replace") or "(it does not say why)"


def _key() -> str:
    return base64.b64encode(os.urandom(16)).decode("ascii")
