"""What a subscriber knows about its stream: pure, no sockets, no clock. msgspec reads and checks the JSON.

Feed it batches in whatever order a transport hands them over; it gives every notification once, in
order, and counts whatever went wrong. Its JavaScript twin passes the same tests/receiver_vectors.json.

Rules:

1. An id is given once, and ids only rise. An id at or below the newest one given is never given:
   it is a *duplicate* if it was given before, and *reordered* if it was skipped.
2. An id that is jumped over is *missed* if a batch told so, and *lost* if none did. A batch's `missed`
   tells of the ids just below its first one; only those that were not had already are counted. An empty
   batch may tell of a gap too, which then belongs to the next jump.
3. The cursor is opaque. An epoch change shows by `missed` being null, and by nothing else; the size of
   that gap is unknown, so it is counted apart (`unknown_gaps`), and ids start afresh.
4. Ids cannot tell what came before the first notification, at the start or in a new epoch: no loss is
   counted there. A caller who knows where the stream stood must compare.
5. A batch that ends where we already are, or an epoch change that ends where this epoch began, is a
   repeat: what it tells of gaps and epochs is not counted twice. The cursor moves only for news: something
   given, a gap told, a new epoch, or the first batch.
6. A malformed batch raises BadBatch and changes nothing.
7. Bounded: the newest SKIPPED_RANGES jumps are remembered, to tell reordered from duplicate; a latecomer
   from a jump before those counts as a duplicate.
"""

from __future__ import annotations

from collections import deque
from typing import Annotated, Any

import msgspec

SKIPPED_RANGES = 1000
"""Jumps over ids that are remembered."""

MAX_SAFE_INTEGER = 2**53 - 1
"""The largest integer that is exact in JavaScript's numbers: the twin can read no greater one."""


class BadBatch(ValueError):
    """The text is not a batch; the message says what is wrong with it."""


_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_SAFE_INTEGER)]


class Notification(msgspec.Struct, frozen=True, gc=False):
    """One notification: times are integer microseconds of Unix time."""

    id: Annotated[int, msgspec.Meta(ge=1, le=MAX_SAFE_INTEGER)]
    due_us: _Count
    accepted_us: _Count
    data: Any


class Batch(msgspec.Struct, frozen=True, gc=False):
    """One batch, as every transport carries it. Members that are not named here are ignored."""

    notifications: list[Notification]
    cursor: Annotated[str, msgspec.Meta(min_length=1)]
    missed: _Count | None
    """None if the size of the gap cannot be known."""


class Receiver:
    """Turn batches into new notifications, once each and in order. The module's docstring has the rules."""

    __slots__ = (
        "_epoch_began_at",
        "_last_id",
        "_skipped",
        "_told",
        "cursor",
        "duplicates",
        "epoch_changes",
        "lost",
        "missed",
        "received",
        "reordered",
        "unknown_gaps",
    )

    def __init__(self, cursor: str | None = None) -> None:
        """Start after `cursor`, or, with None, wherever the first batch says."""
        self.cursor = cursor
        """What to ask for next; None before the first batch of a subscriber that joins at the head."""
        self.received = 0
        """Notifications given."""
        self.duplicates = 0
        """Ids that came again after they had been given."""
        self.reordered = 0
        """Ids that came after a higher one had been given, for the first time."""
        self.lost = 0
        """Ids that were jumped over and that no batch told of."""
        self.missed = 0
        """Ids that batches told we can no longer get."""
        self.epoch_changes = 0
        """Times the stream began a new life."""
        self.unknown_gaps = 0
        """Gaps that were told without their size."""
        self._epoch_began_at: str | None = None
        self._last_id: int | None = None
        self._told = 0
        self._skipped: deque[tuple[int, int]] = deque(maxlen=SKIPPED_RANGES)

    def receive(self, batch: bytes | str) -> list[Notification]:
        """Take one batch as it came and return what is new in it, in order; raises BadBatch."""
        parsed = parse_batch(batch)
        notifications, cursor, missed = parsed.notifications, parsed.cursor, parsed.missed
        if missed is None and cursor in (self.cursor, self._epoch_began_at):
            missed = 0
        if missed is None:
            self.epoch_changes += 1
            self.unknown_gaps += 1
            self._last_id = None
            self._told = 0
            self._skipped.clear()
            self._epoch_began_at = self.cursor = cursor
            missed = 0
        elif not notifications and cursor != self.cursor and (missed or self.cursor is None):
            self.cursor = cursor
            self.missed += missed
            self._told += missed

        new: list[Notification] = []
        last_id = self._last_id
        for notification in notifications:
            id_ = notification.id
            if last_id is None:
                self.missed += missed
            elif id_ <= last_id:
                if any(first <= id_ <= last for first, last in self._skipped):
                    self.reordered += 1
                else:
                    self.duplicates += 1
                missed = 0
                continue
            elif id_ != last_id + 1:
                jumped = id_ - last_id - 1
                told_here = min(missed, jumped)
                told_before = min(self._told, jumped - told_here)
                self.missed += told_here
                self.lost += jumped - told_here - told_before
                self._skipped.append((last_id + 1, id_ - 1))
            missed = 0
            self._told = 0
            last_id = id_
            new.append(notification)
        if new:
            self._last_id = last_id
            self.cursor = cursor
            self.received += len(new)
        return new


def parse_batch(batch: bytes | str) -> Batch:
    """Read a batch; raises BadBatch."""
    try:
        return _decode(batch)
    except UnicodeDecodeError as error:
        raise BadBatch(f"the batch is not UTF-8: {error.reason} at byte {error.start}") from None
    except RecursionError:
        raise BadBatch("the batch is nested too deeply to be read") from None
    except msgspec.DecodeError as error:
        raise BadBatch(f"the batch cannot be read: {error}") from None


_decode = msgspec.json.Decoder(Batch).decode
