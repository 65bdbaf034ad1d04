"""A run with its analysis: the only file of this room that reads or writes.

Rules:
- A summary belongs to the very files beside it: their SHA-256 digests stand in it, and one that does not
  match is made anew.
- Only `analyse` writes.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import pandas as pd

from bench.analysis.summarise import ANALYSIS_VERSION, summarise
from bench.errors import RunDirectoryError
from bench.rundir import reader
from bench.rundir.schema import FILES


class Run(reader.RunFiles):
    """One run directory. Frames: trials, deliveries, requests, published, subscribers, resources, errors,
    cells, claims. Dicts: `run` (run.json) and `summary` (summary.json, analysed now if it is missing or
    stale).
    """

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial: its settings, validity and window, and every figure that the analysis found for
        it."""
        frame = pd.json_normalize(self.run["trials"], max_level=0)
        figures = pd.json_normalize(
            [{"id": trial["id"], **trial["figures"]} for trial in self.summary["trials"]], max_level=0
        )
        return frame if figures.empty else frame.merge(figures, on="id", how="left", suffixes=("", "_figure"))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """summary.json, if it belongs to the files beside it; else what the analysis says now (nothing is
        written)."""
        path = self.directory / "summary.json"
        if path.exists():
            try:
                kept = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                kept = {}
            if kept.get("analysis") == ANALYSIS_VERSION and kept.get("inputs") == input_digests(
                self.directory
            ):
                return cast(dict[str, Any], kept)
        return self.analyse()

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row a cell: its settings, and for each metric `<metric>`, `<metric>_low` and
        `<metric>_high`."""
        rows = []
        for cell in self.summary["cells"]:
            row = {key: value for key, value in cell.items() if not isinstance(value, (dict, list))}
            for name, figure in cell["metrics"].items():
                row[name] = None if figure is None else figure["value"]
                row[f"{name}_low"] = None if figure is None else figure["low"]
                row[f"{name}_high"] = None if figure is None else figure["high"]
            rows.append(row)
        return pd.DataFrame(rows)

    @cached_property
    def claims(self) -> pd.DataFrame:
        """One row a claim: id, verdict, why, evidence."""
        return pd.DataFrame(self.summary["claims"])

    def analyse(self) -> dict[str, Any]:
        """The summary as the analysis makes it now. Nothing is written."""
        return summarise(self, input_digests(self.directory))


def load(directory: str | os.PathLike[str]) -> Run:
    """Open a run directory. Raises `RunDirectoryError` if it is missing, newer than this code, or damaged."""
    files = reader.read(directory)
    return Run(files.directory, files.run)


def analyse(directory: Path) -> dict[str, Any]:
    """Analyse a run directory, write its summary.json, and return it. Raises
    `bench.errors.RunDirectoryError`."""
    summary = load(directory).analyse()
    text = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    target = Path(directory) / "summary.json"
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        try:
            target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise RunDirectoryError(
                f"{target} cannot be written ({error}): copy the run to where you may write"
            ) from error
    return summary


def current(directory: Path) -> dict[str, Any]:
    """summary.json if this analysis made it from the very files beside it, else a new one, not written."""
    return load(directory).summary


def input_digests(directory: Path) -> dict[str, str | None]:
    """SHA-256 of every file that the analysis reads; None where there is none."""
    found: dict[str, str | None] = {}
    for name in FILES:
        path = directory / name
        if path.exists():
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
        else:
            found[name] = None
    return found
