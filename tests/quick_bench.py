"""`wirelab bench` with trials that measure nothing and take a moment, and reports of one figure.

For what becomes of a run around its trials. QUICK_BENCH is a JSON object:
  trial_s       how long a trial takes, but for the first, so many as `quick` says
  writing_s     how long each table of a trial takes to be written; `writing` is told on stderr before
  full_at       the order of the trial from which on the disk is full
  big           the order of a trial that leaves megabytes
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench.cli import main
from bench.rundir.collected import Collected
from bench.scenario.scenario import Planned
from bench.trials import trial

OPTIONS: dict[str, Any] = json.loads(os.environ.get("QUICK_BENCH", "{}"))


def run(planned: Planned, *, scratch: Path, **others: Any) -> Collected:
    """A trial of a hundred notifications to one subscriber, or of a hundred thousand at random times."""
    time.sleep(0.2 if planned.order <= OPTIONS.get("quick", 0) else OPTIONS.get("trial_s", 0.2))
    if planned.order == OPTIONS.get("full_at"):
        os.fsync = full
    (scratch / "log").write_text("a trial's own file")
    count = 100_000 if planned.order == OPTIONS.get("big") else 100
    start_us = time.time_ns() // 1000
    ids = np.arange(1, count + 1)
    due_us = start_us + np.random.default_rng(planned.order).integers(0, 1_000_000, count)
    rows = np.stack([np.zeros(count, np.int64), ids, due_us, due_us + 50, due_us + 300, due_us + 400], axis=1)
    published = np.stack([ids, due_us, due_us + 10, due_us + 90], axis=1)
    return Collected(
        planned,
        window_us=(start_us, start_us + 1_000_000),
        deliveries=rows,
        published=published,
        arrival="kernel",
    )


def full(descriptor: int) -> None:
    """A file that has no room."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def slowly(write: Any) -> Any:
    """The same, but so slow that it can be caught at it."""

    @wraps(write)
    def slow(*arguments: Any, **options: Any) -> Any:
        print("writing", file=sys.stderr, flush=True)
        time.sleep(OPTIONS["writing_s"] / 2)
        written = write(*arguments, **options)
        time.sleep(OPTIONS["writing_s"] / 2)
        return written

    return slow


if __name__ == "__main__":
    trial.run = run
    if "--no-report" not in sys.argv:
        from bench.rendering.figures import FIGURES

        for name in list(FIGURES)[1:]:
            del FIGURES[name]
    if OPTIONS.get("writing_s"):
        pq.write_table = slowly(pq.write_table)
    sys.exit(main())
