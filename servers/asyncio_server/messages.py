"""What comes in on a WebSocket: frames (RFC 6455, section 5), joined to messages.

Rules: those of `servers/incoming.py`, which keeps what has come of a message; and
1. A frame that breaks the protocol ends the connection with 1002, text that is not UTF-8 with 1007, as soon
   as either can be seen.
2. Only what is there is looked at: of a control frame nothing until it is whole.
"""

import codecs
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from servers.incoming import Incoming
from servers.rules.frames import INVALID_DATA, PROTOCOL_ERROR, CloseWith
from servers.turns import SLICE_S
from servers.unaccepted import FREE_BYTES, Claim, Unaccepted

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAX_CONTROL_BYTES = 125
# Unmasking takes a few times as much room as what is unmasked.
UNMASKED_AT_ONCE = 64 * 1024
NOT_UTF8 = "A text message must be UTF-8 (RFC 6455, section 8.1)."
_new_decoder = codecs.getincrementaldecoder("utf-8")


class Event(NamedTuple):
    """A message, or a control frame. CONTINUATION: part of a message, of which nothing is to be done yet."""

    opcode: int
    data: str | bytes = b""


PART = Event(CONTINUATION)


class Messages:
    """Reads one connection's frames."""

    __slots__ = (
        "_at",
        "_claim",
        "_data",
        "_decoder",
        "_is_final",
        "_left",
        "_mask",
        "_opcode",
        "_unaccepted",
        "incoming",
    )

    def __init__(self, incoming: Incoming, unaccepted: Unaccepted) -> None:
        self.incoming = incoming
        self._unaccepted = unaccepted
        self._claim: Claim | None = None
        """What came and was not looked at, if it was ever much."""
        self._data = b""
        self._at = 0
        self._opcode = CONTINUATION
        """Of the message that has begun; CONTINUATION: none has."""
        self._decoder: codecs.IncrementalDecoder | None = None
        self._is_final = False
        self._left: int | None = None
        """Of the payload of a frame that has begun."""
        self._mask = b""

    def add(self, data: bytes) -> None:
        """This has come."""
        self._data = self._data[self._at :] + data if self._at < len(self._data) else data
        self._at = 0

    @property
    def unread(self) -> int:
        """Bytes that came and were not looked at."""
        return len(self._data) - self._at

    def note_unread(self) -> None:
        """What came and waits for its turn counts as unaccepted. Raises UnacceptedFull."""
        unread = self.unread
        if self._claim is not None:
            self._claim.hold(unread)
        elif unread > FREE_BYTES:
            self._claim = Claim(self._unaccepted)
            self._claim.hold(unread)

    def clear(self) -> None:
        """Nothing of what came is looked at any more."""
        self._data = b""
        self._at = 0
        if self._claim is not None:
            self._claim.release()
        self.incoming.clear()

    def read(self, goes_on: Callable[[], bool], handle: Callable[[int, Any], None]) -> bool:
        """Handle what has come, for a slice at the most. Whether the slice was too short for it.

        Raises CloseWith or Refused."""
        began_s = time.monotonic()
        is_over = False
        while not is_over and goes_on():
            event = self.next()
            if event is None:
                break
            if event.opcode != CONTINUATION:
                handle(event.opcode, event.data)
            is_over = time.monotonic() - began_s > SLICE_S
        self.note_unread()
        return is_over

    def next(self) -> Event | None:
        """The next event; None if more has to come. Raises CloseWith or Refused."""
        if self._left is None:
            control = self._read_header()
            if control is not None or self._left is None:
                return control
        return self._read_payload()

    def _read_header(self) -> Event | None:
        """Begin a frame; one of control is read whole."""
        data, at = self._data, self._at
        there = len(data) - at
        if there < 2:
            return None
        first, second = data[at], data[at + 1]
        opcode, size = first & 0x0F, second & 0x7F
        if first & 0x70:
            raise _broken("A reserved bit is set, and no extension was agreed on (RFC 6455, section 5.2).")
        if not second & 0x80:
            raise _broken("A client's frames are masked (RFC 6455, section 5.1).")
        if opcode >= CLOSE:
            if opcode > PONG or not first & 0x80 or size > MAX_CONTROL_BYTES:
                raise _broken("This is no frame of control (RFC 6455, section 5.5).")
            if there < 6 + size:
                return None
            self._at = at + 6 + size
            return Event(opcode, unmasked(data[at + 6 : self._at], data[at + 2 : at + 6]))
        if opcode > BINARY:
            raise _broken("This opcode has no meaning (RFC 6455, section 5.2).")
        if (opcode == CONTINUATION) != (self._opcode != CONTINUATION):
            raise _broken("A message continues, or begins, where it may not (RFC 6455, section 5.4).")
        more = {126: 2, 127: 8}.get(size, 0)
        if there < 2 + more:
            return None
        if more:
            size = int.from_bytes(data[at + 2 : at + 2 + more], "big")
            if size < (126 if more == 2 else 1 << 16) or size >> 63:
                raise _broken("The length is not in its shortest form (RFC 6455, section 5.2).")
        # Before the mask, which may not have come yet.
        self.incoming.expect(size)
        if there < 6 + more:
            return None
        self._mask = data[at + 2 + more : at + 6 + more]
        self._at = at + 6 + more
        self._left = size
        self._is_final = bool(first & 0x80)
        if opcode != CONTINUATION:
            self._opcode = opcode
        return None

    def _read_payload(self) -> Event | None:
        assert self._left is not None
        at = self._at
        there = min(len(self._data) - at, self._left, UNMASKED_AT_ONCE)
        if not there and self._left:
            return None
        piece = unmasked(self._data[at : at + there], self._mask)
        self._at = at + there
        self._left -= there
        if there & 3:
            self._mask = self._mask[there & 3 :] + self._mask[: there & 3]
        is_last = not self._left and self._is_final
        if not self._left:
            self._left = None
        return self._take(piece, is_last)

    def _take(self, piece: bytes, is_last: bool) -> Event:
        opcode = self._opcode
        data: str | bytes = piece
        if opcode == TEXT:
            try:
                if self._decoder is not None:
                    self._decoder.decode(piece, is_last)
                elif is_last:
                    data = piece.decode()
                else:
                    self._decoder = _new_decoder()
                    self._decoder.decode(piece)
            except UnicodeDecodeError:
                raise CloseWith(INVALID_DATA, NOT_UTF8) from None
        message = self.incoming.add(data, is_last, opcode == TEXT)
        if message is None:
            return PART
        self._opcode, self._decoder = CONTINUATION, None
        if opcode == TEXT and isinstance(message, bytes):
            message = message.decode()
        return Event(opcode, message)


def _broken(sentence: str) -> CloseWith:
    return CloseWith(PROTOCOL_ERROR, sentence)


def unmasked(payload: bytes, mask: bytes) -> bytes:
    """Section 5.3."""
    size = len(payload)
    if not size or mask == bytes(4):
        return payload
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


def close_reason(payload: bytes) -> tuple[int | None, bytes]:
    """The code and reason of the peer's close frame (section 5.5.1). Raises CloseWith."""
    if not payload:
        return None, b""
    code = int.from_bytes(payload[:2], "big")
    is_code = 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999
    if len(payload) == 1 or not is_code:
        raise _broken("A close frame has no code that may be sent (RFC 6455, section 7.4).")
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        raise CloseWith(
            INVALID_DATA, "A close frame's reason must be UTF-8 (RFC 6455, section 5.5.1)."
        ) from None
    return code, payload[2:]
