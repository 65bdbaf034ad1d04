"""What was finished is kept, whatever ends a run: signals, full disks, lost outputs, a lost directory."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import wirelab

import bench

pytestmark = pytest.mark.long

QUICK_BENCH = [sys.executable, str(Path(__file__).parent.parent / "quick_bench.py")]
SCENARIO = """
name = "tiny"
question = "Is it kept? 5 µs – or “–”"
prediction = "it is"
expected_length = "seconds"
repeats = 2
minimum_valid_trials = 2

[[cells]]
transport = ["websocket", "short-poll"]
subscribers = 1
publish_rate = 20
window_s = 1
settle_s = 0
"""
TRIALS = 4
FILES = {"run.json", "deliveries.parquet", "requests.parquet", "published.parquet", "subscribers.parquet"}
FILES |= {"resources.jsonl", "errors.jsonl", "summary.json"}


class Bench:
    """A quick `wirelab bench` of four trials, run into `out`."""

    def __init__(self, tmp_path: Path, *more: str, options: Any = None, **popen: Any) -> None:
        scenario, self.out = tmp_path / "tiny.toml", tmp_path / "out"
        scenario.write_text(SCENARIO, encoding="utf-8")
        command = [*QUICK_BENCH, "bench", str(scenario), "--out", str(self.out), *(more or ("--no-report",))]
        popen = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True} | popen
        environ = os.environ | {"QUICK_BENCH": json.dumps(options or {})} | popen.pop("env", {})
        self.process = subprocess.Popen(command, env=environ, **popen)

    def until(self, line: str) -> None:
        """Wait until it prints a line that begins so."""
        assert self.process.stdout is not None
        while not self.process.stdout.readline().startswith(line):
            assert self.process.poll() is None

    def rest(self) -> str:
        """What it prints from now on; it has ended then."""
        said, _ = self.process.communicate(timeout=60)
        assert "Traceback" not in (said or "")
        return said or ""

    def run(self) -> dict[str, Any]:
        """Its run.json."""
        return json.loads((self.out / "run.json").read_text(encoding="utf-8"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Start benches, and end what is left of them."""
    started: list[Bench] = []

    def begin(*more: str, **settings: Any) -> Bench:
        started.append(Bench(tmp_path, *more, **settings))
        return started[-1]

    yield begin
    for one in started:
        one.process.kill()
        one.process.communicate()


def read(directory: Path) -> int:
    """How many trials a run has, all of whose files can be read."""
    opened = bench.load(directory)
    assert len(opened.deliveries) == 100 * len(opened.trials) == len(opened.published)
    assert opened.summary.counts.all == len(opened.trials)
    return len(opened.trials)


@pytest.mark.parametrize("signals", [[signal.SIGHUP], [signal.SIGINT, signal.SIGINT]])
def test_a_signal_or_two_at_once_keep_what_was_finished(
    start: Callable[..., Bench], signals: list[signal.Signals]
) -> None:
    """The exit code is that of the first signal; the second, 50 ms later, cuts nothing."""
    one = start()
    one.until("1/4")
    for number in signals:
        one.process.send_signal(number)
        time.sleep(0.05)
    said = one.rest()
    assert one.process.returncode == 128 + signals[0]
    assert "interrupted; the finished trials are kept" in said
    assert one.run()["interrupted"] is True
    assert {path.name for path in one.out.iterdir()} == FILES
    assert 1 <= read(one.out) < TRIALS


def test_a_piece_that_is_being_written_is_written(start: Callable[..., Bench]) -> None:
    """Ctrl-C meanwhile, and once more: that trial is in the run, and whole."""
    one = start(options={"writing_s": 0.2})
    one.until("writing")
    for _ in range(2):
        one.process.send_signal(signal.SIGINT)
        time.sleep(0.05)
    one.rest()
    assert one.process.returncode == 130
    assert read(one.out) == 1


@pytest.mark.parametrize("moment", ["2/4", "writing"])
def test_a_killed_harness_leaves_a_run_that_every_command_reads(
    start: Callable[..., Bench], tmp_path: Path, moment: str, one_figure: None
) -> None:
    """With the trials that it has; what is left of another is not read. `report` puts it together."""
    one = start(options={"writing_s": 0.02 if moment == "2/4" else 0.1})
    for _ in range(5 if moment == "writing" else 1):
        one.until(moment)
    one.process.kill()
    one.rest()
    trials = len(one.run()["trials"])
    assert trials == (1 if moment == "writing" else 2)
    told = f"the run was not finished: it has {trials} of 4 trials, and only these are shown"
    assert read(one.out) == trials
    (one.out / "pieces" / "00099.deliveries.parquet").write_bytes(b"a leftover")
    code, said = wirelab("claims", one.out)
    assert (code, said) == (0, f"wirelab: {one.out}: {told}\n")
    assert told in wirelab("plan", "--users", "5", "--rate", "1", "--payload", "10", one.out)[1]
    assert told in wirelab("reproduce", "--from", one.out)[1]
    for _ in range(2):
        code, said = wirelab("report", one.out)
        assert (code, said) == (0, f"wirelab: {one.out}: {told}\n")
    assert {path.name for path in one.out.iterdir()} == FILES | {"report.html", "figures"}
    assert read(Path(shutil.move(one.out, tmp_path / "elsewhere"))) == trials


