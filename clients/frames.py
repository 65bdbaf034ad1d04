"""WebSocket messages from bytes, however they are cut: pure. Plain frames are read here, others by wsproto.

Nearly all that comes is *plain*: a text, final and without extension, or a ping; without a mask, its length
in the shortest form, whole in one read. To take a text apart costs 0.7 µs of CPU, and 5.6 by wsproto, which
keeps the whole protocol; the polls' small answer costs 1.8, in C (`python -m clients.measure_parsers`, Python
3.11). So clients of all transports cost little beside the server that they measure on the same machine.

Rules:

1. wsproto reads every frame that is not plain, byte for byte, and every text within a message of several
   frames. So each error of wsproto's is an error here.
2. Memory is bounded: a message has at most MAX_MESSAGE_LENGTH characters, and the only bytes kept are those
   of an unfinished header.
"""

from __future__ import annotations

from collections.abc import Iterator

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, Opcode, ParseFailed

MAX_MESSAGE_LENGTH = 64 * 2**20

# The first byte of a frame that is final and without extensions (RFC 6455, 5.2).
_TEXT = 0x81
_PING = 0x89


def frame_bounds(data: bytes, start: int = 0) -> tuple[int, int] | None:
    """Where the payload of the frame that begins at `start` begins, and where the frame ends: perhaps after
    `data` does. None while its header is not whole (RFC 6455, 5.2)."""
    if len(data) < start + 2:
        return None
    second = data[start + 1]
    length = second & 0x7F
    payload = start + 2
    if length >= 126:
        payload += 2 if length == 126 else 8
        if len(data) < payload:
            return None
        length = int.from_bytes(data[start + 2 : payload], "big")
    if second & 0x80:
        payload += 4
    return payload, payload + length


class FrameReader:
    """The frames that a server sends on one connection."""

    def __init__(self, extensions: list[Extension]) -> None:
        """Expect the first frame; `extensions` are those that the handshake agreed upon."""
        self.protocol = FrameProtocol(client=True, extensions=extensions)
        """wsproto's, which also writes what the client sends."""
        self._header = b""
        self._owed = 0
        """Bytes still to come of the frame that wsproto is reading."""
        self._fragments: list[str] = []
        self._fragments_length = 0
        self._in_message = False

    def read(self, data: bytes) -> Iterator[str | Frame]:
        """Take the next bytes and yield what they complete: text messages, as str, and control frames.

        Raises wsproto's ParseFailed, with the code to close with, for what is against the protocol, and for
        messages that are binary or too long.
        """
        if self._header:
            data, self._header = self._header + data, b""
        start = 0
        while start < len(data):
            if not self._owed:
                bounds = frame_bounds(data, start)
                if bounds is None:
                    self._header = data[start:]
                    return
                payload, end = bounds
                if end <= len(data) and not (self._in_message and data[start] == _TEXT):
                    plain = _plain(data, start, payload, end)
                    if plain is not None:
                        start = end
                        yield plain
                        continue
                self._owed = end - start
            piece = data[start : start + self._owed]
            self._owed -= len(piece)
            start += len(piece)
            self.protocol.receive_bytes(piece)
            for frame in self.protocol.received_frames():
                if frame.opcode.iscontrol():
                    yield frame
                elif frame.opcode is Opcode.BINARY:
                    raise ParseFailed(
                        "a message is binary, but batches are text", CloseReason.UNSUPPORTED_DATA
                    )
                elif (text := self._joined(frame)) is not None:
                    yield text

    def _joined(self, frame: Frame) -> str | None:
        """The text message if this is its last piece, else None."""
        self._in_message = not frame.message_finished
        self._fragments.append(frame.payload)
        self._fragments_length += len(frame.payload)
        if self._fragments_length > MAX_MESSAGE_LENGTH:
            raise ParseFailed(
                f"a message has more than {MAX_MESSAGE_LENGTH} characters", CloseReason.MESSAGE_TOO_BIG
            )
        if self._in_message:
            return None
        text = "".join(self._fragments)
        self._fragments.clear()
        self._fragments_length = 0
        return text


def _plain(data: bytes, start: int, payload: int, end: int) -> str | Frame | None:
    """The message of a whole frame if it is plain; None if wsproto must read it or raise its error."""
    first, header_bytes = data[start], payload - start
    if first == _TEXT and (header_bytes == 2 or (header_bytes == 4 and end - payload >= 126)):
        try:
            return str(data[payload:end], "utf-8")
        except UnicodeDecodeError:
            return None
    if first == _PING and header_bytes == 2:
        return Frame(Opcode.PING, data[payload:end], frame_finished=True, message_finished=True)
    return None
