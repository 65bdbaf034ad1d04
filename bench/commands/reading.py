"""What every command that reads a run does first."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.analysis.store import Run
    from bench.analysis.summary import Summary


def tell(run: Run) -> Run:
    """Say so in one sentence if the run was not finished, and return it."""
    if run.unfinished:
        print(f"wirelab: {run.directory}: {run.unfinished}", file=sys.stderr)
    return run


def judge(run: Run) -> Summary:
    """Analyse a run; its summary.json is written if it can be. Raises UsageError."""
    from bench.analysis import store
    from bench.errors import RunDirectoryError

    summary = tell(run).analyse()
    # Reading needs no right to write.
    with contextlib.suppress(RunDirectoryError):
        store.keep(run, summary)
    return summary
