"""The race's publisher: notifications on the stream `race`, on an open schedule, while somebody watches.

Rules:
1. It publishes only while a page has said within `WATCHED_S` that it is looking. `MAX_WATCHERS` pages are
   remembered, and the longest silent one is forgotten first.
2. What is due does not depend on how long publishing took: a late notification keeps its due time, so that
   its latency tells of the delay.
3. Changed settings start a new schedule. Poisson gaps have no memory, so nothing is lost by that.
"""

import random
import string
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from servers.drafts import parse_draft
from servers.stream import Streams, now_us

STREAM = "race"
WATCHED_S = 5.0
MAX_WATCHERS = 1000
LOOK_S = 0.5
SCHEDULES = ("poisson", "constant")
LETTERS = string.ascii_letters + string.digits

# What each setting may be: its kind, its least and its most.
NUMBERS: dict[str, tuple[type, float, float]] = {
    "publish_rate": (float, 0.1, 50),
    "payload_bytes": (int, 0, 100_000),
    "poll_interval_s": (float, 0.1, 60),
}


class BadSettings(ValueError):
    """A setting is not one of the race's, or out of range; the text tells which and what it may be."""


class Race:
    """The settings that everybody sees, who watches, and the thread that publishes."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._settings: dict[str, Any] = {
            "publish_rate": 2.0,
            "schedule": "poisson",
            "payload_bytes": 100,
            "paused": False,
            "poll_interval_s": 1.0,
        }
        self._watchers: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._running = False

    def settings(self) -> dict[str, Any]:
        """What is published how, and how many pages watch."""
        with self._lock:
            return self._settings | {"watchers": self._count_watchers()}

    def change(self, wanted: dict[str, Any]) -> None:
        """Change some settings, or none where one is wrong; raises BadSettings."""
        checked = {name: _check(name, value) for name, value in wanted.items()}
        with self._lock:
            self._settings |= checked
        self._woken.set()

    def watch(self, page: str) -> None:
        """Note that a page is looked at now."""
        with self._lock:
            was_idle = self._count_watchers() == 0
            self._watchers.pop(page, None)
            self._watchers[page] = time.monotonic()
            if len(self._watchers) > MAX_WATCHERS:
                self._watchers.popitem(last=False)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, daemon=True, name="race publisher").start()
        if was_idle:
            self._woken.set()

    def publish(self, due_us: int | None = None) -> int:
        """Publish one notification now; returns its id."""
        with self._lock:
            size = self._settings["payload_bytes"]
        text = "".join(random.choices(LETTERS, k=size))
        draft = parse_draft(f'{{"data":"{text}"}}')._replace(due_us=due_us)
        return self._streams.to_publish(STREAM).publish(draft).id

    def _count_watchers(self) -> int:
        """The caller holds the lock."""
        since_s = time.monotonic() - WATCHED_S
        while self._watchers and next(iter(self._watchers.values())) < since_s:
            self._watchers.popitem(last=False)
        return len(self._watchers)

    def _gap_s(self) -> Callable[[], float] | None:
        """How to draw the time to the next notification; None while nothing is to be published."""
        with self._lock:
            if self._settings["paused"] or not self._count_watchers():
                return None
            rate, poisson = self._settings["publish_rate"], self._settings["schedule"] == "poisson"
        return lambda: random.expovariate(rate) if poisson else 1 / rate

    def _run(self) -> None:
        due_s = None
        while not self._streams.stopping:
            gap_s = self._gap_s()
            if gap_s is None:
                due_s = None
                remaining_s = LOOK_S
            else:
                due_s = time.monotonic() + gap_s() if due_s is None else due_s
                remaining_s = due_s - time.monotonic()
            if remaining_s > 0:
                if self._woken.wait(min(remaining_s, LOOK_S)):
                    self._woken.clear()
                    due_s = None
            elif gap_s and due_s is not None:
                self.publish(due_us=now_us() + round(remaining_s * 1e6))
                due_s += gap_s()


def _check(name: str, value: Any) -> Any:
    if name == "paused":
        if not isinstance(value, bool):
            raise BadSettings("paused must be true or false.")
        return value
    if name == "schedule":
        if value not in SCHEDULES:
            raise BadSettings(f"schedule must be one of {', '.join(SCHEDULES)}.")
        return value
    if name not in NUMBERS:
        raise BadSettings(f"{name[:40]!a} cannot be set; these can: schedule, paused, {', '.join(NUMBERS)}.")
    kind, least, most = NUMBERS[name]
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        raise BadSettings(f"{name} must be {'a whole number' if kind is int else 'a number'}.")
    if not least <= value <= most:
        raise BadSettings(f"{name} must be {least:g} to {most:g}.")
    return kind(value)
