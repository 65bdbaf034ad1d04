"""A server's frames of RFC 6455, and with which code and reason a WebSocket is closed (section 7.4.1)."""

from servers.patience import AND_LONGER
from servers.refusals import BadNotification, KeyReused, Refused, StreamsFull, TooLarge
from servers.stream import JOINED_BYTES, Batch
from servers.unaccepted import UnacceptedFull

NORMAL_CLOSURE = 1000
GOING_AWAY = 1001
PROTOCOL_ERROR = 1002
UNSUPPORTED_DATA = 1003
INVALID_DATA = 1007
POLICY_VIOLATION = 1008
MESSAGE_TOO_BIG = 1009
TRY_AGAIN_LATER = 1013
MAX_REASON_BYTES = 123
PING_FRAME = b"\x89\x00"
TEXT, BINARY = 0x81, 0x82
CLOSE_CODES: dict[type[Refused], int] = {
    BadNotification: INVALID_DATA,
    KeyReused: POLICY_VIOLATION,
    StreamsFull: TRY_AGAIN_LATER,
    TooLarge: MESSAGE_TOO_BIG,
    UnacceptedFull: TRY_AGAIN_LATER,
}


class CloseWith(Exception):
    """A message handler raises this, or Refused, to close the connection with a code and a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def as_close(error: CloseWith | Refused) -> CloseWith:
    """What to close with. Never the exception that was raised: it holds on to all that was read."""
    if isinstance(error, CloseWith):
        return CloseWith(error.code, error.reason)
    return CloseWith(CLOSE_CODES[type(error)], str(error))


def message_late(timeout_s: float) -> CloseWith:
    """A large message has not come whole in time."""
    return CloseWith(POLICY_VIOLATION, f"The message was not whole after {timeout_s:g} s {AND_LONGER}.")


def short(reason: str) -> bytes:
    """A reason that fits a close frame, which holds 125 bytes with the code (section 5.5)."""
    return reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore").encode()


def text_frame(batch: Batch) -> bytes:
    """A small batch as an unmasked, unfragmented text frame (RFC 6455, section 5.2)."""
    return frame_header(TEXT, batch.size) + batch.body


class TextFrames:
    """Puts texts into frames; one that goes to many, and is the same object for all, once. A large one is not
    kept for that."""

    def __init__(self) -> None:
        self._text = ""
        self._frame = frame_header(TEXT, 0)

    def of(self, text: str) -> bytes:
        """A text message as a frame."""
        if text is self._text:
            return self._frame
        body = text.encode()
        frame = frame_header(TEXT, len(body)) + body
        if len(body) <= JOINED_BYTES:
            self._text, self._frame = text, frame
        return frame


def frame_header(first_byte: int, size: int) -> bytes:
    """What goes before a payload of so many bytes."""
    if size < 126:
        return b"%c%c" % (first_byte, size)
    if size < 1 << 16:
        return b"%c\x7e%b" % (first_byte, size.to_bytes(2, "big"))
    return b"%c\x7f%b" % (first_byte, size.to_bytes(8, "big"))
