"""The streams: bounded logs of notifications, and the one question that transports ask of them.

Rules
-----
1. All shared state lives here, behind one lock, `Streams.lock`. Nothing waits while it holds it.
2. Ids start at 1 and rise by 1. The epoch names one life of a stream: it changes when the log is lost.
3. A notification is encoded once, when it is accepted. What cannot be encoded is refused then, so a
   reader never meets it.
4. A batch is built once for each cursor that is asked for between two notifications; everybody at
   that cursor gets the same bytes.
5. Subscribers have no queue here. Each reads the log at its own cursor: a slow one falls behind, and
   past the log's end its next batch tells what it missed. A gap is always told.
6. Waiting costs nothing: a waiter is an event, or a callback, that the next notification sets.
7. Bounds: notifications a stream, bytes a notification, bytes of all logs together (the oldest leave
   first, whosever they are), streams, notifications and bytes a batch, and `MAX_SHARED_BYTES` of
   built batches, and for each transport that wraps them as much again.
8. An idempotency key is kept for as long as its notification, and counts in the bytes of the logs. Sent
   again in the same stream, it gets the same answer and adds nothing. It stands for the data, as encoded:
   with other data it is refused. `due_us` is not compared, since who tries again may name it anew: the first
   counts.
9. Streams are bounded. A reader's request makes room for a new one only by dropping a stream that nothing was
   ever published on; a publisher's by the longest unused one. None goes that has subscribers, or that was
   asked for by a reader within `POLLED_S`: who polls is not there between two polls.

Only `threading` primitives are used, so the same code runs on threads and on gevent's greenlets.
This module knows no transport.
"""

import math
import re
import secrets
import string
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import count, islice
from typing import Any, NamedTuple, Protocol, TypeVar

from servers.drafts import ENVELOPE_BYTES, Draft
from servers.refusals import (
    BadCursor,
    BadName,
    KeyReused,
    NoSuchStream,
    Stopping,
    StreamsFull,
    SubscribersFull,
    TooLarge,
)
from servers.settings import MIB, Settings

MAX_BATCH_NOTIFICATIONS = 10_000
MAX_BATCH_BYTES = 8 * MIB
MAX_SHARED_BYTES = 32 * MIB
POLLED_S = 300.0
JOINED_BYTES = 64 * 1024
REMEMBERED_CURSORS = 1024

NAME = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
CURSOR = re.compile(r"([a-z0-9]{1,16})\.(0|[1-9][0-9]{0,15})", re.ASCII)
DATA = b'"data":'
EPOCH_ALPHABET = string.ascii_lowercase + string.digits
Framed = TypeVar("Framed", bytes, str)


class Position(NamedTuple):
    """What a cursor means to one stream: whether it is of its epoch, and the last id seen."""

    same_epoch: bool
    last_id: int


class Signal(Protocol):
    """What a notification sets."""

    def set(self) -> None:
        """There is something to look at."""


class Waiter:
    """One subscriber's place to wait; it may be used again and again, for one wait at a time.

    Who cannot wait in `batch` gives a `signal` of his own and asks by `look`. It is set under the lock, so it
    only notes that there is something to look at.
    """

    __slots__ = ("delivered", "event", "interrupted", "nudged", "transport")

    def __init__(self, transport: str = "", signal: Signal | None = None) -> None:
        self.transport = transport
        self.delivered = 0
        """Notifications that were sent since the last wait: the next wait counts them as this transport's."""
        self.event: Any = signal or threading.Event()
        self.interrupted = False
        self.nudged = False

    def interrupt(self) -> None:
        """Answer this waiter now and from now on, whatever there is."""
        self.interrupted = True
        self.event.set()

    def nudge(self) -> None:
        """Answer this waiter once, now or when it waits next, whatever there is."""
        self.nudged = True
        self.event.set()


class Accepted(NamedTuple):
    """What a publisher is told."""

    id: int
    cursor: str


class Entry(NamedTuple):
    """A notification in a log. `age` orders the entries of all streams by acceptance."""

    id: int
    age: int
    encoded: bytes
    key: str | None = None

    @property
    def size(self) -> int:
        return len(self.encoded) + (len(self.key) if self.key else 0)

    def holds(self, data: bytes) -> bool:
        """Whether this is the notification of these data; before them stand digits and fixed words only."""
        start = self.encoded.index(DATA) + len(DATA)
        return len(self.encoded) == start + len(data) + 1 and self.encoded.startswith(data, start)


