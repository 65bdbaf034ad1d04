"""`wirelab bench [SCENARIO] [--out DIR] [--quiet] [--no-report]`: measure, judge, report.

Rules:
- Exit codes: 0 when the run is valid, 1 when a gate failed too often for a cell, 2 on wrong usage, 130 when
  it was interrupted. Nothing is started before the scenario and the directory are found to be good.
- Ctrl-C (and SIGTERM) ends the trial under way, keeps the finished ones, and still writes what they say.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.scenario.scenario import Scenario

INTERRUPTED = 130


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
    from bench.scenario.parse import load

    scenario = load(args.scenario)
    command = shlex.join(["wirelab", "bench", args.scenario])
    path, interrupted = perform(scenario, args.out, command, quiet=args.quiet)
    return _show(path, interrupted, with_report=args.report)


def perform(scenario: Scenario, out: Path | None, command: str, *, quiet: bool) -> tuple[Path, bool]:
    """Run a scenario into a new directory before the user's eyes. Returns where it is, and whether it was
    interrupted. Raises UsageError."""
    from bench.rendering.terminal.progress import Progress
    from bench.trials import runner

    live = sys.stderr.isatty() and not quiet
    return runner.perform(scenario, out, command, lambda scenario: Progress(scenario, live=live))


def _show(path: Path, interrupted: bool, *, with_report: bool) -> int:
    """Analyse, print and report what was measured."""
    from bench.analysis import store
    from bench.rendering.terminal import table

    summary, run = store.analyse(path), store.load(path).run
    table.print_summary(run, summary)
    if with_report:
        from bench.rendering.report import report

        print(f"report: {report.write(path, run, summary)}")
    else:
        print(f"run: {path}")
    if interrupted:
        print("wirelab: interrupted; the finished trials are kept", file=sys.stderr)
        return INTERRUPTED
    return 0 if summary.valid else 1
