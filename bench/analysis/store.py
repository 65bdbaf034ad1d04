"""A run with its analysis: the only file of this room that reads or writes.

Rules:
- A summary belongs to the very files beside it: their SHA-256 digests stand in it, and one that does not
  match is made anew. One that matches, yet is not of the form of `bench/analysis/summary/`, was changed by
  others: it is refused in one sentence.
- Only `analyse` and `keep` write.
- Files that were damaged or changed in a way that nobody foresaw are refused in one sentence too.
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
from bench.errors import DAMAGE, RunDirectoryError
from bench.rundir import reader
from bench.rundir.record import short
from bench.rundir.whole import write_bytes
from bench.scenario.files import Unreadable, read_bytes

MOST_BYTES = 1 << 28
"""Of a summary.json."""


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
        try:
            kept = read_bytes(path, MOST_BYTES)
            head = msgspec.json.decode(kept, type=_Head)
        except (Unreadable, msgspec.DecodeError, RecursionError):
            return self.analyse()
        if head.analysis != ANALYSIS_VERSION or head.inputs != input_digests(self):
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
        """The summary as the analysis makes it now. Nothing is written. Raises `RunDirectoryError`."""
        try:
            return summarise(self, input_digests(self))
        except DAMAGE as error:
            raise RunDirectoryError(
                f"{self.directory} cannot be analysed ({type(error).__name__}: {short(error)}): its files "
                "were damaged, or not written by wirelab"
            ) from error


def load(directory: str | os.PathLike[str]) -> Run:
    """Open a run directory. Raises `RunDirectoryError` if it is missing, newer than this code, or damaged."""
    files = reader.read(directory)
    return Run(files.directory, files.run)


def analyse(directory: Path) -> Summary:
    """Analyse a run directory, write its summary.json, and return it. Raises
    `bench.errors.RunDirectoryError`."""
    run = load(directory)
    summary = run.analyse()
    keep(run, summary)
    return summary


def keep(run: Run, summary: Summary) -> None:
    """Write the summary of a run as its summary.json. Raises `bench.errors.RunDirectoryError`."""
    written = msgspec.json.format(msgspec.json.encode(summary), indent=1) + b"\n"
    target = run.directory / "summary.json"
    try:
        if read_bytes(target, MOST_BYTES) == written:
            return
    except Unreadable:
        pass
    try:
        write_bytes(target, written)
    except OSError as error:
        raise RunDirectoryError(
            f"{target} cannot be written ({error}): copy the run to where you may write"
        ) from error


def input_digests(run: reader.RunFiles) -> dict[str, str | None]:
    """SHA-256 of every file that the analysis reads; None if there is none. Raises
    `bench.errors.RunDirectoryError`."""
    found: dict[str, str | None] = {}
    for name in run.files:
        path = run.directory / name
        found[name] = None
        try:
            if path.is_file():
                with path.open("rb") as file:
                    found[name] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise RunDirectoryError(f"{path} cannot be read ({error.strerror}): copy it again") from None
    return found
