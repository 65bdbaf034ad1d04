"""Loads that follow the machine: what is multiplied, by what, and what is told of it."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from bench.commands.bench import perform
from bench.rundir import writer
from bench.rundir.collected import Collected
from bench.scenario.parse import parse
from bench.scenario.scenario import Planned, Scenario
from bench.scenario.settings import Settings
from bench.trials import calibration, trial
from bench.trials.processes import machine

SCENARIO = """
name = "fitted"
question = "what?"
prediction = "that"
expected_length = "seconds"
repeats = 1
minimum_valid_trials = 1

[defaults]
schedule = "constant"
window_s = 0.6
settle_s = 0.1

[[cells]]
transport = "long-poll"
subscribers = 20
publish_rate = [4, 8, 16]
core_busy_share = 0.8

[[cells]]
transport = "none"
subscribers = 0
publish_rate = 0
"""


class Machine:
    """In place of real trials: `busy_at(publish_rate)` is how busy each keeps the core, on a machine whose
    speed is another in each attempt where `speeds` are given."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, busy_at: Any, speeds: tuple[float, ...] = (1.0,)
    ) -> None:
        self.tried: list[Settings] = []
        self._busy_at = busy_at
        self._speeds = itertools.cycle(speeds)
        monkeypatch.setattr(calibration, "_shares", self._shares)

    def _shares(
        self, settings: Settings, seed: int, directory: writer.RunDirectory
    ) -> tuple[float | None, float | None]:
        self.tried.append(settings)
        return float(self._busy_at(settings.publish_rate)) / next(self._speeds), None


def calibrate(tmp_path: Path) -> tuple[Scenario, dict[str, Any]]:
    planned = parse(SCENARIO)
    directory = writer.RunDirectory(tmp_path / "run", planned, "wirelab bench fitted", machine.facts())
    found = calibration.calibrate(planned, directory, lambda stage: None)
    (told,) = json.loads((directory.path / "run.json").read_text())["calibrations"]
    return found, told


def rates(of: Scenario) -> list[float]:
    return [cell.publish_rate for cell in of.cells if cell.transport]


def test_loads_in_proportion_are_multiplied_by_what_the_machine_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The smallest is tried, then the largest where that led; run.json and the terminal tell it."""
    tried = Machine(monkeypatch, {4.0: 0.16, 20.0: 0.72, 22.2: 0.8}.__getitem__).tried
    found, told = calibrate(tmp_path)
    assert [settings.publish_rate for settings in tried] == [4, 20, 22.2, 22.2]
    times = (0.2 / 0.16) * (0.8 / 0.72)
    assert told["times"] == pytest.approx(times)
    assert rates(found) == pytest.approx([4 * times, 8 * times, 16 * times], rel=0.01)
    assert told["loads"] == rates(found)
    assert told["found"] == pytest.approx([0.16, 0.72, 0.8, 0.8])
    assert (told["load"], told["asked"], told["core_busy_share"]) == ("publish_rate", [4, 8, 16], 0.8)
    assert "× 1.39" in capsys.readouterr().err
    assert len(found.cells) == 4
    assert found.calibrated == ()
    assert [planned.id for planned in found.plan() if "none" in planned.id] == ["r1-none-gevent-0x0"]


@pytest.mark.parametrize("fast", range(calibration.ROUNDS))
def test_a_machine_that_is_fast_for_a_moment_does_not_decide(
    fast: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever attempt falls into it: 5 a second is what the rest of them ask for."""
    speeds = [1.0] * calibration.ROUNDS
    speeds[fast] = 2.0
    Machine(monkeypatch, lambda rate: 0.04 * rate, tuple(speeds))
    found, _ = calibrate(tmp_path)
    assert rates(found) == [5, 10, 20]


def test_all_groups_are_tried_in_each_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the attempts of one lie apart in time."""
    group = SCENARIO[SCENARIO.index("[[cells]]") : SCENARIO.rindex("[[cells]]")]
    planned = parse(SCENARIO + group.replace("long-poll", "websocket"))
    tried = Machine(monkeypatch, lambda rate: 0.04 * rate).tried
    calibration.calibrate(
        planned, writer.RunDirectory(tmp_path / "run", planned, "", machine.facts()), lambda stage: None
    )
    assert [settings.transport for settings in tried] == ["long-poll", "websocket"] * calibration.ROUNDS


@pytest.mark.parametrize(("busy", "times"), [(0.9, 0.25), (0.001, 2.5)])
def test_the_number_stays_within_its_limits(
    busy: float, times: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However fast or slow the machine is."""
    Machine(monkeypatch, lambda rate: busy)
    found, told = calibrate(tmp_path)
    assert told["times"] == times
    assert rates(found) == [4 * times, 8 * times, 16 * times]


def test_an_attempt_that_does_not_end_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loads stay those of the file, and run.json says that nothing was found."""
    settings = parse(SCENARIO).cells[0]
    died = Collected(Planned("calibration", 1, 0, settings), exit="the server died")
    monkeypatch.setattr(trial, "run", lambda *_, **__: died)
    found, told = calibrate(tmp_path)
    assert (told["times"], told["found"]) == (1.0, [None] * calibration.ROUNDS)
    assert rates(found) == [4, 8, 16]


def test_a_run_whose_loads_follow_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For real: what was multiplied is what was measured, and the trials that found it are not kept."""
    monkeypatch.setattr(calibration, "ROUNDS", 2)
    path, interrupted = perform(parse(SCENARIO), tmp_path / "out", "wirelab bench fitted", quiet=True)
    told = json.loads((path / "run.json").read_text())
    assert not interrupted
    (calibrated,) = told["calibrations"]
    assert all(0 < share < 1 for share in calibrated["found"])
    measured = {one["publish_rate"] for one in told["trials"] if one["transport"]}
    assert measured == set(calibrated["loads"])
    assert len(told["trials"]) == 4


@pytest.mark.parametrize(
    ("server_share", "generator_share", "rate", "bound_by"),
    [(0.04, 0.01, 20, "server"), (0.04, 0.05, 10, "generator"), (0.04, None, 20, "server")],
)
def test_the_load_stops_where_the_first_of_two_cores_is_busy_enough(
    server_share: float,
    generator_share: float | None,
    rate: float,
    bound_by: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """0.8 of the server's or half of the load generator's; one load is a list too."""

    def shares(settings: Settings, *_: object) -> tuple[float, float | None]:
        asked = settings.publish_rate
        return server_share * asked, None if generator_share is None else generator_share * asked

    monkeypatch.setattr(calibration, "_shares", shares)
    text = SCENARIO.replace("[4, 8, 16]", "[16]").replace("= 0.8", "= 0.8\ngenerator_cpu_share = 0.5")
    planned = parse(text)
    assert [group.generator_cpu_share for group in planned.calibrated] == [0.5]
    directory = writer.RunDirectory(tmp_path / "run", planned, "wirelab bench fitted", machine.facts())
    found = calibration.calibrate(planned, directory, lambda stage: None)
    (told,) = json.loads((directory.path / "run.json").read_text())["calibrations"]
    assert rates(found) == [rate]
    assert (told["bound_by"], told["generator_cpu_share"], told["loads"]) == (bound_by, 0.5, [rate])
