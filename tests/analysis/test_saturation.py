"""Where a p99 budget breaks, and why: from trials made up to break it in each way, and from a whole run."""

import io
import itertools
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from synthetic_run import cell, change_run, write_run

import bench
from bench.analysis import saturation
from bench.rendering.terminal import table
from bench.scenario.parse import parse
from bench.scenario.scenario import Scenario
from bench.scenario.settings import DEFAULTS
from bench.trials import stepping

BUDGET_MS = 100.0
STEPS = (100, 200, 400, 800)


def settings(transport: str = "long-poll", subscribers: int = 100, **more: Any) -> dict[str, Any]:
    return {
        **DEFAULTS,
        "transport": transport,
        "subscribers": subscribers,
        "publish_rate": 2.0,
        **more,
    }


def trial(cell_id: str, p99_ms: float | None = 50.0, **more: Any) -> dict[str, Any]:
    """One of summary.json's trials: valid, steady and idle unless said."""
    figures = {
        "latency_ms_p99": p99_ms,
        "server_cpu_us_per_request": more.pop("cost_us", 100.0),
        "server_cpu_us_per_delivery": more.pop("delivery_us", 30.0),
        "server_core_busy_share": more.pop("busy", 0.2),
        "server_threads": 1001.0,
    }
    failed = more.pop("failed", ())
    gates = {name: {"passed": False} for name in failed}
    usual = {"cell": cell_id, "valid": True, "why": [], "steady": True, "gates": gates, "figures": figures}
    return {**usual, **more}


def found(*steps: list[dict[str, Any]] | int, budget_ms: float = BUDGET_MS, **same: Any) -> dict[str, Any]:
    """The one series of a run whose steps have these trials, or so many skipped ones."""
    cells, trials, skipped = [], [], []
    for subscribers, step in zip(STEPS, steps, strict=False):
        told = settings(subscribers=subscribers, **same)
        if isinstance(step, int):
            skipped += [{**told, "why": "two lower steps broke it"}] * step
            continue
        cells.append({**told, "id": f"at-{subscribers}", "valid_trials": len(step)})
        trials += [{**one, "cell": f"at-{subscribers}"} for one in step]
    summary = saturation.summarise(cells, trials, skipped, budget_ms)
    assert summary is not None
    assert summary["p99_budget_ms"] == budget_ms
    (series,) = summary["series"]
    return series


def test_without_a_budget_nothing_is_searched() -> None:
    """Other scenarios have no such answer."""
    assert saturation.summarise([], [], [], None) is None


def test_the_largest_step_within_and_the_first_beyond() -> None:
    """Most repeats decide: one that broke by bad luck does not, and what was skipped counts as broken."""
    good, bad = trial("", 50.0), trial("", 150.0)
    series = found([good] * 3, [good, good, bad], [good, bad, bad], [bad], publish_rate=2.0)
    assert (series["within"], series["beyond"]) == (200, 400)
    assert [step["kept"] for step in series["steps"]] == [3, 2, 1, 0]
    assert series["steps"][1]["deliveries_per_second"] == 400
    assert "up to 200 subscribers × 2/s, and breaks it at 400 subscribers × 2/s" in series["says"]
    series = found([good] * 3, [good] * 2, 3)
    assert (series["within"], series["beyond"]) == (200, 400)
    assert series["steps"][2] == {
        "cell": None, "subscribers": 400, "deliveries_per_second": 800.0, "p99_ms": None, "kept": 0,
        "repeats": 3, "skipped": 3, "outcome": "broke",
    }  # fmt: skip


def test_a_step_above_a_broken_one_is_no_answer() -> None:
    """Even if it looks well."""
    series = found([trial("")], [trial("", 150.0)], [trial("")])
    assert (series["within"], series["beyond"]) == (100, 200)


def test_series_that_never_or_always_break() -> None:
    """Both say that the answer lies elsewhere."""
    series = found([trial("")], [trial("")])
    assert (series["within"], series["beyond"], series["why"]) == (200, None, None)
    assert "what breaks it is larger" in series["says"]
    series = found([trial("", 150.0)], [trial("", 150.0)])
    assert (series["within"], series["beyond"]) == (None, 100)
    assert "at the smallest load" in series["says"]


