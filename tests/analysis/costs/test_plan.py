"""The plan for many users: arithmetic that can be done by hand, limits in order, and what is refused."""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
import synthetic_run
from made_cells import made
from made_costs import ANSWER_BYTES, LOADS, NOTIFICATION_BYTES, measured, model_of
from synthetic_run import cell, write_run

import bench
from bench.analysis.cells import Cell
from bench.analysis.costs import plan
from bench.analysis.costs.plan import Demand, Plan, Refused
from bench.analysis.theory import THEORIES, bill
from bench.rendering.terminal.plan import print_plans

MILLION = Demand(1_000_000, rate=0.1, payload_bytes=200, poll_interval_s=5.0)


def planned(cells: list[Cell], demand: Demand = MILLION) -> dict[str, Plan | Refused]:
    """The plan of each transport on gevent."""
    found = plan.plan(model_of(cells), demand, machine_memory_kb=4_000_000)
    return {one.transport: one for one in found if one.server_model == "gevent"}


def test_what_a_user_asks_for() -> None:
    """T for short poll; the mean wait for news, cut at 25 s, for long poll; pings beside deliveries."""
    assert plan.rates("short-poll", MILLION) == {"request": 0.2}
    assert plan.rates("websocket", MILLION) == {"delivery": 0.1, "renewal": 0.04}
    held = plan.rates("long-poll", MILLION)
    mean_wait_s = (1 - math.exp(-2.5)) / 0.1
    assert held == {"request": pytest.approx(1 / mean_wait_s)}
    idle = Demand(1, 0.0, 1, 5.0)
    assert plan.rates("long-poll", idle) == {"request": 0.04}
    assert plan.rates("websocket", idle) == {"renewal": 0.04}
    assert plan.rates("sse", MILLION) == plan.rates("socketio", MILLION) == {"delivery": 0.1, "renewal": 0.04}
    assert plan.rates("socketio-polling", MILLION) == {"request": pytest.approx(0.18)}
    assert plan.rates("socketio-polling", idle) == {"request": 0.08}
    rare = Demand(1, 1e-9, 1, 5.0)
    assert sum(plan.rates("long-poll", rare).values()) == pytest.approx(0.04)


def test_a_million_users_by_hand() -> None:
    """Rate × users × cost, for CPU, memory and bytes."""
    found = planned(measured())
    short, held, push = found["short-poll"], found["long-poll"], found["websocket"]
    assert isinstance(short, Plan)
    assert isinstance(held, Plan)
    assert isinstance(push, Plan)
    renewed = 0.1 / math.expm1(2.5)
    assert short.cores.value == pytest.approx(0.2 * 200)
    assert held.cores.value == pytest.approx((0.1 + renewed) * 200)
    assert push.cores.value == pytest.approx(0.1 * 25 + 0.04 * 50)
    for one in (short, held, push):
        assert one.memory_gb.value == pytest.approx(20.48)
        assert one.connections == 1_000_000
    assert short.requests_per_second == pytest.approx(200_000)
    assert held.requests_per_second == pytest.approx(1e6 * (0.1 + renewed))
    assert push.requests_per_second == 0
    longer = NOTIFICATION_BYTES + 100
    assert short.down.value == pytest.approx((0.2 * ANSWER_BYTES + 0.1 * longer) * 8)
    assert short.down_wire.value == pytest.approx(short.down.value + (0.2 + 0.1) * 52 * 8)
    assert held.up.value == pytest.approx((0.1 + renewed) * 110 * 8)
    assert push.up_wire.value == pytest.approx(0.04 * 110 * 8 + (0.08 + 0.1) * 52 * 8)
    added = plan.accepting(model_of(measured()), "gevent", MILLION)
    assert added is not None
    assert added.cores == pytest.approx(25)


def test_a_large_payload_takes_more_packets_than_loopback_showed() -> None:
    """1,448 bytes a packet, and an acknowledgement for every second."""
    usual, large = (
        planned(measured(), Demand(1_000_000, 0.1, payload, 5.0))["websocket"]
        for payload in (100, 100 + 1448 * 4)
    )
    assert isinstance(usual, Plan)
    assert isinstance(large, Plan)
    assert large.down.value - usual.down.value == pytest.approx(0.1 * 1448 * 4 * 8)
    headers = (large.down_wire.value - large.down.value) - (usual.down_wire.value - usual.down.value)
    assert headers == pytest.approx(0.1 * 4 * 52 * 8)
    assert large.up_wire.value - usual.up_wire.value == pytest.approx(headers / 2)


