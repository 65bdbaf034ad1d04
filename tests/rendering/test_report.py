"""What the user sees: table, figures and report, from the summary alone."""

from __future__ import annotations

import copy
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import synthetic_run
from conftest import Visits
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from synthetic_run import article, change_run, write_run

from bench.analysis import store
from bench.analysis.store import load
from bench.evidence.metrics import METRICS
from bench.rendering import arrange, figures, looks
from bench.rendering.figures import against
from bench.rendering.report import report
from bench.rendering.terminal import table


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("quick"))
    store.analyse(run)
    report.write(run)
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(tmp_path_factory.mktemp("article"), article(), name="article", repeats=5)
    store.analyse(run)
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


def without_figures(run: Path) -> str:
    """The report's page alone, for what does not stand in a figure."""
    return report.render(load(run).run, store.current(run), [])


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
    tables = page.words.rpartition("All figures as tables")[2]
    loaded = [cell for group in arrange.loads(summary) for cell in group]
    for metric in METRICS:
        assert (arrange.label(metric) in tables) is any(cell["metrics"][metric] for cell in loaded)
    for chapter in ("How late?", "At what cost?", "May it be believed?"):
        assert chapter in page.words
    assert "How to reproduce" in page.words
    assert f"wirelab bench {json.loads((run / 'run.json').read_text())['scenario']['name']}" in page.words
    assert "never compare it with cpu measured across a link" in page.words.lower().replace("\n", " ")


def test_figures_are_drawn_as_svg_and_png_and_are_the_same_again(quick: Path, tmp_path: Path) -> None:
    """Byte for byte, so that a figure in a repository changes only with its data."""
    summary = store.current(quick)
    first, again = (figures.draw(summary, tmp_path / name) for name in ("first", "again"))
    drawn = [one for one in first if one.svg]
    assert {one.name for one in drawn} == {"latency", "cpu", "calls", "residuals", "naive"}
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
        one.name: one.caption for one in figures.draw(store.current(quick), tmp_path) if one.svg is None
    }
    assert set(missing) == {"idle", "memory"}
    assert "200 subscribers" in missing["memory"]
    assert not (tmp_path / "memory.svg").exists()
    assert missing["memory"] in Page((quick / "report.html").read_text()).words


def test_a_sweep_is_drawn_against_subscribers(whole: Path) -> None:
    """Three numbers of subscribers or more make curves; CPU across a link stays out of loopback's figure."""
    summary = store.current(whole)
    captions = {name: figures.make(name, summary)[1] for name in ("idle", "memory", "cpu")}
    assert "against the number of subscribers" in captions["idle"]
    assert "against the number of subscribers" in captions["memory"]
    assert "against the number of subscribers" not in captions["cpu"]
    assert "not to be compared with loopback's" in captions["cpu"]


def told_everything(summary: dict[str, Any]) -> dict[str, Any]:
    """The summary with what this run does not measure: a cost model, a search for saturation, three values of
    λT, a sweep, and a figure far from its prediction."""
    told = copy.deepcopy(summary)
    figure = {"value": 100.0, "low": 95.0, "high": 105.0}
    points = [
        {"load": load, "cost": figure, "role": role}
        for load, role in ((100, "not used"), (500, "fitted"), (1000, "fitted"), (2000, "held out"))
    ]
    usual = synthetic_run.cell("websocket")
    del usual["subscribers"]
    told["costs"] = {
        "band": [0.3, 0.8],
        "most_error": 0.25,
        "series": [
            {
                "transport": "websocket", "server_model": "gevent", "settings": usual,
                "operation": operation, "unit": unit, "points": points, "form": "constant",
                "held_out": {"load": 2000, "predicted": 150.0, "error": 0.5},
                "curve": [[500, 100.0], [2000, 150.0]], "checked": False,
            }
            for operation, unit in (("delivery", "µs"), ("subscriber", "kB"))
        ],
    }  # fmt: skip
    steps = [
        {"cell": None, "subscribers": subscribers, "p99_ms": p99_ms, "kept": kept, "repeats": 3, "skipped": 0}
        for subscribers, p99_ms, kept in ((100, 10.0, 3), (1000, 200.0, 0), (2000, None, 0))
    ]
    broke = {"within": 100, "beyond": 1000, "why": "cores", "says": "It breaks at 1,000.", "steps": steps}
    told["saturation"] = {"p99_budget_ms": 100, "series": [{**usual, **broke}]}
    for cell in list(told["cells"]):
        for number, more in enumerate(({"subscribers": 40}, {"subscribers": 80}, {"publish_rate": 9.0})):
            if cell["transport"] and cell["publish_rate"] and not cell["one_way_ms"]:
                told["cells"].append({**cell, "id": f"{cell['id']}-{number}", **more})
    cell = next(cell for cell in told["cells"] if "latency_ms_mean" in cell["residuals"])
    cell["residuals"]["latency_ms_mean"].update(outcome="outside", residual_share=0.5)
    return told


