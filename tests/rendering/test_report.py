"""The report of a run: one page, from its run.json and its summary alone."""

from __future__ import annotations

import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
import told
from conftest import Visits
from rich.console import Console
from synthetic_run import change_run

from bench.analysis import store
from bench.analysis.store import Run
from bench.analysis.summary import Summary
from bench.evidence.metrics import METRICS
from bench.rendering import arrange, figures, names
from bench.rendering.looks import VERDICT_COLOURS
from bench.rendering.report import report
from bench.rendering.terminal import table

FEW = ("latency", "idle", "memory", "residuals")
"""Figures enough for a page: of the small run the first and the last are drawn, and the others are not."""


def written(run: Run) -> str:
    """The page, in the run's directory."""
    return report.write(run.directory, run.run, run.summary, FEW).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def quick(quick_run: Run) -> str:
    """The page of the small run."""
    return written(quick_run)


@pytest.fixture(scope="module")
def whole(article_run: Run) -> str:
    """The page of the large run."""
    return written(article_run)


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


@pytest.fixture
def copied(quick_run: Run, tmp_path: Path) -> Path:
    """A copy of the small run that a test may change."""
    return Path(shutil.copytree(quick_run.directory, tmp_path / "run"))


def without_figures(run: Run, summary: Summary | None = None) -> str:
    """The report's page alone, for what does not stand in a figure."""
    return report.render(run.run, summary or run.summary, [])


@pytest.mark.parametrize(("name", "written_as"), [("quick_run", "quick"), ("article_run", "whole")])
def test_the_report_needs_nothing_else(name: str, written_as: str, request: pytest.FixtureRequest) -> None:
    """One page: no link out of it, no script, balanced tags, unique ids, every claim and verdict."""
    run, text = request.getfixturevalue(name), request.getfixturevalue(written_as)
    page = Page(text)
    assert page.open == []
    assert all(link.startswith("#") for link in page.links)
    assert "<script" not in text
    assert not re.search(r"url\((?!#)|@import|src=", text)
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links} <= set(page.ids)
    for claim in run.summary.claims:
        assert claim.says in page.words
        assert f"claim-{claim.id}" in page.ids
    for gate in run.summary.trials[0].gates:
        assert gate in page.words
    tables = page.words.rpartition("All figures as tables")[2]
    loaded = [cell for group in arrange.loads(run.summary.cells) for cell in group]
    for metric in METRICS:
        assert (names.label(metric) in tables) is any(cell.metrics[metric] for cell in loaded)
    for chapter in ("How late?", "At what cost?", "May it be believed?"):
        assert chapter in page.words
    assert "How to reproduce" in page.words
    assert f"wirelab bench {run.run['scenario']['name']}" in page.words
    assert "never compare it with cpu measured across a link" in page.words.lower().replace("\n", " ")


def test_what_was_not_measured_is_said_in_words(quick: str, quick_run: Run) -> None:
    """Where its figure would stand."""
    for name in ("idle", "memory"):
        assert figures.make(name, quick_run.summary)[1] in Page(quick).words


def test_what_lies_outside_its_band_is_marked(quick_run: Run) -> None:
    """In the tables and in the caption of the residuals, with a footnote."""
    summary = told.outside(quick_run.summary)
    cell = next(cell for cell in summary.cells if cell.transport == "websocket")
    mean = cell.metrics["latency_ms_mean"]
    assert mean is not None
    page = Page(without_figures(quick_run, summary))
    assert f"{names.value_text('latency_ms_mean', mean.value)}†" in page.words
    assert "† lies outside the band" in page.words
    assert "#figure-residuals" in page.links
    assert f"† latency, mean, {cell.id}" in figures.make("residuals", summary)[1]


def test_nothing_is_marked_where_theory_was_met(quick: str) -> None:
    """No footnote to nothing."""
    assert "†" not in Page(quick).words


def test_the_report_tells_what_a_link_really_did(quick: str, article_run: Run) -> None:
    """A link's check is a row; one that was not passed says why; without links nothing is said of them."""
    assert "What the emulated link really did" not in quick
    failed = {**article_run.run["links"][0], "passed": False, "why": "a cable was cut", "round_trip_ms": None}
    run = {**article_run.run, "links": [failed]}
    words = Page(report.render(run, article_run.summary, [])).words
    assert "What the emulated link really did" in words
    assert "no: a cable was cut" in words
    assert "The link was emulated" in words


def test_the_first_screen_answers_from_the_verdicts(whole: str, article_run: Run) -> None:
    """Every claim stands there under its verdict, before any of them is told in full."""
    first = whole[whole.index("The answer in one screen") : whole.index('id="verdicts"')]
    for claim in article_run.summary.claims:
        assert f'href="#claim-{claim.id}"' in first
    assert "a delivery came on average" in first


def test_a_moved_run_reports_the_same(quick: str, quick_run: Run, tmp_path: Path) -> None:
    """No path of this machine in it."""
    moved = Path(shutil.copytree(quick_run.directory, tmp_path / "elsewhere"))
    (moved / "report.html").unlink()
    (moved / "summary.json").unlink()
    assert written(store.load(moved)) == quick
    assert str(quick_run.directory) not in quick