def test_what_breaks_first_comes_first() -> None:
    """Users at which one process ends: its core, a proxy's ports, threads, this machine's memory, files."""
    push = planned(measured())["websocket"]
    assert isinstance(push, Plan)
    found = {limit.what: limit.users for limit in push.limits}
    assert list(found.values()) == sorted(found.values())
    assert found == pytest.approx(
        {
            "ports": 28_232,
            "threads": 32_765,
            "core": 0.8e6 / (0.1 * 25 + 0.04 * 50),
            "memory": 200_000,
            "files": 1_048_576,
        }
    )


def test_what_was_not_checked_is_refused_by_name() -> None:
    """A cost that misses its held-out load, or that nobody measured; the others are planned."""
    cells = measured()
    bent = [
        made(
            "websocket",
            {"deliveries": 1000 * rate * 5.0, bill.CPU_PER_DELIVERY: cost},
            subscribers=1000,
            publish_rate=rate,
        )
        for rate, cost in ((13.0, 25.0), (15.0, 25.0), (30.0, 15.0))
    ]
    others = [one for one in cells if bill.CPU_PER_DELIVERY not in one.replicates]
    found = planned([*others, *bent])
    assert isinstance(found["long-poll"], Plan)
    refused = found["websocket"]
    assert isinstance(refused, Refused)
    assert refused.why == (
        "the cost of a delivery is not projected: fitted on smaller loads, it misses the largest by +67%"
    )
    refused = planned(others)["websocket"]
    assert isinstance(refused, Refused)
    assert refused.why == "the cost of a delivery was not measured"
    assert refused.mend == plan.MEASURE
    assert isinstance(planned(others, Demand(1_000, 0.0, 1, 5.0))["websocket"], Plan)
    with pytest.raises(plan.CannotPlan, match="wirelab bench capacity"):
        plan.plan(None, MILLION, None)


def test_a_refusal_says_what_would_mend_it() -> None:
    """A payload far from the measured one needs another run than a series that was not measured."""
    large = planned(measured(), Demand(1_000_000, 0.1, 100_000, 5.0))["websocket"]
    assert isinstance(large, Refused)
    assert "to copy 100,000 costs more" in large.why
    assert "payload_bytes" in large.mend
    assert isinstance(planned(measured(), Demand(1_000_000, 0.0, 100_000, 5.0))["websocket"], Plan)


def test_the_nearest_payload_is_taken() -> None:
    """Of those that were checked."""
    small, large = measured(), measured(payload_bytes=10_000)
    for one in large:
        for name in (bill.CPU_PER_DELIVERY, bill.CPU_PER_REQUEST):
            figure = one.metrics[name]
            if figure is not None:
                one.metrics[name] = figure.times(1.04)
                one.replicates[name] = 1.04 * one.replicates[name]
    for payload, cost in ((200, 25.0), (20_000, 26.0)):
        found = planned([*small, *large], Demand(1_000_000, 0.1, payload, 5.0))["websocket"]
        assert isinstance(found, Plan)
        assert found.cores.value == pytest.approx(0.1 * cost + 0.04 * 50)


