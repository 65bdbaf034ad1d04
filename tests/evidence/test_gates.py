"""All gates together: on a small trial that passes them all, and on copies of a real run that are damaged as
files are. The other files break each gate on purpose, one at a time."""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_trials import good_trial, lose_one
from synthetic_run import change, change_run

import bench
from bench.analysis import results, store
from bench.errors import RunDirectoryError
from bench.evidence import gates
from bench.rendering.report import report
from bench.rundir import reader

GOLDEN = Path(__file__).parents[1] / "golden" / "quick"


@pytest.mark.parametrize("transport", ["short-poll", "long-poll", "websocket", None])
def test_a_good_trial_passes(transport: str | None) -> None:
    """Valid, steady, and no gate failed."""
    outcome = gates.check(good_trial(transport))
    assert (outcome.valid, outcome.steady) == (True, True)
    assert not any(gate["passed"] is False for gate in outcome.gates.values())


def test_what_is_not_measured_fails_nobody() -> None:
    """Another system: no CPU clocks, no cores, no pinning."""
    trial = good_trial()
    trial.pinning, trial.measured = None, {"arrival": "handling", "cpu": None}
    trial.deliveries["received_us"] = trial.deliveries["handled_us"]
    for found in trial.resources:
        found |= {"generator": {"cpu_us": None, "waited_us": None}, "cores": None}
    outcome = gates.check(trial)
    assert outcome.valid
    assert outcome.gates["generator_cpu_share"] == {"value": None, "limit": 0.85, "passed": None}


def test_what_a_system_never_tells_fails_nobody() -> None:
    """Its record says so: when it accepted, what was missed. What did not come is still lost."""
    trial = good_trial()
    empty = np.full(len(trial.deliveries["id"]), np.nan)
    trial.deliveries["accepted_us"] = empty
    trial.subscribers["missed"] = np.full(len(trial.subscribers["missed"]), np.nan)
    outcome = gates.check(trial)
    assert outcome.gates["delivered"]["value"] == 4
    assert outcome.gates["times_out_of_order"]["value"] == len(empty)
    trial.record["unreported"] = ["accepted_us", "missed"]
    outcome = gates.check(trial)
    assert outcome.valid
    assert outcome.gates["told_gap"] == {"value": None, "limit": 0, "passed": None}
    assert results.conservation(trial) == {"expected": 80, "delivered": 80, "missed": 0, "holds": True}
    lose_one(trial)
    assert gates.check(trial).why == ["1 notifications were lost without a told gap"]


def test_the_analysis_asks_what_the_harness_asked() -> None:
    """Each gate of run.json comes out again as it was written, and in that order. Since the golden run the
    limit of one has become wider for held polls."""
    for trial in reader.read(GOLDEN).each_trial():
        again = gates.check(trial).as_record()
        asked = trial.record["gates"]
        if trial.record["transport"] == "long-poll":
            wider = again["gates"]["generator_delay_ms_p50"]["limit"]
            assert asked["generator_delay_ms_p50"]["limit"] <= wider
            asked["generator_delay_ms_p50"]["limit"] = wider
        assert list(asked) == [name for name in again["gates"] if name in asked]
        assert all(gate.items() <= again["gates"][name].items() for name, gate in asked.items())
        assert {name: trial.record[name] for name in again if name != "gates"} == {
            name: value for name, value in again.items() if name != "gates"
        }
    newer = json.loads((GOLDEN.parents[2] / "notebooks" / "reference" / "run.json").read_text())
    since = {"stalled_ms", "stalled_together_ms", "server_core_foreign_share"}
    assert list(newer["trials"][0]["gates"]) == [name for name in gates.GATES if name not in since]


# Copies of a real run, damaged as files are.

TRIAL = "r2-websocket-gevent-300x2-t1"


def edit_column(run: Path, table: str, name: str, edit: Callable[[Any], Any]) -> None:
    """Pass a column of one trial through `edit`."""

    def whole(frame: pd.DataFrame) -> pd.DataFrame:
        rows = frame["trial"] == TRIAL
        frame[name] = frame[name].astype("Float64").astype(object)
        frame.loc[rows, name] = edit(frame.loc[rows, name])
        frame[name] = frame[name].astype("Float64").astype("Int64")
        return frame

    change(run, table, edit=whole)


def edit_record(run: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change what run.json says of one trial."""
    change_run(run, lambda record: [edit(one) for one in record["trials"] if one["id"] == TRIAL])


def drop_samples(run: Path) -> None:
    path = run / "resources.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if json.loads(line)["trial"] != TRIAL))


def drop_a_request(run: Path) -> None:
    change(run, "requests", edit=lambda frame: frame.drop(frame[frame["trial"] == TRIAL].index[3]))


def publish_nothing_in_the_window(run: Path) -> None:
    """Nor was anything delivered."""
    record = next(one for one in json.loads((run / "run.json").read_text())["trials"] if one["id"] == TRIAL)
    for table in ("published", "deliveries"):
        change(
            run,
            table,
            edit=lambda frame: frame[
                (frame["trial"] != TRIAL) | (frame["due_us"] < record["window_start_us"])
            ],
        )


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda run: (run / "resources.jsonl").unlink(), "the resource samples at the window's start and"),
        (drop_samples, "the resource samples at the window's start and"),
        (lambda run: edit_column(run, "deliveries", "due_us", lambda due: due + 500), "another due time"),
        (
            lambda run: [
                edit_column(run, table, "due_us", lambda due: due + 5_000)
                for table in ("deliveries", "published")
            ],
            "were written before they were due",
        ),
        (lambda run: edit_column(run, "deliveries", "received_us", lambda at: at - 50_000), "accepted them"),
        (
            lambda run: edit_column(run, "deliveries", "received_us", lambda at: at + 900_000),
            "before they arrived",
        ),
        (drop_a_request, "the subscribers counted 300 requests, and 299 are kept"),
        (
            lambda run: edit_column(run, "subscribers", "missed", lambda missed: pd.NA),
            "do not tell what they missed",
        ),
        (lambda run: edit_record(run, lambda one: one.update(window_s=30.0)), "where 30 s were asked for"),
        (publish_nothing_in_the_window, "nothing was published in the window"),
        (lambda run: edit_record(run, lambda one: one.pop("exit")), "does not tell how it ended"),
        (
            lambda run: edit_record(run, lambda one: one.update(window_end_us=one["window_start_us"])),
            "the window does not end after its start",
        ),
    ],
)
def test_a_damaged_run_is_told_in_a_sentence(
    tmp_path: Path, damage: Callable[[Path], Any], told: str
) -> None:
    """The trial is invalid whatever run.json says of it, and the report can still be written."""
    run = Path(shutil.copytree(GOLDEN, tmp_path / "run"))
    damage(run)
    summary = store.analyse(run)
    trial = next(one for one in summary.trials if one.id == TRIAL)
    assert not trial.valid
    assert told in " ".join(trial.why)
    assert not summary.valid
    written = report.write(run, bench.load(run).run, summary, only=["latency"])
    assert told in html.unescape(written.read_text(encoding="utf-8"))


def test_a_killed_harness_is_told(tmp_path: Path) -> None:
    """It leaves run.json and pieces behind."""
    run = Path(shutil.copytree(GOLDEN, tmp_path / "run"))
    for file in run.glob("*.parquet"):
        file.unlink()
    (run / "pieces").mkdir()
    with pytest.raises(RunDirectoryError, match=r"was never finished: .* run the scenario again"):
        _ = bench.load(run).summary
