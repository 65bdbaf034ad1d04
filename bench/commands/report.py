"""`wirelab report DIR`: analyse a run directory again and write its report and figures.

It reads that directory alone, so that a run moved to another machine reports the same. A run that was not
finished is put together first, with the trials that it has.
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
    """Write summary.json, the figures and report.html; print the report's path. Raises UsageError."""
    from bench.analysis import store
    from bench.commands.reading import tell
    from bench.rendering.report import report
    from bench.rundir.writer import finish_later

    finish_later(store.load(args.directory))
    measured = tell(store.load(args.directory))
    summary = measured.analyse()
    store.keep(measured, summary)
    print(f"report: {report.write(args.directory, measured.run, summary)}")
    return 0
