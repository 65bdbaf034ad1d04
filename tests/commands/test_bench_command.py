"""`wirelab bench` as a user runs it: its exit codes, its directory, its output, and what Ctrl-C leaves."""

import json
import os
import pty
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from processes import all_gone, descendants, named

from bench.scenario.parse import shipped

WIRELAB = [sys.executable, "-m", "bench.cli"]
SCENARIO = """
name = "tiny"
question = "does it run?"
prediction = "it does"
expected_length = "seconds"
repeats = 2
minimum_valid_trials = 2
probes = ["as-printed"]

[[cells]]
transport = ["websocket", "short-poll"]
subscribers = 10
publish_rate = 20
poll_interval_s = 0.2
window_s = {window_s}
settle_s = 0.2
"""
FILES = {"run.json", "deliveries.parquet", "requests.parquet", "published.parquet", "subscribers.parquet"}
FILES |= {"resources.jsonl", "errors.jsonl", "summary.json", "report.html"}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A scenario of four trials of a second."""
    path = tmp_path / "tiny.toml"
    path.write_text(SCENARIO.format(window_s=1.0))
    return path


def wirelab(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [*WIRELAB, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=90, check=False)


def measures(process: subprocess.Popen[str]) -> None:
    """Wait until a trial is under way: its processes are there, and have had time to meet."""
    while not all(named(part, process.pid) for part in ("gunicorn", "bench.trials.generator")):
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.7)


def test_a_run_from_beginning_to_end(tiny: Path, tmp_path: Path) -> None:
    """Plain lines where there is no terminal, a directory with everything in it, and an exit code that fits.

    A machine that is busy with other things may fail a gate on timing, and must then say so."""
    out = tmp_path / "out"
    done = wirelab("bench", tiny, "--out", out)
    run = json.loads((out / "run.json").read_text())
    assert done.returncode == (0 if all(trial["valid"] for trial in run["trials"]) else 1), done.stderr
    assert [trial["exit"] for trial in run["trials"]] == ["finished"] * 4
    assert all(trial["gates"]["delivered"]["passed"] for trial in run["trials"])
    assert {path.name for path in out.iterdir()} >= FILES
    assert not (out / "pieces").exists()
    assert len(re.findall(r"^\d/4 r\d-\S+: .* left$", done.stderr, re.MULTILINE)) == 4
    assert "\x1b" not in done.stderr
    assert str(out / "report.html") in done.stdout

    assert [trial["order"] for trial in run["trials"]] == [1, 2, 3, 4]
    assert run["schema"] == 3
    assert run["interrupted"] is False
    assert run["finished_us"] > run["started_us"]
    assert run["scenario"]["toml"] == tiny.read_text()
    assert run["probes"]["as-printed"]["completed"]["status"] == 101
    assert run["measured"]["arrival"] == "kernel"
    ids = {trial["id"] for trial in run["trials"]}
    deliveries = pq.read_table(out / "deliveries.parquet").to_pandas()
    assert list(deliveries) == [
        "trial",
        "subscriber",
        "id",
        "due_us",
        "accepted_us",
        "received_us",
        "handled_us",
    ]
    assert set(deliveries["trial"]) == ids
    published = pq.read_table(out / "published.parquet").to_pandas()
    for trial in ids:
        expected = 10 * (published["trial"] == trial).sum()
        assert (deliveries["trial"] == trial).sum() == expected
    samples = [json.loads(line) for line in (out / "resources.jsonl").read_text().splitlines()]
    assert {sample["trial"] for sample in samples} == ids


def test_a_server_killed_in_mid_trial(tiny: Path, tmp_path: Path) -> None:
    """The run goes on, that trial is invalid and says why, exit code 1, and no process is left."""
    out = tmp_path / "out"
    tiny.write_text(
        tiny.read_text().replace("repeats = 2", "repeats = 1", 1).replace("trials = 2", "trials = 1")
    )
    process = subprocess.Popen(
        [*WIRELAB, "bench", str(tiny), "--out", str(out), "--no-report"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    measures(process)
    children = list(descendants(process.pid))
    os.kill(named("gunicorn", process.pid)[0], signal.SIGKILL)
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 1
    assert all_gone(children)
    run = json.loads((out / "run.json").read_text())
    exits = [trial["exit"] for trial in run["trials"]]
    assert exits == ["the server was killed by SIGKILL", "finished"]
    assert run["trials"][0]["valid"] is False
    assert "SIGKILL" in run["trials"][0]["why"][0]
    assert "INVALID: the window was never measured: the server was killed by SIGKILL" in rest
    assert json.loads((out / "summary.json").read_text())["valid"] is False
    assert not (out / "report.html").exists()


def test_too_few_file_descriptors_are_told_before_anything_starts(tiny: Path, tmp_path: Path) -> None:
    """Rather than as errors of the last subscribers to join."""
    command = f"ulimit -n 250; exec {shlex.join([*WIRELAB, 'bench', str(tiny), '--out', 'out'])}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "needs 266 file descriptors, and the hard limit is 250" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["bench", "nothing-like-it"], ", ".join(shipped())),
        (["bench", "missing.toml"], "missing.toml"),
        (["bench", "bad.toml"], "subscribers must be"),
        (["bench", "quick", "--out", "full"], "not empty"),
        (["bench", "quick", "--out", "bad.toml"], "is a file"),
        (["bench", "quick", "--fast"], "--fast"),
        (["report", "nowhere"], "run.json"),
        (["claims", "full"], "run.json"),
        (["publish", "--rate", "fast"], "--rate: must be a number from 0.001 to 10,000, not fast"),
        (
            ["publish", "--system", "nchan", "--url", "http://127.0.0.1:9"],
            "; start it, or name it with --url",
        ),
        (["publish", "--url", "http://127.0.0.1:9"], "wirelab serve"),
        (["publish", "--stream", "No Such"], "a-z"),
        ([], "COMMAND"),
        (["dance"], "dance"),
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path: Path, arguments: list[str], told: str) -> None:
    """In one sentence, without a traceback, and before anything is started or written."""
    (tmp_path / "bad.toml").write_text(SCENARIO.format(window_s=1.0).replace("10", "-10"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    before = sorted(tmp_path.rglob("*"))
    done = wirelab(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "signal_number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.long),
        pytest.param(signal.SIGHUP, marks=pytest.mark.long),
    ],
)
def test_an_interruption_keeps_the_finished_trials(tiny: Path, tmp_path: Path, signal_number: int) -> None:
    """Ctrl-C in the second trial: the first is kept and reported, and no process is left."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        [*WIRELAB, "bench", str(tiny), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    while not process.stdout.readline().startswith("1/4"):
        assert process.poll() is None
    measures(process)
    children = list(descendants(process.pid))
    assert children
    process.send_signal(signal_number)
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + signal_number, rest
    assert all_gone(children)
    run = json.loads((out / "run.json").read_text())
    assert run["interrupted"] is True
    assert len(run["trials"]) == 1
    assert {path.name for path in out.iterdir()} >= FILES
    assert "interrupted" in rest
    assert "Traceback" not in rest


