"""What processes use, read while they use it. Elsewhere than on Linux nothing is measured or guessed."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from bench.trials.processes import machine, resources

BURN = "import time\nend = time.process_time() + {s}\nwhile time.process_time() < end: pass\n"


@contextlib.contextmanager
def waiting(code: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs this code, has said a line, and waits for one."""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child
        child.communicate("\n")


def test_cpu_time_is_the_process_clock() -> None:
    """To the microsecond, for ourselves: the same clock as time.process_time."""
    before = time.process_time()
    ours = resources.cpu_us(os.getpid())
    after = time.process_time()
    assert ours is not None
    assert before * 1e6 - 1 <= ours <= after * 1e6 + 1


def test_a_process_that_is_gone_has_none() -> None:
    """None, not 0."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert resources.cpu_us(child.pid) is None
    assert not resources.lives(child.pid)
    assert resources.waited_us(child.pid) is None
    assert resources.pss_kb([child.pid]) is None


@pytest.mark.parametrize("ends_first", ["server", "client"])
def test_a_connection_that_ended_is_held_until_it_is_closed(ends_first: str) -> None:
    """Whichever side has ended it; an open one and the socket that listens are not counted."""
    code = (
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0)); print(server.getsockname()[1], flush=True)\n"
        "held, _ = server.accept(); print('accepted', flush=True)\n"
        "input(); held.shutdown(socket.SHUT_WR); print('ended', flush=True)\n"
        "input(); held.close(); print('closed', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        tree = resources.ProcessTree(child.pid)
        with socket.create_connection(("127.0.0.1", int(child.stdout.readline()))) as client:
            child.stdout.readline()
            assert tree.closing() == 0
            if ends_first == "client":
                client.shutdown(socket.SHUT_WR)
                assert tree.closing() == 1
            for closing in (1, 0):
                child.stdin.write("\n")
                child.stdin.flush()
                child.stdout.readline()
                assert tree.closing() == closing
        child.communicate("\n")


def test_threads_that_ended_still_count() -> None:
    """The clock is the process's, not that of the threads which happen to live."""
    code = (
        "import os, threading, time\n"
        "def burn():\n"
        "    end = time.thread_time() + 0.2\n"
        "    while time.thread_time() < end: pass\n"
        "thread = threading.Thread(target=burn); thread.start(); thread.join()\n"
        # Python has joined it before the kernel has ended it.
        "while len(os.listdir('/proc/self/task')) > 1: time.sleep(0.001)\n"
        "print('done', flush=True); input()"
    )
    with waiting(code) as child:
        used = resources.ProcessTree(child.pid).sample()
    assert used["cpu_us"] >= 200_000
    assert used["threads"] == 1


def test_a_tree_counts_descendants_and_remembers_the_ended() -> None:
    """A sum over the tree never falls when one of it ends."""
    code = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {BURN.format(s=0.2)!r} + 'input()'],"
        " stdin=subprocess.PIPE)\n"
        "input(); child.communicate(b'\\n'); print('ended', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        tree = resources.ProcessTree(parent.pid)
        until = time.monotonic() + 20
        while (both := tree.sample(pss=True))["cpu_us"] < 200_000 and time.monotonic() < until:
            time.sleep(0.02)
        assert both["processes"] == 2
        assert both["pss_kb"] > 1000
        assert both["file_descriptors"] >= 6
        parent.stdin.write("\n")
        parent.stdin.flush()
        parent.stdout.readline()
        alone = tree.sample()
        assert alone["processes"] == 1
        assert alone["cpu_us"] >= both["cpu_us"] >= 200_000
        assert alone["user_us"] + alone["system_us"] == pytest.approx(alone["cpu_us"], abs=100_000)
        parent.communicate("\n")