# --- the command, on a run directory ---


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic run in which operations are dear, so that few of them keep the core busy."""
    cells = []
    for times in LOADS:
        subscribers = round(200 * times)
        for transport in ("long-poll", "websocket"):
            idle = {"publish_rate": 0.0, "subscribers": subscribers, "wait_s": 0.5, "window_s": 1.0}
            cells.append(cell(transport, **idle))
            cells.append(cell(transport, publish_rate=6.2 * times))
        polled = {"subscribers": subscribers, "poll_interval_s": 0.2, "window_s": 1.0}
        cells.append(cell("short-poll", **polled))
    cells.append(cell(None, publish_rate=0.0))
    dear = {
        "short-poll": {"gevent": (320.0, 0.0, 14.0)},
        "long-poll": {"gevent": (2500.0, 1650.0, 19.0)},
        "websocket": {"gevent": (2500.0, 1650.0, 39.0)},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic_run, "COSTS", dear)
        return write_run(tmp_path_factory.mktemp("plan"), cells, name="capacity", noise=0.01)


def test_the_costs_that_a_run_was_made_with_are_found(run: Path) -> None:
    """From its files: the inputs of the synthetic server, and a larger load predicted."""
    model = bench.load(run).summary.costs
    found = {(one.transport, one.operation): one.cost.value for one in model.series}
    renewal_us = 1650 * 0.5
    assert found == pytest.approx(
        {
            ("short-poll", "request"): 320,
            ("long-poll", "request"): 2500,
            ("websocket", "delivery"): 2500,
            ("websocket", "renewal"): renewal_us,
            ("short-poll", "subscriber"): 14,
            ("long-poll", "subscriber"): 19,
            ("websocket", "subscriber"): 39,
        },
        rel=0.03,
    )
    assert all(abs(one.held_out.error) < 0.05 for one in model.series)


def wirelab_plan(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command, as a user gives it."""
    return subprocess.run(
        [sys.executable, "-m", "bench.cli", "plan", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


ASKED = ("--users", "1000000", "--rate", "0.1", "--payload", "200")


def test_the_command_prints_the_plan_with_its_assumptions(run: Path) -> None:
    """Each transport with intervals, what breaks first, the check, and what was assumed; 80 columns."""
    before = sorted(path.name for path in run.iterdir())
    done = wirelab_plan(*ASKED, str(run))
    assert done.returncode == 0, done.stderr
    for told in (
        "1,000,000 users",
        "short poll, T=5 s",
        "long poll",
        "WebSocket",
        "cores busy",
        "memory (GB)",
        "with headers",
        "connections",
        "a process ends at",
        "held out",
        "fan-out",
        "every 25 s",
    ):
        assert told in done.stdout, told
    assert max(map(len, done.stdout.splitlines())) <= 80
    [cores] = [line for line in done.stdout.splitlines() if "cores busy" in line]
    assert cores.count("–") == 3
    assert sorted(path.name for path in run.iterdir()) == before


def test_every_transport_is_planned_within_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few to a table: nothing is cut off."""
    monkeypatch.setenv("COLUMNS", "80")
    kin = {"sse": "websocket", "socketio": "websocket", "socketio-polling": "long-poll"}
    cells = measured()
    cells += [
        dataclasses.replace(one, settings={**one.settings, "transport": name})
        for name, like in kin.items()
        for one in cells
        if one.transport == like
    ]
    model = model_of(cells)
    assert model is not None
    plans = [one for one in plan.plan(model, MILLION, 4_000_000) if isinstance(one, Plan)]
    assert {one.transport for one in plans} == set(THEORIES)
    print_plans(MILLION, plans, {}, model, {})
    told = capsys.readouterr().out
    assert "…" not in told
    assert max(map(len, told.splitlines())) <= 80
    assert re.findall("[0-9,]+: files", told) == ["1,048,576: files"] * len(THEORIES)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--users", "0", "--rate", "1", "--payload", "1", "DIR"), "--users: must be a whole number from 1"),
        (("--users", "1e6", "--rate", "1", "--payload", "1", "DIR"), "--users: must be a whole number"),
        (("--users", "1", "--rate", "-1", "--payload", "1", "DIR"), "--rate: must be a number from 0"),
        (("--users", "1", "--rate", "nan", "--payload", "1", "DIR"), "--rate: must be a number"),
        (("--users", "1", "--rate", "1", "--payload", "0", "DIR"), "--payload: must be"),
        ((*ASKED, "--poll-interval", "0", "DIR"), "--poll-interval: must be"),
        (("--users", "1", "--rate", "1", "DIR"), "--payload"),
        ((*ASKED, "nowhere"), "nowhere is not a directory"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    """In one sentence that says what to mend."""
    done = wirelab_plan(*(str(tmp_path) if word == "DIR" else word for word in arguments))
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_without_these_costs_is_refused(tmp_path: Path) -> None:
    """One sentence, the scenario that has them, exit code 1."""
    quick = write_run(tmp_path / "quick")
    done = wirelab_plan(*ASKED, str(quick))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "`wirelab bench capacity`" in done.stderr
    empty = write_run(tmp_path / "empty", [], probes={})
    done = wirelab_plan(*ASKED, str(empty))
    assert done.returncode == 1
    assert "`wirelab bench capacity`" in done.stderr
