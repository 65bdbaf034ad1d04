"""Open the files of a run directory: as pandas frames for a notebook, as arrays for the analysis. This module
knows no summary.

Rules:
- A run directory is read by its own content alone: no absolute path is kept or needed, so a directory that
  was moved to another machine loads, analyses and reports the same.
- If a directory is wrong, one sentence says what to mend (`RunDirectoryError`).
- Files are read when first asked for; frames are cached on the `RunFiles` and belong to the caller.
- What was not measured is missing (None, NaN, NA), never 0.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import RunDirectoryError
from bench.rundir.migrate import migrate
from bench.rundir.schema import REQUIRED, SCHEMA
from bench.rundir.trial import Columns, Trial, check_of
from bench.scenario.settings import SETTINGS


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
        return pd.json_normalize(_json_lines(self.directory / "resources.jsonl"))

    @cached_property
    def errors(self) -> pd.DataFrame:
        """One row an error that a subscriber met."""
        return pd.DataFrame(
            _json_lines(self.directory / "errors.jsonl"), columns=["trial", "subscriber", "at_us", "error"]
        )

    def each_trial(self) -> Iterator[Trial]:
        """Every trial of run.json with its raw columns, in run.json's order. Reads each file once."""
        tables = {name: _CutByTrial(self._table(name)) for name in REQUIRED}
        samples = _group(_json_lines(self.directory / "resources.jsonl"))
        errors = _group(_json_lines(self.directory / "errors.jsonl"))
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
        if (self.directory / "pieces").exists():
            raise RunDirectoryError(
                f"{self.directory} was never finished: its `wirelab bench` still runs, or was killed before "
                "it could put the trials together; wait for it to end, or run the scenario again"
            )
        if not path.exists():
            raise RunDirectoryError(
                f"{path} is missing: copy the whole run directory, or run the scenario again"
            )
        try:
            schema = pq.read_schema(path)
            missing = [column for column in REQUIRED[name] if column not in schema.names]
            if missing:
                raise RunDirectoryError(f"{path} has no column {missing[0]!r}: it was not written by wirelab")
            return pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise RunDirectoryError(
                f"{path} cannot be read ({error}): copy the run directory again, or run the scenario again"
            ) from error

    def _frame(self, name: str) -> pd.DataFrame:
        frame = cast(pd.DataFrame, self._table(name).to_pandas())
        frame["trial"] = frame["trial"].astype(str)
        return frame


def read(directory: str | os.PathLike[str]) -> RunFiles:
    """Open a run directory. Raises `RunDirectoryError` if it is missing, newer than this code, or damaged."""
    path = Path(directory)
    if not path.is_dir():
        raise RunDirectoryError(
            f"{path} is not a directory: give a run directory, as `wirelab bench` writes it"
        )
    source = path / "run.json"
    if not source.exists():
        raise RunDirectoryError(
            f"{path} holds no run.json: give a run directory, as `wirelab bench` writes it"
        )
    try:
        run = json.loads(source.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise RunDirectoryError(
            f"{source} cannot be read ({error}): the run did not end, or was damaged"
        ) from error
    if not isinstance(run, dict) or not isinstance(run.get("schema"), int):
        raise RunDirectoryError(f"{source} names no schema version: it was not written by wirelab")
    if run["schema"] > SCHEMA:
        raise RunDirectoryError(
            f"{source} has schema {run['schema']}, and this wirelab reads up to {SCHEMA}: use a newer wirelab"
        )
    trials = run.get("trials")
    if not isinstance(trials, list) or not all(isinstance(trial, dict) and "id" in trial for trial in trials):
        raise RunDirectoryError(f"{source} has no list of trials with ids: it was not written by wirelab")
    run = migrate(run)
    for trial in run["trials"]:
        if missing := [name for name in (*SETTINGS, "unreported") if name not in trial]:
            raise RunDirectoryError(
                f"{source}: trial {trial['id']} does not name {missing[0]}: it was not written by wirelab"
            )
    return RunFiles(path, run)


def require_run(directory: Path) -> None:
    """Raise RunDirectoryError unless the directory holds a run."""
    if not (directory / "run.json").is_file():
        raise RunDirectoryError(f"{directory} holds no run.json: give a directory that `wirelab bench` wrote")


def _json_lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise RunDirectoryError(
                f"{path}, line {number}, is not JSON ({error}): mend or delete that line"
            ) from error
    return rows


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
        self._names = {str(name): code for code, name in enumerate(trial.dictionary.to_pylist())}
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