def test_context_switches_are_those_of_every_thread() -> None:
    """A thread beside the first waits a hundred times, and lives on."""
    code = (
        "import threading, time\n"
        "done, end = threading.Event(), threading.Event()\n"
        "def wait():\n"
        "    for _ in range(100): time.sleep(0.001)\n"
        "    done.set(); end.wait()\n"
        "threading.Thread(target=wait, daemon=True).start(); done.wait()\n"
        "print('done', flush=True); input()"
    )
    with waiting(code) as child:
        used = resources.ProcessTree(child.pid).sample()
        first = psutil.Process(child.pid).num_ctx_switches()
    assert used["threads"] == 2
    assert used["voluntary_switches"] >= 100 > first.voluntary
    assert used["involuntary_switches"] >= 0


def test_a_process_that_was_not_waited_for_has_ended() -> None:
    """It has an id still, and neither lives nor counts."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not resources.lives(child.pid)
    assert resources.ProcessTree(child.pid).pids() == []
    child.wait()
    assert resources.ProcessTree(child.pid).sample()["processes"] == 0


def test_cores_are_busy_for_a_part_of_their_time() -> None:
    """Both figures rise, and the one is never more than the other."""
    before = resources.cores()
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        pass
    after = resources.cores()
    assert before is not None
    assert after is not None
    assert set(before) == set(after)
    busy = sum(after[core]["busy_us"] - before[core]["busy_us"] for core in after)
    total = sum(after[core]["total_us"] - before[core]["total_us"] for core in after)
    assert 0 < busy <= total


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cpu0 10 0 5 80 5 1 2 7 0 0", {"busy_us": 18, "irq_us": 3, "steal_us": 7, "total_us": 110}),
        ("cpu0 10 0 5 80 5 0 0 0 9 9", {"busy_us": 15, "irq_us": 0, "steal_us": 0, "total_us": 100}),
        ("cpu0 10 2 5 80 5 1 2", {"busy_us": 20, "irq_us": 3, "steal_us": 0, "total_us": 105}),
    ],
)
def test_what_the_host_took_is_neither_busy_nor_idle(
    line: str, expected: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guests are part of user time; old kernels tell of no stolen time."""
    (tmp_path / "stat").write_text(f"cpu  1 1 1 1 1 1 1 1 1 1\n{line}\nintr 5\n")
    monkeypatch.setattr(resources, "PROC", tmp_path)
    times = resources.cores()
    assert times == {"0": {name: ticks * resources.TICK_US for name, ticks in expected.items()}}


def test_both_clocks_are_read_together() -> None:
    """What lies between them moves only if a clock does."""
    offsets = [
        at_us - monotonic_us for at_us, monotonic_us in (resources.both_clocks_us() for _ in range(50))
    ]
    assert max(offsets) - min(offsets) < 1000


def test_elsewhere_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """None or absent, and never 0."""
    monkeypatch.setattr(resources, "LINUX", False)
    assert resources.cpu_us(os.getpid()) is None
    assert resources.cores() is None
    used = resources.ProcessTree(os.getpid()).sample(pss=True)
    assert used["cpu_us"] is None
    assert "pss_kb" not in used
    monkeypatch.delattr(os, "sched_setaffinity")
    assert machine.pinning() is None


def test_a_machine_is_described_without_names_or_paths() -> None:
    """Facts alone: nothing of whose it is, or of where this was checked out."""
    told = machine.describe()
    assert set(told) == {"cpu_model", "cores", "memory_kb", "kernel", "system"}
    assert machine.versions()["gunicorn"]
    everything = f"{told} {machine.versions()} {machine.commit()}"
    assert os.uname().nodename not in everything or len(os.uname().nodename) < 4
    assert os.getcwd() not in everything  # noqa: PTH109


def test_precedence_is_told_as_the_programs_get_it() -> None:
    """What a program started with it runs under, and nothing left behind here."""
    script = "import os; print(os.sched_getscheduler(0) == os.SCHED_FIFO)"
    launch = [sys.executable, "-m", "bench.trials.processes.launch", "any", "1", str(os.getpid()), "here"]
    started = subprocess.run(
        [*launch, sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert str(machine.precedence()) == started.stdout.strip()
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
