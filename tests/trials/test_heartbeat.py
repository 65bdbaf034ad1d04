"""A process of the laboratory that stood still is seen, by itself and in real trials. No wait hangs on the
time of day."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import named
from test_link import frames_after

from bench.evidence import gates
from bench.rundir import writer
from bench.rundir.trial import Trial
from bench.scenario.links import Link
from bench.scenario.parse import parse
from bench.trials import runner, trial
from bench.trials.network import relay
from bench.trials.processes import machine
from bench.trials.processes.child import Child
from bench.trials.processes.heartbeat import BEAT_S, Heartbeat

SCENARIO = """
name = "still"
question = "does it stand still?"
prediction = "it does"
expected_length = "seconds"
repeats = 1
minimum_valid_trials = 1
[[cells]]
transport = "{transport}"
subscribers = 5
publish_rate = 20
window_s = 1.5
settle_s = 0.2
"""
BEATING = """
import sys, time
from bench.trials.processes.heartbeat import Heartbeat
heartbeat = Heartbeat()
heartbeat.watch(time.monotonic())
print("beats", flush=True)
input()
print(heartbeat.tell()["longest"])
"""
BLOCKED = """
from gevent import monkey
monkey.patch_all()
import gevent, time
from bench.trials.processes.heartbeat import Heartbeat
heartbeat = Heartbeat(gevent.spawn, gevent.sleep)
gevent.sleep(0.1)
heartbeat.watch(time.monotonic())
monkey.get_original("time", "sleep")({s})
gevent.sleep(0.05)
print(heartbeat.tell()["longest"])
"""


@pytest.mark.parametrize("stopped_s", [0.15, 0.3, 0.8])
def test_a_process_that_was_stopped_tells_for_how_long(stopped_s: float) -> None:
    """Also when it is asked before it has had time to beat again."""
    with subprocess.Popen(
        [sys.executable, "-c", BEATING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stdin
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(stopped_s)
        process.send_signal(signal.SIGCONT)
        told_ms = float(process.stdout.readline())
    assert told_ms > 0.9 * 1000 * stopped_s


@pytest.mark.parametrize("blocked_s", [0.1, 0.3])
def test_a_loop_that_was_blocked_tells_for_how_long(blocked_s: float) -> None:
    """The process ran meanwhile; its greenlets did not."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(s=blocked_s)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) >= 1000 * blocked_s


def test_only_gaps_that_reach_into_the_watch_count() -> None:
    """Those before are forgotten; one that begins before and ends within counts as a whole."""
    asleep: list[float] = [0.2, 0.0, 0.1]
    at_s, done = [], threading.Event()

    def sleep(seconds: float) -> None:
        assert seconds == BEAT_S
        at_s.append(time.monotonic())
        if asleep:
            time.sleep(asleep.pop(0))
        else:
            done.set()
            heartbeat.end()

    beats: list[Callable[[], None]] = []
    heartbeat = Heartbeat(beats.append, sleep)
    heartbeat.watch(time.monotonic() + 0.25)
    beats[0]()
    assert done.is_set()
    told = heartbeat.tell()
    assert 100 <= told["longest"] < 200
    assert told["together"] == told["longest"]


def run(tmp_path: Path, text: str, on_stage: Callable[[str], None]) -> Trial:
    """One trial, judged."""
    planned = parse(text)
    directory = writer.RunDirectory(tmp_path / "run", planned, "wirelab bench still", machine.facts())
    collected = trial.run(
        planned.plan()[0], seed=1, pinning=machine.pinning(), scratch=directory.scratch(), on_stage=on_stage
    )
    assert collected.exit == "finished"
    return runner.keep(collected, directory)


@pytest.mark.parametrize(
    ("process", "transport", "stopped_s", "times", "gate"),
    [
        ("generator", "websocket", 0.3, 1, "stalled_ms"),
        ("generator", "long-poll", 0.15, 1, "stalled_ms"),
        ("publisher", "websocket", 0.12, 1, "stalled_ms"),
        ("generator", "websocket", 0.06, 4, "stalled_together_ms"),
    ],
)
def test_a_trial_in_which_somebody_stood_still_is_invalid(
    process: str, transport: str, stopped_s: float, times: int, gate: str, tmp_path: Path
) -> None:
    """However short the time was for which it did."""
    before = set(named(f"bench.trials.{process}"))

    def stop(pid: int) -> None:
        for _ in range(times):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(stopped_s)
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.05)

    def begin(now: str) -> None:
        if now == "measuring":
            (found,) = set(named(f"bench.trials.{process}")) - before
            threading.Thread(target=stop, args=(found,)).start()

    judged = run(tmp_path, SCENARIO.format(transport=transport), begin)
    stalls_ms = judged.record["stalls_ms"][process]
    assert stalls_ms["longest"] > 900 * stopped_s
    assert stalls_ms["together"] > 900 * stopped_s * times
    assert judged.record["gates"][gate]["passed"] is False
    assert judged.record["valid"] is False
    assert "stood still" in " ".join(judged.record["why"])


