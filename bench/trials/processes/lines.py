"""The lines that a child has written and nobody has taken yet: the newest ones, within a bound."""

from __future__ import annotations

import threading
from collections import deque

END = ""
"""What comes after the last line; each line has its line break, so none is empty."""
LINES = 1000
LINE_MOST = 64 << 20
"""Characters of one line, and of all lines together: a load generator tells of all its subscribers in one
line. A longer line is cut into several."""


class Lines:
    """A queue of lines. One thread adds, another takes; whoever adds never waits, and the oldest lines leave
    when there are too many."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque()
        self._characters = 0
        self._ended = False
        self._changed = threading.Condition()

    def add(self, line: str) -> None:
        """A line was read."""
        with self._changed:
            self._lines.append(line)
            self._characters += len(line)
            while len(self._lines) > LINES or (self._characters > LINE_MOST and len(self._lines) > 1):
                self._characters -= len(self._lines.popleft())
            self._changed.notify()

    def end(self) -> None:
        """There will be no more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def next(self, timeout_s: float) -> str | None:
        """The oldest line; END after the last one; None if none comes in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._ended, timeout_s)
            if self._lines:
                line = self._lines.popleft()
                self._characters -= len(line)
                return line
            return END if self._ended else None
