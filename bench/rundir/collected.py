"""What a trial left behind, before it is kept: raw rows, samples, errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.scenario.scenario import Planned

Rows = npt.NDArray[np.int64]


@dataclass
class Collected:
    """What a trial left behind. Rows are as bench/trials/generator.py and bench/trials/publisher.py write
    them."""

    planned: Planned
    exit: str = "finished"
    window_us: tuple[int, int] | None = None
    deliveries: Rows = field(default_factory=lambda: np.empty((0, 6), np.int64))
    requests: Rows = field(default_factory=lambda: np.empty((0, 6), np.int64))
    published: Rows = field(default_factory=lambda: np.empty((0, 4), np.int64))
    subscribers: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    arrival: str | None = None

    def read_rows(self, directory: Path) -> None:
        """Read the raw columns that the load generator and the publisher wrote there. What is not there was
        never written."""
        for name in ("deliveries", "requests", "published"):
            path = directory / f"{name}.i64"
            if path.exists():
                rows, width = np.fromfile(path, np.int64), getattr(self, name).shape[1]
                setattr(self, name, rows[: len(rows) // width * width].reshape(-1, width))