class Batch:
    """Consecutive notifications, as the bytes that every transport sends: `size` of them, in `chunks()`.

    A small batch is one chunk, joined once for all. A large one is joined as it is sent, so that a reader
    who is slow to take it holds no copy of what the log has.
    `shared(frame)` gives `frame(batch)` of a small batch, computed once: a transport that wraps the body
    uses it, so that its wrapping too is paid once for all subscribers.
    """

    __slots__ = ("_pieces", "_shared", "count", "cursor", "last_id", "news", "size")

    def __init__(self, pieces: list[bytes], count: int, last_id: int, cursor: str, news: bool) -> None:
        self.size = sum(map(len, pieces))
        self._pieces = [b"".join(pieces)] if self.size <= JOINED_BYTES else pieces
        self.count = count
        self.last_id = last_id
        self.cursor = cursor
        self.news = news
        self._shared: dict[Callable[[Batch], Any], Any] = {}

    @property
    def is_small(self) -> bool:
        return self.size <= JOINED_BYTES

    @property
    def body(self) -> bytes:
        """All of a small batch."""
        return self._pieces[0]

    @property
    def bytes_held(self) -> int:
        """What keeping this batch takes beside the log, about."""
        return self.size if self.is_small else 8 * len(self._pieces)

    def chunks(self) -> Iterator[bytes]:
        """The body, in chunks of about `JOINED_BYTES`; a notification that is larger comes by itself."""
        waiting: list[bytes] = []
        size = 0
        for piece in self._pieces:
            if waiting and size + len(piece) > JOINED_BYTES:
                yield b"".join(waiting)
                waiting, size = [], 0
            waiting.append(piece)
            size += len(piece)
        yield waiting[0] if len(waiting) == 1 else b"".join(waiting)

    def shared(self, frame: "Callable[[Batch], Framed]") -> Framed:
        """This small batch as `frame` wraps it."""
        framed: Framed | None = self._shared.get(frame)
        if framed is None:
            framed = self._shared[frame] = frame(self)
        return framed


@dataclass
class Usage:
    """What one transport has done with one stream."""

    subscribers: int = 0
    requests: int = 0
    notifications: int = 0


def _refuse_bad_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise BadName("A stream's name is 1 to 64 of a-z, 0-9 and the hyphen.")


def now_us() -> int:
    """Unix time in integer microseconds."""
    return time.time_ns() // 1000


@lru_cache(maxsize=REMEMBERED_CURSORS)
def parse_cursor(text: str) -> tuple[str, int]:
    """The epoch and the id of a cursor; many ask with the same. Raises BadCursor."""
    match = CURSOR.fullmatch(text)
    if not match:
        raise BadCursor(
            "after is not a cursor; give one back as it came, or leave it out to join at the head."
        )
    return match[1], int(match[2])


