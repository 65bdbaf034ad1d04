"""Signals that end a run: each ends the trial under way, and nothing that may not be cut in two.

Rules:
- Ctrl-C, SIGTERM, a closed terminal (SIGHUP) and Ctrl-\\ are one thing here: `Interrupted` is raised where
  the run stands. A signal that was ignored when wirelab was started (`nohup`) stays ignored.
- Within `shielded` it is raised at the end of the block. What writes the run is shielded.
- Whoever is impatient sends two: those that come within SAME_S are taken for one.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
SAME_S = 1.0


class Interrupted(KeyboardInterrupt):
    """A signal has ended what was under way."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def signal_of(interruption: KeyboardInterrupt) -> int:
    """The number of the signal behind it; Python's own is Ctrl-C's."""
    return interruption.number if isinstance(interruption, Interrupted) else int(signal.SIGINT)


class _State:
    """What has come, and what holds it back."""

    shields = 0
    held_back: int | None = None
    last_s = float("-inf")


def _noticed(number: int, frame: FrameType | None) -> None:
    again = time.monotonic() - _State.last_s < SAME_S
    _State.last_s = time.monotonic()
    if again:
        return
    if not _State.shields:
        raise Interrupted(number)
    _State.held_back = _State.held_back or number


@contextlib.contextmanager
def noticed() -> Iterator[None]:
    """Signals that end a run raise `Interrupted` here. Elsewhere than in the main thread nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _noticed)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """What is within is done whole; a signal that comes meanwhile is raised afterwards."""
    _State.shields += 1
    try:
        yield
    finally:
        _State.shields -= 1
    if not _State.shields and _State.held_back is not None:
        number, _State.held_back = _State.held_back, None
        raise Interrupted(number)