def test_not_steady_breaks_a_budget_whatever_the_p99() -> None:
    """Latency wins nothing there; that it broke is the finding."""
    full = trial("", 20.0, steady=False, busy=0.99, failed=["server_core_busy_share"])
    series = found([trial("")] * 3, [full] * 3)
    assert (series["within"], series["why"]) == (100, "cores")
    assert "99% busy" in series["says"]


@pytest.mark.parametrize(
    ("broken", "same", "why", "says"),
    [
        ({"cost_us": 600.0}, {}, "fan-out", "takes 115 ms, with the server's core 20% busy"),
        ({"delivery_us": 600.0}, {"transport": "websocket"}, "fan-out", "120 ms"),
        ({"cost_us": 450.0}, {}, "fan-out", "takes 85 ms, with the server's core 20% busy"),
        ({"cost_us": 450.0, "busy": 0.8}, {}, "queue", "80% busy"),
        ({"busy": 0.8}, {}, "queue", "80% busy"),
        ({}, {"server_model": "gthread"}, "threads", "1,001 threads"),
        ({}, {}, "unknown", "nothing that was measured explains it"),
        ({"cost_us": 600.0}, {"transport": "no-theory"}, "unknown", "nothing that was measured explains it"),
        ({}, {"one_way_ms": 40.0}, "delay", "120 ms"),
        ({}, {"transport": "short-poll", "poll_interval_s": 0.2}, "interval", "0.2 s"),
        ({"steady": False, "failed": ["told_gap"]}, {}, "gaps", "told of gaps"),
        ({"valid": False, "why": ["the load generator used 90% of its core"]}, {}, "harness", "generator"),
        ({"valid": False, "why": ["it was lost"], "failed": ["delivered"]}, {}, "lost", "lost"),
        ({"valid": False, "why": ["it died"], "failed": ["server_alive"]}, {}, "died", "it died"),
    ],
)  # fmt: skip
def test_why_a_step_broke(broken: dict[str, Any], same: dict[str, Any], why: str, says: str) -> None:
    """Each cause by its own evidence, and in words."""
    series = found([trial("")] * 3, [trial("", 150.0, **broken)] * 3, **same)
    assert (series["beyond"], series["why"]) == (None if why == "harness" else 200, why)
    assert says in series["says"]


def test_a_step_is_drawn_from_its_valid_trials() -> None:
    """What the harness spoiled has no p99 of the server's."""
    spoiled = trial("", 150.0, valid=False, why=["the publisher was late"])
    series = found([trial("")] * 3, [spoiled, spoiled, trial("", 40.0)], [spoiled] * 3)
    assert [step["p99_ms"] for step in series["steps"]][1:] == [40.0, None]
    assert (series["within"], series["beyond"], series["why"]) == (100, None, "harness")


@pytest.mark.parametrize(
    ("broken", "excused"),
    [
        ({}, True),
        ({"steady": False, "failed": ["server_core_busy_share"]}, True),
        ({"valid": False, "why": ["the publisher was late"]}, False),
        ({"valid": False, "why": ["it died"], "failed": ["server_alive"]}, False),
    ],
)
def test_a_gate_that_failed_is_no_load_that_broke(broken: dict[str, Any], excused: bool) -> None:
    """Where the harness, and not the load, was at its end, the run is not valid and says nothing of the
    server."""
    cells = [{**settings(), "id": "at-100", "valid_trials": 0}]
    trials = [{**trial("at-100", 150.0, **broken)}] * 3
    summary = saturation.summarise(cells, trials, [], BUDGET_MS)
    assert saturation.excuses(summary, cells[0], 3) is excused
    search = stepping.Search(BUDGET_MS)
    same = [one.settings for one in planned().plan() if one.settings.transport == "websocket"][:3]
    for one in same[:2]:
        search.note(1, one, False, True, 150.0)
    assert search.why_skip(1, same[2]) is None


