"""Extensions of WebSocket: how they are agreed on (RFC 6455, section 9.1), and permessage-deflate (RFC 7692).

Offers are looked at in the client's order, and the first that can be met is. One with a parameter that is
unknown, repeated or out of range is declined (RFC 7692, section 7); a header that is no list of extensions
fails the handshake.
"""

import re
import zlib
from typing import Any, NamedTuple

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from servers.incoming import Incoming

NAME = "permessage-deflate"
WINDOW_BYTES = 1 << 15
TAIL = b"\x00\x00\xff\xff"

TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
PARAMETER = re.compile(rf'[ \t]*;[ \t]*({TOKEN})(?:[ \t]*=[ \t]*(?:({TOKEN})|"((?:[^"\\]|\\.)*)"))?')
EXTENSION = re.compile(rf"[ \t]*({TOKEN})")
SEPARATOR = re.compile(r"[ \t]*(?:,|\Z)")
# zlib cannot compress with a window of 2^8 bytes.
SERVER_BITS = re.compile(r"9|1[0-5]")
CLIENT_BITS = re.compile(r"[89]|1[0-5]")


class BadExtensions(ValueError):
    """The header is no list of extensions."""


class Offer(NamedTuple):
    """One extension of the client's list; a parameter without a value has None."""

    name: str
    parameters: list[tuple[str, str | None]]


def parse_offers(header: str) -> list[Offer]:
    """What a Sec-WebSocket-Extensions header offers; raises BadExtensions."""
    offers = []
    at = 0
    while at < len(header):
        empty = SEPARATOR.match(header, at)
        if empty:
            # RFC 9110, section 5.6.1.2: empty elements of a list are passed over.
            at = empty.end()
            continue
        name = EXTENSION.match(header, at)
        if not name:
            raise BadExtensions(header)
        at = name.end()
        parameters = []
        while parameter := PARAMETER.match(header, at):
            at = parameter.end()
            token, quoted = parameter[2], parameter[3]
            if quoted is not None:
                token = re.sub(r"\\(.)", r"\1", quoted)
                if not re.fullmatch(TOKEN, token):
                    raise BadExtensions(header)
            parameters.append((parameter[1], token))
        separator = SEPARATOR.match(header, at)
        if not separator:
            raise BadExtensions(header)
        at = separator.end()
        offers.append(Offer(name[1], parameters))
    if header and not offers:
        raise BadExtensions(header)
    return offers


def agree(offers: list[Offer], incoming: Incoming) -> "tuple[Deflate, str] | None":
    """The extension by the first offer that can be met, and what to answer; None if there is none."""
    for offer in offers:
        parameters = _checked(offer)
        if parameters is not None:
            answer = "; ".join([NAME, *parameters])
            deflate = Deflate(incoming)
            deflate.finalize(answer)
            return deflate, answer
    return None


def _checked(offer: Offer) -> list[str] | None:
    """The parameters of the answer, or None if the offer is declined."""
    given = dict(offer.parameters)
    if offer.name != NAME or len(given) < len(offer.parameters):
        return None
    answer = []
    for name, value in given.items():
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
            answer.append(name)
        elif name == "server_max_window_bits":
            if value is None or not SERVER_BITS.fullmatch(value):
                return None
            answer.append(f"{name}={value}")
        elif name == "client_max_window_bits":
            # Without a value the client only says that it could be told one. Any window of his can be read.
            if value is not None and not CLIENT_BITS.fullmatch(value):
                return None
        else:
            return None
    return answer


class Deflate(PerMessageDeflate):  # type: ignore[misc]
    """wsproto's permessage-deflate, with three of its faults mended.

    1. wsproto 1.3 forgets that a message is compressed at a control frame between its fragments: text then
       is not UTF-8, and binary is handed on as it was compressed.
    2. It inflates without a bound; `incoming` knows how many bytes may come.
    3. It loses what follows a DEFLATE block that is marked as the last (RFC 7692, section 7.2.3.4).
    """

    _decompressor: Any
    _inbound_compressed: bool | None

    def __init__(self, incoming: Incoming) -> None:
        super().__init__()
        self._incoming = incoming
        # Since the incoming message was last added to.
        self._inflated = 0
        self._window = b""

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        if opcode.iscontrol():
            self._inbound_is_compressible = False
            return RsvBits(False, False, False)
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        if not self._inbound_is_compressible or not self._inbound_compressed:
            return data
        self._inflated = 0
        try:
            return self._inflate(data)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA

    def frame_inbound_complete(
        self, proto: FrameDecoder | FrameProtocol, fin: bool
    ) -> bytes | CloseReason | None:
        if not self._inbound_is_compressible or not fin:
            return None
        was_compressed, self._inbound_compressed = self._inbound_compressed, None
        if not was_compressed:
            return None
        try:
            rest = self._inflate(TAIL)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        if self.client_no_context_takeover:
            self._decompressor, self._window = None, b""
        return rest

    def _inflate(self, data: bytes) -> bytes:
        """Raises TooLarge where more comes out than there is room for."""
        pieces = []
        while True:
            room = self._incoming.room - self._inflated
            piece = self._decompressor.decompress(data, room + 1)
            if len(piece) > room:
                self._incoming.refuse()
            self._inflated += len(piece)
            self._window = (self._window + piece)[-WINDOW_BYTES:]
            pieces.append(piece)
            if not self._decompressor.eof:
                return b"".join(pieces)
            data = self._decompressor.unused_data
            self._decompressor = zlib.decompressobj(-self.client_max_window_bits, zdict=self._window)
            if not data:
                return b"".join(pieces)