class Stream:
    """A named, ordered, bounded log. Made by `Streams`, which owns the lock and the common bounds."""

    def __init__(self, name: str, owner: "Streams") -> None:
        self.name = name
        self.max_notification_bytes = owner.settings.max_notification_bytes
        self.epoch = "".join(secrets.choice(EPOCH_ALPHABET) for _ in range(8))
        self.entries: deque[Entry] = deque()
        self.head_id = 0
        self.bytes_held = 0
        self.last_used = 0
        self.read_s = -math.inf
        self.usage: defaultdict[str, Usage] = defaultdict(Usage)
        self._owner = owner
        self.dropped = False
        self._published: dict[str, Entry] = {}
        self._waiting: set[Waiter] = set()
        self._built: dict[Position, Batch] = {}
        self._built_bytes = 0

    def has_subscribers(self) -> bool:
        return any(usage.subscribers for usage in self.usage.values())

    def refuse_if_dropped(self) -> None:
        """Raises StreamsFull if this stream has made way for another. The caller holds the lock."""
        if self.dropped:
            raise StreamsFull(f"The stream {self.name} has just made way for another; try again.")

    def publish(self, draft: Draft) -> Accepted:
        """Add a notification and wake whoever waits; raises TooLarge or KeyReused.

        If its key is that of a notification that is held, nothing is added and the answer is that one's.
        """
        with self._owner.lock:
            self.refuse_if_dropped()
            before = self._published.get(draft.key) if draft.key else None
            if before:
                if not before.holds(draft.data):
                    raise KeyReused(
                        f"This idempotency key has published other data in this stream, as id {before.id}; "
                        "take a new key for each notification."
                    )
                return Accepted(before.id, f"{self.epoch}.{before.id}")
            accepted_us = now_us()
            new_id = self.head_id + 1
            due_us = accepted_us if draft.due_us is None else draft.due_us
            encoded = b'{"id":%d,"due_us":%d,"accepted_us":%d,"data":%b}' % (
                new_id,
                due_us,
                accepted_us,
                draft.data,
            )
            limit = self.max_notification_bytes
            if len(encoded) > limit and draft.source_length > limit // 2 + ENVELOPE_BYTES:
                raise TooLarge(
                    f"The notification takes {len(encoded)} bytes as encoded; "
                    f"max_notification_bytes is {limit}."
                )
            self.head_id = new_id
            entry = Entry(new_id, self._owner.next_age(), encoded, draft.key)
            self.entries.append(entry)
            if draft.key:
                self._published[draft.key] = entry
            self.bytes_held += entry.size
            self._owner.bytes_held += entry.size
            if len(self.entries) > self._owner.settings.max_notifications:
                self.drop_oldest()
            self._owner.make_room()
            self.forget_built()
            self.wake()
        return Accepted(new_id, f"{self.epoch}.{new_id}")

    def drop_oldest(self) -> None:
        """Let the oldest notification go. The caller holds the lock."""
        entry = self.entries.popleft()
        if entry.key:
            del self._published[entry.key]
        self.bytes_held -= entry.size
        self._owner.bytes_held -= entry.size
        self.forget_built()

    def forget_built(self) -> None:
        """Drop the built batches: what they say of the log is no longer so."""
        self._owner.built_bytes -= self._built_bytes
        self._built.clear()
        self._built_bytes = 0

    def position(self, after: str | None) -> Position:
        """Where a cursor stands. None joins at the head. Raises BadCursor."""
        if after is None:
            return Position(True, self.head_id)
        epoch, last_id = parse_cursor(after)
        if epoch != self.epoch:
            return Position(False, 0)
        if last_id > self.head_id:
            raise BadCursor(
                f"after lies beyond the head of this stream, which is {self.epoch}.{self.head_id}."
            )
        return Position(True, last_id)

    def batch(self, after: Position, wait_s: float | None = 0.0, waiter: Waiter | None = None) -> Batch:
        """The notifications after a position as soon as there is news, else an empty batch after `wait_s`.

        `wait_s` None waits without end. A `waiter` of the caller's own lets it be interrupted or nudged: it
        then has its answer now. While the server stops, everybody has.
        """
        if wait_s == 0:
            with self._owner.lock:
                return self._built.get(after) or self._build(after)
        deadline = None if wait_s is None else time.monotonic() + wait_s
        expired = False
        waiter = waiter or Waiter()
        while True:
            # Cleared before it is looked at whether there is reason to wait: no wake-up is lost between.
            waiter.event.clear()
            with self._owner.lock:
                if waiter.delivered:
                    self.usage[waiter.transport].notifications += waiter.delivered
                    waiter.delivered = 0
                batch = self._built.get(after) or self._build(after)
                if batch.news or expired or waiter.interrupted or waiter.nudged or self._owner.stopping:
                    waiter.nudged = False
                    self._waiting.discard(waiter)
                    return batch
                self._waiting.add(waiter)
            remaining = None if deadline is None else max(0.0, deadline - time.monotonic())
            expired = not waiter.event.wait(remaining)

    def follow(self, after: Position, waiter: Waiter) -> Iterator[Batch]:
        """A batch at once, then one as soon as there is news or the waiter is nudged, until the waiter is
        interrupted or the server stops. A batch counts as delivered when the next is asked for.

        What came before the end is delivered; what goes on coming is not waited for.
        """
        try:
            batch = self.batch(after)
            ending = False
            while True:
                yield batch
                waiter.delivered += batch.count
                if ending:
                    return
                ending = waiter.interrupted or self._owner.stopping
                batch = self.batch(Position(True, batch.last_id), wait_s=None, waiter=waiter)
                if not batch.news and (waiter.interrupted or self._owner.stopping):
                    return
        finally:
            self.count(waiter.transport, notifications=waiter.delivered)

    def look(self, after: Position, waiter: Waiter) -> Batch | None:
        """The notifications after a position; None if there is no news: then the next one sets the waiter's
        signal. While the server stops, everybody is answered."""
        with self._owner.lock:
            batch = self._built.get(after) or self._build(after)
            if batch.news or self._owner.stopping:
                return batch
            self._waiting.add(waiter)
            return None

    def forget(self, waiter: Waiter) -> None:
        """It does not wait any more."""
        with self._owner.lock:
            self._waiting.discard(waiter)

    def count(self, transport: str, *, requests: int = 0, notifications: int = 0) -> None:
        """Note what a transport has served; requests of WebSockets are their handshakes."""
        with self._owner.lock:
            usage = self.usage[transport]
            usage.requests += requests
            usage.notifications += notifications

    def stats(self, transports: Iterable[str]) -> dict[str, Any]:
        """What this stream holds and has served; ids are None if it holds nothing."""
        with self._owner.lock:
            return {
                "stream": self.name,
                "epoch": self.epoch,
                "oldest_id": self.entries[0].id if self.entries else None,
                "newest_id": self.entries[-1].id if self.entries else None,
                "bytes_held": self.bytes_held,
                "transports": {name: asdict(self.usage[name]) for name in transports},
            }

    def wake(self) -> None:
        """Wake all waiters, so that they look again. The caller holds the lock."""
        waiting, self._waiting = self._waiting, set()
        for waiter in waiting:
            waiter.event.set()

    def _build(self, after: Position) -> Batch:
        batch = self._encode_batch(*after)
        self._owner.make_room_for_built(batch.bytes_held)
        self._built[after] = batch
        self._built_bytes += batch.bytes_held
        self._owner.built_bytes += batch.bytes_held
        return batch

    def _encode_batch(self, same_epoch: bool, last_id: int) -> Batch:
        oldest_id = self.entries[0].id if self.entries else self.head_id + 1
        missed = max(0, oldest_id - 1 - last_id) if same_epoch else None
        start = max(0, last_id + 1 - oldest_id) if same_epoch else 0
        pieces = [b'{"notifications":[']
        size = 0
        taken = 0
        for entry in islice(self.entries, start, start + MAX_BATCH_NOTIFICATIONS):
            size += len(entry.encoded) + 1
            if taken and size > MAX_BATCH_BYTES:
                break
            if taken:
                pieces.append(b",")
            pieces.append(entry.encoded)
            taken += 1
        last_id = oldest_id + start + taken - 1
        cursor = f"{self.epoch}.{last_id}"
        told = "null" if missed is None else missed
        pieces.append(f'],"cursor":"{cursor}","missed":{told}}}'.encode())
        return Batch(pieces, taken, last_id, cursor, news=taken > 0 or missed != 0)


