"""Damaged, foreign and strange run directories: one sentence each, from every command, and no text acts."""

from __future__ import annotations

import contextlib
import html
import io
import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import wirelab
from rich.console import Console
from synthetic_run import cell, change_run, write_run

import bench
from bench.cli import main
from bench.errors import RunDirectoryError
from bench.rendering import figures
from bench.rendering.report import report

COMMANDS = (
    ("claims", "{}"),
    ("claims", "{}", "--json"),
    ("plan", "--users", "5", "--rate", "1", "--payload", "10", "{}"),
    ("reproduce", "--from", "{}"),
    ("report", "{}"),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cells = [cell("websocket", subscribers=2, one_way_ms=5.0), cell("short-poll", subscribers=2)]
    return write_run(tmp_path_factory.mktemp("whole"), cells, repeats=2)


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def replaced(name: str, by: Callable[[Path], Any]) -> Callable[[Path], None]:
    """Put something else in the place of a file."""

    def act(run: Path) -> None:
        (run / name).unlink()
        by(run / name)

    return act


def edited(*keys: str | int, to: Any) -> Callable[[Path], None]:
    """Change one value of run.json."""

    def edit(record: Any) -> None:
        for key in keys[:-1]:
            record = record[key]
        record[keys[-1]] = to

    return lambda run: change_run(run, edit)


def column(table: str, name: str, value: Any) -> Callable[[Path], None]:
    """Give a column of a table another value in each row."""

    def act(run: Path) -> None:
        read = pq.read_table(run / f"{table}.parquet")
        place = read.schema.get_field_index(name)
        pq.write_table(read.set_column(place, name, pa.array([value] * len(read))), run / f"{table}.parquet")

    return act


def written(name: str, data: bytes) -> Callable[[Path], Any]:
    return lambda run: (run / name).write_bytes(data)


def cut(name: str) -> Callable[[Path], Any]:
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[:-100])


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "run.json is cut": (cut("run.json"), "cannot be read"),
    "run.json is UTF-16": (written("run.json", "{}".encode("utf-16")), "is in UTF-16"),
    "run.json is Latin-1": (written("run.json", b'{"\xe4":1}'), "is not UTF-8 (byte 0xe4 in line 1)"),
    "run.json is a pipe": (replaced("run.json", os.mkfifo), "is not a regular file"),
    "run.json is a device": (replaced("run.json", lambda path: path.symlink_to("/dev/zero")), "regular file"),
    "run.json is a directory": (replaced("run.json", Path.mkdir), "is not a regular file"),
    "run.json is deep": (written("run.json", b"[" * 200_000), "recursion"),
    "a number is enormous": (written("run.json", b'{"schema":' + b"9" * 5000 + b"}"), "cannot be read"),
    "a schema is no number": (edited("schema", to=1e400), "names no schema version"),
    "a time is enormous": (edited("trials", 0, "window_end_us", to=10**30), "window_end_us"),
    "a name is a list": (edited("trials", 0, "id", to=[]), "trials[0].id"),
    "a setting is wrong": (edited("trials", 0, "subscribers", to="many"), "subscribers"),
    "two trials are one": (edited("trials", 0, "order", to=2), "two trials have the same order"),
    "a link is of words": (edited("links", 0, "jitter_ms", to="much"), "links[0].jitter_ms"),
    "a machine is odd": (edited("machine", "memory_kb", to={}), "machine.memory_kb"),
    "a gate is a word": (edited("trials", 0, "gates", to={"x": "y"}), "gates"),
    "a table is cut": (cut("deliveries.parquet"), "cannot be read"),
    "a table is a pipe": (replaced("requests.parquet", os.mkfifo), "is not a regular file"),
    "a table is text": (written("published.parquet", b"a,b\n1,2\n"), "cannot be read"),
    "a time is a text": (column("deliveries", "received_us", "late"), "has string in column 'received_us'"),
    "a trial is a number": (column("subscribers", "trial", 7), "has int64 in column 'trial'"),
    "a trial is nothing": (column("subscribers", "trial", None), "has a row of no trial"),
    "samples are numbers": (written("resources.jsonl", b"1\n"), "line 1, is no JSON object"),
    "samples are Latin-1": (written("resources.jsonl", b'{"a":"\xe4"}\n'), "cannot be read"),
    "samples are a pipe": (replaced("errors.jsonl", os.mkfifo), "is not a regular file"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_told_in_one_sentence_by_every_command(run: Path, what: str) -> None:
    """With exit code 2, and by `bench.load` and what hangs on it."""
    damage, says = DAMAGE[what]
    damage(run)
    for command in COMMANDS if what in ("run.json is a pipe", "a table is cut") else COMMANDS[::4]:
        code, told = wirelab(*(word.format(run) for word in command))
        assert code == 2, told
        assert says in told
        assert len(told.splitlines()) == 1
        assert len(told) < 1000
    with pytest.raises(RunDirectoryError):
        _ = bench.load(run).summary


def test_damage_that_nobody_foresaw_is_told_too(run: Path) -> None:
    """Samples that are objects, and hold what no sample holds."""
    for value in ('"x"', "[]", "1e400", "null"):
        rows = [json.loads(line) for line in (run / "resources.jsonl").read_text().splitlines()]
        lines = [
            json.dumps(row | {"server": "VALUE", "cores": "VALUE"}).replace('"VALUE"', value) for row in rows
        ]
        (run / "resources.jsonl").write_text("\n".join(lines))
        with contextlib.suppress(RunDirectoryError):
            _ = bench.load(run).summary


def test_what_others_left_beside_a_run_is_not_waited_for(run: Path) -> None:
    """A summary that is a pipe, or a device, is made anew; pieces beside a finished run are leftovers."""
    os.mkfifo(run / "summary.json")
    (run / "pieces").mkdir()
    (run / "pieces" / "00001.deliveries.parquet").write_bytes(b"half of a pie")
    assert bench.load(run).summary.counts.all == 4
    code, told = wirelab("claims", str(run))
    assert (code, told) == (0, "")


def test_a_page_tells_what_run_json_does_not(run: Path) -> None:
    """A report is not lost for the name of a kernel."""
    for name in ("machine", "versions", "commit", "dirty", "pinning", "measured", "command", "id"):
        change_run(run, lambda record, name=name: record.pop(name))
    opened = bench.load(run)
    page = report.write(run, opened.run, opened.summary, only=[]).read_text(encoding="utf-8")
    assert "an unnamed processor" in page


WORDS = "\x1b[2J$x^2$ <b>bold</b> [red]red[/red] `code` *em* \u202egnp \ud800 \x9b %s {0} \u2028"
"""Markup of a terminal, a figure, a page, rich and Markdown, and what is no text at all."""


@pytest.fixture
def hostile(run: Path) -> Path:
    """A run in which every free text is WORDS."""

    def edit(record: Any) -> None:
        record["id"] = record["command"] = record["machine"]["cpu_model"] = WORDS
        record["links_unavailable"] = record["commit"] = record["scenario"]["question"] = WORDS
        record["systems_unavailable"] = {WORDS: WORDS}
        record["versions"][WORDS] = WORDS
        record["scenario"]["minimum_valid_trials"] = 1
        record["scenario"]["name"] = record["scenario"]["prediction"] = record["scenario"]["toml"] = WORDS
        for trial in record["trials"]:
            trial["link"] = trial["link"] if trial["link"] == "loopback" else WORDS
            trial["exit"] = WORDS if trial["repeat"] == 1 else "finished"
        for link in record["links"]:
            link["link"] = WORDS

    change_run(run, edit)
    return run


def acts(text: str) -> list[str]:
    """The characters of a text that would do something."""
    return [letter for letter in "\x1b\x9b\u202e\u2028\ud800" if letter in text]


def test_texts_of_a_run_do_nothing_on_a_terminal(hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither its codes nor rich's markup; every letter is shown."""
    for command in (("claims", str(hostile)), ("claims", str(hostile), str(hostile))):
        assert main(list(command)) == 0
        printed = capsys.readouterr()
        assert not acts(printed.out + printed.err)
    assert "[red]red[/red]" in "".join(printed.out.split())
    opened = bench.load(hostile)
    from bench.rendering.terminal import table
    from bench.rendering.terminal.console import PlainConsole

    shown = io.StringIO()
    coloured = PlainConsole(file=shown, width=200, force_terminal=True, color_system="standard")
    table.print_summary(opened.run, opened.summary, coloured)
    assert "\x1b[2J" not in shown.getvalue()
    assert "[red]red[/red]" in shown.getvalue()
    assert isinstance(coloured, Console)


def test_texts_of_a_run_do_nothing_in_a_page_or_a_figure(hostile: Path) -> None:
    """No tag, no formula."""
    opened = bench.load(hostile)
    page = report.write(hostile, opened.run, opened.summary, only=["latency"]).read_text(encoding="utf-8")
    assert "<b>bold" not in page
    assert "$x^2$ <b>bold</b> [red]red[/red]" in html.unescape(page)
    assert not acts(page)
    drawn = (hostile / "figures" / "latency.svg").read_text(encoding="utf-8")
    assert not acts(drawn)


def test_a_dollar_in_a_name_is_no_formula() -> None:
    """Of a figure: an unbalanced one, too, which matplotlib would refuse."""
    from matplotlib.figure import Figure

    from bench.rendering.figures.style import STYLE
    from bench.rendering.plain import mpl

    with mpl.rc_context(STYLE):
        figure = Figure()
        words = figure.text(0, 0, r"$\frac{$ and $\nonsense$")
        figure.draw_without_rendering()
    assert words.get_parse_math() is False


def test_texts_of_a_run_do_nothing_in_a_notebook(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither Markdown, HTML nor a formula."""
    import pandas as pd

    from bench.notebook import showing

    shown: list[Any] = []
    monkeypatch.setattr(showing, "display", shown.append)
    showing.about(bench.load(hostile))
    showing.show(None, WORDS)
    showing.table(pd.DataFrame([{"name": WORDS.replace("\ud800", ""), "code": "$x^2$<b>"}]), code=["code"])
    for one in shown:
        text = one.data
        assert "<b>" not in text
        assert "$x^2" not in text
        assert not acts(text)
    for markup in ("*em*", "[red]", "`code`"):
        assert markup not in shown[0].data + shown[1].data


def test_a_figure_that_cannot_be_drawn_costs_itself_alone(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page says so in its place."""

    def broken(summary: Any) -> Any:
        raise RuntimeError("Failed to process string with tex\nbecause latex could not be found")

    monkeypatch.setitem(figures.FIGURES, "delay", figures.FIGURES["delay"]._replace(draw=broken))
    opened = bench.load(run)
    page = report.write(run, opened.run, opened.summary, only=["delay", "calls"]).read_text(encoding="utf-8")
    told = "This figure could not be drawn: RuntimeError: Failed to process string with tex because latex"
    assert told in page
    assert (run / "figures" / "calls.svg").exists()


def test_no_name_of_a_directory_is_too_strange(whole: Path, tmp_path: Path, one_figure: None) -> None:
    """Bytes that are no UTF-8, line ends, codes of a terminal."""
    for name in (os.fsdecode(b"run\xff\xfe"), "two\nlines", "\x1b]0;title\x07", "[bold]x[/bold]", "$x$"):
        run = Path(shutil.copytree(whole, tmp_path / name))
        code, told = wirelab("claims", str(run))
        assert (code, told) == (0, "")
        assert wirelab("report", str(run))[0] == 0
        (run / "deliveries.parquet").unlink()
        code, told = wirelab("claims", str(run))
        assert code == 2
        assert len(told.splitlines()) == 1
        assert not acts(told)


def test_no_warning_is_left_over() -> None:
    """What is refused leaves no open file behind."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(RunDirectoryError):
            bench.load("/dev/null")
