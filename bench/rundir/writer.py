"""The run directory, written here and by nobody else: the only contract between measuring and analysis.

    run.json             scenario, machine, versions; each trial's settings, window, gates and validity
    deliveries.parquet   every delivery, from join to drain
    requests.parquet     every HTTP request and its answer (for a WebSocket: its handshake)
    published.parquet    every notification that the publisher wrote
    subscribers.parquet  one row a subscriber
    resources.jsonl      one object a sample
    errors.jsonl         one object an error

Rules:
- A directory that holds anything is refused: results are never mixed or overwritten.
- run.json is replaced as a whole after each trial, so at any time it is valid and names the finished ones.
- A trial's columns are written as a piece when it ends; the pieces become the four files at the end, also
  after an interruption. Only a harness that was killed leaves pieces behind.
- Times are integer microseconds of Unix time. What was not measured is null, never 0.

Schema versions: 1, the first. 2: links (`links`, and their fields in each trial), and what each subscriber
put on the wire from its first connection until everything had been drained (`total_…`).
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bench.cli import UsageError
from bench.evidence import gates
from bench.rundir.reader import Trial, check_of
from bench.scenario.scenario import Planned, Scenario
from bench.trials.processes import machine, resources
from bench.trials.publisher import NEVER
from bench.trials.trial import Collected

SCHEMA = 2

_INTEGERS = {
    "deliveries": ("id", "due_us", "accepted_us", "received_us", "handled_us"),
    "requests": ("sent_us", "received_us", "handled_us", "notifications", "status"),
    "published": ("id", "due_us", "written_us", "answered_us"),
    "subscribers": (
        "joined_us",
        "joined_id",
        "final_id",
        "missed",
        "duplicates",
        "reordered",
        "lost",
        "epoch_changes",
        "reconnects",
        "requests",
        "empty_responses",
        "skipped_ticks",
        "window_bytes_sent",
        "window_bytes_received",
        "window_segments_sent",
        "window_segments_received",
        "total_bytes_sent",
        "total_bytes_received",
        "total_segments_sent",
        "total_segments_received",
    ),
}
_TRIAL = pa.field("trial", pa.dictionary(pa.int32(), pa.string()))
_SUBSCRIBER = pa.field("subscriber", pa.int32())
SCHEMAS = {
    name: pa.schema(
        [
            _TRIAL,
            *([_SUBSCRIBER] if name != "published" else []),
            *(pa.field(key, pa.int64()) for key in keys),
        ]
    )
    for name, keys in _INTEGERS.items()
}
"""The columns of each Parquet file."""


def require_run(directory: Path) -> None:
    """Raise UsageError unless the directory holds a run."""
    if not (directory / "run.json").is_file():
        raise UsageError(f"{directory} holds no run.json: give a directory that `wirelab bench` wrote")


def default_directory(scenario: Scenario) -> Path:
    """Where a run goes unless told: runs/<scenario>-<UTC time>."""
    return Path("runs") / f"{scenario.name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}"


class RunDirectory:
    """A run while it is being written."""

    def __init__(self, path: Path, scenario: Scenario, command: str) -> None:
        """Make the directory. Raises UsageError where it holds something or cannot be written."""
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
        commit, dirty = machine.commit()
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
            "machine": machine.describe(),
            "versions": machine.versions(),
            "commit": commit,
            "dirty": dirty,
            "pinning": machine.pinning(),
            "precedence": machine.precedence(),
            "links": [],
            "links_unavailable": None,
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

    def add_probe(self, name: str, found: dict[str, Any] | None) -> None:
        """Keep the raw evidence of one probe; None where it could not be had."""
        self.record["probes"][name] = found
        self._save()

    def add_link(self, check: dict[str, Any]) -> None:
        """Keep what the check of a link found."""
        self.record["links"].append(check)
        self._save()

    def without_links(self, why: str) -> None:
        """Keep why everything ran on loopback."""
        self.record["links_unavailable"] = why
        self._save()

    def add_calibration(self, found: dict[str, Any]) -> None:
        """Keep by what the loads of a group were multiplied (`bench/trials/calibration.py`)."""
        self.record["calibrations"].append(found)
        self._save()

    def add(self, collected: Collected) -> Trial:
        """Keep one trial, judge it by its gates, and return it as the analysis will read it."""
        tables = tables_of(collected)
        trial = as_trial(collected, tables, self.record["pinning"], self.record["links"])
        self._note_measured(trial, collected)
        trial.measured = self.record["measured"]
        outcome = gates.check(trial)
        trial.record |= {
            "valid": outcome.valid,
            "why": outcome.why,
            "steady": outcome.steady,
            "not_steady_why": outcome.not_steady_why,
            "gates": outcome.gates,
        }
        for name, table in tables.items():
            pq.write_table(table, self._pieces / f"{collected.planned.order:05}.{name}.parquet")
        self._append("resources", collected.samples)
        self._append("errors", ({"trial": trial.id, **error} for error in collected.errors))
        self.record["trials"].append(trial.record)
        self._save()
        return trial

    def skip(self, planned: Planned, why: str) -> None:
        """Keep that a trial was not worth running, and why."""
        place = {"id": planned.id, "repeat": planned.repeat, "order": planned.order}
        self.record["skipped"].append({**place, **asdict(planned.settings), "why": why})
        self._save()

    def finish(self, *, interrupted: bool) -> None:
        """Make the four Parquet files of the pieces."""
        for name, schema in SCHEMAS.items():
            with pq.ParquetWriter(self.path / f"{name}.parquet", schema, compression="zstd") as writer:
                for piece in sorted(self._pieces.glob(f"*.{name}.parquet")):
                    writer.write_table(pq.read_table(piece, schema=schema))
        shutil.rmtree(self._pieces)
        self.record["interrupted"] = interrupted
        self.record["finished_us"] = time.time_ns() // 1000
        self._save()

    def _note_measured(self, trial: Trial, collected: Collected) -> None:
        """Which clocks and counters this system gave; the worst of all trials counts."""
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
        if resources.LINUX and "empty" in edges:
            measured["memory"] = "pss" if edges["empty"]["server"].get("pss_kb") is not None else None

    def _append(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        with (self.path / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

    def _save(self) -> None:
        """Replace run.json as a whole: a reader sees the old one or the new one."""
        text = json.dumps(self.record, indent=1, ensure_ascii=False)
        beside = self.path / "run.json.new"
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(self.path / "run.json")


def tables_of(collected: Collected) -> dict[str, pa.Table]:
    """A trial's four tables, in the columns of SCHEMAS."""
    trial = collected.planned.id
    subscribers = collected.subscribers
    columns: dict[str, dict[str, Any]] = {
        "deliveries": _columns(("subscriber", *_INTEGERS["deliveries"]), collected.deliveries),
        "requests": _columns(("subscriber", *_INTEGERS["requests"]), collected.requests),
        "published": _columns(_INTEGERS["published"], collected.published),
        "subscribers": {
            key: [row.get(key) for row in subscribers] for key in ("subscriber", *_INTEGERS["subscribers"])
        },
    }
    found = {}
    for name, schema in SCHEMAS.items():
        rows = len(next(iter(columns[name].values())))
        named = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([trial]))
        arrays = [named, *(pa.array(columns[name][field.name], field.type) for field in list(schema)[1:])]
        found[name] = pa.Table.from_arrays(arrays, schema=schema)
    return found


def as_trial(
    collected: Collected,
    tables: dict[str, pa.Table],
    pinning: dict[str, list[int]] | None,
    links: list[dict[str, Any]],
) -> Trial:
    """The trial as `bench.rundir.reader` gives it from a finished run."""
    parts = {
        name: {key: table.column(key).to_numpy() for key in table.column_names if key != "trial"}
        for name, table in tables.items()
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
    """What run.json says of a trial, before its gates."""
    planned = collected.planned
    start_us, end_us = collected.window_us or (None, None)
    return {
        "id": planned.id,
        "repeat": planned.repeat,
        "order": planned.order,
        **asdict(planned.settings),
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
