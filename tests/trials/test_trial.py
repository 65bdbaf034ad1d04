"""Real trials, short ones: they pass, or fail by the gate that was broken on purpose, and leave nothing
behind."""

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from processes import all_gone, descendants, named, without_browser

from bench.evidence import gates
from bench.rundir import writer
from bench.rundir.collected import Collected
from bench.rundir.trial import Trial
from bench.scenario.parse import parse
from bench.trials import runner, trial
from bench.trials.processes import machine
from bench.trials.processes.child import ChildFailed
from bench.trials.publisher import await_acceptance
from clients.publisher import schedule

Started = Callable[[str], list[int]]

SCENARIO = """
name = "short"
question = "does it run?"
prediction = "it does"
expected_length = "seconds"
repeats = 1
minimum_valid_trials = 1

[[cells]]
transport = "{transport}"
subscribers = 20
publish_rate = 20
window_s = 1.5
settle_s = 0.2
"""


def run_short(
    tmp_path: Path,
    transport: str,
    more: str = "",
    on_stage: Callable[[str], None] = lambda stage: None,
) -> tuple[Collected, Trial]:
    """One trial and what its gates say."""
    planned = parse(SCENARIO.format(transport=transport) + more)
    before = without_browser()
    directory = writer.RunDirectory(tmp_path / "run", planned, "wirelab bench short", machine.facts())
    collected = trial.run(
        planned.plan()[0], seed=1, pinning=machine.pinning(), scratch=directory.scratch(), on_stage=on_stage
    )
    assert without_browser().items() <= before.items(), "a process was left"
    return collected, runner.keep(collected, directory)


@pytest.fixture
def started() -> Started:
    """Find processes by a part of their command line, among those that the test itself has started."""
    before = without_browser()
    return lambda part: [pid for pid in named(part) if pid not in before]


def failed(judged: Trial) -> set[str]:
    """The gates that were not passed."""
    return {name for name, gate in judged.record["gates"].items() if gate["passed"] is False}


@pytest.mark.parametrize(
    ("transport", "more"),
    [
        ("websocket", ""),
        ("long-poll", 'server_model = "gthread"'),
        ("short-poll", 'poll_interval_s = 0.2\nheaders = "browser"'),
        ("websocket", 'permessage_deflate = true\nschedule = "constant"'),
        ("websocket", 'server_model = "asyncio"'),
        ("long-poll", 'server_model = "asyncio"'),
        ("short-poll", 'server_model = "asyncio"\npoll_interval_s = 0.2'),
        ("long-poll", 'connection = "fresh"'),
        ("long-poll", 'server_model = "asyncio"\nconnection = "fresh"'),
    ],
)
def test_everybody_gets_everything(tmp_path: Path, transport: str, more: str) -> None:
    """published × subscribers = delivered, every latency is positive, and every figure is there."""
    collected, judged = run_short(tmp_path, transport, more)
    assert collected.exit == "finished"
    assert "delivered" not in failed(judged), judged.record["why"]
    assert len(collected.deliveries) == 20 * len(collected.published) > 0
    assert (collected.deliveries[:, 4] > collected.deliveries[:, 2]).all()
    assert (collected.deliveries[:, 5] >= collected.deliveries[:, 4]).all()
    assert collected.window_us is not None
    measured_s = (collected.window_us[1] - collected.window_us[0]) / 1e6
    assert measured_s == pytest.approx(1.5, abs=0.5)
    edges = {sample["edge"]: sample for sample in collected.samples}
    assert edges["window_end"]["server"]["cpu_us"] > edges["window_start"]["server"]["cpu_us"]
    assert all(row["window_bytes_received"] > 0 for row in collected.subscribers)
    assert {row["joined_id"] for row in collected.subscribers} == {0}
    handshakes = 20 if transport == "websocket" else 0
    assert len(collected.requests) == handshakes or transport != "websocket"


def test_on_off_publishes_what_its_schedule_says(tmp_path: Path) -> None:
    """The same seed, the same offsets, to the microsecond."""
    text = SCENARIO.format(transport="websocket") + 'schedule = "on-off"'
    planned = parse(text.replace("rate = 20", "rate = 100")).plan()[0]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    collected = trial.run(planned, seed=3, pinning=None, scratch=scratch)
    due_us = collected.published[:, 1]
    seed = random.Random("3/1/publish").getrandbits(32)
    offsets_us = [
        round(due_s * 1e6) for due_s in itertools.islice(schedule("on-off", 100, seed), len(due_us))
    ]
    assert len(due_us) > 1
    assert (due_us - due_us[0]).tolist() == [offset_us - offsets_us[0] for offset_us in offsets_us]


