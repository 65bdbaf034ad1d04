"""Bytes explained: what each byte of an HTTP message or a WebSocket frame is, and why it is there. Pure.

Rules:

1. The spans of a message cover each of its bytes exactly once, in order; `part` sorts them into what the
   price is made of: `head` (start line and headers), `framing` (a frame's header and masking key, a
   chunk's size, what an event or a packet has around its batch) and `payload`.
2. The protocols are parsed by h11 and wsproto. Here only *where* is found; if what stands there is not what
   they have read, ValueError is raised: an explanation that the parser does not share would be worse than
   none.
3. What the notes say cites RFC 9110 and 9112 (HTTP) and RFC 6455 (WebSocket), in our words.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import h11
from wsproto.frame_protocol import Frame, FrameProtocol, Opcode, ParseFailed
from wsproto.utilities import ACCEPT_GUID

from clients.frames import frame_bounds

Part = Literal["head", "framing", "payload"]
PARTS: tuple[Part, ...] = ("head", "framing", "payload")

# RFC 6455, section 1.3: what the server adds to the key, to show that it speaks this protocol.
GUID = ACCEPT_GUID.decode("ascii")
END_OF_HEAD = b"\r\n\r\n"
MASK_BYTES = 4
MASK_EXAMPLES = 8


class Bits(NamedTuple):
    """Some bits of one byte."""

    bits: str
    name: str
    says: str


class Span(NamedTuple):
    """Bytes `start` to `end` (exclusive) of one message. `shows` is what they hold, in words or text."""

    start: int
    end: int
    part: Part
    label: str
    shows: str
    why: str
    bits: tuple[Bits, ...] = ()
    work: tuple[str, ...] = ()
    """Arithmetic on them, a line a step."""

    @property
    def size(self) -> int:
        """How many bytes it has."""
        return self.end - self.start


Cut = Callable[[int, bytes], list[Span]]
"""Explains a body further: where it begins in its message, and its bytes."""


@dataclass(frozen=True)
class Accept:
    """How a Sec-WebSocket-Key becomes a Sec-WebSocket-Accept (RFC 6455, section 4.2.2)."""

    key: str
    nonce_hex: str
    """The 16 bytes that the key stands for; empty if it does not stand for any."""
    guid: str
    joined: str
    sha1_hex: str
    accept: str


def work_out_accept(key: str) -> Accept:
    """Every step from the key to the answer that proves that the server understood."""
    try:
        nonce_hex = base64.b64decode(key, validate=True).hex(" ")
    except (binascii.Error, ValueError):
        nonce_hex = ""
    digest = hashlib.sha1((key + GUID).encode("latin-1"), usedforsecurity=False).digest()
    accept = base64.b64encode(digest).decode("ascii")
    return Accept(key, nonce_hex, GUID, key + GUID, digest.hex(" "), accept)


# --- HTTP ---

# By name, or by name and value where the value makes the difference; in lower case.
REQUEST_WHYS = {
    "host": "Which host is meant: one address may serve several. The only header that HTTP/1.1 demands of "
    "every request (RFC 9112, section 3.2).",
    "connection: upgrade": "The Upgrade header is meant for the next hop, whoever that is, and not to be "
    "passed on (RFC 9110, section 7.6.1).",
    "connection: keep-alive": "Leave the connection open for the next request, which HTTP/1.1 does anyway.",
    "upgrade": "The protocol to change to. Everything before it is HTTP, so that port and proxies can stay "
    "(RFC 6455, section 4.1, point 5).",
    "origin": "The page that asks; only browsers send it, and they send it truthfully. A server refuses "
    "foreign pages by it (RFC 6455, section 10.2).",
    "sec-websocket-key": "16 random bytes in base64. No secret: the server must turn them into the accept "
    "value, which something that only repeats or caches HTTP would not do (RFC 6455, section 4.1, point 7).",
    "sec-websocket-version": "13 is the version that became the RFC; a server answers 426 to any other "
    "(RFC 6455, section 4.1, point 9).",
    "sec-websocket-extensions": "What the client could do beside the RFC, compression above all; used only "
    "if the server repeats it (RFC 6455, section 9.1).",
    "sec-websocket-protocol": "Names of what may be spoken inside the messages (RFC 6455, section 1.9).",
    "user-agent": "The program that asks. No protocol here needs it; a browser sends it each time.",
    "accept": "The kinds of content that are welcome. A poll knows what it gets; a browser says it anyway.",
    "accept-encoding": "The compressions that the client can undo.",
    "accept-language": "The reader's languages. Each request says it again, for HTTP has no memory.",
    "cookie": "What the server once asked to be told with every request: HTTP has no memory, so the session "
    "travels each time.",
    "referer": "The page that the request comes from.",
    "cache-control": "No answer from a cache, please: what is asked for changes by the moment.",
    "pragma": "The same, in the words of HTTP/1.0.",
    "content-type": "What the body is. This server takes notifications as JSON only: a foreign page cannot "
    "send that type unasked.",
    "content-length": "How many bytes of body follow the head: the only way to know where it ends "
    "(RFC 9112, section 6.2).",
    "sec-ch-ua": "The browser's brand and version, again.",
    "sec-ch-ua-mobile": "Whether the browser is on a phone.",
    "sec-ch-ua-platform": "The browser's system.",
    "sec-fetch-site": "Whether page and server belong together.",
    "sec-fetch-mode": "How the page asks: by fetch(), for instance.",
    "sec-fetch-dest": "What the answer is for: nothing that the browser would render.",
}
RESPONSE_WHYS = {
    "server": "The program that answers; no client needs it.",
    "date": "When the answer was made. A server with a clock has to say it (RFC 9110, section 6.6.1).",
    "connection: upgrade": "What the Upgrade header says happens on this connection, now.",
    "connection: keep-alive": "Ask again on this connection, which HTTP/1.1 allows anyway.",
    "connection: close": "This is the last answer on this connection.",
    "content-type": "What the body is.",
    "content-length": "How many bytes of body follow: without it, nobody could tell where this answer ends "
    "and the next begins (RFC 9112, section 6.2).",
    "transfer-encoding": "The body comes in chunks, each with its size before it (RFC 9112, section 7.1).",
    "cache-control": "`no-store`: nobody on the way may keep this answer (RFC 9111, section 5.2.2.5).",
    "upgrade": "The protocol that is spoken from the next byte on, or, in a refusal, what to upgrade to.",
    "sec-websocket-accept": "The proof that the server read the key: SHA-1 over key and GUID, in base64 "
    "(RFC 6455, section 4.2.2).",
    "sec-websocket-version": "The version that this server speaks (RFC 6455, section 4.4).",
    "sec-websocket-extensions": "What was agreed of the extensions that the client offered.",
    "content-security-policy": "What a page made of this answer may load.",
    "x-content-type-options": "`nosniff`: believe Content-Type, and do not guess.",
    "referrer-policy": "Which addresses the browser may tell to others.",
    "retry-after": "Come back after so many seconds.",
    "allow": "The methods that this address knows.",
    "vary": "What else the answer depends on, for caches.",
}
UNKNOWN_HEADER = "A header of the application's own; HTTP lets it (RFC 9110, section 6.3)."
SEPARATOR_WHY = (
    "An empty line: the head ends here. Whoever reads HTTP has to look for it, since nothing told before how "
    "long the head is (RFC 9112, section 2.1)."
)


def parse_request(data: bytes) -> h11.Request:
    """What h11 reads in a request; raises ValueError if it reads none."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(data)
    try:
        event = server.next_event()
    except h11.RemoteProtocolError as error:
        raise ValueError(f"not an HTTP request: {error}") from None
    if not isinstance(event, h11.Request):
        raise ValueError("the request's head is not whole")
    return event