def test_a_run_that_still_runs_is_read_and_left_alone(start: Callable[..., Bench], one_figure: None) -> None:
    """`report` shows what there is by then, and does not put together what is being written."""
    one = start(options={"trial_s": 30.0, "quick": 1})
    one.until("1/4")
    assert "the run is still being made: it has 1 of 4 trials" in wirelab("report", one.out)[1]
    assert (one.out / "pieces").is_dir()
    one.process.send_signal(signal.SIGINT)
    one.rest()
    assert one.process.returncode == 130
    assert read(one.out) == 1


def test_a_full_disk_ends_the_run_and_keeps_it(start: Callable[..., Bench], tmp_path: Path) -> None:
    """The third trial finds no room: two are kept, one sentence says why it ended, and it is no gate's 1."""

    def little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    one = start(options={"big": 3}, preexec_fn=little_room)
    said = one.rest()
    assert one.process.returncode == 2, said
    assert "can no longer be written (File too large)" in said
    assert read(one.out) == 2
    assert not list(one.out.rglob("*.new*"))


def test_a_disk_that_is_full_for_good_keeps_it_too(start: Callable[..., Bench]) -> None:
    """Nothing can be put together there: the figures are shown, and the run is read where it lies."""
    one = start(options={"full_at": 3})
    said = one.rest()
    assert one.process.returncode == 2, said
    assert "can no longer be written (No space left on device)" in said
    assert "0 of 2 trials valid" in said
    assert (one.out / "pieces").is_dir()
    assert read(one.out) == 2
    assert wirelab("claims", one.out)[0] == 0


def test_a_directory_that_is_moved_is_followed(start: Callable[..., Bench], tmp_path: Path) -> None:
    """The run goes on where it is now, with all of its trials."""
    one = start()
    one.until("2/4")
    moved = one.out.rename(tmp_path / "moved")
    said = one.rest()
    assert f"run: {moved}" in said
    assert not one.out.exists()
    assert read(moved) == TRIALS
    assert json.loads((moved / "run.json").read_text())["interrupted"] is False


@pytest.mark.parametrize("goes", ["", "pieces"])
def test_a_directory_that_cannot_be_written_any_more_is_told(start: Callable[..., Bench], goes: str) -> None:
    """One sentence, exit code 2, and what is there stays."""
    one = start()
    one.until("2/4")
    aside = (one.out / goes).rename(one.out.parent / "aside") if goes else None
    if aside is None:
        shutil.rmtree(one.out)
    said = one.rest()
    assert one.process.returncode == 2, said
    assert "can no longer be written (No such file or directory)" in said
    if aside:
        aside.rename(one.out / goes)
        assert read(one.out) >= 2


@pytest.mark.parametrize("output", ["closed pipe", "closed terminal", "full", "no output at all"])
def test_a_lost_output_ends_nothing(start: Callable[..., Bench], tmp_path: Path, output: str) -> None:
    """Every trial is made and reported, whoever has stopped to look."""
    ours = None
    if output == "closed pipe":
        ours, theirs = os.pipe()
    elif output == "closed terminal":
        ours, theirs = pty.openpty()
    else:
        theirs = os.open("/dev/full" if output == "full" else os.devnull, os.O_WRONLY)
    closing = (lambda: (os.close(1), os.close(2))) if output == "no output at all" else None
    one = start(
        "--quiet" if output == "full" else "--no-report", stdout=theirs, stderr=theirs, preexec_fn=closing
    )
    os.close(theirs)
    if ours is not None:
        with contextlib.suppress(OSError):
            while b"1/4" not in os.read(ours, 65536):
                pass
        os.close(ours)
    assert one.process.wait(60) == 1
    assert read(one.out) == TRIALS
    assert {path.name for path in one.out.iterdir()} - {"report.html", "figures"} == FILES
    assert (one.out / "report.html").exists() is (output == "full")


def test_a_run_may_have_any_name(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, a line end, markup, a terminal's codes: from the first piece to the report."""
    (tmp_path / "tiny.toml").write_text(SCENARIO, encoding="utf-8")
    out = tmp_path / os.fsdecode(b"\xff\n\x1b[31m [bold] $x")
    command = [*QUICK_BENCH, "bench", str(tmp_path / "tiny.toml"), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert read(out) == TRIALS
    assert (out / "report.html").exists()
