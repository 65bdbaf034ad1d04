"""Runs a whole scenario into a run directory: probes, links, loads, then every trial in its order.

Rules:
- Nothing is started before the machine's limits and the directory have been checked.
- A signal that ends the run ends the trial under way and keeps the finished ones
  (`bench/trials/processes/interruption.py`); so does a directory that can no longer be written.
- What the user sees meanwhile is handed in (`Progress`): nothing here knows a terminal.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from bench.errors import RunDirectoryError, UsageError
from bench.evidence import gates
from bench.evidence.metrics import METRICS
from bench.evidence.window import Window
from bench.rundir.collected import Collected
from bench.rundir.trial import Trial
from bench.rundir.writer import RunDirectory, default_directory
from bench.scenario.scenario import Planned, Scenario
from bench.systems.registry import SYSTEMS, label
from bench.trials import calibration, probes, retries, stepping, trial
from bench.trials.network import network
from bench.trials.network.network import unavailable
from bench.trials.processes import machine
from bench.trials.processes.interruption import shielded, signal_of

SPARE_FILE_DESCRIPTORS = 256
"""What a server and a load generator hold beside a socket for each subscriber."""


class Seen(NamedTuple):
    """A first look at a trial's notifications that were due in its window: the median latency, None without
    any, and how many deliveries there were. The analysis has the last word."""

    p50_ms: float | None
    deliveries: int


@dataclass(frozen=True)
class Ended:
    """How a run has ended: where it is, the signal that ended it if one did, and in a sentence why it could
    not be written if it could not. The first two are what it unpacks to."""

    path: Path
    signal: int | None = None
    unwritten: str | None = None

    def __iter__(self) -> Iterator[Any]:
        return iter((self.path, self.signal))


class Progress(Protocol):
    """What is told while a scenario runs. A context: entered before the first stage."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: Any) -> None: ...

    def stage(self, stage: str) -> None:
        """The trial, or what goes before the trials, is at a stage."""

    def again(self, planned: Sequence[Planned]) -> None:
        """These trials come besides, in place of others that were spoiled."""

    def begin(self, planned: Planned) -> None:
        """A trial begins."""

    def end(self, trial: Trial, seen: Seen) -> None:
        """A trial has ended, and its gates were asked."""

    def skip(self, planned: Planned, why: str) -> None:
        """A trial is not run."""


def perform(
    scenario: Scenario, out: Path | None, command: str, show: Callable[[Scenario], Progress]
) -> Ended:
    """Run a scenario into a new directory. `show` makes what the user sees meanwhile. Raises UsageError
    before anything is started."""
    missing = {name: said for name in scenario.systems if (said := SYSTEMS[name].missing())}
    scenario = scenario.without(missing)
    if not scenario.cells:
        raise UsageError(f"nothing of this scenario can be measured here: {'; '.join(missing.values())}")
    _require_file_descriptors(scenario)
    directory = RunDirectory(out or default_directory(scenario), scenario, command, _facts(scenario))
    number: int | None = None
    unwritten: str | None = None
    try:
        try:
            measure(_possible(scenario, missing, directory), directory, show)
        except RunDirectoryError as error:
            unwritten = str(error)
        except KeyboardInterrupt as interruption:
            number = signal_of(interruption)
        with shielded():
            try:
                directory.finish(interrupted=bool(number or unwritten))
            except RunDirectoryError as error:
                unwritten = unwritten or str(error)
    except KeyboardInterrupt as interruption:
        number = number or signal_of(interruption)
    return Ended(directory.path, number, unwritten)


def _possible(scenario: Scenario, missing: Mapping[str, str], directory: RunDirectory) -> Scenario:
    """The scenario as this machine can run it; what is left out is told and kept."""
    for name, why in missing.items():
        print(f"wirelab: {label(name)} cannot run here, so its cells are left out: {why}", file=sys.stderr)
        directory.without_system(name, why)
    if scenario.links and (unable := unavailable(directory.scratch())):
        print(f"wirelab: no link can be emulated here, so all runs on loopback: {unable}", file=sys.stderr)
        directory.without_links(unable)
        return scenario.on_loopback()
    return scenario


