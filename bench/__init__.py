"""The harness: scenarios and trials on one side, analysis and rendering on the other, a run directory
between.

`bench.load(DIR)` opens a run directory for a notebook. Nothing heavy is imported before it is called, so
that `wirelab --help` answers at once.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.analysis.store import Run

__all__ = ["load"]


def load(directory: str | os.PathLike[str]) -> Run:
    """Open a run directory: pandas frames of everything in it. Raises
    `bench.errors.RunDirectoryError`."""
    from bench.analysis import store

    return store.load(directory)
