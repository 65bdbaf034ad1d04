"""What HTTP connections and WebSockets share: how bytes leave.

Rules:
1. A write goes to the socket at once: the transport keeps what the socket does not take, and is then full.
   While it is full nothing more is given to it, so it never holds more than one piece.
2. A large batch is joined as it is sent, chunk by chunk, each when the socket has taken the one before.
3. Who cannot be written to is not read from.
"""

import asyncio
from collections.abc import Iterator
from typing import Any


class Writing(asyncio.Protocol):
    """One connection's way out."""

    __slots__ = ("_chunks", "_reads", "is_full", "transport")

    transport: Any

    def __init__(self) -> None:
        self.is_full = False
        self._chunks: Iterator[bytes] | None = None
        self._reads = True

    def take_over(self, transport: Any) -> None:
        """Serve this connection."""
        self.transport = transport
        transport.set_write_buffer_limits(high=0)

    @property
    def is_writing(self) -> bool:
        """Whether something is still on its way out."""
        return self.is_full or self._chunks is not None

    def write_chunks(self, chunks: Iterator[bytes]) -> None:
        """Write all of them, as the socket takes them; `written` is called if that takes time."""
        self._chunks = chunks
        self._write_on()

    def _write_on(self) -> bool:
        """Whether all chunks are written."""
        chunks = self._chunks
        if chunks is not None:
            while not self.is_full:
                chunk = next(chunks, None)
                if chunk is None or self.transport.is_closing():
                    self._chunks = None
                    return True
                self.transport.write(chunk)
            return False
        return True

    def pause_writing(self) -> None:
        self.is_full = True

    def resume_writing(self) -> None:
        self.is_full = False
        if self._write_on() and not self.is_full:
            self.written()

    def written(self) -> None:
        """The socket has taken all that it had not."""

    def read_no_more(self) -> None:
        """Leave what the peer sends to the kernel."""
        if self._reads:
            self._reads = False
            self.transport.pause_reading()

    def read_again(self) -> None:
        if not self._reads and not self.transport.is_closing():
            self._reads = True
            self.transport.resume_reading()
