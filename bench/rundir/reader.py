"""Open the files of a run directory: as pandas frames for a notebook, as arrays for the analysis. This module
knows no summary.

Rules:
- A run directory is read by its own content alone: no absolute path is kept or needed, so a directory that
  was moved to another machine loads, analyses and reports the same.
- If a directory is wrong, one sentence says what to mend (`RunDirectoryError`).
- Files are read when first asked for; frames are cached on the `RunFiles` and belong to the caller.
- What was not measured is missing (None, NaN, NA), never 0.
- A run that was not finished is read from its pieces, with the trials that it has (`bench/rundir/pieces.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from bench.errors import RunDirectoryError
from bench.rundir import pieces
from bench.rundir.folder import is_written
from bench.rundir.pieces import read_table
from bench.rundir.record import read_record, rows_of, short
from bench.rundir.schema import FILES, LINES, REQUIRED, SCHEMAS
from bench.rundir.trial import Columns, Trial, check_of
from bench.words import printable

TABLES = tuple(SCHEMAS)


@dataclass(frozen=True)
class RunFiles:
    """What was measured: `run` (run.json), and frames of deliveries, requests, published, subscribers,
    resources and errors."""

    directory: Path
    run: dict[str, Any]

    @cached_property
    def deliveries(self) -> pd.DataFrame:
        """One row a delivery, from join to drain. Times in Unix microseconds; adds `latency_ms` (arrival −
        due) and `in_window` (was it due in its trial's window?)."""
        frame = self._frame("deliveries")
        frame["latency_ms"] = (frame["received_us"] - frame["due_us"]) / 1000.0
        windows = {record["id"]: record for record in self.run["trials"]}
        start = frame["trial"].map({key: record.get("window_start_us") for key, record in windows.items()})
        end = frame["trial"].map({key: record.get("window_end_us") for key, record in windows.items()})
        start, end = start.astype("Float64"), end.astype("Float64")
        frame["in_window"] = ((frame["due_us"] >= start) & (frame["due_us"] < end)).fillna(False).astype(bool)
        return frame

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row an HTTP request (for a WebSocket: its handshake). Times in Unix microseconds."""
        return self._frame("requests")

    @cached_property
    def published(self) -> pd.DataFrame:
        """One row a notification that the publisher wrote. Times in Unix microseconds."""
        return self._frame("published")

    @cached_property
    def subscribers(self) -> pd.DataFrame:
        """One row a subscriber: where it joined, what it missed, what it put on the wire."""
        return self._frame("subscribers")

    @cached_property
    def resources(self) -> pd.DataFrame:
        """One row a resource sample; nested fields become columns such as `server.cpu_us`."""
        return pd.json_normalize(self._lines("resources"))

    @cached_property
    def errors(self) -> pd.DataFrame:
        """One row an error that a subscriber met."""
        return pd.DataFrame(self._lines("errors"), columns=["trial", "subscriber", "at_us", "error"])

    @property
    def unfinished(self) -> str | None:
        """That the run was not finished, and how far it came, in a sentence; None if it was."""
        if self.run.get("finished_us") is not None and not self.run.get("interrupted"):
            return None
        done, planned = len(self.run["trials"]), self.run.get("planned")
        of = "" if planned is None else f" of {planned}"
        still = self.in_pieces and is_written(self.directory)
        state = "is still being made" if still else "was not finished"
        return f"the run {state}: it has {done}{of} trials, and only these are shown"

    @property
    def in_pieces(self) -> bool:
        """Whether the trials' files have not been joined."""
        if not (self.directory / pieces.FOLDER).is_dir():
            return False
        return self.run.get("finished_us") is None or not (self.directory / f"{TABLES[0]}.parquet").exists()

    @property
    def files(self) -> list[str]:
        """The names of all files that are read, within the directory."""
        if not self.in_pieces:
            return list(FILES)
        return ["run.json", *pieces.names(self.run["trials"]), *(f"{name}.jsonl" for name in LINES)]

    def each_trial(self) -> Iterator[Trial]:
        """Every trial of run.json with its raw columns, in run.json's order. Reads each file once."""
        tables = {name: _CutByTrial(self._table(name)) for name in REQUIRED}
        samples, errors = (_group(self._lines(name)) for name in LINES)
        for record in self.run["trials"]:
            name = record["id"]
            parts = {table: columns.of(name) for table, columns in tables.items()}
            yield Trial(
                record,
                **parts,
                resources=samples.get(name, []),
                errors=errors.get(name, []),
                pinning=self.run.get("pinning"),
                measured=self.run.get("measured") or {},
                link_check=check_of(record, self.run.get("links") or []),
            )

    def _table(self, name: str) -> pa.Table:
        path = self.directory / f"{name}.parquet"
        try:
            if self.in_pieces:
                found = list(pieces.tables(self.directory, self.run["trials"], name))
                table = pa.concat_tables(found or [SCHEMAS[name].empty_table()]).unify_dictionaries()
            elif path.is_file():
                table = read_table(path)
            else:
                what = "is not a regular file" if path.exists() else "is missing"
                raise RunDirectoryError(
                    f"{path} {what}: copy the whole run directory, or run the scenario again"
                )
        except pieces.MissingPiece as missing:
            raise RunDirectoryError(
                f"{self.directory} was never finished: {missing}; copy the whole run directory, or run the "
                "scenario again"
            ) from None
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise RunDirectoryError(
                f"{path} cannot be read ({short(error)}): copy the run directory again, or run the scenario "
                "again"
            ) from error
        for column in REQUIRED[name]:
            if column not in table.column_names:
                raise RunDirectoryError(f"{path} has no column {column!r}: it was not written by wirelab")
        if table.column("trial").null_count:
            raise RunDirectoryError(f"{path} has a row of no trial: it was not written by wirelab")
        for field in table.schema:
            if field.name in SCHEMAS[name].names and not _fits(field):
                raise RunDirectoryError(
                    f"{path} has {field.type} in column {field.name!r}: it was not written by wirelab"
                )
        return table

    def _lines(self, name: str) -> list[dict[str, Any]]:
        path = self.directory / f"{name}.jsonl"
        try:
            if self.in_pieces:
                return rows_of(path, pieces.lines(self.directory, self.run["trials"], name))
            if path.exists() and not path.is_file():
                raise RunDirectoryError(f"{path} is not a regular file: copy the whole run directory")
            return rows_of(path, iter(path.read_text(encoding="utf-8").split("\n"))) if path.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise RunDirectoryError(f"{path} cannot be read ({short(error)}): copy it again") from error

    def _frame(self, name: str) -> pd.DataFrame:
        frame = cast(pd.DataFrame, self._table(name).to_pandas())
        # Of a categorical column, each name is looked at once.
        frame["trial"] = frame["trial"].map(printable).astype(str)
        return frame


def read(directory: str | os.PathLike[str]) -> RunFiles:
    """Open a run directory. Raises `RunDirectoryError` if it is missing, newer than this code, or damaged."""
    path = Path(directory)
    return RunFiles(path, read_record(path))


def _fits(field: pa.Field) -> bool:
    """Whether a column is of the kind that its name says: texts for the trials' names, numbers else."""
    kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    if field.name == "trial":
        return kind in (pa.string(), pa.large_string(), pa.null())
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or kind == pa.null())


