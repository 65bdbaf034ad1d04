"""`wirelab bench [SCENARIO] [--out DIR] [--quiet] [--no-report]`: measure, judge, report.

Rules:
- Exit codes: 0 when the run is valid, 1 when a gate failed too often for a cell, 2 on wrong usage and where
  the directory could not be written to the end; ended by a signal, 128 and its number (130 for Ctrl-C).
  Nothing is started before the scenario and the directory are found to be good.
- A signal ends the trial under way, keeps the finished ones, and what they say is still written.
- Files are written before anything is printed.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.analysis.store import Run
    from bench.analysis.summary import Summary
    from bench.scenario.scenario import Scenario
    from bench.trials.runner import Ended


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
    parser.add_argument(
        "--no-report",
        dest="report",
        action="store_false",
        help="measure and judge only; `wirelab report DIR` writes the report and its figures afterwards",
    )


def run(args: argparse.Namespace) -> int:
    """Run the scenario and everything after it. Raises UsageError."""
    from bench.rendering.terminal import table
    from bench.scenario.parse import load
    from bench.trials.processes.interruption import noticed

    scenario = load(args.scenario)
    command = shlex.join(["wirelab", "bench", args.scenario])
    with noticed():
        ended = perform(scenario, args.out, command, quiet=args.quiet)
        analysed = analyse(ended)
        if analysed is None:
            return code_of(ended, None)
        measured, summary = analysed
        where = f"run: {ended.path}"
        if args.report:
            where = write_report(measured, summary)
        table.print_summary(measured.run, summary)
        print(where)
        return code_of(ended, summary)


def perform(scenario: Scenario, out: Path | None, command: str, *, quiet: bool) -> Ended:
    """Run a scenario into a new directory before the user's eyes. Raises UsageError."""
    from bench.rendering.terminal.progress import Progress
    from bench.trials import runner

    live = sys.stderr.isatty() and not quiet
    return runner.perform(scenario, out, command, lambda scenario: Progress(scenario, live=live))


def analyse(ended: Ended) -> tuple[Run, Summary] | None:
    """The run and its summary, which is written if it can be. None if the directory has gone; then `ended`
    says why. Raises UsageError."""
    from bench.analysis import store
    from bench.errors import RunDirectoryError

    try:
        measured = store.load(ended.path)
        summary = measured.analyse()
    except RunDirectoryError:
        if ended.unwritten is None:
            raise
        return None
    try:
        store.keep(measured, summary)
    except RunDirectoryError as error:
        print(f"wirelab: {error}", file=sys.stderr)
    return measured, summary


def write_report(measured: Run, summary: Summary) -> str:
    """Write the report if it can be written, and say where it is or why it is not."""
    from bench.errors import RunDirectoryError
    from bench.rendering.report import report

    try:
        return f"report: {report.write(measured.directory, measured.run, summary)}"
    except RunDirectoryError as error:
        return f"no report: {error}"


def code_of(ended: Ended, summary: Summary | None) -> int:
    """The exit code of a run; what ended it early is told."""
    if ended.unwritten:
        print(f"wirelab: {ended.unwritten}", file=sys.stderr)
        return 2
    if ended.signal:
        print("wirelab: interrupted; the finished trials are kept", file=sys.stderr)
        return 128 + ended.signal
    return 0 if summary and summary.valid else 1
