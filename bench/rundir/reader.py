"""Open a run directory: pandas frames for a notebook, and the same arrays for the analysis.

Rules:
- A run directory is read by its own content alone: no absolute path is kept or needed, so a directory that
  was moved to another machine loads, analyses and reports the same.
- What is wrong with a directory is told in one sentence that says what to mend (`RunDirectoryError`).
- Files are read when first asked for; frames are cached on the `Run` and belong to the caller.
- What was not measured is missing (None, NaN, NA), never 0.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.cli import UsageError
from bench.scenario.scenario import ADDED
from bench.trials.network.network import Link

SCHEMA = 2
"""The newest run directory this code reads. `bench/rundir/writer.py` has the history."""

# Columns that the analysis needs of each Parquet file; more may be there.
TABLES: dict[str, tuple[str, ...]] = {
    "deliveries": ("trial", "subscriber", "id", "due_us", "accepted_us", "received_us", "handled_us"),
    "requests": ("trial", "subscriber", "sent_us", "received_us", "handled_us", "notifications", "status"),
    "published": ("trial", "id", "due_us", "written_us", "answered_us"),
    "subscribers": (
        "trial",
        "subscriber",
        "joined_us",
        "joined_id",
        "final_id",
        "missed",
        "duplicates",
        "reordered",
        "epoch_changes",
        "reconnects",
        "requests",
    ),
}

Columns = dict[str, npt.NDArray[Any]]


class RunDirectoryError(UsageError):
    """The directory is not a run that can be read; the message says what to do about it."""


@dataclass
class Trial:
    """All that one trial left behind: its record of run.json, columns as arrays, samples and errors."""

    record: dict[str, Any]
    deliveries: Columns
    requests: Columns
    published: Columns
    subscribers: Columns
    resources: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    pinning: dict[str, list[int]] | None = None
    measured: dict[str, Any] = field(default_factory=dict)
    """Which clocks and counters the run's system gave, as in run.json."""
    link_check: dict[str, Any] | None = None
    """What the check of its link found before the first trial; None on loopback."""

    @property
    def id(self) -> str:
        """The trial's name, as in run.json and in every file's column `trial`."""
        return str(self.record["id"])

    @property
    def window_us(self) -> tuple[int, int] | None:
        """Start and end of the measured window in Unix microseconds; None where the trial never got there,
        or where the end does not come after the start."""
        start, end = self.record.get("window_start_us"), self.record.get("window_end_us")
        return None if start is None or end is None or end <= start else (int(start), int(end))


@dataclass(frozen=True)
class Run:
    """One run directory. Frames: trials, deliveries, requests, published, subscribers, resources, errors,
    cells, claims. Dicts: `run` (run.json) and `summary` (summary.json, analysed now where it is missing or
    stale).
    """

    directory: Path
    run: dict[str, Any]

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

    @cached_property
    def summary(self) -> dict[str, Any]:
        """summary.json, if it belongs to the files beside it; else what the analysis says now (nothing is
        written)."""
        from bench.analysis import store

        return store.current(self.directory)

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

    def each_trial(self) -> Iterator[Trial]:
        """Every trial of run.json with its raw columns, in run.json's order. Reads each file once."""
        tables = {name: _CutByTrial(self._table(name, required=True)) for name in TABLES}
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

    def _table(self, name: str, *, required: bool) -> pa.Table:
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
            missing = [column for column in TABLES[name] if column not in schema.names]
            if missing and required:
                raise RunDirectoryError(f"{path} has no column {missing[0]!r}: it was not written by wirelab")
            return pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise RunDirectoryError(
                f"{path} cannot be read ({error}): copy the run directory again, or run the scenario again"
            ) from error

    def _frame(self, name: str) -> pd.DataFrame:
        frame = cast(pd.DataFrame, self._table(name, required=True).to_pandas())
        frame["trial"] = frame["trial"].astype(str)
        return frame


def check_of(record: dict[str, Any], checks: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The check of the link that a trial ran across; None where it has none."""
    fields = Link.of(SimpleNamespace(**record))._asdict().items()
    return next((check for check in checks if fields <= check.items()), None)


def load(directory: str | os.PathLike[str]) -> Run:
    """Open a run directory. Raises `RunDirectoryError` where it is missing, newer than this code, or
    damaged."""
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
    run["trials"] = [{**ADDED, **trial} for trial in trials]
    return Run(path, run)


def _json_lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise RunDirectoryError(
                f"{path}, line {number}, is not JSON ({error}): mend or delete that line"
            ) from error
    return found


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