def test_every_figure_is_drawn_with_its_axes_named(whole: Path) -> None:
    """None is left without a name and a unit on each axis, however little of it a run has."""
    summary = told_everything(store.current(whole))
    for name in figures.FIGURES:
        figure, caption = figures.make(name, summary)
        assert figure is not None, (name, caption)
        assert caption
        for panel in figure.axes:
            beneath, beside = panel.get_shared_x_axes(), panel.get_shared_y_axes()
            assert any(other.get_xlabel() for other in beneath.get_siblings(panel)), name
            assert any(other.get_ylabel() or named_rows(other) for other in beside.get_siblings(panel)), name


def named_rows(panel: Axes) -> bool:
    """Do names stand along the vertical axis, rather than numbers?"""
    ticks = [label.get_text() for label in panel.get_yticklabels()]
    return any(map(str.isalpha, "".join(ticks)))


def test_what_lies_outside_its_band_is_marked_everywhere(quick: Path, tmp_path: Path) -> None:
    """In the table of the terminal, in the figure of the residuals and in the report, with a footnote."""
    run = Path(shutil.copytree(quick, tmp_path / "run"))
    summary = json.loads((run / "summary.json").read_text())
    cell = next(cell for cell in summary["cells"] if cell["transport"] == "websocket")
    cell["residuals"]["latency_ms_mean"].update(outcome="outside", residual_share=0.5)
    (run / "summary.json").write_text(json.dumps(summary))
    shown = arrange.value_text("latency_ms_mean", cell["metrics"]["latency_ms_mean"]["value"])
    page = Page(without_figures(run))
    assert f"{shown}†" in page.words
    assert "† lies outside the band" in page.words
    assert "#figure-residuals" in page.links
    assert f"† latency, mean, {cell['id']}" in figures.make("residuals", summary)[1]
    assert re.search(r"latency, mean \(ms\).*†", printed(run))
    assert re.search(r"^† outside the band around its prediction: 1 of", printed(run), re.MULTILINE)


def test_the_terminal_tells_what_a_search_for_saturation_came_to(quick: Path, tmp_path: Path) -> None:
    """Each series by its transport, with its sentence."""
    run = Path(shutil.copytree(quick, tmp_path / "run"))
    summary = told_everything(json.loads((run / "summary.json").read_text()))
    (run / "summary.json").write_text(json.dumps(summary))
    assert re.search(r"^WebSocket\n +It breaks at 1,000\.", printed(run), re.MULTILINE)


def test_nothing_is_marked_where_theory_was_met(quick: Path) -> None:
    """No footnote to nothing."""
    assert not arrange.outside(store.current(quick))
    assert "†" not in Page((quick / "report.html").read_text()).words
    assert "†" not in printed(quick)


def test_the_report_tells_what_a_link_really_did(whole: Path, quick: Path, tmp_path: Path) -> None:
    """A link's check is a row; one that was not passed says why; without links nothing is said of them."""
    assert "What the emulated link really did" not in (quick / "report.html").read_text()
    run = Path(shutil.copytree(whole, tmp_path / "run"))

    def edit(record: dict[str, Any]) -> None:
        record["links"][0].update(passed=False, why="a cable was cut", round_trip_ms=None)

    change_run(run, edit)
    words = Page(without_figures(run)).words
    assert "What the emulated link really did" in words
    assert "no: a cable was cut" in words
    assert "The link was emulated" in words


def test_the_first_screen_answers_from_the_verdicts(whole: Path) -> None:
    """Every claim stands there under its verdict, before any of them is told in full."""
    text = (whole / "report.html").read_text()
    first = text[text.index("The answer in one screen") : text.index('id="verdicts"')]
    for claim in store.current(whole)["claims"]:
        assert f'href="#claim-{claim["id"]}"' in first
    assert "a delivery came on average" in first


def test_cells_under_different_loads_stand_apart() -> None:
    """By link, delay, schedule and connection, each in words."""
    here = synthetic_run.cell("long-poll", connection="kept")
    cells = [
        here,
        {**here, "link": "constant", "one_way_ms": 50.0},
        {**here, "link": "4g", "one_way_ms": 85.0, "jitter_ms": 10.0},
        {**here, "schedule": "on-off"},
        {**here, "connection": "fresh"},
    ]
    for number, cell in enumerate(cells):
        cell.update(id=str(number), metrics={}, valid=True)
    groups = arrange.loads({"cells": cells})
    assert len(groups) == 4
    assert [arrange.load_name(group[0]) for group in groups] == [
        "gevent, 20 subscribers, 4 notifications/s, on loopback",
        "gevent, 20 subscribers, 4 notifications/s, 50 ms one way",
        "gevent, 20 subscribers, 4 notifications/s, 4g link, 85 ms one way",
        "gevent, 20 subscribers, 4 notifications/s, on-off schedule, on loopback",
    ]
    assert [arrange.transport_name(cell) for cell in groups[0]] == [
        "long poll",
        "long poll, fresh connections",
    ]
    idle = {**here, "publish_rate": 0.0, "schedule": "constant"}
    assert arrange.load_names([idle])[0] == "gevent, 20 subscribers, nothing published, on loopback"