def request_spans(data: bytes, cut: Cut | None = None) -> list[Span]:
    """A request: its line in three pieces, each header, the empty line, the body."""
    request = parse_request(data)
    head = _head(data)
    line = data[: data.index(b"\r\n")]
    method, target, version = line.split(b" ")
    if (method, target) != (request.method, request.target):
        raise ValueError(f"h11 reads the request line {line!r} differently")
    spans = _cut(
        [
            (method + b" ", "method", _method_why(method.decode("ascii"))),
            (target + b" ", "target", _target_why(target.decode("latin-1"))),
            (version + b"\r\n", "version", "The last HTTP that is readable text. CR LF ends each line."),
        ]
    )
    spans += _header_spans(data, len(line) + 2, head, list(request.headers), REQUEST_WHYS)
    if len(data) > head:
        spans += cut(head, data[head:]) if cut else [_body_span(data, head, len(data))]
    return spans


class Answer:
    """Reads the answer to a request as it comes, by h11. Feed it until `ended`."""

    def __init__(self, request: bytes) -> None:
        """Expect the answer to these bytes. Raises ValueError if they are no request."""
        self.data = b""
        """The answer's own bytes so far."""
        self.rest = b""
        """What followed a 101 and is not HTTP."""
        self.status: int | None = None
        self.body = b""
        self.ended = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._parser = h11.Connection(h11.CLIENT)
        asked = parse_request(request)
        self._parser.send(asked)
        if len(request) > _head(request):
            self._parser.send(h11.Data(data=request[_head(request) :]))
        self._parser.send(h11.EndOfMessage())

    def feed(self, data: bytes) -> None:
        """Take the next bytes, b"" where the connection has ended; raises ValueError on what is not HTTP."""
        self.data += data
        try:
            self._parser.receive_data(data)
            while (event := self._parser.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                self._take(event)
                if self.ended:
                    break
        except h11.RemoteProtocolError as error:
            raise ValueError(f"the answer is not HTTP: {error}") from None
        trailing, _ = self._parser.trailing_data
        if self.ended and trailing:
            self.rest = bytes(trailing)
            self.data = self.data[: len(self.data) - len(trailing)]

    @property
    def head(self) -> bytes:
        """The status line and headers as they came, with the empty line after them."""
        return self.data[: _head(self.data)]

    def header(self, name: str) -> str | None:
        """A header's value, by its name in lower case; None if there is none."""
        return next((v.decode("latin-1") for n, v in self._headers if n == name.encode("ascii")), None)

    def spans(self, cut: Cut | None = None) -> list[Span]:
        """The answer: its line in three pieces, each header, the empty line, the body, chunks apart.

        A body that is not chunked is explained further by `cut`."""
        head = _head(self.data)
        line = self.data[: self.data.index(b"\r\n")]
        version, status, reason = (line + b" ").split(b" ", 2)
        if int(status) != self.status:
            raise ValueError(f"h11 reads the status line {line!r} differently")
        pieces = [
            (version + b" ", "version", "The HTTP that the answer is written in."),
            (status + b" ", "status", _status_why(status)),
            (reason[:-1] + b"\r\n", "reason", "The status for human readers; programs ignore it."),
        ]
        if not reason:
            pieces[1:] = [(status + b"\r\n", "status", _status_why(status))]
        spans = _cut(pieces)
        spans += _header_spans(self.data, len(line) + 2, head, self._headers, RESPONSE_WHYS)
        chunked = (self.header("transfer-encoding") or "").lower() == "chunked"
        spans += chunk_spans(self.data, head) if chunked else []
        if not chunked and len(self.data) > head:
            spans.append(_body_span(self.data, head, len(self.data)))
        if b"".join(self.data[s.start : s.end] for s in spans if s.part == "payload") != self.body:
            raise ValueError("h11 reads the body differently")
        if cut and self.body and not chunked:
            spans[-1:] = cut(head, self.body)
        return spans

    def _take(self, event: object) -> None:
        if isinstance(event, h11.InformationalResponse | h11.Response):
            self.status = event.status_code
            self._headers = list(event.headers)
            self.ended = event.status_code == 101
        elif isinstance(event, h11.Data):
            self.body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            self.ended = True


def _head(data: bytes) -> int:
    """Where the head ends."""
    at = data.find(END_OF_HEAD)
    if at < 0:
        raise ValueError("the head does not end")
    return at + len(END_OF_HEAD)


def _cut(pieces: list[tuple[bytes, str, str]]) -> list[Span]:
    """Spans of the head, one after the other from 0."""
    spans = []
    at = 0
    for text, label, why in pieces:
        spans.append(Span(at, at + len(text), "head", label, text.decode("latin-1").strip(), why))
        at += len(text)
    return spans


def _header_spans(
    data: bytes, start: int, head: int, parsed: list[tuple[bytes, bytes]], whys: dict[str, str]
) -> list[Span]:
    """One span a header line, and the empty line after them."""
    spans = []
    found = []
    at = start
    while at < head - 2:
        end = data.index(b"\r\n", at) + 2
        name, _, value = data[at:end].partition(b":")
        found.append((name.lower(), value.strip()))
        label, shows = name.decode("latin-1"), value.decode("latin-1").strip()
        why = whys.get(f"{label}: {shows}".lower()) or whys.get(label.lower()) or UNKNOWN_HEADER
        spans.append(Span(at, end, "head", label, shows, why))
        at = end
    if found != parsed:
        raise ValueError("h11 reads the headers differently")
    spans.append(Span(at, head, "head", "end of head", "CR LF", SEPARATOR_WHY))
    return spans


def _body_span(data: bytes, start: int, end: int) -> Span:
    text = data[start:end].decode("utf-8", "replace")
    return Span(start, end, "payload", "body", text, "What all the bytes before it are for.")


def chunk_spans(data: bytes, start: int) -> list[Span]:
    """The pieces of a chunked body, whole or not (RFC 9112, section 7.1)."""
    spans = []
    at = start
    while at < len(data):
        line = data.find(b"\r\n", at) + 2
        if line < 2:
            spans.append(Span(at, len(data), "framing", "chunk size", "cut", "The rest had not come yet."))
            break
        size = int(data[at:line].split(b";")[0], 16)
        why = "So many bytes follow, in hexadecimal" if size else "A chunk of 0 bytes ends the body"
        spans.append(Span(at, line, "framing", "chunk size", str(size), f"{why} (RFC 9112, section 7.1)."))
        end = min(line + size, len(data))
        if size and end > line:
            spans.append(_body_span(data, line, end))
        at = end
        if at < len(data):
            after = min(at + 2, len(data))
            spans.append(Span(at, after, "framing", "end of chunk", "CR LF", "Ends the chunk."))
            at = after
        if not size:
            break
    return spans


def _method_why(method: str) -> str:
    if method == "GET":
        return "GET: give me what is at the target. A WebSocket's handshake has to be one too."
    return f"{method}: take what is in the body."


def _target_why(target: str) -> str:
    if target.startswith("ws:"):
        return (
            "A whole URL with the scheme ws. A handshake names the path alone, or an http URL (RFC 6455, "
            "section 4.2.1, point 1); this server is lenient about it."
        )
    if "after=" in target:
        return (
            "What is asked for. The cursor after `after=` is the client's memory: the server keeps none of "
            "what each client has seen."
        )
    if "EIO=" in target:
        return "What is asked for: an engine and its session. The stream and the cursor come in a packet."
    return "What is asked for. Without a cursor the client joins where the stream is now."


def _status_why(status: bytes) -> str:
    return {
        101: "Switching: after this head, the connection does not speak HTTP any more.",
        200: "Done; the body is the answer.",
        201: "Taken; the body says under which id.",
        400: "The request is at fault; the body says what to mend.",
        403: "Understood, and refused.",
        426: "Not without an upgrade to another protocol (RFC 9110, section 15.5.22).",
        503: "Full or stopping: come back later.",
    }.get(int(status), "What became of the request (RFC 9110, section 15).")


# --- WebSocket ---

OPCODES = {
    Opcode.CONTINUATION: "continues a message",
    Opcode.TEXT: "text, in UTF-8",
    Opcode.BINARY: "binary",
    Opcode.CLOSE: "close",
    Opcode.PING: "ping: are you there?",
    Opcode.PONG: "pong: I am",
}


def parse_frame(data: bytes) -> tuple[Opcode, bytes]:
    """What wsproto reads in one whole frame without extensions: opcode and unmasked payload.

    Raises ValueError if it reads anything else than one frame.
    """
    # Who is asked to read decides whether a mask is demanded (RFC 6455, section 5.1).
    reader = FrameProtocol(client=not data[1] & 0x80, extensions=[])
    reader.receive_bytes(data)
    try:
        frames: list[Frame] = list(reader.received_frames())
    except ParseFailed as error:
        raise ValueError(f"wsproto cannot read the frame: {error}") from None
    bounds = frame_bounds(data)
    if len(frames) != 1 or bounds is None or bounds[1] != len(data):
        raise ValueError("these bytes are not one frame")
    [frame] = frames
    if frame.opcode is Opcode.CLOSE:
        code, reason = frame.payload
        payload = int(code).to_bytes(2, "big") + (reason or "").encode() if code != 1005 else b""
    elif isinstance(frame.payload, str):
        payload = frame.payload.encode()
    else:
        payload = bytes(frame.payload)
    return frame.opcode, payload


def frame_spans(data: bytes, cut: Cut | None = None) -> list[Span]:
    """One frame: its two bytes bit by bit, the longer length, the masking key, the payload.

    The payload of a text frame is explained further by `cut`."""
    opcode, payload = parse_frame(data)
    first, second = data[0], data[1]
    fin, masked, short = first >> 7, second >> 7, second & 0x7F
    spans = [
        Span(
            0,
            1,
            "framing",
            "FIN, RSV, opcode",
            f"{first:08b}",
            "The first byte says what kind of frame it is, and whether the message ends with it.",
            (
                Bits(f"{fin:b}", "FIN", "the message ends with this frame" if fin else "more frames follow"),
                Bits(f"{first >> 4 & 7:03b}", "RSV1–3", "unused: no extension was agreed on"),
                Bits(f"{first & 15:04b}", f"opcode {first & 15:#x}", OPCODES[opcode]),
            ),
        ),
        Span(
            1,
            2,
            "framing",
            "MASK, length",
            f"{second:08b}",
            "The second byte says whether the payload is masked, and how long it is.",
            (
                Bits(
                    f"{masked:b}",
                    "MASK",
                    "masked: a client must (RFC 6455, section 5.1)"
                    if masked
                    else "not masked: a server must not (RFC 6455, section 5.1)",
                ),
                Bits(f"{short:07b}", f"length {short}", _length_says(short)),
            ),
        ),
    ]
    at = 2
    extended = {126: 2, 127: 8}.get(short, 0)
    if extended:
        length = int.from_bytes(data[2 : 2 + extended], "big")
        spans.append(
            Span(
                2,
                2 + extended,
                "framing",
                "extended length",
                f"{length:,} bytes",
                f"The length as a {8 * extended}-bit number, high byte first (RFC 6455, section 5.2).",
            )
        )
        at += extended
    if not masked:
        if data[at:] != payload:
            raise ValueError("wsproto reads the payload differently")
        spans += _payload_spans(opcode, at, payload, "", cut)
        return spans
    key = data[at : at + MASK_BYTES]
    spans.append(
        Span(
            at,
            at + MASK_BYTES,
            "framing",
            "masking key",
            key.hex(" "),
            "Four random bytes, new for each frame. They hide nothing, for they stand in the open; they keep "
            "a page from choosing the bytes on the wire, which might fool a proxy into taking them for HTTP "
            "(RFC 6455, section 10.3).",
        )
    )
    at += MASK_BYTES
    if unmask(data[at:], key) != payload:
        raise ValueError("wsproto unmasks the payload differently")
    lead = "Each byte was XORed with one of the key's four, in turn. "
    for span in _payload_spans(opcode, at, payload, lead, cut):
        work = _unmasking(data[span.start : span.end], key, span.start - at)
        spans.append(span._replace(work=work))
    return spans


def unmask(masked: bytes, key: bytes) -> bytes:
    """Payload XOR key, the key repeated; its own inverse (RFC 6455, section 5.3)."""
    return bytes(byte ^ key[at % MASK_BYTES] for at, byte in enumerate(masked))


def _unmasking(masked: bytes, key: bytes, offset: int) -> tuple[str, ...]:
    """The first bytes' arithmetic. `offset` is where they stand in the payload."""
    lines = []
    for at, byte in enumerate(masked[:MASK_EXAMPLES]):
        with_ = key[(at + offset) % MASK_BYTES]
        plain = byte ^ with_
        shown = f" = {chr(plain)}" if 0x20 <= plain < 0x7F else ""
        lines.append(f"{byte:02x} XOR {with_:02x} = {plain:02x}{shown}")
    if len(masked) > MASK_EXAMPLES:
        lines.append(f"… and so on for {len(masked) - MASK_EXAMPLES} more")
    return tuple(lines)


def _payload_spans(opcode: Opcode, at: int, payload: bytes, lead: str, cut: Cut | None) -> list[Span]:
    """The payload; a close frame's is a code and a reason."""
    if not payload:
        return []
    if opcode is Opcode.CLOSE:
        code = int.from_bytes(payload[:2], "big")
        why = f"{lead}The code that says why (RFC 6455, section 7.4.1); 1000 is the normal end."
        spans = [Span(at, at + 2, "payload", "close code", str(code), why)]
        if len(payload) > 2:
            reason = payload[2:].decode("utf-8", "replace")
            why = f"{lead}The reason in words."
            spans.append(Span(at + 2, at + len(payload), "payload", "reason", reason, why))
        return spans
    if cut and opcode is Opcode.TEXT:
        return [span._replace(why=f"{lead}{span.why}") for span in cut(at, payload)]
    why = f"{lead}What the frame is for."
    shows = payload.decode("utf-8", "replace")
    return [Span(at, at + len(payload), "payload", "payload", shows, why)]


def _length_says(short: int) -> str:
    if short == 126:
        return "126 means: the next two bytes hold it"
    if short == 127:
        return "127 means: the next eight bytes hold it"
    return f"{short} bytes; up to 125 fit here"
