"""Writes a run directory, in the form of `bench/rundir/schema.py`. Nobody else does.

Rules:
- A directory that holds anything is refused: results are never mixed or overwritten.
- run.json is replaced as a whole after each trial, so that it is valid at any time and names the finished
  trials.
- What a trial left is written in pieces when it ends (`bench/rundir/pieces.py`). They are joined to the run's
  files at the end, also after an interruption; if nothing could run any more, `finish_later` does it.
- A directory that is moved while its run is written is followed. One that cannot be written any more is told
  (RunDirectoryError), and what is in it stays as it is.
- Whoever writes a run holds a lock on its directory until it ends, however it ends.
- Raw files of the trial under way lie in a temporary directory, not here.
- It judges nothing: what gates say of a trial is handed to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from msgspec.structs import asdict

from bench.errors import RunDirectoryError, UsageError
from bench.rundir import pieces
from bench.rundir.collected import Collected
from bench.rundir.folder import Folder, is_written
from bench.rundir.schema import SCHEMA
from bench.rundir.tables import tables_of
from bench.rundir.trial import Trial, check_of
from bench.rundir.whole import write_bytes
from bench.scenario.scenario import Planned, Scenario
from bench.systems.registry import SYSTEMS
from bench.words import printable

if TYPE_CHECKING:
    from bench.rundir.reader import RunFiles


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
            (path / pieces.FOLDER).mkdir()
        except (FileExistsError, NotADirectoryError):
            raise UsageError(f"{path} is a file: give --out a directory") from None
        except OSError as error:
            raise UsageError(
                f"{path} cannot be written: {error.strerror}; choose another with --out"
            ) from None
        self._folder = Folder(path)
        self.record: dict[str, Any] = {
            "schema": SCHEMA,
            "id": printable(path.resolve().name),
            "command": printable(command),
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
            "planned": None,
            "trials": [],
            "skipped": [],
            "probes": {},
        }
        self._scratch: Path | None = None
        self._save()

    @property
    def path(self) -> Path:
        """Where the run is, also after it has been moved."""
        return self._folder.path

    def scratch(self) -> Path:
        """An empty directory for the raw files of one trial. Raises RunDirectoryError."""
        if self._scratch is None:
            try:
                self._scratch = Path(tempfile.mkdtemp(prefix="wirelab-"))
            except OSError as error:
                raise RunDirectoryError(
                    f"there is no place for a trial's files: {error.strerror}; name a directory that can be "
                    "written in TMPDIR"
                ) from None
            weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        path = self._scratch / "trial"
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        return path

    def plan(self, trials: int) -> None:
        """Keep how many trials there are to be."""
        self.record["planned"] = trials
        self._save()

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
        rows = {
            "resources": collected.samples,
            "errors": [{"trial": trial.id, **error} for error in collected.errors],
        }
        lines = {name: b"".join(_json(row) + b"\n" for row in theirs) for name, theirs in rows.items()}
        with self._writing():
            pieces.write(self.path, collected.planned.order, tables_of(collected), lines)
        self.record["trials"].append(trial.record)
        try:
            self._save()
        except BaseException:
            # On disk the run does not have it, so here neither.
            self.record["trials"].pop()
            raise

    def skip(self, planned: Planned, why: str) -> None:
        """Keep why a trial was not run."""
        place = {"id": planned.id, "repeat": planned.repeat, "order": planned.order}
        self.record["skipped"].append({**place, **asdict(planned.settings), "why": why})
        self._save()

    def finish(self, *, interrupted: bool) -> None:
        """Join the pieces of all trials, and let go of the directory. Raises RunDirectoryError if it cannot
        be written; then the run can be read from its pieces."""
        try:
            with self._writing():
                pieces.join(self.path, self.record["trials"])
            self.record["interrupted"] = interrupted
            self.record["finished_us"] = time.time_ns() // 1000
            self._save()
            shutil.rmtree(self.path / pieces.FOLDER, ignore_errors=True)
        finally:
            self._folder.close()

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

    def _save(self) -> None:
        """Replace run.json as a whole, so that a reader sees either the old one or the new one."""
        with self._writing():
            write_bytes(self.path / "run.json", _json(self.record, indent=1) + b"\n")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Tell in a sentence that the directory cannot be written."""
        try:
            yield
        except (OSError, pa.ArrowException, pieces.MissingPiece) as error:
            number = getattr(error, "errno", None)
            why = os.strerror(number) if number else error
            raise RunDirectoryError(
                f"{self.path} can no longer be written ({why}): the run ends here; what "
                "it has can be read, and `wirelab report` puts it together once it can be written again"
            ) from error


def finish_later(run: RunFiles) -> None:
    """Join the pieces of a run whose harness could not, if all are whole, nobody writes the run and it can be
    written; else it stays as it is, and is read from its pieces."""
    directory, path = run.directory, run.directory / "run.json"
    if not run.in_pieces or is_written(directory):
        return
    with contextlib.suppress(OSError, ValueError, pa.ArrowException, pieces.MissingPiece):
        folder = Folder(directory)
        try:
            record, last_us = json.loads(path.read_text(encoding="utf-8")), path.stat().st_mtime_ns // 1000
            pieces.join(directory, record["trials"])
            write_bytes(path, _json(record | {"interrupted": True, "finished_us": last_us}, indent=1) + b"\n")
            shutil.rmtree(directory / pieces.FOLDER, ignore_errors=True)
        finally:
            folder.close()


def _json(value: Any, indent: int | None = None) -> bytes:
    """As JSON in UTF-8; what is no Unicode is written as JSON's escape."""
    return json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "backslashreplace")


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
        "stalls_ms": collected.stalls_ms,
        "exit": collected.exit,
    }
