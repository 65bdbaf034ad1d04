"""`wirelab report DIR`: analyse a run directory again and write its report and figures.

It reads that directory alone, so that a run moved to another machine reports the same.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the run is."""
    parser.add_argument(
        "directory", metavar="DIR", type=Path, help="a run directory, as `wirelab bench` writes it"
    )


def run(args: argparse.Namespace) -> int:
    """Write summary.json, the figures and report.html; print the report's path."""
    from bench.analysis import store
    from bench.rendering.report import report
    from bench.rundir.reader import require_run

    require_run(args.directory)
    summary, run = store.analyse(args.directory), store.load(args.directory).run
    print(f"report: {report.write(args.directory, run, summary)}")
    return 0
