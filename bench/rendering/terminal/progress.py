"""What one sees while a scenario runs: which trial, what is left, the latest figures.

On a terminal a live display on stderr; else, and with --quiet, one plain line a trial. It computes nothing
but how much time is left: the figures are the runner's first look at each trial, and the analysis has the
last word.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Table

from bench.rendering.terminal.console import console as terminal
from bench.rundir.trial import Trial
from bench.scenario.scenario import Planned, Scenario
from bench.trials.runner import Seen

SHOWN = 8
"""Trials whose figures stay in sight."""
REFRESHES_PER_SECOND = 2
"""The display shares the load generator's core."""


class Progress:
    """A context in which trials begin, go through stages and end."""

    def __init__(self, scenario: Scenario, *, live: bool) -> None:
        self._scenario = scenario
        self._plan = scenario.plan()
        self._left_s = scenario.calibrating_s + scenario.expected_s
        self._latest: list[tuple[str, str]] = []
        self._current = ""
        self._bar = Bar(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._task = self._bar.add_task(scenario.name, total=len(self._plan), left="")
        console = terminal(errors=True)
        self._live = (
            Live(console=console, refresh_per_second=REFRESHES_PER_SECOND, transient=True) if live else None
        )

    def __enter__(self) -> Progress:
        self._say(
            f"{self._scenario.name}: {len(self._plan)} trials, about {_minutes(self._left_s)}: "
            + " ".join(self._scenario.question.split())
        )
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def again(self, planned: Sequence[Planned]) -> None:
        """These trials come besides, in place of others that were spoiled."""
        self._plan += planned
        self._left_s += sum(one.settings.expected_s for one in planned)
        self._bar.update(self._task, total=len(self._plan))
        if planned and not self._live:
            cells = len(self._scenario.cells)
            self._say(f"spare repeat: {len(planned)} of {cells} cells, of which trials were spoiled")

    def begin(self, planned: Planned) -> None:
        """A trial begins."""
        if planned.order == 1:
            self._left_s = self._scenario.expected_s
        self._current = f"{planned.order}/{len(self._plan)} {planned.id}"
        self.stage("starting")

    def stage(self, stage: str) -> None:
        """The trial, or what goes before the trials, is at a stage."""
        if self._live:
            self._bar.update(self._task, left=f"about {_minutes(self._left_s)} left")
            self._live.update(Group(self._table(), self._bar, f"{self._current} {stage} …"))

    def end(self, trial: Trial, seen: Seen) -> None:
        """A trial has ended, and its gates were asked."""
        planned = self._plan[trial.record["order"] - 1]
        self._left_s = max(0.0, self._left_s - planned.settings.expected_s)
        figures = first_look(trial, seen)
        self._latest.append((trial.id, figures))
        self._bar.advance(self._task)
        if not self._live:
            self._say(f"{self._current}: {figures}; about {_minutes(self._left_s)} left")

    def skip(self, planned: Planned, why: str) -> None:
        """A trial is not run."""
        self._left_s = max(0.0, self._left_s - planned.settings.expected_s)
        self._bar.advance(self._task)
        if not self._live:
            self._say(f"{planned.order}/{len(self._plan)} {planned.id}: skipped, {why}")

    def _table(self) -> Table:
        table = Table(box=None, show_header=False)
        for name, figures in self._latest[-SHOWN:]:
            table.add_row(name, figures)
        return table

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


def first_look(trial: Trial, seen: Seen) -> str:
    """One line on a trial: its median latency and deliveries, or why it does not count."""
    parts = []
    if seen.p50_ms is not None:
        parts.append(f"p50 {seen.p50_ms:.1f} ms, {seen.deliveries} deliveries")
    elif trial.window_us:
        parts.append("measured")
    if not trial.record["valid"]:
        parts.append("INVALID: " + "; ".join(trial.record["why"]))
    elif not trial.record["steady"]:
        parts.append("not steady: " + "; ".join(trial.record["not_steady_why"]))
    return "; ".join(parts)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
