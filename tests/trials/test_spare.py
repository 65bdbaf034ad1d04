"""Spare repeats: which cells are tried again, and that a run which needed them says so."""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

from bench.analysis.store import analyse, load
from bench.commands.bench import perform
from bench.evidence import gates
from bench.rendering.report import report
from bench.rundir.trial import Trial
from bench.scenario.parse import parse
from bench.scenario.settings import Settings
from bench.trials.retries import cells_to_try_again

CELL = Settings(transport="websocket", subscribers=10, publish_rate=5.0)
OTHER = Settings(transport="long-poll", subscribers=10, publish_rate=5.0)
SCENARIO = """
name = "spoiled"
question = "what?"
prediction = "that"
expected_length = "seconds"
repeats = 1
minimum_valid_trials = 1
spare_repeats = {spare_repeats}

[[cells]]
transport = ["websocket", "none"]
subscribers = 5
publish_rate = 20
window_s = 0.6
settle_s = 0.1
"""


def record(*failed: str, cell: Settings = CELL, died: bool = False) -> dict[str, Any]:
    """A trial of run.json with these gates failed."""
    names = {"delivered", "relay_late_ms_p99", *failed}
    asked = {} if died else {name: {"passed": name not in failed} for name in names}
    asked["server_alive"] = {"passed": not died}
    invalid = died or any(gates.GATES[name].makes == "invalid" for name in failed)
    return {**asdict(cell), "valid": not invalid, "gates": asked}


@pytest.mark.parametrize(
    ("trials", "again"),
    [
        ([record(), record()], False),
        ([record(), record("relay_late_ms_p99")], True),
        ([record(), record("generator_cpu_share", "server_core_busy_share")], True),
        ([record(), record(), record("relay_late_ms_p99")], False),
        ([record(), record("server_core_busy_share")], False),
        ([record()], False),
        ([record(), record("delivered")], False),
        ([record("relay_late_ms_p99"), record("delivered")], False),
        ([record(), record("delivered", "relay_late_ms_p99")], False),
        ([record(), record(died=True)], False),
    ],
)
def test_only_what_the_laboratory_spoiled_is_tried_again(trials: list[dict[str, Any]], again: bool) -> None:
    """Where something may be the server's fault, or enough trials count, or some were skipped: not."""
    assert cells_to_try_again(trials, 2) == ((CELL,) if again else ())


def test_each_cell_is_asked_by_itself() -> None:
    """Another cell's trials neither help nor hinder."""
    trials = [record("clock_moved_ms"), record(cell=OTHER), record(), record("delivered", cell=OTHER)]
    assert cells_to_try_again(trials, 2) == (CELL,)


def test_what_the_laboratory_spoils() -> None:
    """These gates and no others: whoever adds a gate decides here too whether its trials are replaced."""
    spoiled = {name for name, gate in gates.GATES.items() if gate.spoiled_by == "laboratory"}
    assert spoiled == {
        "window_off_s",
        "publisher_late_ms_p99",
        "generator_cpu_share",
        "generator_starved_share",
        "generator_delay_ms_p50",
        "clock_moved_ms",
        "relay_late_ms_p99",
        "relay_dropped",
        "stalled_ms",
        "stalled_together_ms",
        "server_core_foreign_share",
    }
    unsteady = {name for name, gate in gates.GATES.items() if gate.makes == "not steady"}
    assert unsteady == {"told_gap", "server_core_busy_share"}


@pytest.mark.parametrize(
    ("spare_repeats", "ids"),
    [
        (2, ["r1-websocket-gevent-5x20", "r1-none-gevent-0x20", "r2-websocket-gevent-5x20"]),
        (0, ["r1-websocket-gevent-5x20", "r1-none-gevent-0x20"]),
    ],
)
def test_a_spoiled_trial_is_replaced_and_kept(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spare_repeats: int,
    ids: list[str],
) -> None:
    """With spare repeats the run is valid, and without them it is not; both tell what was spoiled.

    The trials are real. The gates are not: what else this machine does must not decide which trial counts."""

    def check(of: Trial) -> gates.Outcome:
        late = of.id == ids[0]
        asked = {"publisher_late_ms_p99": {"value": 9.0 * late, "limit": 5.0, "passed": not late}}
        return gates.Outcome(asked, why=["the publisher was late"] if late else [])

    monkeypatch.setattr(gates, "check", check)
    scenario = parse(SCENARIO.format(spare_repeats=spare_repeats))
    assert [planned.id for planned in scenario.plan()] == ids[:2]
    path, _ = perform(scenario, tmp_path / "run", "wirelab bench spoiled.toml", quiet=True)
    trials = json.loads((path / "run.json").read_text())["trials"]
    assert [one["id"] for one in trials] == ids
    assert [one["order"] for one in trials] == list(range(1, len(ids) + 1))
    assert [one["valid"] for one in trials] == [False, *[True] * (len(ids) - 1)]
    summary = analyse(path)
    assert summary.valid is bool(spare_repeats)
    (cell,) = (cell for cell in summary.cells if cell.transport)
    assert (cell.trials, cell.valid_trials) == ((2, 1) if spare_repeats else (1, 0))
    told = capsys.readouterr().err
    assert ("spare repeat: 1 of 2 cells" in told) is bool(spare_repeats)
    page = report.render(load(path).run, summary, [])
    assert ("(used for 1)" in page) is bool(spare_repeats)
    assert "the publisher was late" in page
