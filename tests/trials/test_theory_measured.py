"""What is known of SSE and Socket.IO beforehand, against trials of seconds: counts and bytes, no times."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from bench.analysis import store, theory
from bench.analysis.summary import Summary
from bench.analysis.theory.load import Load
from bench.commands.bench import perform
from bench.scenario.parse import parse
from bench.systems.registry import SYSTEMS
from bench.trials.processes.own_server import own_server
from clients.explain.exchange import exchange

pytestmark = pytest.mark.alone

HEAD = """
name = "known"
question = "?"
prediction = "!"
expected_length = "seconds"
repeats = 1
minimum_valid_trials = 1

[defaults]
subscribers = 10
window_s = 3.0
settle_s = 0.3
"""


def measured(directory: Path, cells: str) -> Summary:
    """The summary of these cells, each measured once. On a busy machine a gate may fail: figures stand."""
    path, _ = perform(parse(HEAD + cells), directory / "run", "wirelab bench known", quiet=True)
    return store.load(path).analyse()


@pytest.mark.long
@pytest.mark.parametrize("system", ["wirelab", "node"])
def test_socketios_polls_are_ended_by_news_and_by_pings(system: str, tmp_path: Path) -> None:
    """As many requests, and as many empty answers, as theory says for the rate that came out."""
    if (missing := SYSTEMS[system].missing()) is not None:
        pytest.skip(f"the system {system} cannot run here: {missing}")
    wait_s, rate, window_s = 0.25, 10.0, 3.0
    summary = measured(
        tmp_path,
        f"""[[cells]]\nsystem = "{system}"\ntransport = "socketio-polling"
        publish_rate = {rate}\nwait_s = {wait_s}\n""",
    )
    [trial] = summary.trials
    found = {name: value for name, value in trial.figures.items() if value is not None}
    load = Load(
        transport="socketio-polling",
        subscribers=10,
        publish_rate=rate,
        poll_interval_s=1.0,
        wait_s=wait_s,
        one_way_s=0.0,
        service_s=found["server_cpu_us_per_request"] / 1e6,
        turnaround_s=found["next_request_gap_ms_p50"] / 1e3,
        rate_share=found["deliveries"] / (10 * rate * window_s),
        window_s=window_s,
    )
    known = theory.of("socketio-polling")
    for metric, predicted in (
        ("requests_per_delivery", theory.requests_per_delivery(load)),
        ("empty_response_share", theory.empty_response_share(load)),
    ):
        assert predicted is not None
        assert abs(found[metric] - predicted) < known.band(load, metric, predicted), (
            metric,
            predicted,
            found,
        )
    # A long poll's would be ended by its own wait, and nothing would be posted.
    of_long_polls = theory.empty_response_share(Load(**{**vars(load), "transport": "long-poll"}))
    assert of_long_polls is not None
    assert found["empty_response_share"] > 2 * of_long_polls


@pytest.mark.long
def test_a_delivery_weighs_what_the_wires_story_says(tmp_path: Path) -> None:
    """What surrounds a batch, beside what does by WebSocket: in thousands of deliveries, and in one."""
    pushed = ("websocket", "sse", "socketio")
    summary = measured(
        tmp_path, f"[[cells]]\ntransport = {list(pushed)}\npublish_rate = 20\nschedule = 'constant'\n"
    )
    weighs = {
        cell.transport: statistics.fmean(
            trial.figures["wire_bytes_per_delivery"] or 0 for trial in summary.trials if trial.cell == cell.id
        )
        for cell in summary.cells
    }
    with own_server() as url:
        told = {name: exchange(url, name, "minimal").sums("deliver") for name in pushed}
    around = {name: sums.head + sums.framing for name, sums in told.items()}
    for name in pushed:
        more = around[name] - around["websocket"]
        # An id or a length may have a digit more or less.
        assert weighs[name] - weighs["websocket"] == pytest.approx(more, abs=8), (name, weighs, around)


@pytest.mark.long
def test_an_idle_subscriber_is_kept_up_as_its_bill_says(tmp_path: Path) -> None:
    """Requests where it polls, else the bytes of a comment or a ping, as often as `wait_s` says."""
    wait_s = 0.5
    pings = {
        "sse": len(b"3\r\n:\n\n\r\n"),
        "websocket": len(b"\x89\x00"),
        "socketio": len(b"\x81\x01" + b"2"),
    }
    polls = ("long-poll", "socketio-polling")
    summary = measured(
        tmp_path,
        f"[[cells]]\ntransport = {[*pings, *polls]}\npublish_rate = 0\nwait_s = {wait_s}\nwindow_s = 2.0\n",
    )
    assert len(summary.cells) == len(pings) + len(polls)
    for cell in summary.cells:
        [figures] = [trial.figures for trial in summary.trials if trial.cell == cell.id]
        known = theory.of(cell.transport)
        [(operation, rate)] = [
            (name, rate) for name, rate in known.rates(0.0, 1.0, wait_s).items() if rate > 0
        ]
        assert known.upkeep is not None
        assert operation == known.upkeep.operation
        assert rate == known.upkeep.times / wait_s
        # A ping more or less in the window, and the time that a pong takes.
        if operation == "request":
            assert figures["requests_per_subscriber_second"] == pytest.approx(rate, rel=0.25)
            assert figures["empty_response_share"] == 1.0
        else:
            told = figures["bytes_down_per_subscriber_second"]
            assert told == pytest.approx(rate * pings[str(cell.transport)], rel=0.25)