def _group(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(str(row.get("trial")), []).append(row)
    return grouped


class _CutByTrial:
    """The columns of one table, cut by trial. Rows keep their order within a trial."""

    def __init__(self, table: pa.Table) -> None:
        trial = table.column("trial").combine_chunks()
        if not pa.types.is_dictionary(trial.type):
            trial = trial.dictionary_encode()
        if isinstance(trial, pa.ChunkedArray):
            trial = trial.unify_dictionaries().combine_chunks()
        codes = np.asarray(trial.indices.to_numpy(zero_copy_only=False))
        order = None if np.all(codes[:-1] <= codes[1:]) else np.argsort(codes, kind="stable")
        ordered = codes if order is None else codes[order]
        self._names = {printable(str(name)): code for code, name in enumerate(trial.dictionary.to_pylist())}
        self._bounds = np.searchsorted(ordered, np.arange(len(self._names) + 1))
        self._columns: Columns = {}
        for name in table.column_names:
            if name == "trial":
                continue
            values = table.column(name).to_numpy()
            self._columns[name] = values if order is None else values[order]

    def of(self, trial: str) -> Columns:
        code = self._names.get(trial)
        start, stop = (0, 0) if code is None else (self._bounds[code], self._bounds[code + 1])
        return {name: values[start:stop] for name, values in self._columns.items()}
