"""Taking turns: a peer that always has more to read is not served before all others.

Greenlets never take turns by themselves, and threads do so only every few milliseconds, so whoever serves one
peer in a loop counts the time:

    turn = Turn()
    ...
    turn.worked()     # after each piece of work: gives way once SLICE_S have been worked without a wait
    turn.waited()     # when the peer had nothing for us

Rules:
1. Who has worked for `SLICE_S` waits for `PAUSE_S` and until nobody else has anything to do: on greenlets
   until the event loop is idle, on threads until a pause is not prolonged by others. (A process that is
   never idle waits for the core too, wherever others want it: so there is a pause at least.)
2. Who gives way alone first looks for others with a pause of `GLANCE_S`. If none of them prolongs it, be it
   here or in another process on the same core, nobody is there to wait for, and the peer is served on.
3. To wait for others can take long on a busy server, so it has an end, and the peer is served again.
4. One gives way at a time, the others queue: many peers that never pause cost the rest what one does.
5. A peer that waits now and then, as all do who are served faster than they send, pays for two looks at the
   clock.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import lru_cache

SLICE_S = 0.001
MOST_WAIT_S = 0.05
LEAST_WAIT_S = 0.002
GLANCE_S = 0.0001
PAUSE_S = 0.003
PROLONGED_S = 0.0005


class Turn:
    """How long one peer has been served without a wait. For one thread or greenlet."""

    __slots__ = ("_seen_s", "_worked_s")

    def __init__(self) -> None:
        self._seen_s = time.monotonic()
        self._worked_s = 0.0

    def worked(self) -> None:
        """Count the time since the last call as work, and give way to others if it is due."""
        if self.is_over():
            _queue().give_way()
            self.gave_way()

    def is_over(self) -> bool:
        """Count the time since the last call as work. Whether it is due to give way to others."""
        now_s = time.monotonic()
        self._worked_s += now_s - self._seen_s
        self._seen_s = now_s
        return self._worked_s > SLICE_S

    def gave_way(self) -> None:
        """Others had their turn."""
        self._seen_s = time.monotonic()
        self._worked_s = 0.0

    def waited(self) -> None:
        """Count the time since the last call as a wait, in which others were served."""
        now_s = time.monotonic()
        self._worked_s = max(0.0, self._worked_s - (now_s - self._seen_s))
        self._seen_s = now_s


class Queue:
    """Those who give way, in the order of their coming. Each waits by `until_idle(most_s, alone)`:
    `alone` if nobody else gives way.

    A lock would not do: who releases one and asks again gets it before who is still being woken.
    """

    def __init__(self, until_idle: Callable[[float, bool], None]) -> None:
        self._until_idle = until_idle
        self._lock = threading.Lock()
        self._is_taken = False
        self._queue: deque[threading.Event] = deque()

    def give_way(self) -> None:
        """Wait until nobody else has anything to do, or for so long that all who queue have a turn."""
        called = threading.Event()
        with self._lock:
            if self._is_taken:
                self._queue.append(called)
            else:
                self._is_taken = True
                called.set()
        alone = called.is_set() and not self._queue
        try:
            called.wait()
            self._until_idle(max(LEAST_WAIT_S, MOST_WAIT_S / (1 + len(self._queue))), alone)
        finally:
            self._call_next(called)

    def _call_next(self, leaving: threading.Event) -> None:
        with self._lock:
            if not leaving.is_set():
                # Ended before its turn.
                self._queue.remove(leaving)
            elif self._queue:
                self._queue.popleft().set()
            else:
                self._is_taken = False


@lru_cache(maxsize=1)
def _queue() -> Queue:
    """The worker's queue, made at its first use: by then it is known what it runs on."""
    return Queue(_until_loop_is_idle if _on_greenlets() else _until_pause_is_short)


def _on_greenlets() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def _until_loop_is_idle(most_s: float, alone: bool) -> None:
    """A sleep of 0 would not do: what is called back at once goes before what has come over the network."""
    import gevent
    from gevent.monkey import get_original

    if alone:
        # The loop's own sleeps take a millisecond at the least.
        sleep = get_original("time", "sleep")
        before_s = time.monotonic()
        sleep(GLANCE_S)
        with gevent.Timeout(most_s, False):
            gevent.idle()
        if time.monotonic() - before_s < GLANCE_S + PROLONGED_S:
            return
    gevent.sleep(PAUSE_S)
    with gevent.Timeout(most_s, False):
        gevent.idle()


def _until_pause_is_short(most_s: float, alone: bool) -> None:
    """A thread that wakes must wait for the interpreter as long as others run."""
    pause_s = GLANCE_S if alone else PAUSE_S
    before_s = time.monotonic()
    end_s = before_s + most_s
    while before_s < end_s:
        time.sleep(pause_s)
        now_s = time.monotonic()
        if now_s - before_s < pause_s + PROLONGED_S:
            return
        before_s, pause_s = now_s, PAUSE_S
