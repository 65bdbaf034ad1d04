"""A run with its analysis: the only file of this room that reads or writes.

Rules:
- A summary belongs to the very files beside it: their SHA-256 digests stand in it, and one that does not
  match is made anew. One that matches, yet is not of the form of `bench/analysis/summary/`, was changed by
  others: it is refused in one sentence.
- Only `analyse` writes.
"""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path

import msgspec
import pandas as pd

from bench.analysis.summarise import ANALYSIS_VERSION, summarise
from bench.analysis.summary import Summary
from bench.errors import RunDirectoryError
from bench.rundir import reader
from bench.rundir.schema import FILES


class _Head(msgspec.Struct):
    """What tells whether a summary is this analysis of these files."""

    analysis: int | None = None
    inputs: dict[str, str | None] | None = None


class Run(reader.RunFiles):
    """One run directory. Frames: trials, deliveries, requests, published, subscribers, resources, errors,
    cells, claims; `run` is run.json as a dict, `summary` summary.json as a
    `bench.analysis.summary.Summary` (analysed now if it is missing or stale).
    """

    @cached_property
    def trials(self) -> pd.DataFrame:
        """One row a trial: its settings, validity and window, and every figure that the analysis found for
        it."""
        frame = pd.json_normalize(self.run["trials"], max_level=0)
        figures = pd.json_normalize(
            [{"id": trial.id, **trial.figures} for trial in self.summary.trials], max_level=0
        )
        return frame if figures.empty else frame.merge(figures, on="id", how="left", suffixes=("", "_figure"))

    @cached_property
    def summary(self) -> Summary:
        """summary.json, if it belongs to the files beside it; else what the analysis says now (nothing is
        written)."""
        path = self.directory / "summary.json"
        kept = path.read_bytes() if path.exists() else b""
        try:
            head = msgspec.json.decode(kept, type=_Head)
        except msgspec.DecodeError:
            return self.analyse()
        if head.analysis != ANALYSIS_VERSION or head.inputs != input_digests(self.directory):
            return self.analyse()
        try:
            return msgspec.json.decode(kept, type=Summary)
        except msgspec.ValidationError as error:
            raise RunDirectoryError(
                f"{path} is not as this wirelab writes it ({error}): delete it, and it is made anew"
            ) from error

    @cached_property
    def cells(self) -> pd.DataFrame:
        """One row a cell: its settings, and for each metric `<metric>`, `<metric>_low` and
        `<metric>_high`."""
        rows = []
        for cell in self.summary.cells:
            fields = msgspec.to_builtins(cell).items()
            row = {key: value for key, value in fields if not isinstance(value, (dict, list))}
            for name, figure in cell.metrics.items():
                row[name] = None if figure is None else figure.value
                row[f"{name}_low"] = None if figure is None else figure.low
                row[f"{name}_high"] = None if figure is None else figure.high
            rows.append(row)
        return pd.DataFrame(rows)

    @cached_property
    def claims(self) -> pd.DataFrame:
        """One row a claim: id, verdict, why, evidence."""
        return pd.DataFrame(msgspec.to_builtins(self.summary.claims))

    def analyse(self) -> Summary:
        """The summary as the analysis makes it now. Nothing is written."""
        return summarise(self, input_digests(self.directory))


def load(directory: str | os.PathLike[str]) -> Run:
    """Open a run directory. Raises `RunDirectoryError` if it is missing, newer than this code, or damaged."""
    files = reader.read(directory)
    return Run(files.directory, files.run)


def analyse(directory: Path) -> Summary:
    """Analyse a run directory, write its summary.json, and return it. Raises
    `bench.errors.RunDirectoryError`."""
    summary = load(directory).analyse()
    written = msgspec.json.format(msgspec.json.encode(summary), indent=1) + b"\n"
    target = Path(directory) / "summary.json"
    if not target.exists() or target.read_bytes() != written:
        try:
            target.write_bytes(written)
        except OSError as error:
            raise RunDirectoryError(
                f"{target} cannot be written ({error}): copy the run to where you may write"
            ) from error
    return summary


def input_digests(directory: Path) -> dict[str, str | None]:
    """SHA-256 of every file that the analysis reads; None if there is none."""
    found: dict[str, str | None] = {}
    for name in FILES:
        path = directory / name
        if path.exists():
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
        else:
            found[name] = None
    return found
