"""All that is collected from the processes of a trial before it is kept: raw rows, samples, errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.rundir.schema import NEVER, RAW
from bench.scenario.scenario import Planned
from bench.systems.registry import SYSTEMS

Rows = npt.NDArray[np.int64]


def no_rows(name: str) -> Rows:
    """The raw rows of one kind when there are none."""
    return np.empty((0, len(RAW[name])), np.int64)


@dataclass
class Collected:
    """What one trial left behind. Rows have the columns of `RAW`."""

    planned: Planned
    exit: str = "finished"
    window_us: tuple[int, int] | None = None
    deliveries: Rows = field(default_factory=lambda: no_rows("deliveries"))
    requests: Rows = field(default_factory=lambda: no_rows("requests"))
    published: Rows = field(default_factory=lambda: no_rows("published"))
    subscribers: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    stalls_ms: dict[str, dict[str, float]] = field(default_factory=dict)
    """For how long each process of the laboratory stood still from the window's start on, at the most
    (`longest`) and in all (`together`); of the load generator also its loop."""
    arrival: str | None = None
    """Which clock the times of arrival are from: "kernel" or "handling"."""

    def read_rows(self, directory: Path) -> None:
        """Read the raw rows that the load generator and the publisher wrote there. A file that is missing was
        never written; a row at the end that is not whole is left out. What the system cannot tell is made
        null, whatever stands there."""
        unreported = SYSTEMS[self.planned.settings.system].unreported
        for name, columns in RAW.items():
            path = directory / f"{name}.i64"
            if path.exists():
                rows, width = np.fromfile(path, np.int64), len(columns)
                rows = rows[: len(rows) // width * width].reshape(-1, width)
                rows[:, [index for index, column in enumerate(columns) if column in unreported]] = NEVER
                setattr(self, name, rows)
        for subscriber in self.subscribers:
            subscriber.update({name: None for name in unreported if name in subscriber})
