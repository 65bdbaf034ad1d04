"""Emulated links: what they do to packets, what they say of themselves, and what happens without them."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from processes import all_gone, descendants, named

from bench.scenario.links import Link
from bench.trials.network import network, relay

SCENARIO = """
name = "linked"
question = "does it run?"
prediction = "it does"
expected_length = "seconds"
repeats = 1
minimum_valid_trials = 1
[defaults]
subscribers = 10
publish_rate = 20
window_s = 1.5
settle_s = 0.3
[[cells]]
transport = {transports}
one_way_ms = 30
"""
WIRELAB = [sys.executable, "-m", "bench.cli"]


def test_a_link_that_is_not_what_was_asked_for_says_so() -> None:
    """Each figure on its own."""
    good = {"round_trip_ms": 40.3, "connect_ms": 40.4, "lost_percent": 0.0, "round_trips": 200}
    asked = Link("constant", one_way_ms=20.0)
    assert network._wrong(asked, good) is None
    assert "round trip took 44.00 ms" in str(network._wrong(asked, {**good, "round_trip_ms": 44.0}))
    assert "round trip took 39.00 ms" in str(network._wrong(asked, {**good, "round_trip_ms": 39.0}))
    assert "nothing came back" in str(network._wrong(asked, {**good, "connect_ms": None}))
    assert "were lost" in str(network._wrong(asked, {**good, "lost_percent": 1.0}))
    assert "were lost" in str(network._wrong(asked._replace(loss_percent=10.0), good))


def frames_after(asked: Link, count: int, length: int = 1000) -> tuple[list[int], relay.Direction]:
    """Send frames through one direction of a relay at once: which arrive, as their numbers."""
    ours, source = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, source:
        source.setsockopt(socket.SOL_SOCKET, relay.SO_TIMESTAMPNS, 1)
        arrived = Arrived()
        direction = relay.Direction(source, arrived, asked, seed=1)  # type: ignore[arg-type]
        for number in range(count):
            ours.send(number.to_bytes(4, "big").ljust(length, b"."))
            direction.read()
        until_s = time.monotonic() + 10
        while direction.send([]) is not None and time.monotonic() < until_s:
            pass
        return arrived.numbers, direction


class Arrived:
    """Stands for the socket that frames go out by: a real one takes only so many before somebody reads."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def send(self, frame: bytes) -> None:
        self.numbers.append(int.from_bytes(frame[:4], "big"))


def test_jitter_keeps_the_order_and_loss_is_seeded() -> None:
    """The same seed loses the same frames."""
    asked = Link("rough", one_way_ms=1.0, jitter_ms=1.0, loss_percent=20.0)
    found, direction = frames_after(asked, 200)
    assert found == sorted(found)
    assert direction.lost == 200 - len(found)
    assert 15 < direction.lost < 70
    assert frames_after(asked, 200)[0] == found


def test_bandwidth_spaces_frames_out() -> None:
    """A hundred frames of 1,000 bytes take at least 80 ms at 10 Mbit/s."""
    begun_s = time.monotonic()
    found, _ = frames_after(Link("narrow", bandwidth_mbit=10.0), 100)
    assert found == list(range(100))
    assert time.monotonic() - begun_s >= 0.079


def test_a_full_relay_drops_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "QUEUED_MOST", 10)
    found, direction = frames_after(Link("constant", one_way_ms=100.0), 15)
    assert found == list(range(10))
    assert direction.overflowed == 5


def test_lateness_is_told_in_percentiles() -> None:
    lateness = relay.Lateness()
    assert lateness.percentile_ms(99) is None
    lateness.add([*[100] * 99, 5000, 2_000_000])
    assert lateness.percentile_ms(50) == pytest.approx(0.1, abs=0.02)
    assert lateness.percentile_ms(99) == pytest.approx(5.0, abs=0.02)
    assert lateness.most_ms() == 2000.0


@pytest.mark.long
def test_a_starved_relay_is_told_and_wins_nothing(tmp_path: Path) -> None:
    """It gets its core one millisecond in twenty, so it forwards late."""
    (tmp_path / "linked.toml").write_text(SCENARIO.format(transports='"websocket"'))
    process = subprocess.Popen(
        [*WIRELAB, "bench", "linked.toml", "--no-report", "--out", "out"],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None:
        for found in named("bench.trials.network.relay", process.pid):
            for number in (signal.SIGSTOP, signal.SIGCONT):
                try:
                    os.kill(found, number)
                except ProcessLookupError:
                    break
                time.sleep(0.02 if number == signal.SIGSTOP else 0.001)
    printed, _ = process.communicate()
    assert process.returncode == 1
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    [linked] = run["trials"]
    assert linked["link"] == "constant"
    assert linked["valid"] is False
    assert "relay was late" in " ".join(linked["why"])
    assert "relay was late" in printed
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    [cell] = summary["cells"]
    assert cell["valid"] is False


def test_a_dead_relay_ends_the_trial(tmp_path: Path) -> None:
    """Killed in mid trial: it says so, and nothing is left."""
    (tmp_path / "linked.toml").write_text(SCENARIO.format(transports='"websocket"'))
    process = subprocess.Popen(
        [*WIRELAB, "bench", "linked.toml", "--no-report", "--out", "out"], cwd=tmp_path
    )
    killed = threading.Event()
    children: list[int] = []
    while process.poll() is None and not killed.is_set():
        if named("bench.trials.generator", process.pid):
            time.sleep(0.5)
            children = list(descendants(process.pid))
            for found in named("bench.trials.network.relay", process.pid):
                os.kill(found, signal.SIGKILL)
                killed.set()
    assert process.wait(60) == 1
    assert all_gone(children)
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    exits = [trial["exit"] for trial in run["trials"]]
    assert any("the relay" in one for one in exits), exits


def test_without_namespaces_it_says_so_and_runs_on_loopback(tmp_path: Path) -> None:
    """In one line; equal cells are measured once. A limit on namespaces (user_namespaces(7)) stands in for a
    system that has none."""
    scenario = SCENARIO.format(transports='["websocket", "long-poll"]')
    (tmp_path / "linked.toml").write_text(f"{scenario}[[cells]]\ntransport = 'websocket'\nlink = '4g'\n")
    (tmp_path / "without.py").write_text(
        "import ctypes, os, sys\n"
        "from bench.trials.network import namespaces\n"
        "namespaces.make_user_namespace()\n"
        "open('/proc/sys/user/max_user_namespaces', 'w').write('0')\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'bench.cli', *sys.argv[1:]])\n"
    )
    done = subprocess.run(
        [sys.executable, "without.py", "bench", "linked.toml", "--no-report", "--out", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    [said] = [line for line in done.stderr.splitlines() if "no link can be emulated" in line]
    assert "a private user namespace is refused" in said
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert "refused" in run["links_unavailable"]
    assert [trial["link"] for trial in run["trials"]] == ["loopback"] * 2
    assert "Traceback" not in done.stderr
