"""Writes a run directory, in the form of `bench/rundir/schema.py`. Nobody else does.

Rules:
- A directory that holds anything is refused: results are never mixed or overwritten.
- run.json is replaced as a whole after each trial, so that it is valid at any time and names the finished
  trials.
- A trial's columns are written as a piece when it ends. The pieces are joined to the four files at the end,
  also after an interruption. Only a harness that was killed leaves pieces behind.
- It judges nothing: what gates say of a trial is handed to it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec.structs import asdict

from bench.errors import UsageError
from bench.rundir.collected import Collected
from bench.rundir.schema import INTEGERS, NEVER, RAW, SCHEMA, SCHEMAS
from bench.rundir.trial import Trial, check_of
from bench.scenario.scenario import Planned, Scenario
from bench.systems.registry import SYSTEMS


def default_directory(scenario: Scenario) -> Path:
    """Where a run goes unless the user names a directory: runs/<scenario>-<UTC time>."""
    return Path("runs") / f"{scenario.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"


class RunDirectory:
    """A run while it is being written."""

    def __init__(self, path: Path, scenario: Scenario, command: str, facts: dict[str, Any]) -> None:
        """Make the directory; `facts` are machine, versions, commit and pinning, as run.json keeps them.
        Raises UsageError if it holds anything or cannot be written."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                raise UsageError(
                    f"{path} is not empty: give --out a new directory, results are never overwritten"
                )
            (path / "pieces").mkdir()
        except (FileExistsError, NotADirectoryError):
            raise UsageError(f"{path} is a file: give --out a directory") from None
        except OSError as error:
            raise UsageError(
                f"{path} cannot be written: {error.strerror}; choose another with --out"
            ) from None
        self.path = path
        self._pieces = path / "pieces"
        self.record: dict[str, Any] = {
            "schema": SCHEMA,
            "id": path.resolve().name,
            "command": command,
            "started_us": time.time_ns() // 1000,
            "finished_us": None,
            "interrupted": False,
            "scenario": {
                "name": scenario.name,
                "question": scenario.question,
                "prediction": scenario.prediction,
                "expected_length": scenario.expected_length,
                "toml": scenario.toml,
                "seed": scenario.seed,
                "repeats": scenario.repeats,
                "minimum_valid_trials": scenario.minimum_valid_trials,
                "spare_repeats": scenario.spare_repeats,
                "probes": list(scenario.probes),
                "p99_budget_ms": scenario.p99_budget_ms,
            },
            **facts,
            "links": [],
            "links_unavailable": None,
            "systems_unavailable": {},
            "calibrations": [],
            "measured": {"arrival": None, "wire": None, "memory": None, "socket_memory": None, "cpu": None},
            "trials": [],
            "skipped": [],
            "probes": {},
        }
        for name in ("resources", "errors"):
            (path / f"{name}.jsonl").touch()
        self._save()

    def scratch(self) -> Path:
        """An empty directory for the raw files of one trial."""
        path = self._pieces / "scratch"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def add_probe(self, name: str, evidence: dict[str, Any] | None) -> None:
        """Keep the raw evidence of one probe; None if it could not be had."""
        self.record["probes"][name] = evidence
        self._save()

    def add_link(self, check: dict[str, Any]) -> None:
        """Keep what the check of a link measured."""
        self.record["links"].append(check)
        self._save()

    def without_links(self, why: str) -> None:
        """Keep why everything ran on loopback."""
        self.record["links_unavailable"] = why
        self._save()

    def without_system(self, name: str, why: str) -> None:
        """Keep why the cells of a system were left out."""
        self.record["systems_unavailable"][name] = why
        self._save()

    def add_calibration(self, calibration: dict[str, Any]) -> None:
        """Keep the number by which the loads of a group were multiplied (`bench/trials/calibration.py`)."""
        self.record["calibrations"].append(calibration)
        self._save()

    def as_trial(self, collected: Collected) -> Trial:
        """One trial as the analysis will read it, with the clocks and counters that are known by now."""
        trial = as_trial(collected, self.record["pinning"], self.record["links"])
        self._note_measured(trial, collected)
        trial.measured = self.record["measured"]
        return trial

    def add(self, trial: Trial, collected: Collected, judged: dict[str, Any]) -> None:
        """Keep one trial. `judged` is what its gates say: `valid`, `why`, `steady`, `not_steady_why`,
        `gates`."""
        trial.record |= judged
        for name, table in tables_of(collected).items():
            pq.write_table(table, self._pieces / f"{collected.planned.order:05}.{name}.parquet")
        self._append("resources", collected.samples)
        self._append("errors", ({"trial": trial.id, **error} for error in collected.errors))
        self.record["trials"].append(trial.record)
        self._save()

    def skip(self, planned: Planned, why: str) -> None:
        """Keep why a trial was not run."""
        place = {"id": planned.id, "repeat": planned.repeat, "order": planned.order}
        self.record["skipped"].append({**place, **asdict(planned.settings), "why": why})
        self._save()

    def finish(self, *, interrupted: bool) -> None:
        """Join the pieces of all trials to the four Parquet files."""
        for name, schema in SCHEMAS.items():
            with pq.ParquetWriter(self.path / f"{name}.parquet", schema, compression="zstd") as writer:
                for piece in sorted(self._pieces.glob(f"*.{name}.parquet")):
                    writer.write_table(pq.read_table(piece, schema=schema))
        shutil.rmtree(self._pieces)
        self.record["interrupted"] = interrupted
        self.record["finished_us"] = time.time_ns() // 1000
        self._save()

    def _note_measured(self, trial: Trial, collected: Collected) -> None:
        """Note which clocks and counters this machine has; the worst of all trials counts."""
        measured = self.record["measured"]
        if collected.arrival and measured["arrival"] != "handling":
            measured["arrival"] = collected.arrival
        wire = trial.subscribers["window_bytes_sent"]
        if trial.window_us and len(wire):
            measured["wire"] = None if np.isnan(wire.astype(float)).any() else "tcp_info"
        edges = {sample["edge"]: sample for sample in collected.samples}
        last = edges.get("window_end")
        if last:
            measured["cpu"] = "process clocks" if last["server"]["cpu_us"] is not None else None
            measured["socket_memory"] = "sockstat" if last["socket_memory_kb"] is not None else None
        if "empty" in edges:
            measured["memory"] = "pss" if edges["empty"]["server"].get("pss_kb") is not None else None

    def _append(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        with (self.path / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def _save(self) -> None:
        """Replace run.json as a whole, so that a reader sees either the old one or the new one."""
        text = json.dumps(self.record, indent=1, ensure_ascii=False)
        beside = self.path / "run.json.new"
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(self.path / "run.json")


def tables_of(collected: Collected) -> dict[str, pa.Table]:
    """A trial's four tables, in the columns of SCHEMAS."""
    trial = collected.planned.id
    subscribers = collected.subscribers
    columns: dict[str, dict[str, Any]] = {
        **{name: _columns(names, getattr(collected, name)) for name, names in RAW.items()},
        "subscribers": {
            key: [row.get(key) for row in subscribers] for key in ("subscriber", *INTEGERS["subscribers"])
        },
    }
    tables = {}
    for name, schema in SCHEMAS.items():
        rows = len(next(iter(columns[name].values())))
        named = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([trial]))
        arrays = [named, *(pa.array(columns[name][field.name], field.type) for field in list(schema)[1:])]
        tables[name] = pa.Table.from_arrays(arrays, schema=schema)
    return tables


def as_trial(
    collected: Collected, pinning: dict[str, list[int]] | None, links: list[dict[str, Any]]
) -> Trial:
    """The trial as `bench.rundir.reader` gives it from a finished run."""
    parts = {
        name: {key: table.column(key).to_numpy() for key in table.column_names if key != "trial"}
        for name, table in tables_of(collected).items()
    }
    record = trial_record(collected)
    return Trial(
        record,
        **parts,
        resources=collected.samples,
        errors=collected.errors,
        pinning=pinning,
        link_check=check_of(record, links),
    )


def trial_record(collected: Collected) -> dict[str, Any]:
    """The entry of a trial in run.json, without what its gates say."""
    planned = collected.planned
    start_us, end_us = collected.window_us or (None, None)
    return {
        "id": planned.id,
        "repeat": planned.repeat,
        "order": planned.order,
        **asdict(planned.settings),
        "unreported": list(SYSTEMS[planned.settings.system].unreported),
        "window_start_us": start_us,
        "window_end_us": end_us,
        "exit": collected.exit,
    }


def _columns(names: tuple[str, ...], rows: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Name the columns of raw rows; what never came is null."""
    named: dict[str, Any] = {}
    for index, name in enumerate(names):
        values = rows[:, index]
        named[name] = (
            pa.array(values, pa.int64(), mask=values == NEVER) if (values == NEVER).any() else values
        )
    return named
