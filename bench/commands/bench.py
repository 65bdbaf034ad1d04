"""`wirelab bench [SCENARIO] [--out DIR] [--quiet]`: measure, judge, report.

Rules:
- Exit codes: 0 when the run is valid, 1 when a gate failed too often for a cell, 2 on wrong usage, 130 when
  it was interrupted. Nothing is started before the scenario and the directory are found to be good.
- Ctrl-C (and SIGTERM) ends the trial under way, keeps the finished ones, and still writes what they say.
"""

from __future__ import annotations

import argparse
import resource
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.rendering.terminal.progress import Progress
    from bench.rundir.writer import RunDirectory
    from bench.scenario.scenario import Planned, Scenario

INTERRUPTED = 130
SPARE_FILE_DESCRIPTORS = 256
"""What a server and a load generator hold beside a socket for each subscriber."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to measure, and where to put it."""
    parser.add_argument(
        "scenario",
        nargs="?",
        default="quick",
        metavar="SCENARIO",
        help="a shipped scenario, or a TOML file (%(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the results go (runs/<scenario>-<UTC time>)"
    )
    parser.add_argument("--quiet", action="store_true", help="plain lines instead of a live display")


def run(args: argparse.Namespace) -> int:
    """Run the scenario and everything after it. Raises UsageError."""
    from bench.cli import UsageError
    from bench.scenario import scenario as scenarios

    try:
        scenario = scenarios.load(args.scenario)
    except scenarios.ScenarioError as error:
        raise UsageError(str(error)) from None
    command = shlex.join(["wirelab", "bench", args.scenario])
    return _tell(*perform(scenario, args.out, command, quiet=args.quiet))


def perform(scenario: Scenario, out: Path | None, command: str, *, quiet: bool) -> tuple[Path, bool]:
    """Run a scenario into a new directory. Returns where it is, and whether it was interrupted. Raises
    UsageError."""
    from bench.rendering.terminal.progress import Progress
    from bench.rundir.writer import RunDirectory, default_directory
    from bench.trials.network.network import unavailable

    _require_file_descriptors(scenario)
    directory = RunDirectory(out or default_directory(scenario), scenario, command)
    signal.signal(signal.SIGTERM, _interrupt)
    if scenario.links and (why := unavailable(directory.scratch())):
        print(f"wirelab: no link can be emulated here, so all runs on loopback: {why}", file=sys.stderr)
        directory.without_links(why)
        scenario = scenario.on_loopback()
    interrupted = False
    progress = Progress(scenario, live=sys.stderr.isatty() and not quiet)
    try:
        with progress:
            measure(scenario, directory, progress)
    except KeyboardInterrupt:
        interrupted = True
    directory.finish(interrupted=interrupted)
    return directory.path, interrupted


def _require_file_descriptors(scenario: Scenario) -> None:
    """Raise UsageError where the largest cell needs more than a process may have here."""
    from bench.cli import UsageError

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


def measure(scenario: Scenario, directory: RunDirectory, progress: Progress) -> None:
    """The probes, the links and the loads, then every trial in its order."""
    from bench.analysis import saturation
    from bench.evidence import metrics
    from bench.trials import calibration, probes, trial
    from bench.trials.network import network

    pinning = directory.record["pinning"]
    for name in scenario.probes:
        progress.stage(f"probe {name}")
        directory.add_probe(name, probes.run(name, directory.scratch()))
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
    search = saturation.Search(scenario.p99_budget_ms)
    for planned in _trials(scenario, directory, progress):
        if why := search.why_skip(planned.repeat, planned.settings):
            directory.skip(planned, why)
            progress.skip(planned, why)
            continue
        progress.begin(planned)
        collected = trial.run(
            planned, seed=scenario.seed, pinning=pinning, scratch=directory.scratch(), on_stage=progress.stage
        )
        judged = directory.add(collected)
        progress.end(judged)
        if scenario.p99_budget_ms is not None:
            p99_ms = metrics.figures(judged)["latency_ms_p99"]
            record = judged.record
            search.note(planned.repeat, planned.settings, record["valid"], record["steady"], p99_ms)


def _trials(scenario: Scenario, directory: RunDirectory, progress: Progress) -> Iterator[Planned]:
    """Every trial in its order; then, in spare repeats, others in place of those that were spoiled."""
    from bench.trials import retries

    planned = scenario.plan()
    yield from planned
    before = len(planned)
    for number in range(1, scenario.spare_repeats + 1):
        cells = retries.cells_to_try_again(directory.record["trials"], scenario.minimum_valid_trials)
        planned = scenario.one_repeat(scenario.repeats + number, cells, before)
        progress.again(planned)
        yield from planned
        before += len(planned)


def _tell(path: Path, interrupted: bool) -> int:
    """Analyse, print and report what was measured."""
    from bench.analysis import store
    from bench.rendering.report import report
    from bench.rendering.terminal import table

    summary = store.analyse(path)
    table.print_summary(path)
    print(f"report: {report.write(path)}")
    if interrupted:
        print("wirelab: interrupted; the finished trials are kept", file=sys.stderr)
        return INTERRUPTED
    return 0 if summary["valid"] else 1


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt
