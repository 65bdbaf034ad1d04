"""A process that the harness starts, talks to and ends. Nothing else is ever ended.

Rules:
- Each child is a session of its own: Ctrl-C reaches the harness alone, which then ends its children in order,
  and ending a child's group ends what it started too.
- If the harness is killed outright, the kernel ends the child (PR_SET_PDEATHSIG, Linux).
- A child writes its errors to a file, and its answers, one a line, to a pipe that a thread reads. So waiting
  for an answer has a time limit, and ends at once when the child has died.
- The pipe is always read, whether somebody wants the lines or not: a child whose output nobody takes would
  stand still at 64 KiB. Only the newest lines are kept (`Lines`).
- A child has the environment and the working directory of `bench.trials.processes.surroundings`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.trials.processes import surroundings
from bench.trials.processes.lines import END, LINE_MOST, Lines

LOOK_S = 0.1
KILLED_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class ChildFailed(Exception):
    """A child died, or did not answer in time; the message says which and how."""


def say(told: dict[str, Any]) -> None:
    """What a child tells the harness: one JSON line."""
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


class Child:
    """One process: started in `__init__`, ended by `end`."""

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        errors: Path,
        core: list[int] | None,
        precedence: int = 0,
        inside: str = "here",
    ) -> None:
        """Start `command`, pinned to `core` where one is given; `bench.trials.processes.launch` knows what
        precedence is, and where inside. Raises ChildFailed if it cannot be started."""
        self.name = name
        self._errors = errors
        self._ended = False
        self._lines = Lines()

        cores = "any" if core is None else ",".join(map(str, core))
        launch = [
            *(sys.executable, "-m", "bench.trials.processes.launch"),
            cores,
            str(precedence),
            str(os.getpid()),
            inside,
        ]
        try:
            with errors.open("wb") as stderr:
                self.process = subprocess.Popen(
                    [*launch, *command],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    cwd=surroundings.CODE,
                    env=surroundings.environment(),
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                    start_new_session=True,
                )
        except OSError as error:
            raise ChildFailed(f"the {name} cannot be started: {error}") from None
        threading.Thread(target=self._read, name=f"{name} output", daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id, and its group's."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def tell(self, order: dict[str, Any]) -> None:
        """Send one JSON line. Raises ChildFailed if nobody reads it."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()
        except OSError:
            raise ChildFailed(self.death()) from None

    def line(self, timeout_s: float, check: Callable[[], None] = lambda: None) -> str:
        """The next line that it writes. `check` is called now and then meanwhile, and may raise.

        Raises ChildFailed if it dies first, or takes longer than `timeout_s`.
        """
        until_s = time.monotonic() + timeout_s
        while True:
            line = self._lines.next(LOOK_S)
            if line == END:
                raise ChildFailed(self.death())
            if line is not None:
                return line
            check()
            if time.monotonic() > until_s:
                raise ChildFailed(f"the {self.name} did not answer within {timeout_s:.0f} s")

    def expect(
        self, event: str, timeout_s: float, check: Callable[[], None] = lambda: None
    ) -> dict[str, Any]:
        """The next JSON line, which must be that event. Raises ChildFailed."""
        line = self.line(timeout_s, check)
        if (told := _event(line, event)) is None:
            raise ChildFailed(f"the {self.name} answered {line.strip()[:200]!r} where {event!r} was due")
        return told

    def ask(
        self, order: dict[str, Any], event: str, timeout_s: float, check: Callable[[], None] = lambda: None
    ) -> dict[str, Any]:
        """Send one JSON line and return the event that answers it. Raises ChildFailed."""
        self.tell(order)
        return self.expect(event, timeout_s, check)

    def skip_to(self, event: str, timeout_s: float) -> dict[str, Any]:
        """The next JSON line of that event; what comes before it is passed over. Raises ChildFailed."""
        while (told := _event(self.line(timeout_s), event)) is None:
            pass
        return told

    def end(self) -> None:
        """End its whole group at once. Returns when it is gone; safe to call twice.

        Nothing is lost: by then the child has told all that it had to tell. A child that has ended by itself
        is treated alike, since a worker may have outlived it.
        """
        if self._ended:
            return
        self._ended = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def death(self) -> str:
        """One sentence on how it ended, with the last line that it left on stderr."""
        try:
            code = self.process.wait(1)
        except subprocess.TimeoutExpired:
            return f"the {self.name} closed its output"
        if -code in KILLED_FROM_OUTSIDE:
            # What was written last is no reason then; a worker that outlived it may even have written it.
            return f"the {self.name} was killed by {signal.Signals(-code).name}"
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        try:
            last = self._errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        except OSError:
            last = []
        return f"the {self.name} {how}" + (f": {last[0][:300]}" if last else "")

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            while line := self.process.stdout.readline(LINE_MOST):
                self._lines.add(line)
        self._lines.end()


def _event(line: str, event: str) -> dict[str, Any] | None:
    """What a child tells in a line, if it tells of that event."""
    try:
        told: dict[str, Any] = json.loads(line)
        return told if told["event"] == event else None
    except (ValueError, KeyError, TypeError):
        return None
