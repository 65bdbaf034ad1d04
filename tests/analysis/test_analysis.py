"""From a run directory to its summary: figures known beforehand, recomputed independently, and broken on
purpose."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from synthetic_run import COSTS, article, cell, change, change_run, linked, write_run

from bench.analysis import store
from bench.analysis.summary import CellSummary, Summary
from bench.evidence.metrics import METRICS

DECIDED_BY_QUICK = ("calls", "poll-latency", "held-open", "many-clients")


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("quick"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("article"), article(), name="article", repeats=5)


@pytest.fixture
def run(quick: Path, tmp_path: Path) -> Path:
    """A copy of the quick run that a test may break."""
    return Path(shutil.copytree(quick, tmp_path / "run"))


def cell_of(summary: Summary, transport: str | None, **settings: Any) -> CellSummary:
    """The one cell with these settings."""
    wanted = {"transport": transport, **settings}
    found = [one for one in summary.cells if all(getattr(one, key) == value for key, value in wanted.items())]
    assert len(found) == 1, [one.id for one in found]
    return found[0]


def verdicts(summary: Summary) -> dict[str, str]:
    """Verdict of each claim."""
    return {claim.id: claim.verdict for claim in summary.claims}


def test_the_summary_has_the_promised_form(quick: Path) -> None:
    """schema, valid, cells with settings, counts, gates and every metric, eleven claims."""
    summary = store.analyse(quick)
    assert json.loads(msgspec.json.encode(summary)) == json.loads((quick / "summary.json").read_text())
    assert summary.schema == 4
    assert summary.valid is True
    for one in summary.cells:
        assert set(METRICS) == set(one.metrics)
        assert {"transport", "server_model", "subscribers", "publish_rate", "payload_bytes"} <= set(
            one.__struct_fields__
        )
        assert (one.trials, one.valid_trials) == (3, 3)
        assert one.gates["delivered"].passed is True
        for figure in one.metrics.values():
            assert figure is None or figure.low <= figure.value <= figure.high
    assert len(summary.claims) == 11
    for claim in summary.claims:
        assert claim.verdict in ("holds", "fails", "depends", "inconclusive")
        assert claim.why


def test_latency_agrees_with_an_independent_computation_from_the_deliveries(quick: Path) -> None:
    """pandas alone: due in the window, by trial, percentile, median over trials."""
    summary = store.analyse(quick)
    run = json.loads((quick / "run.json").read_text())
    deliveries = pd.read_parquet(quick / "deliveries.parquet")
    for transport in ("short-poll", "long-poll", "websocket"):
        metrics = cell_of(summary, transport).metrics
        found: dict[str, list[float]] = {"mean": [], "p50": [], "p90": [], "p99": [], "spread": []}
        for trial in run["trials"]:
            if trial["transport"] != transport:
                continue
            rows = deliveries[
                (deliveries["trial"] == trial["id"])
                & (deliveries["due_us"] >= trial["window_start_us"])
                & (deliveries["due_us"] < trial["window_end_us"])
            ]
            late = (rows["received_us"] - rows["due_us"]) / 1000
            found["mean"].append(late.mean())
            for percent in (50, 90, 99):
                found[f"p{percent}"].append(late.quantile(percent / 100))
            arrivals = rows.groupby("id")["received_us"]
            found["spread"].append(((arrivals.max() - arrivals.min()) / 1000).median())
        for name in ("mean", "p50", "p90", "p99"):
            assert metrics[f"latency_ms_{name}"].value == pytest.approx(np.median(found[name]), rel=1e-9)
        assert metrics["fanout_spread_ms_p50"].value == pytest.approx(np.median(found["spread"]), rel=1e-9)


def test_costs_come_out_as_they_were_put_in(whole: Path) -> None:
    """CPU per delivery and request, idle cost beyond the empty server, memory: the generator's own inputs."""
    summary = store.analyse(whole)
    for model in ("gevent", "gthread"):
        for transport, costs in COSTS.items():
            busy_us, idle_us, memory_kb = costs[model]
            busy = cell_of(summary, transport, server_model=model, publish_rate=4.0).metrics
            metric = "server_cpu_us_per_" + ("delivery" if transport == "websocket" else "request")
            # What the empty server costs a second is part of a busy cell's bill.
            assert busy[metric].value == pytest.approx(busy_us, rel=0.25)
            assert busy[metric].value > busy_us * 0.95
            idle = cell_of(summary, transport, server_model=model, publish_rate=0.0, subscribers=400).metrics
            assert idle["server_cpu_us_per_idle_subscriber_second"].value == pytest.approx(idle_us, rel=0.1)
            assert idle["server_memory_kb_per_subscriber"].value == pytest.approx(memory_kb, rel=0.1)