class Streams:
    """All streams of one server, and the bounds that they share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.lock = threading.Lock()
        self.stopping = False
        self.subscribers = 0
        self.bytes_held = 0
        self.built_bytes = 0
        self._streams: dict[str, Stream] = {}
        self._allowed: set[str] | None = None
        self.address: Callable[[], str | None] = lambda: None
        """Whose share of the subscribers counts who subscribes now; None has no share but all."""
        self._subscribers_of: Counter[str] = Counter()
        self._idle: set[Waiter] = set()
        self._ages = count()
        self._uses = count()

    def get(self, name: str) -> Stream:
        """The stream of this name for a reader, made if need be; it costs no other stream its log.

        Raises Stopping, BadName, NoSuchStream or StreamsFull.
        """
        with self.lock:
            self.refuse_if_stopping()
            stream = self._streams.get(name) or self._make(name, for_reader=True)
            stream.last_used = next(self._uses)
            stream.read_s = time.monotonic()
            return stream

    def to_publish(self, name: str) -> Stream:
        """The stream of this name for a publisher, made if need be: the longest unused may make way.

        Raises BadName, NoSuchStream or StreamsFull.
        """
        with self.lock:
            stream = self._streams.get(name) or self._make(name, for_reader=False)
            stream.last_used = next(self._uses)
            return stream

    def find(self, name: str) -> Stream:
        """The stream of this name, if there is one; raises BadName or NoSuchStream."""
        with self.lock:
            _refuse_bad_name(name)
            stream = self._streams.get(name)
            if stream is None:
                raise NoSuchStream("There is no stream of this name: nobody has read it or published on it.")
            return stream

    def allow_only(self, names: Iterable[str]) -> None:
        """Let no stream exist but these."""
        self._allowed = set(names)

    def allow(self, name: str) -> None:
        """Let this one exist too, if there is room for it."""
        with self.lock:
            if self._allowed is not None and len(self._allowed) < self.settings.max_streams:
                self._allowed.add(name)

    def refuse_if_stopping(self) -> None:
        """Raises Stopping if the server stops."""
        if self.stopping:
            raise Stopping("The server is stopping; try again, there may be another in its place.")

    def _make(self, name: str, for_reader: bool) -> Stream:
        _refuse_bad_name(name)
        if self._allowed is not None and name not in self._allowed:
            raise NoSuchStream(f"There are these streams only: {', '.join(sorted(self._allowed))}.")
        if len(self._streams) >= self.settings.max_streams:
            self._drop_unused(for_reader)
        stream = self._streams[name] = Stream(name, self)
        return stream

    def _drop_unused(self, for_reader: bool) -> None:
        since_s = time.monotonic() - POLLED_S
        unused = [
            stream
            for stream in self._streams.values()
            if stream.read_s <= since_s
            and not stream.has_subscribers()
            and not (for_reader and stream.head_id)
        ]
        if not unused:
            raise StreamsFull(
                f"All {self.settings.max_streams} streams (max_streams) have subscribers, were read within "
                f"{POLLED_S:.0f} seconds, or hold what a reader's request may not drop."
            )
        stream = min(unused, key=lambda stream: stream.last_used)
        del self._streams[stream.name]
        stream.dropped = True
        while stream.entries:
            stream.drop_oldest()

    def next_age(self) -> int:
        return next(self._ages)

    def make_room(self) -> None:
        """Let the oldest notifications of all go until the logs fit. The caller holds the lock."""
        while self.bytes_held > self.settings.max_log_bytes:
            holders = [stream for stream in self._streams.values() if stream.entries]
            min(holders, key=lambda stream: stream.entries[0].age).drop_oldest()

    def make_room_for_built(self, size: int) -> None:
        """Drop all built batches where one more of `size` bytes is too many. The caller holds the lock."""
        if self.built_bytes + size > MAX_SHARED_BYTES:
            for stream in self._streams.values():
                stream.forget_built()

    @contextmanager
    def subscriber(self, stream: Stream | None = None, transport: str = "") -> Iterator[None]:
        """Count a subscriber in for as long as it stays; raises SubscribersFull or StreamsFull.

        Without a stream it takes its place among the server's all the same.
        """
        address = self.address()
        self.enter(stream, transport, address)
        try:
            yield
        finally:
            self.leave(stream, transport, address)

    def enter(self, stream: Stream | None, transport: str, address: str | None) -> None:
        """Count a subscriber in until `leave` with the same; raises SubscribersFull or StreamsFull."""
        with self.lock:
            if self.subscribers >= self.settings.max_subscribers:
                raise SubscribersFull(
                    f"All {self.settings.max_subscribers} subscribers (max_subscribers) are taken; "
                    "try again later."
                )
            if address and self._subscribers_of[address] >= self.settings.max_subscribers_per_address:
                raise SubscribersFull(
                    f"All {self.settings.max_subscribers_per_address} subscribers that one address may have "
                    "(max_subscribers_per_address) are taken; try again later."
                )
            if stream:
                stream.refuse_if_dropped()
                stream.usage[transport].subscribers += 1
            self.subscribers += 1
            if address:
                self._subscribers_of[address] += 1

    def leave(self, stream: Stream | None, transport: str, *addresses: str | None) -> None:
        """Count a subscriber out, or several of one transport, each by what it entered with."""
        with self.lock:
            self.subscribers -= len(addresses)
            if stream:
                stream.usage[transport].subscribers -= len(addresses)
            for address in filter(None, addresses):
                self._subscribers_of[address] -= 1
                if not self._subscribers_of[address]:
                    del self._subscribers_of[address]

    def move(self, stream: Stream, transport: str, other: str) -> None:
        """Count a subscriber for another transport from now on."""
        with self.lock:
            stream.usage[transport].subscribers -= 1
            stream.usage[other].subscribers += 1

    def wait_for_stop(self, waiter: Waiter) -> None:
        """Wait until the server stops or the waiter is interrupted."""
        self.interrupt_at_stop(waiter)
        waiter.event.wait()
        self.forget(waiter)

    def interrupt_at_stop(self, waiter: Waiter) -> None:
        """Interrupt this waiter when the server stops, until `forget`."""
        with self.lock:
            self._idle.add(waiter)
            if self.stopping:
                waiter.interrupt()

    def forget(self, waiter: Waiter) -> None:
        """It need not know of the stop any more."""
        with self.lock:
            self._idle.discard(waiter)

    def stop(self) -> None:
        """Answer all waiters, and let nobody wait again."""
        with self.lock:
            self.stopping = True
            for stream in self._streams.values():
                stream.wake()
            for waiter in self._idle:
                waiter.interrupt()
