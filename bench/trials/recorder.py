"""What the load generator keeps of all its subscribers, in flat arrays.

Rules:
- Nothing is computed here: deliveries and requests go into flat arrays of 64-bit integers, written as they
  are. They are bounded (`MAXIMUM_ROWS`); what is beyond is counted and makes the trial invalid.
"""

from __future__ import annotations

import itertools
import time
from array import array
from typing import Any

import gevent

from bench.locustfile import SubscribingUser
from clients.subscriber import Delivery, Request
from clients.wire import WireCounts

MAXIMUM_ROWS = 5_000_000
"""Deliveries, and requests, that one trial keeps."""
MAXIMUM_ERRORS = 1_000
DELIVERY_FIELDS = 6
REQUEST_FIELDS = 6


class Recorder:
    """Keeps what all users meet in flat arrays, and lets them join one after the other."""

    def __init__(self, subscribers: int, join_s: float) -> None:
        self.join_s = join_s
        self.keeping = False
        self.started_s = 0.0
        self.users: list[SubscribingUser | None] = [None] * subscribers
        self.joined_us = array("q", [0]) * subscribers
        self.final_id = array("q", [0]) * subscribers
        self.deliveries = array("q")
        self.requests = array("q")
        self.errors: list[dict[str, Any]] = []
        self.not_kept = 0

    def reset(self, subscribers: int, *, keeping: bool) -> None:
        """A new set of users is about to start."""
        self.keeping = keeping
        self.users = [None] * subscribers
        SubscribingUser.numbers = itertools.count()
        self.started_s = time.monotonic()

    def joining(self, user: SubscribingUser) -> None:
        """Joins are evenly spaced over `join_s`."""
        self.users[user.number] = user
        start_s = self.started_s + self.join_s * user.number / len(self.users)
        gevent.sleep(max(0.0, start_s - time.monotonic()))

    def requested(self, user: SubscribingUser, request: Request) -> None:
        """Keep one request."""
        if not self.keeping:
            return
        number = user.number
        if not self.joined_us[number]:
            self.joined_us[number] = request.handled_us
        if len(self.requests) >= REQUEST_FIELDS * MAXIMUM_ROWS:
            self.not_kept += 1
            return
        self.requests.extend((number, *request))

    def delivered(self, user: SubscribingUser, delivery: Delivery) -> None:
        """Keep one delivery."""
        if not self.keeping:
            return
        number = user.number
        id_ = delivery[0]
        self.final_id[number] = id_
        if len(self.deliveries) >= DELIVERY_FIELDS * MAXIMUM_ROWS:
            self.not_kept += 1
            return
        self.deliveries.extend((number, id_, delivery[1], delivery[2], delivery[3], delivery[4]))

    def lost(self, user: SubscribingUser, why: str) -> None:
        """Nothing: the subscriber counts it, and keeps the last reason."""

    def failed(self, user: SubscribingUser, error: Exception) -> None:
        """Keep why a user could not go on, up to a bound."""
        self.note(user.number, f"{type(error).__name__}: {error}")

    def note(self, number: int | None, error: str) -> None:
        """Keep an error, of one user or of the whole generator, up to a bound."""
        if len(self.errors) < MAXIMUM_ERRORS:
            self.errors.append({"subscriber": number, "at_us": time.time_ns() // 1000, "error": error})

    def waiting_to_join(self) -> int:
        """Users that have no first batch yet."""
        return sum(user is None or not user.subscriber.joined for user in self.users)

    def behind(self, last_id: int) -> int:
        """Users that have neither got `last_id` nor been told that they missed it."""
        return sum(self.newest(number) < last_id for number in range(len(self.users)))

    def newest(self, number: int) -> int:
        """The newest id that a user has, or the one it joined at."""
        return max(self.final_id[number], self.joined_id(number) or 0)

    def joined_id(self, number: int) -> int | None:
        """The stream's newest id when a user joined. Clients never look inside a cursor; the server is ours,
        and what was lost before the first delivery can be told in no other way."""
        user = self.users[number]
        cursor = user.subscriber.joined_cursor if user is not None else None
        return None if cursor is None else int(cursor.rpartition(".")[2])

    def wire(self) -> list[WireCounts | None]:
        """What each user has put on the wire so far."""
        return [None if user is None else user.subscriber.wire() for user in self.users]