def test_what_was_not_measured_is_null_and_never_0(whole: Path) -> None:
    """An idle cell has no latency; few subscribers have no memory; a WebSocket has no empty answers."""
    summary = store.analyse(whole)
    idle = cell_of(summary, "websocket", server_model="gevent", publish_rate=0.0, subscribers=400).metrics
    assert idle["latency_ms_p50"] is None
    assert idle["requests_per_delivery"] is None
    assert idle["server_cpu_us_per_delivery"] is None
    assert idle["deliveries"].value == 0
    busy = cell_of(summary, "websocket", server_model="gevent", publish_rate=4.0).metrics
    assert busy["server_memory_kb_per_subscriber"] is None
    assert busy["server_cpu_us_per_idle_subscriber_second"] is None
    assert busy["empty_response_share"] is None
    assert busy["server_cpu_us_per_request"] is None
    assert busy["requests_per_delivery"].value == 0
    empty = cell_of(summary, None, server_model="gevent").metrics
    assert empty["latency_ms_p50"] is None
    assert empty["deliveries"] is None


def test_a_system_without_the_counters_says_not_measured(run: Path) -> None:
    """No TCP_INFO, no CPU clock, no PSS: null, and the run goes on."""
    wire = ["window_bytes_sent", "window_bytes_received", "window_segments_sent", "window_segments_received"]
    change(run, "subscribers", edit=lambda frame: frame.assign(**dict.fromkeys(wire, pd.NA)).astype(
        dict.fromkeys(wire, "Int64")
    ))  # fmt: skip
    samples = [json.loads(line) for line in (run / "resources.jsonl").read_text().splitlines()]
    for sample in samples:
        sample["server"]["cpu_us"] = None
        del sample["generator"]
    (run / "resources.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    metrics = cell_of(store.analyse(run), "long-poll").metrics
    for name in (
        "wire_bytes_per_delivery",
        "wire_packets_per_delivery",
        "server_cpu_us_per_delivery",
        "server_cpu_us_per_request",
        "generator_cpu_share",
    ):
        assert metrics[name] is None
    assert metrics["latency_ms_p50"] is not None


def test_every_notification_is_accounted_for(quick: Path) -> None:
    """published × subscribers = delivered + told gaps, in each trial."""
    deliveries = pd.read_parquet(quick / "deliveries.parquet").groupby("trial").size()
    published = pd.read_parquet(quick / "published.parquet").groupby("trial").size()
    for trial in store.analyse(quick).trials:
        found = trial.conservation
        assert found.holds
        assert found.delivered == deliveries[trial.id]
        assert found.expected == published[trial.id] * 20 == found.delivered + found.missed


def test_subscribers_that_join_later_expect_less(run: Path) -> None:
    """The joining point counts: what was published before it is not missing."""
    change(run, "subscribers", edit=lambda frame: frame.assign(joined_id=2))
    change(run, "deliveries", edit=lambda frame: frame[frame["id"] > 2])
    summary = store.analyse(run)
    assert all(trial.conservation.holds and trial.valid for trial in summary.trials)


def test_the_same_files_give_the_same_bytes_wherever_they_lie(quick: Path, tmp_path: Path) -> None:
    """A moved directory reports the same; so does a second analysis."""
    store.analyse(quick)
    first = (quick / "summary.json").read_bytes()
    moved = Path(shutil.copytree(quick, tmp_path / "somewhere" / "else"))
    (moved / "summary.json").unlink()
    store.analyse(moved)
    assert (moved / "summary.json").read_bytes() == first
    assert str(quick).encode() not in first


def last_trial_of(run: Path, transport: str) -> str:
    """The name of a transport's last trial."""
    trials = json.loads((run / "run.json").read_text())["trials"]
    return str([trial["id"] for trial in trials if trial["transport"] == transport][-1])


def drop_a_notification(run: Path, trial: str) -> None:
    """One subscriber never got one notification."""

    def edit(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.drop(frame[frame["trial"] == trial].index[3])

    change(run, "deliveries", edit=edit)


def deliver_twice(run: Path, trial: str) -> None:
    """One delivery came twice."""

    def edit(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.concat([frame, frame[frame["trial"] == trial].head(1)])

    change(run, "deliveries", edit=edit)


def make_the_publisher_late(run: Path, trial: str) -> None:
    """Everything was written 20 ms after it was due."""

    def edit(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[frame["trial"] == trial, "written_us"] += 20_000
        return frame

    change(run, "published", edit=edit)


def change_samples(run: Path, trial: str, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change the trial's resource sample at the window's end."""
    samples = [json.loads(line) for line in (run / "resources.jsonl").read_text().splitlines()]
    for sample in samples:
        if sample["trial"] == trial and sample["edge"] == "window_end":
            edit(sample)
    (run / "resources.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))


def starve_the_generator(run: Path, trial: str) -> None:
    """The load generator used its whole core."""
    change_samples(run, trial, lambda sample: sample["generator"].update(cpu_us=200_000 + 4_900_000))


def step_the_clock(run: Path, trial: str) -> None:
    """Realtime and monotonic time parted by 3 ms."""
    change_samples(run, trial, lambda sample: sample.update(monotonic_us=sample["monotonic_us"] - 3_000))


def kill_the_server(run: Path, trial: str) -> None:
    """As the harness records it."""

    def edit(record: dict[str, Any]) -> None:
        for one in record["trials"]:
            if one["id"] == trial:
                one.update(exit="the server died", valid=False, why=["the server died"], window_end_us=None)

    change_run(run, edit)


BREAKAGES = (
    drop_a_notification,
    deliver_twice,
    make_the_publisher_late,
    starve_the_generator,
    step_the_clock,
    kill_the_server,
)


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_trial_is_invalid_and_the_winner_disappears(
    run: Path, breakage: Callable[[Path, str], None]
) -> None:
    """Although run.json calls it valid: the gates are asked again, the cell lacks a trial, no verdict is
    won."""
    assert {verdicts(store.analyse(run))[claim] for claim in ("poll-latency", "many-clients")} == {"holds"}
    trial = last_trial_of(run, "websocket")
    breakage(run, trial)
    summary = store.analyse(run)
    found = next(one for one in summary.trials if one.id == trial)
    assert not found.valid
    assert found.why
    assert summary.valid is False
    assert cell_of(summary, "websocket").valid_trials == 2
    after = verdicts(summary)
    assert after["poll-latency"] == "inconclusive"
    assert after["many-clients"] == "inconclusive"
    told = next(claim for claim in summary.claims if claim.id == "poll-latency").why
    assert "2 of the 3 valid trials" in told
    assert "wirelab bench" in told


def test_a_late_handling_invalidates_polls_alone(run: Path) -> None:
    """It delays their next request; a WebSocket asks for nothing."""
    for table in ("deliveries", "requests"):
        change(run, table, edit=lambda frame: frame.assign(handled_us=frame["received_us"] + 200_000))
    summary = store.analyse(run)
    assert cell_of(summary, "long-poll").valid_trials == 0
    assert cell_of(summary, "short-poll").valid_trials == 0
    assert cell_of(summary, "websocket").valid_trials == 3


def test_without_a_valid_trial_a_cell_has_no_figures_but_its_trials_keep_theirs(run: Path) -> None:
    """Kept, shown, and worth nothing."""
    change_run(run, lambda record: [trial.update(valid=False, why=["by hand"]) for trial in record["trials"]])
    summary = store.analyse(run)
    assert all(figure is None for one in summary.cells for figure in one.metrics.values())
    assert all(one.figures["latency_ms_p50"] for one in summary.trials)
    assert {verdicts(summary)[claim] for claim in DECIDED_BY_QUICK} == {"inconclusive"}


def test_one_valid_trial_has_a_value_and_no_interval(run: Path) -> None:
    """One trial cannot tell how trials differ."""

    def edit(record: dict[str, Any]) -> None:
        for trial in record["trials"]:
            trial["valid"] = trial["repeat"] == 1

    change_run(run, edit)
    figure = cell_of(store.analyse(run), "websocket").metrics["latency_ms_p50"]
    assert figure.value > 0
    assert figure.low is figure.high is None


def test_a_saturated_server_keeps_its_costs_and_loses_its_latency(run: Path) -> None:
    """Not steady: no prediction, and latency decides nothing; the counts still do."""
    for repeat in (1, 2, 3):
        trial = last_trial_of(run, "short-poll").replace("r3", f"r{repeat}")
        change_samples(run, trial, lambda sample: sample["cores"]["0"].update(busy_us=4_900_000))
    summary = store.analyse(run)
    short = cell_of(summary, "short-poll")
    assert (short.valid_trials, short.steady_trials) == (3, 0)
    assert short.predicted is None
    assert verdicts(summary)["poll-latency"] == "inconclusive"
    assert verdicts(summary)["calls"] == "fails"


def test_a_missing_baseline_leaves_the_idle_cost_unmeasured(tmp_path: Path) -> None:
    """It is a difference; without the empty server there is none."""
    run = write_run(tmp_path / "run", [cell("websocket", publish_rate=0.0, subscribers=200)])
    metrics = store.analyse(run).cells[0].metrics
    assert metrics["server_cpu_us_per_idle_subscriber_second"] is None


def test_publishing_is_billed_apart(tmp_path: Path) -> None:
    """A baseline that publishes to nobody tells what a publish costs."""
    run = write_run(tmp_path / "run", [cell(None)])
    metrics = store.analyse(run).cells[0].metrics
    assert metrics["server_cpu_us_per_publish"].value > 0
    assert metrics["server_cpu_us_per_delivery"] is None


def test_theory_is_held_against_every_cell_across_a_link(tmp_path: Path) -> None:
    """One transit for a WebSocket; for long poll one at a low rate and two at a high one; none lies
    outside."""
    summary = store.analyse(write_run(tmp_path / "run", linked(), repeats=5))
    assert summary.valid
    for one in summary.cells:
        found = one.residuals
        assert {"latency_ms_mean", "latency_ms_p50"} <= set(found)
        assert {residual.outcome for residual in found.values()} <= {"within", "unclear"}
        transits = found["latency_ms_p50"].measured / one.one_way_ms
        if one.transport == "websocket":
            assert found["latency_ms_mean"].outcome == "within"
        if one.transport == "websocket" or one.publish_rate < 1:
            assert transits == pytest.approx(1, rel=0.1)
        elif one.one_way_ms == 75:
            assert transits == pytest.approx(2, rel=0.1)


def test_what_lies_outside_the_band_is_said(run: Path) -> None:
    """Everything 50 ms later than theory has it: within becomes outside, and nothing is hidden."""
    before = cell_of(store.analyse(run), "websocket").residuals["latency_ms_mean"]
    assert before.outcome == "within"
    change(run, "deliveries", edit=lambda frame: frame.assign(
        received_us=frame["received_us"] + 50_000, handled_us=frame["handled_us"] + 50_000
    ))  # fmt: skip
    after = cell_of(store.analyse(run), "websocket").residuals["latency_ms_mean"]
    assert after.outcome == "outside"
    assert after.residual_share * after.predicted > before.residual_share * before.predicted + 45
    assert after.low > after.predicted * (1 + after.band_share)


def test_a_link_that_does_more_than_delay_has_no_prediction(tmp_path: Path) -> None:
    """Loss and jitter are not in the formulas, and nothing is held against them."""
    cells = [cell("websocket", one_way_ms=20.0, link="rough", loss_percent=1.0)]
    found = store.analyse(write_run(tmp_path / "run", cells)).cells[0]
    assert found.predicted.latency_ms_mean is None
    assert found.residuals == {}


def test_naive_latency_hides_what_a_late_publisher_adds(run: Path) -> None:
    """Written 2 ms after it was due: the naive figure is 2 ms less, at every quantile."""
    change(run, "published", edit=lambda frame: frame.assign(written_us=frame["due_us"] + 2_000))
    for one in store.analyse(run).cells:
        for name in ("mean", "p50", "p99"):
            late, naive = (one.metrics[f"{kind}latency_ms_{name}"].value for kind in ("", "naive_"))
            assert late - naive == pytest.approx(2.0)
        hidden = np.subtract(one.latency_quantiles_ms, one.naive_latency_quantiles_ms)
        assert hidden == pytest.approx(2.0)


def test_how_long_a_poll_took_is_no_latency(quick: Path) -> None:
    """A short poll is answered at once, and the notification was half an interval late all the same."""
    summary = store.analyse(quick)
    middle = summary.quantiles.index(0.5)
    short, socket = (cell_of(summary, transport) for transport in ("short-poll", "websocket"))
    assert short.response_quantiles_ms[middle] < 1
    assert short.latency_quantiles_ms[middle] > 400
    assert socket.response_quantiles_ms is None


def test_the_floor_is_the_bare_servers_own_figures(tmp_path: Path) -> None:
    """By transport, with their load; nothing else changes for their being there."""
    cells = [cell("websocket"), cell("websocket", system="bare")]
    summary = store.analyse(write_run(tmp_path / "run", cells))
    bare = cell_of(summary, "websocket", system="bare")
    (floor,) = summary.floor["websocket"]
    assert (floor.cell, floor.subscribers) == (bare.id, 20)
    assert floor.metrics == bare.metrics
    assert bare.predicted is None
    assert bare.residuals == {}
    assert store.analyse(write_run(tmp_path / "other")).floor == {}


def test_an_interrupted_run_is_not_valid(run: Path) -> None:
    """What was finished counts, but the run does not."""
    change_run(run, lambda record: record.update(interrupted=True))
    summary = store.analyse(run)
    assert summary.valid is False
    assert verdicts(summary)["calls"] == "fails"


def test_a_run_without_trials_says_nothing(tmp_path: Path) -> None:
    """Interrupted before the first trial ended."""
    summary = store.analyse(write_run(tmp_path / "run", [], probes={}))
    assert summary.valid is False
    assert set(verdicts(summary).values()) == {"inconclusive"}
