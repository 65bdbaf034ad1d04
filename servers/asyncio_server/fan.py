"""Everybody who waits at the head of one stream: one waiter for all, written to by the publisher's turn.

Rules:
1. All who wait here have seen the same last id, so one batch is asked for, and its bytes go to each.
2. Who is full when a batch has been written to him leaves the fan and keeps a cursor of his own; he reads the
   log himself when his socket has room again. Nothing is queued for him.
3. A notification only notes that the fan has something to look at (`set`, under the streams' lock). Whoever
   published lets the server deliver before his turn ends.
"""

from typing import Any, Protocol

from servers.asyncio_server.answers import batch_rest
from servers.heartbeat import Heartbeat
from servers.rules.frames import text_frame
from servers.stream import Batch, Position, Stream, Waiter


class Poll(Protocol):
    """A held poll."""

    def answer(self, batch: Batch) -> None:
        """It waits no longer: this is what there is."""


class Reader(Protocol):
    """An open WebSocket that has seen all that there is."""

    transport: Any
    heartbeat: Heartbeat | None

    def send_batch(self, batch: Batch) -> None:
        """Send a large one."""


class Fan:
    """Those who wait on one stream. Made when the first comes, dropped when the last goes."""

    def __init__(self, stream: Stream, woken: "list[Fan]") -> None:
        self.stream = stream
        self.last_id = stream.head_id
        self.readers: dict[Reader, None] = {}
        self.polls: dict[Poll, None] = {}
        self.is_woken = False
        self._woken = woken
        self._waiter = Waiter(signal=self)
        # Whoever comes has looked before, so there is nothing to deliver yet.
        stream.look(Position(True, self.last_id), self._waiter)

    @property
    def is_empty(self) -> bool:
        return not self.readers and not self.polls

    def end(self) -> None:
        """Wait no longer."""
        self.stream.forget(self._waiter)

    def set(self) -> None:
        """There is news, or the server stops."""
        if not self.is_woken:
            self.is_woken = True
            self._woken.append(self)

    def deliver(self) -> None:
        """Write what there is to all who wait."""
        self.is_woken = False
        stream = self.stream
        while True:
            batch = stream.look(Position(True, self.last_id), self._waiter)
            if batch is None:
                return
            self.last_id = batch.last_id
            polls, self.polls = self.polls, {}
            if polls:
                stream.count("long-poll", requests=len(polls), notifications=batch.count * len(polls))
                for poll in polls:
                    poll.answer(batch)
            if not batch.news:
                # The server stops.
                return
            self._write(batch)

    def _write(self, batch: Batch) -> None:
        readers = list(self.readers)
        if not readers:
            return
        self.stream.count("websocket", notifications=batch.count * len(readers))
        if batch.is_small:
            frame = batch.shared(text_frame)
            for reader in readers:
                reader.transport.write(frame)
        else:
            for reader in readers:
                reader.send_batch(batch)
        for reader in readers:
            if reader.heartbeat:
                reader.heartbeat.sent()


def shared_answer(batch: Batch) -> bytes:
    """A small batch as the rest of an answer, the same for all who get it."""
    return batch.shared(batch_rest)
