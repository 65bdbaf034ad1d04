"""What the user sees: table, figures and report, from the summary alone."""

from __future__ import annotations

import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console
from synthetic_run import article, change_run, write_run

from bench import analysis, colours, figures, layout, report, table
from bench.metrics import METRICS


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("quick"))
    analysis.analyse(run)
    report.write(run)
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("article"), article(), name="article", repeats=5)
    analysis.analyse(run)
    report.write(run)
    return run


class Page(HTMLParser):
    """Collects what a page points at, what it says, and whether its tags are balanced."""

    VOID = ("meta", "br", "hr", "img", "link", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "data"):
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def printed(run: Path, width: int = 80) -> str:
    """What the terminal would show, without colours."""
    output = io.StringIO()
    table.print_summary(run, Console(file=output, width=width, highlight=False))
    return output.getvalue()


@pytest.mark.parametrize("name", ["quick", "whole"])
def test_the_report_needs_nothing_else(name: str, request: pytest.FixtureRequest) -> None:
    """One page: no link out of it, no script, balanced tags, unique ids, every claim and verdict."""
    run = request.getfixturevalue(name)
    text = (run / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert all(link.startswith("#") for link in page.links)
    assert "<script" not in text
    assert not re.search(r"url\((?!#)|@import|src=", text)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)
    summary = json.loads((run / "summary.json").read_text())
    for claim in summary["claims"]:
        assert claim["says"] in page.words
        assert f"claim-{claim['id']}" in page.ids
    for gate in summary["trials"][0]["gates"]:
        assert gate in page.words
    assert "How to reproduce" in page.words
    assert f"wirelab bench {json.loads((run / 'run.json').read_text())['scenario']['name']}" in page.words
    assert "never compare it with cpu measured across a link" in page.words.lower().replace("\n", " ")


def test_figures_are_drawn_as_svg_and_png_and_are_the_same_again(quick: Path, tmp_path: Path) -> None:
    """Byte for byte, so that a figure in a repository changes only with its data."""
    summary = analysis.current(quick)
    first, again = (figures.draw(summary, tmp_path / name) for name in ("first", "again"))
    drawn = [one for one in first if one.svg]
    assert {one.name for one in drawn} == {"latency", "cpu", "calls"}
    for one, other in zip(first, again, strict=True):
        assert one.caption
        if one.svg is None or one.png is None or other.svg is None:
            continue
        assert one.svg.read_bytes() == other.svg.read_bytes()
        ElementTree.parse(one.svg)
        assert one.png.read_bytes().startswith(b"\x89PNG")


def test_what_was_not_measured_is_said_in_words_and_not_drawn(quick: Path, tmp_path: Path) -> None:
    """No empty axes; a figure left from an earlier analysis goes."""
    (tmp_path / "memory.svg").write_text("old")
    missing = {
        one.name: one.caption for one in figures.draw(analysis.current(quick), tmp_path) if one.svg is None
    }
    assert set(missing) == {"idle", "memory"}
    assert "200 subscribers" in missing["memory"]
    assert not (tmp_path / "memory.svg").exists()
    assert missing["memory"] in Page((quick / "report.html").read_text()).words


def test_a_sweep_is_drawn_against_subscribers(whole: Path, tmp_path: Path) -> None:
    """Three numbers of subscribers or more make curves."""
    drawn = {one.name: one for one in figures.draw(analysis.current(whole), tmp_path)}
    assert "against the number of subscribers" in drawn["idle"].caption
    assert "against the number of subscribers" in drawn["memory"].caption
    assert "against the number of subscribers" not in drawn["cpu"].caption


def test_a_moved_run_reports_the_same(quick: Path, tmp_path: Path) -> None:
    """No path of this machine in it."""
    moved = Path(shutil.copytree(quick, tmp_path / "elsewhere"))
    (moved / "report.html").unlink()
    (moved / "summary.json").unlink(missing_ok=True)
    again = report.write(moved).read_bytes()
    assert again == (quick / "report.html").read_bytes()
    assert str(quick).encode() not in again


def test_text_from_a_run_directory_cannot_become_markup(quick: Path, tmp_path: Path) -> None:
    """Names, reasons and versions are escaped, in the page and in its figures."""
    run = Path(shutil.copytree(quick, tmp_path / "run"))
    bad = "<script>alert(1)</script>"

    def edit(record: dict[str, Any]) -> None:
        record["machine"]["cpu_model"] = bad
        record["scenario"]["question"] = bad
        for trial in record["trials"]:
            trial["server_model"] = bad
            if trial["repeat"] == 1:
                trial.update(valid=False, why=[bad])

    change_run(run, edit)
    text = report.write(run).read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_invalid_trials_are_shown_with_their_reason(quick: Path, tmp_path: Path) -> None:
    """Kept, shown, and worth nothing: in the page and in the terminal."""
    run = Path(shutil.copytree(quick, tmp_path / "run"))

    def edit(record: dict[str, Any]) -> None:
        record["trials"][0].update(valid=False, why=["a dog sat on the switch"])

    change_run(run, edit)
    words = Page(report.write(run).read_text()).words
    assert "a dog sat on the switch" in words
    assert "not a valid run" in words
    assert "a dog sat on the switch" in printed(run)
    assert "NOT VALID" in printed(run)


@pytest.mark.parametrize("name", ["quick", "whole"])
def test_the_terminal_table_fits_80_columns_and_is_plain(name: str, request: pytest.FixtureRequest) -> None:
    """Every claim with its verdict, no escape codes, nothing cut off."""
    run = request.getfixturevalue(name)
    text = printed(run)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "…" not in text
    for claim in analysis.current(run)["claims"]:
        assert re.search(rf"^ ?{claim['id']} +{claim['verdict']}", text, re.MULTILINE)
    assert "WebSocket" in text
    assert "long poll" in text


def test_every_number_is_written_in_its_units() -> None:
    """Shares in percent, counts whole, absent as a dash."""
    assert layout.value_text("empty_response_share", 0.1234) == "12 %"
    assert layout.value_text("empty_response_share", 0.0123) == "1.2 %"
    assert layout.value_text("empty_response_share", 0.0) == "0 %"
    assert layout.value_text("deliveries", 12345.0) == "12,345"
    assert layout.value_text("latency_ms_p50", 0.01234) == "0.0123"
    assert layout.figure_text("latency_ms_p50", None) == "–"
    assert layout.figure_text("latency_ms_p50", {"value": 1.5, "low": 1.25, "high": 2.0}) == "1.5 (1.25–2)"
    assert layout.figure_text("latency_ms_p50", {"value": 1.5, "low": None, "high": None}) == "1.5"
    assert all(layout.label(metric) for metric in METRICS)


def test_transports_can_be_told_apart_without_colour() -> None:
    """Colour, marker and line all differ."""
    for part in ("colour", "marker", "line"):
        seen = [str(getattr(look, part)) for look in colours.LOOKS.values()]
        assert len(seen) == len(set(seen))
    assert colours.look("carrier-pigeon").label == "carrier-pigeon"