def test_a_curve_passes_through_the_predictions_of_its_cells(whole: Path) -> None:
    """At each cell's own place, in every metric that both have."""
    summary = store.current(whole)
    cells = {cell["id"]: cell for cell in summary["cells"]}
    met = 0
    for curve in summary["curves"]:
        for name, at in zip(curve["cells"], curve["at"], strict=True):
            for metric in ("latency_ms_mean", "requests_per_delivery"):
                if metric in curve and curve[metric][0] is not None:
                    drawn = float(np.interp(at, curve["x"], curve[metric]))
                    assert drawn == pytest.approx(cells[name]["predicted"][metric], rel=1e-6), (curve, metric)
                    met += 1
    assert met >= 8
    assert {"one_way_ms", "publish_rate"} <= {curve["factor"] for curve in summary["curves"]}


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
    words = Page(without_figures(run)).words
    assert "a dog sat on the switch" in words
    assert "not a valid run" in words
    assert "a dog sat on the switch" in printed(run)
    assert "NOT VALID" in printed(run)


def test_the_page_is_no_wider_than_a_phone(whole: Path, visit: Visits) -> None:
    """Wide tables and figures scroll by themselves, in light and in dark."""
    for scheme in ("light", "dark"):
        page = visit(
            (whole / "report.html").as_uri(), viewport={"width": 400, "height": 800}, color_scheme=scheme
        )
        assert page.evaluate("document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("name", ["quick", "whole"])
def test_the_terminal_table_fits_80_columns_and_is_plain(name: str, request: pytest.FixtureRequest) -> None:
    """Every claim with its verdict, no escape codes, nothing cut off."""
    run = request.getfixturevalue(name)
    text = printed(run)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "…" not in text
    for claim in store.current(run)["claims"]:
        assert re.search(rf"^ ?{claim['id']} +{claim['verdict']}", text, re.MULTILINE)
    assert "WebSocket" in text
    assert "long poll" in text


def test_every_number_is_written_in_its_units() -> None:
    """Shares in percent, counts whole, absent as a dash."""
    assert arrange.value_text("empty_response_share", 0.1234) == "12 %"
    assert arrange.value_text("empty_response_share", 0.0123) == "1.2 %"
    assert arrange.value_text("empty_response_share", 0.0) == "0 %"
    assert arrange.value_text("deliveries", 12345.0) == "12,345"
    assert arrange.value_text("latency_ms_p50", 0.01234) == "0.0123"
    assert arrange.figure_text("latency_ms_p50", None) == "–"
    assert arrange.figure_text("latency_ms_p50", {"value": 1.5, "low": 1.25, "high": 2.0}) == "1.5 (1.25–2)"
    assert arrange.figure_text("latency_ms_p50", {"value": 1.5, "low": None, "high": None}) == "1.5"
    assert all(arrange.label(metric) for metric in METRICS)


def test_transports_can_be_told_apart_without_colour() -> None:
    """Colour, marker and line all differ."""
    for part in ("colour", "marker", "line"):
        seen = [str(getattr(look, part)) for look in looks.LOOKS.values()]
        assert len(seen) == len(set(seen))
    assert looks.look("carrier-pigeon").label == "carrier-pigeon"


def test_idle_cells_are_told_apart_by_their_wait() -> None:
    """Two lines of one transport wear different names; one alone needs no more than its own."""
    quick_pings, slow_pings = (
        synthetic_run.cell("websocket", publish_rate=0.0, wait_s=wait_s) for wait_s in (0.1, 1.8)
    )
    assert arrange.transport_name(quick_pings, [quick_pings, slow_pings]) == "WebSocket, wait = 0.1 s"
    assert arrange.transport_name(quick_pings, [quick_pings]) == "WebSocket"
    polled = synthetic_run.cell("short-poll", publish_rate=0.0, wait_s=0.1)
    assert arrange.transport_name(polled, [polled, quick_pings, slow_pings]) == "short poll"


def test_labels_of_an_axis_do_not_run_into_each_other() -> None:
    """Both ends are kept, and between them what has room."""
    kept = against.legible([350, 500, 850, 980, 1000, 1920], logarithmic=True)
    assert kept == {350, 500, 850, 980, 1920}
    assert against.legible([0, 20, 50, 100], logarithmic=False) == {0, 20, 50, 100}
    assert against.legible([0, 1, 99, 100], logarithmic=False) == {0, 100}
    assert against.legible([25], logarithmic=False) == {25}


def test_the_transits_are_named_along_their_lines() -> None:
    """In the data's own angle, which the axis turns as it turns the line."""
    panel = Figure().subplots()
    panel.set_xlim(0, 100)
    panel.set_ylim(0, 700)
    against._transits(panel, 100.0)
    for words in panel.texts:
        start, end = (panel.transData.transform((x, int(words.get_text()[0]) * x)) for x in (0.0, 1.0))
        along = np.degrees(np.arctan2(end[1] - start[1], end[0] - start[0]))
        assert words.get_rotation() == pytest.approx(along)