def test_a_memory_trial_begins_with_a_cohort(tmp_path: Path) -> None:
    """The cohort has left when PSS is read, and nothing that it got is in the data."""
    more = "memory = true"
    text = SCENARIO.replace("subscribers = 20", "subscribers = 200").replace("rate = 20", "rate = 4")
    planned = parse(text.format(transport="long-poll") + more)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    collected = trial.run(planned.plan()[0], seed=1, pinning=None, scratch=scratch)
    edges = {sample["edge"]: sample["server"] for sample in collected.samples}
    assert edges["warmed"]["file_descriptors"] <= edges["empty"]["file_descriptors"]
    assert edges["settled"]["file_descriptors"] >= edges["empty"]["file_descriptors"] + 200
    assert edges["settled"]["pss_kb"] > edges["warmed"]["pss_kb"]
    assert {row["joined_id"] for row in collected.subscribers} == {1}
    assert collected.deliveries[:, 1].min() == 2


def test_the_publisher_is_ready_when_its_connection_is_accepted() -> None:
    """Not when the kernel has queued it: the empty server's descriptors would be one too few."""
    accepted = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()

        def accept_late() -> None:
            time.sleep(0.2)
            accepted.append(server.accept()[0])
            later, _ = server.accept()
            later.recv(4096)
            later.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            later.close()

        threading.Thread(target=accept_late).start()
        with socket.create_connection((host, port)):
            await_acceptance(f"http://{host}:{port}")
            assert len(accepted) == 1
    accepted[0].close()


