"""Everybody who waits at the head of one stream: one waiter for all, written to by the publisher's turn.

Rules:
1. All who wait here have seen the same last id, so one batch is asked for, and its bytes go to each.
2. Who is full when a batch has been written to him leaves the fan and keeps a cursor of his own; he reads the
   log himself when his socket has room again. Nothing is queued for him.
3. A notification only notes that the fan has something to look at (`set`, under the streams' lock). Whoever
   published lets the server deliver before his turn ends.
"""

from collections.abc import Callable, Iterable
from typing import Any

from servers.asyncio_server.answers import batch_rest
from servers.asyncio_server.following import Follower, Form
from servers.stream import Batch, Position, Stream, Waiter


class Fan:
    """Those who wait on one stream. Made when the first comes, dropped when the last goes."""

    def __init__(
        self, stream: Stream, woken: "list[Fan]", answer: Callable[[Iterable[Any], Batch], None]
    ) -> None:
        self.stream = stream
        self.last_id = stream.head_id
        self.followers: dict[Form, dict[Follower, None]] = {}
        """Those that stay, by the form in which they are written to."""
        self.polls: dict[Any, None] = {}
        """Held polls; `answer` is called with all of them, and with what there is."""
        self.is_woken = False
        self._woken = woken
        self._answer = answer
        self._waiter = Waiter(signal=self)
        # Whoever comes has looked before, so there is nothing to deliver yet.
        stream.look(Position(True, self.last_id), self._waiter)

    @property
    def is_empty(self) -> bool:
        return not self.followers and not self.polls

    def enter(self, follower: Follower) -> None:
        """Wait here, having seen the last id."""
        self.followers.setdefault(follower.form, {})[follower] = None

    def leave(self, follower: Follower) -> None:
        """Wait here no longer."""
        others = self.followers[follower.form]
        del others[follower]
        if not others:
            del self.followers[follower.form]

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
                self._answer(polls, batch)
            if not batch.news:
                # The server stops.
                return
            for form, followers in list(self.followers.items()):
                self._write(batch, form, list(followers))

    def _write(self, batch: Batch, form: Form, followers: list[Follower]) -> None:
        self.stream.count(form.transport, notifications=batch.count * len(followers))
        if batch.is_small:
            written = batch.shared(form.small)
            for follower in followers:
                follower.transport.write(written)
        else:
            for follower in followers:
                follower.send_batch(batch)
        for follower in followers:
            if follower.heartbeat:
                follower.heartbeat.sent()


class Fans:
    """The fans of one server, each for a stream at whose head anybody waits."""

    def __init__(self, woken: list[Fan], answer: Callable[[Iterable[Any], Batch], None]) -> None:
        self.woken = woken
        """Those with something to look at."""
        self._fans: dict[Stream, Fan] = {}
        self._answer = answer

    def fan(self, stream: Stream) -> Fan:
        """Where to wait for news of a stream, for who has seen all that there is."""
        fan = self._fans.get(stream)
        if fan is None:
            fan = self._fans[stream] = Fan(stream, self.woken, self._answer)
        return fan

    def drop_if_empty(self, fan: Fan) -> None:
        if fan.is_empty:
            if self._fans.get(fan.stream) is fan:
                del self._fans[fan.stream]
            fan.end()

    def deliver(self) -> None:
        """Write what was published to all who wait for it."""
        while self.woken:
            fan = self.woken.pop()
            fan.deliver()
            self.drop_if_empty(fan)


def shared_answer(batch: Batch) -> bytes:
    """A small batch as the rest of an answer, the same for all who get it."""
    return batch.shared(batch_rest)