def test_an_interruption_before_the_first_trial(tmp_path: Path) -> None:
    """There is nothing to report, and that is told."""
    path, out = tmp_path / "tiny.toml", tmp_path / "out"
    path.write_text(SCENARIO.format(window_s=2.0))
    process = subprocess.Popen(
        [*WIRELAB, "bench", str(path), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    measures(process)
    children = list(descendants(process.pid))
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert all_gone(children)
    assert "Traceback" not in rest
    assert json.loads((out / "run.json").read_text())["trials"] == []


def test_a_terminal_shows_it_live(tiny: Path, tmp_path: Path) -> None:
    """Which trial, its stage, what is left; --quiet falls back to plain lines."""
    for quiet, last in ((False, b"2/4"), (True, b"1/4")):
        ours, theirs = pty.openpty()
        out = tmp_path / f"out-{quiet}"
        process = subprocess.Popen(
            [*WIRELAB, "bench", str(tiny), "--no-report", "--out", str(out), *(["--quiet"] if quiet else [])],
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "40"},
        )
        os.close(theirs)
        shown = b""
        try:
            while data := os.read(ours, 65536):
                shown += data
                if last in shown:
                    break
        except OSError:
            pass
        process.send_signal(signal.SIGINT)
        while True:
            try:
                if not os.read(ours, 65536):
                    break
            except OSError:
                break
        os.close(ours)
        assert process.wait(30) == 130
        assert (b"\x1b[" in shown) is not quiet
        assert (b"measuring" in shown) is not quiet


def test_help_answers_at_once() -> None:
    """Nothing heavy is imported, and nothing is monkey patched, before it is needed."""
    code = (
        "import sys; from bench import cli\n"
        "try: cli.main(['bench', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'gevent', 'locust', 'pandas', 'numpy', 'matplotlib', 'pyarrow', 'rich', 'flask'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "SCENARIO" in done.stdout