@pytest.mark.long
def test_a_relay_that_stood_still_makes_the_trial_invalid(tmp_path: Path) -> None:
    """It is a process of the laboratory like the others."""
    before = set(named("bench.trials.network.relay"))

    def stop(now: str) -> None:
        if now == "measuring":
            (found,) = set(named("bench.trials.network.relay")) - before
            os.kill(found, signal.SIGSTOP)
            threading.Timer(0.2, os.kill, (found, signal.SIGCONT)).start()

    judged = run(tmp_path, SCENARIO.format(transport="websocket") + "one_way_ms = 5\n", stop)
    assert judged.record["gates"]["stalled_ms"]["passed"] is False
    assert judged.resources[-1]["link"]["relay"]["stalls_ms"] is not None
    reports = [
        sample["link"]["relay"] for sample in judged.resources if (sample.get("link") or {}).get("relay")
    ]
    assert max(report["stalls_ms"]["longest"] for report in reports) > 180


def test_other_work_on_the_servers_core_makes_the_trial_invalid(tmp_path: Path) -> None:
    """Its latency is not the server's alone."""
    pinning = machine.pinning()
    if pinning is None:
        pytest.skip("there is one core")
    code = f"import os; os.sched_setaffinity(0, {pinning['server']})\nwhile True: pass"
    busy: list[subprocess.Popen[bytes]] = []

    def work(now: str) -> None:
        if now == "settling":
            busy.append(subprocess.Popen([sys.executable, "-c", code]))
        elif now == "draining":
            busy[0].kill()

    try:
        judged = run(tmp_path, SCENARIO.format(transport="websocket"), work)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    gate = judged.record["gates"]["server_core_foreign_share"]
    assert gate["passed"] is False
    assert gate["value"] > 0.3
    assert gates.check(judged).gates["server_core_foreign_share"] == gate


SET_BACK = """
import runpy, sys, threading, time
now, now_ns, from_s = time.time, time.time_ns, time.monotonic() + {after_s}
def by_s(): return {by_s} if time.monotonic() > from_s else 0
time.time = lambda: now() + by_s()
time.time_ns = lambda: now_ns() + by_s() * 1_000_000_000
runpy.run_module(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize("by_s", [-3600, 3600])
def test_a_clock_that_is_set_delays_no_trial(
    by_s: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the harness, the load generator and the publisher, while they wait for the window's end."""
    real_s, real_ns = time.time, time.time_ns
    moved_by_s = [0]

    def start(name: str, command: list[str], **where: Any) -> Child:
        if name in {"generator", "publisher"}:
            code = SET_BACK.format(by_s=by_s, after_s=2 + random.random())
            command = [sys.executable, "-c", code, command[-1]]
        return Child(name, command, **where)

    def set_back(now: str) -> None:
        if now == "measuring":
            moved_by_s[0] = by_s

    monkeypatch.setattr(trial, "Child", start)
    monkeypatch.setattr(time, "time", lambda: real_s() + moved_by_s[0])
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + moved_by_s[0] * 1_000_000_000)
    begun_s = time.monotonic()
    judged = run(
        tmp_path, SCENARIO.format(transport="websocket").replace("window_s = 1.5", "window_s = 3"), set_back
    )
    assert time.monotonic() - begun_s < 30
    assert judged.record["valid"] is False


@pytest.mark.parametrize("by_s", [-3600, -5, 3600])
def test_a_clock_that_is_set_holds_no_frame_back(by_s: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay of a link sends it when it is due, or at once."""
    real_ns = time.time_ns
    monkeypatch.setattr(relay.time, "time_ns", lambda: real_ns() + by_s * 1_000_000_000)
    begun_s = time.monotonic()
    found, _ = frames_after(Link("constant", one_way_ms=20.0), 3)
    assert found == [0, 1, 2]
    assert time.monotonic() - begun_s < 5