@pytest.mark.parametrize(("publish_rate", "published"), [(0, False), (20, True)])
def test_baselines_have_nobody_to_tell(tmp_path: Path, publish_rate: int, published: bool) -> None:
    """An idle server, and one that is only published to."""
    planned = parse(
        SCENARIO.format(transport="none").replace("publish_rate = 20", f"publish_rate = {publish_rate}")
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    collected = trial.run(planned.plan()[0], seed=1, pinning=machine.pinning(), scratch=scratch)
    assert collected.exit == "finished"
    assert bool(len(collected.published)) is published
    assert not collected.subscribers


def test_an_idle_trial_publishes_nothing(tmp_path: Path) -> None:
    """Long polls are renewed over the window, and joined spread over the wait."""
    text = SCENARIO.format(transport="long-poll").replace("rate = 20", "rate = 0\nwait_s = 0.75")
    planned = parse(text).plan()[0]
    for attempt in range(3):
        scratch = tmp_path / str(attempt)
        scratch.mkdir()
        collected = trial.run(planned, seed=1, pinning=machine.pinning(), scratch=scratch)
        assert collected.exit == "finished"
        joined = np.array([row["joined_us"] for row in collected.subscribers])
        if np.ptp(joined) > 0.5e6:
            break
        # A generator that began late lets the first join together.
    assert np.ptp(joined) > 0.5e6
    assert collected.window_us is not None
    start_us, end_us = collected.window_us
    answered = collected.requests[:, 2]
    renewed = int(((answered >= start_us) & (answered < end_us)).sum())
    assert renewed == pytest.approx(2 * 20, abs=6)


def test_nobody_is_cut_whose_pong_comes_at_once(tmp_path: Path) -> None:
    """On threads a pong may be read before the thread that pinged goes on; with many, some are."""
    text = SCENARIO.format(transport="websocket").replace("subscribers = 20", "subscribers = 300")
    text = text.replace("window_s = 1.5", "window_s = 2.1")
    text = text.replace("rate = 20", 'rate = 0\nwait_s = 1.05\nserver_model = "gthread"')
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    planned = parse(text).plan()[0]
    collected = trial.run(planned, seed=1, pinning=machine.pinning(), scratch=scratch)
    assert collected.exit == "finished"
    assert sum(row["reconnects"] for row in collected.subscribers) == 0


@pytest.mark.parametrize("stage", ["joining", "measuring", "draining"])
def test_a_killed_server_makes_the_trial_invalid(tmp_path: Path, started: Started, stage: str) -> None:
    """kill -9 at any stage: the trial ends at once, says why, and nothing is left."""

    def kill(now: str) -> None:
        if now == stage:
            for pid in started("gunicorn")[:1]:
                os.kill(pid, signal.SIGKILL)

    begun_s = time.monotonic()
    collected, judged = run_short(tmp_path, "websocket", on_stage=kill)
    assert time.monotonic() - begun_s < 20
    if stage == "draining" and collected.exit == "finished":
        return
    assert "killed by SIGKILL" in collected.exit
    assert judged.record["valid"] is False
    assert "SIGKILL" in " ".join(judged.record["why"])
    assert failed(judged) == {"server_alive"}


def test_a_killed_worker_makes_the_trial_invalid(tmp_path: Path, started: Started) -> None:
    """gunicorn would start another one, with another log: that is another server."""

    def kill(now: str) -> None:
        if now == "measuring":
            os.kill(started("gunicorn")[-1], signal.SIGKILL)

    collected, judged = run_short(tmp_path, "long-poll", on_stage=kill)
    assert "server" in collected.exit
    assert judged.record["valid"] is False


@pytest.mark.parametrize("dies_after_s", [0.0, 0.3])
def test_who_fails_because_the_server_died_is_not_the_reason(tmp_path: Path, dies_after_s: float) -> None:
    """A publisher may see the reset, and exit, before the server's own death can be seen."""
    dies_at_s = time.monotonic() + dies_after_s

    class Dying:
        death = staticmethod(lambda: "the server was killed by SIGKILL")
        alive = property(lambda self: time.monotonic() < dies_at_s)

    planned = parse(SCENARIO.format(transport="websocket")).plan()[0]
    course = trial._Course(planned, 1, None, tmp_path, lambda stage: None)
    course.server = Dying()  # type: ignore[assignment]
    assert course.why(ChildFailed("the publisher exited with 1")) == "the server was killed by SIGKILL"


def test_a_late_publisher_makes_the_trial_invalid(tmp_path: Path, started: Started) -> None:
    """It is held up for a while in the window; what is late counts from when it was due."""

    def hold(now: str) -> None:
        if now == "measuring":
            (publisher,) = started("bench.trials.publisher")
            os.kill(publisher, signal.SIGSTOP)
            threading.Timer(0.4, os.kill, (publisher, signal.SIGCONT)).start()

    collected, judged = run_short(tmp_path, "websocket", on_stage=hold)
    assert collected.exit == "finished"
    assert "publisher_late_ms_p99" in failed(judged)
    assert "delivered" not in failed(judged)
    latency_us = collected.deliveries[:, 4] - collected.deliveries[:, 2]
    assert latency_us.max() > 200_000


def test_a_starved_generator_makes_the_trial_invalid(tmp_path: Path, started: Started) -> None:
    """It gets its core one millisecond in fifty, so it handles answers late and asks again late."""
    done = threading.Event()

    def starve(pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            while not done.wait(0.001):
                os.kill(pid, signal.SIGSTOP)
                done.wait(0.05)
                os.kill(pid, signal.SIGCONT)

    def begin(now: str) -> None:
        if now == "measuring":
            threading.Thread(target=starve, args=(started("bench.trials.generator")[0],)).start()
        elif now == "draining":
            done.set()

    try:
        collected, judged = run_short(tmp_path, "long-poll", on_stage=begin)
    finally:
        done.set()
    assert collected.exit == "finished"
    assert "generator_delay_ms_p50" in failed(judged)


def test_a_dropped_notification_makes_the_trial_invalid(tmp_path: Path) -> None:
    """One delivery less than there should be."""
    collected, _ = run_short(tmp_path, "websocket")
    collected.deliveries = np.delete(collected.deliveries, 100, axis=0)
    outcome = gates.check(writer.as_trial(collected, machine.pinning(), []))
    assert "1 notifications were lost" in " ".join(outcome.why)


@pytest.mark.parametrize(
    ("name", "module", "stage"),
    [
        ("generator", "bench.trials.generator", "measuring"),
        ("publisher", "bench.trials.publisher", "measuring"),
        ("publisher", "bench.trials.publisher", "draining"),
        ("publisher", "bench.trials.publisher", "joining"),
    ],
)
def test_who_dies_is_told_and_the_others_are_heard(
    tmp_path: Path, started: Started, name: str, module: str, stage: str
) -> None:
    """The reason is that death, and nothing that follows from it; what the other had is kept."""

    def kill(now: str) -> None:
        if now == stage:
            time.sleep(0.3)
            os.kill(started(module)[0], signal.SIGKILL)

    collected, judged = run_short(tmp_path, "websocket", on_stage=kill)
    assert collected.exit == f"the {name} was killed by SIGKILL"
    assert judged.record["valid"] is False
    assert [why.split(": ")[-1] for why in judged.record["why"]] == [collected.exit]
    if name == "generator":
        assert len(collected.published)
    else:
        assert len(collected.subscribers) == 20
        assert len(collected.deliveries) or stage == "joining"


def test_children_end_with_the_harness(tmp_path: Path) -> None:
    """Even when it is killed and cannot clean up: the kernel ends them."""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "short.toml").write_text(SCENARIO.format(transport="websocket").replace("1.5", "30"))
    code = (
        "import sys; from pathlib import Path\n"
        "from bench.scenario.parse import load; from bench.trials import trial\n"
        "planned = load(sys.argv[1]).plan()[0]\n"
        "trial.run(planned, seed=1, pinning=None, scratch=Path(sys.argv[2]),"
        " on_stage=lambda stage: print(stage, flush=True))"
    )
    harness = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "short.toml"), str(tmp_path / "scratch")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert harness.stdout is not None
    while harness.stdout.readline().strip() != "measuring":
        assert harness.poll() is None
    children = list(descendants(harness.pid))
    assert len(children) >= 4
    harness.kill()
    harness.wait()
    harness.stdout.close()
    assert all_gone(children)