def planned(toml_subscribers: str = "[400, 100, 200, 800]") -> Scenario:
    return parse(
        'name = "s"\nquestion = "q"\nprediction = "p"\nexpected_length = "l"\nrepeats = 2\n'
        "minimum_valid_trials = 2\np99_budget_ms = 100\n"
        '[[cells]]\ntransport = ["long-poll", "websocket"]\npublish_rate = [1, 2]\n'
        f"subscribers = {toml_subscribers}"
    )


def test_steps_rise_within_a_repeat_and_series_are_shuffled() -> None:
    """So that the higher ones can be skipped, and no series has the machine's quiet hour to itself."""
    plan = planned().plan()
    series = [(trial.repeat, trial.settings.transport, trial.settings.publish_rate) for trial in plan]
    for one in set(series):
        steps = [trial.settings.subscribers for trial, own in zip(plan, series, strict=True) if own == one]
        assert steps == [100, 200, 400, 800]
    assert len({transport for _, transport, _ in series[:8]}) == 2
    assert sum(a != b for a, b in itertools.pairwise(series)) > 10


def test_two_broken_steps_in_a_row_end_a_series_in_a_repeat() -> None:
    """Not one, not two with a good one between, and not those of another repeat or series."""
    plan = [trial.settings for trial in planned().plan()[:16]]
    same = [one for one in plan if (one.transport, one.publish_rate) == ("long-poll", 1)]
    other = next(one for one in plan if one.transport == "websocket")
    steps = {one.subscribers: one for one in same}
    search = stepping.Search(100.0)

    def note(subscribers: int, p99_ms: float) -> None:
        search.note(1, steps[subscribers], True, True, p99_ms)

    note(100, 150.0)
    assert search.why_skip(1, steps[200]) is None
    note(200, 50.0)
    note(400, 150.0)
    assert search.why_skip(1, steps[800]) is None
    note(100, 150.0)
    why = search.why_skip(1, steps[800])
    assert why == "400 and 100 subscribers broke the p99 budget of 100 ms already"
    assert search.why_skip(2, steps[800]) is None
    assert search.why_skip(1, other) is None


def test_without_a_budget_nothing_is_skipped() -> None:
    """However late it was."""
    search = stepping.Search(None)
    settings = planned().plan()[0].settings
    for _ in range(3):
        search.note(1, settings, False, False, None)
    assert search.why_skip(1, settings) is None


def test_a_run_that_skipped_is_valid_and_says_so(tmp_path: Path) -> None:
    """Of 10, 20 and 40 long polls at 320 µs, the last breaks 5 ms: it was run once of three times."""
    cells = [cell("long-poll", subscribers=subscribers) for subscribers in (10, 20, 40)]
    run = write_run(tmp_path / "run", cells, name="search", minimum_valid_trials=3)

    def search(record: dict[str, Any]) -> None:
        record["scenario"]["p99_budget_ms"] = 5.0
        skipped = [one for one in record["trials"] if one["subscribers"] == 40 and one["repeat"] > 1]
        record["trials"] = [one for one in record["trials"] if one not in skipped]
        record["skipped"] = [{**cells[2], "why": "10 and 20 broke it"}] * 2

    change_run(run, search)
    summary = bench.load(run).analyse()
    (series,) = summary.saturation.series
    assert (series.within, series.beyond, series.why) == (20, 40, "fan-out")
    assert [step.skipped for step in series.steps] == [0, 0, 2]
    assert [step.outcome for step in series.steps] == ["kept", "kept", "broke"]
    assert series.skipped == 2
    assert [one.valid for one in summary.cells] == [True, True, False]
    assert summary.valid
    console = Console(file=io.StringIO(), width=80, highlight=False)
    table.print_summary(bench.load(run).run, summary, console)
    told = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    assert f"{series.says} 2 trials of larger loads were skipped." in told
    change_run(run, lambda record: record["scenario"].update(p99_budget_ms=None))
    assert not bench.load(run).analyse().valid