def test_text_from_a_run_directory_cannot_become_markup(copied: Path) -> None:
    """Names, reasons and versions are escaped, in the page and in its figures."""
    bad = "<script>alert(1)</script>"

    def edit(record: dict[str, Any]) -> None:
        record["machine"]["cpu_model"] = bad
        record["scenario"]["question"] = bad
        for trial in record["trials"]:
            trial["server_model"] = bad
            if trial["repeat"] == 1:
                trial.update(valid=False, why=[bad])

    change_run(copied, edit)
    run = store.load(copied)
    cells = [msgspec.structs.replace(cell, valid=True) for cell in run.summary.cells]
    summary = msgspec.structs.replace(run.summary, cells=cells)
    assert bad in figures.make("latency", summary)[1]
    text = report.write(copied, run.run, summary, FEW).read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_invalid_trials_are_shown_with_their_reason(copied: Path) -> None:
    """Kept, shown, and worth nothing: in the page and in the terminal."""

    def edit(record: dict[str, Any]) -> None:
        record["trials"][0].update(valid=False, why=["a dog sat on the switch"])

    change_run(copied, edit)
    run = store.load(copied)
    words = Page(without_figures(run)).words
    assert "a dog sat on the switch" in words
    assert "not a valid run" in words
    output = io.StringIO()
    table.print_summary(run.run, run.summary, Console(file=output, width=80, highlight=False))
    assert "a dog sat on the switch" in output.getvalue()
    assert "NOT VALID" in output.getvalue()


def test_each_server_by_itself_has_its_words_and_reasons(quick_run: Run) -> None:
    """On the colours of their verdicts, as everywhere: dark letters would not be read on a dark page."""
    page = report.render(quick_run.run, told.judged_alone(quick_run.summary), [])
    rows = page[page.index('<h2 id="servers">') :]
    for word in told.WORDS:
        assert f'<span class="verdict" style="background: {VERDICT_COLOURS[word]}">{word}</span>' in rows
    for row in range(len(told.SERVERS)):
        assert f"low-latency on <code>{row}</code>." in rows
    assert 'href="#servers"' in page
    assert 'id="servers"' not in report.render(quick_run.run, quick_run.summary, [])


@pytest.mark.parametrize(
    ("more", "kept_busy"),
    [
        ({}, "the server&#39;s 60%"),
        ({"generator_cpu_share": 0.5, "bound_by": "server"}, "the server&#39;s 60%"),
        ({"generator_cpu_share": 0.5, "bound_by": "generator"}, "the load generator&#39;s 50%"),
    ],
)
def test_whose_core_bounds_a_fitted_load_is_told(
    more: dict[str, Any], kept_busy: str, quick_run: Run
) -> None:
    """Runs of the time before a load could be bound by the load generator were bound by the server."""
    fitted = {
        "transport": "websocket",
        "system": "wirelab",
        "server_model": "gevent",
        "load": "publish_rate",
        "core_busy_share": 0.6,
        "found": [0.5, None],
        "times": 1.2,
        "loads": [132.0],
        **more,
    }
    page = report.render({**quick_run.run, "calibrations": [fitted]}, quick_run.summary, [])
    assert f'<td class="text">{kept_busy}</td>' in page


def test_the_page_is_no_wider_than_a_phone(whole: str, article_run: Run, visit: Visits) -> None:
    """Wide tables and figures scroll by themselves, in light and in dark."""
    for scheme in ("light", "dark"):
        page = visit(
            (article_run.directory / "report.html").as_uri(),
            viewport={"width": 400, "height": 800},
            color_scheme=scheme,
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_code_in_a_sentence_is_the_only_markup() -> None:
    """A verdict's reason holds words from the run: they are escaped, inside and outside of backquotes."""
    assert report._code("<b> `<i>`") == "&lt;b&gt; <code>&lt;i&gt;</code>"


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({"commit": "a" * 40, "dirty": False}, "<dd>" + "a" * 40 + "</dd>"),
        (
            {"commit": None, "dirty": None, "versions": {"wirelab": "0.1.0"}},
            "as installed: wirelab 0.1.0</dd>",
        ),
        (
            {"commit": None, "dirty": None, "versions": {"python": "3.12"}},
            "<dt>commit</dt><dd>not known</dd>",
        ),
        (
            {"machine": {"cpu_model": "x", "cores": 1, "memory_kb": None, "kernel": "6", "system": "Linux"}},
            "1 core, ",
        ),
        (
            {
                "machine": {
                    "cpu_model": None,
                    "cores": None,
                    "memory_kb": None,
                    "kernel": "6",
                    "system": "Linux",
                }
            },
            "an unnamed processor, an unknown number of cores, Linux 6</dd>",
        ),
    ],
)
def test_what_ran_is_named(facts: dict[str, Any], told: str, quick_run: Run) -> None:
    """By its commit, or by its version where it is installed."""
    assert told in report.render({**quick_run.run, **facts}, quick_run.summary, [])
