"""What is printed vetoes nothing: every command, with outputs that are closed, full, or of few letters."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import pytest
from judging import headers
from synthetic_run import cell, write_run

from bench.cli import main
from bench.rendering.terminal.streams import Stream, print_json

WIRELAB = [sys.executable, "-m", "bench.cli"]
ASCII = {"PYTHONIOENCODING": "", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that every command reads, with letters of all kinds in it."""
    cells = [cell("short-poll", poll_interval_s=0.5, headers="minimal"), cell("websocket")]
    where = tmp_path_factory.mktemp("outputs") / "kaazing"
    run = write_run(where, cells, name="reproduce-kaazing", probes=headers(poll=871, frame=2))
    record = json.loads((run / "run.json").read_text())
    record["links_unavailable"] = "日本 – ü “†”"
    (run / "run.json").write_text(json.dumps(record))
    return run


def commands(run: Path) -> dict[str, list[str]]:
    """Every command that ends by itself and needs no server."""
    return {
        "help": ["--help"],
        "claims": ["claims", str(run)],
        "json": ["claims", str(run), "--json"],
        "side by side": ["claims", str(run), str(run)],
        "plan": ["plan", "--users", "5", "--rate", "1", "--payload", "10", str(run)],
        "reproduce": ["reproduce", "--from", str(run)],
        "report": ["report", str(run)],
        "wire": ["wire", "websocket"],
    }


@pytest.fixture
def say(
    kept: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], one_figure: None
) -> Callable[[str, TextIO], tuple[int, str]]:
    """Run a command into an output; its exit code, and what it says on stderr. Reports have one figure."""

    def run(name: str, output: TextIO) -> tuple[int, str]:
        (kept / "report.html").unlink(missing_ok=True)
        with output, monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", output)
            try:
                code = main(commands(kept)[name])
            except SystemExit as end:
                code = int(end.code or 0)
        assert (kept / "report.html").exists() is (name == "report")
        return code, capfd.readouterr().err

    return run


def closed_pipe() -> int:
    """A pipe that nobody reads any more, as `| head` leaves it."""
    ours, theirs = os.pipe()
    os.close(ours)
    return theirs


CODES = {
    "help": 0,
    "claims": 0,
    "json": 0,
    "side by side": 0,
    "reproduce": 0,
    "report": 0,
    "wire": 0,
    "plan": 1,
}
"""The run has no cost model to plan with."""
FILES = ("report", "reproduce")


@pytest.mark.parametrize("name", CODES)
def test_a_lost_output_costs_no_file(say: Callable[..., tuple[int, str]], name: str) -> None:
    """A pipe that was closed is an ordinary end. A full disk is told; where the output is all that there is,
    it is a failure."""
    code, said = say(name, os.fdopen(closed_pipe(), "w", encoding="utf-8"))
    assert code == CODES[name]
    assert not said or name == "plan"
    code, said = say(name, os.fdopen(os.open("/dev/full", os.O_WRONLY), "w", encoding="utf-8"))
    assert code == (0 if name in FILES else 1)
    assert "the output could not be written: No space left on device" in said or name == "plan"


@pytest.mark.parametrize("letters", ["ascii", "latin-1"])
@pytest.mark.parametrize("name", ["claims", "json", "reproduce", "report", "plan"])
def test_a_terminal_of_few_letters_shows_what_it_can(
    say: Callable[..., tuple[int, str]], kept: Path, tmp_path: Path, name: str, letters: str
) -> None:
    """The rest is replaced; JSON loses nothing."""
    path = tmp_path / "shown"
    assert say(name, path.open("w", encoding=letters))[0] == CODES[name]
    shown = path.read_text(encoding=letters)
    if name == "reproduce":
        assert "?? ? " in shown
    if name == "json":
        written = json.loads((kept / "summary.json").read_text(encoding="utf-8"))["claims"]
        assert json.loads(shown) == written


def test_a_process_ends_in_order_though_its_reader_has_gone(kept: Path) -> None:
    """Also when the interpreter writes what is left."""
    words = [*WIRELAB, *commands(kept)["json"]]
    theirs = closed_pipe()
    done = subprocess.run(words, stdout=theirs, stderr=subprocess.PIPE, env=os.environ | ASCII, check=False)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_servers_start_on_a_terminal_of_few_letters(tmp_path: Path, command: str) -> None:
    """The join address's picture has blocks and lines."""
    more = ["--lan"] if command == "demo" else []
    process = subprocess.Popen(
        [*WIRELAB, command, "--port", "0", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | ASCII,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if b"serving on" in line:
            break
    process.send_signal(signal.SIGTERM)
    lines += process.stdout.readlines()
    process.stdout.close()
    assert process.wait(20) == 0
    assert b"serving on" in b"".join(lines)
    assert b"Traceback" not in b"".join(lines)


def test_a_stream_keeps_why_it_lost_something() -> None:
    """And a reader that has gone is no loss."""

    class Broken(io.StringIO):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def write(self, text: str) -> int:
            raise OSError(self.number, os.strerror(self.number))

    for number, lost in ((28, True), (27, True), (32, False), (5, False)):
        stream = Stream(Broken(number))
        assert stream.write("words") == 5
        stream.flush()
        assert (stream.lost is not None) is lost
    closed = io.StringIO()
    closed.close()
    for nothing in (Stream(None), Stream(closed)):
        nothing.write("words")
        nothing.flush()
        assert nothing.lost is None
        assert nothing.isatty() is False


def test_json_loses_no_letter(capsys: pytest.CaptureFixture[str]) -> None:
    """Also those that would act on a terminal."""
    data = ["ü", "\x1b[2J", "\x9b", "\u202e", "\u2028"]
    print_json(data)
    printed = capsys.readouterr().out
    assert json.loads(printed) == data
    assert not {"\x1b", "\x9b", "\u202e", "\u2028"} & set(printed)
