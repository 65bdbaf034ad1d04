"""What every command that reads a run does first."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.analysis.store import Run
    from bench.analysis.summary import Summary


def tell(run: Run) -> Run:
    """Say so in one sentence if the run was not finished, and return it."""
    if run.unfinished:
        print(f"wirelab: {run.directory}: {run.unfinished}", file=sys.stderr)
    return run


def judge(directory: Path) -> Summary:
    """Analyse a run; its summary.json is written where it can be. Raises UsageError."""
    from bench.analysis import store
    from bench.errors import RunDirectoryError

    measured = tell(store.load(directory))
    summary = measured.analyse()
    try:
        store.keep(measured, summary)
    except RunDirectoryError:
        # It is read, and reading needs no right to write.
        pass
    return summary