def _facts(scenario: Scenario) -> dict[str, Any]:
    """What run.json says of where and with what it was measured, the systems' versions among it."""
    facts = machine.facts()
    versions = {name: SYSTEMS[name].version() for name in scenario.systems}
    facts["versions"] |= {name: version for name, version in versions.items() if version is not None}
    return facts


def _require_file_descriptors(scenario: Scenario) -> None:
    """Raise UsageError if the largest cell needs more than a process may have here."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A fresh connection begins before the one before it is given back.
    most = max(
        cell.subscribers * (2 if cell.connection == "fresh" else 1) for cell in scenario.possible_cells
    )
    if hard != resource.RLIM_INFINITY and hard < most + SPARE_FILE_DESCRIPTORS:
        raise UsageError(
            f"this scenario needs {most + SPARE_FILE_DESCRIPTORS:,} file descriptors, and the hard limit is "
            f"{hard:,}: raise it (ulimit -Hn), or ask for fewer subscribers"
        )


def measure(scenario: Scenario, directory: RunDirectory, show: Callable[[Scenario], Progress]) -> None:
    """The probes, the links and the loads, then every trial in its order. Raises KeyboardInterrupt,
    and RunDirectoryError if the directory can no longer be written."""
    directory.plan(len(scenario.plan()))
    with show(scenario) as progress:
        _measure(scenario, directory, progress)


def _measure(scenario: Scenario, directory: RunDirectory, progress: Progress) -> None:
    pinning = directory.record["pinning"]
    for name in scenario.probes:
        progress.stage(f"probe {name}")
        directory.add_probe(name, probes.run(name))
    for between in scenario.links:
        progress.stage(f"checking the link {between.link}, {between.one_way_ms:g} ms one way")
        seed = f"{scenario.seed}/check"
        core = (pinning or {}).get("generator")
        found = network.check(between, seed, scratch=directory.scratch(), core=core)
        if not found["passed"]:
            # Once more: somebody else may have had the core for a moment.
            found = network.check(between, f"{seed}/again", scratch=directory.scratch(), core=core)
        if not found["passed"]:
            print(f"wirelab: trials across {between.link} will be invalid: {found['why']}", file=sys.stderr)
        directory.add_link(found)
    scenario = calibration.calibrate(scenario, directory, progress.stage)
    search = stepping.Search(scenario.p99_budget_ms)
    for planned in _trials(scenario, directory, progress):
        if why := search.why_skip(planned.repeat, planned.settings):
            directory.skip(planned, why)
            progress.skip(planned, why)
            continue
        progress.begin(planned)
        collected = trial.run(
            planned, seed=scenario.seed, pinning=pinning, scratch=directory.scratch(), on_stage=progress.stage
        )
        judged = keep(collected, directory)
        window = Window.of(judged)
        progress.end(judged, _first_look(window))
        if scenario.p99_budget_ms is not None:
            p99_ms = None if window is None else METRICS["latency_ms_p99"].figure(window)
            record = judged.record
            search.note(planned.repeat, planned.settings, record["valid"], record["steady"], p99_ms)


def _first_look(window: Window | None) -> Seen:
    late = None if window is None else window.latencies
    return Seen(None, 0) if late is None else Seen(float(np.median(late.ms)), len(late.ms))


def keep(collected: Collected, directory: RunDirectory) -> Trial:
    """Judge one trial by its gates, keep it, and return it as the analysis will read it."""
    with shielded():
        judged = directory.as_trial(collected)
        directory.add(judged, collected, gates.check(judged).as_record())
    return judged


def _trials(scenario: Scenario, directory: RunDirectory, progress: Progress) -> Iterator[Planned]:
    """Every trial in its order; then, in spare repeats, others in place of those that were spoiled."""
    planned = scenario.plan()
    yield from planned
    before = len(planned)
    for number in range(1, scenario.spare_repeats + 1):
        cells = retries.cells_to_try_again(directory.record["trials"], scenario.minimum_valid_trials)
        planned = scenario.one_repeat(scenario.repeats + number, cells, before)
        directory.plan(before + len(planned))
        progress.again(planned)
        yield from planned
        before += len(planned)
