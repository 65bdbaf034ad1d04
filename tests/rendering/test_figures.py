"""The figures of a run, from the summary alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import msgspec
import numpy as np
import pytest
import told
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.store import Run
from bench.analysis.summary import Summary
from bench.rendering import figures
from bench.rendering.figures import against
from bench.rendering.report import report


def test_figures_are_drawn_as_svg_and_png_and_are_the_same_again(quick_run: Run, tmp_path: Path) -> None:
    """Byte for byte, so that a figure in a repository changes only with its data."""
    first, again = (figures.draw(quick_run.summary, tmp_path / name) for name in ("first", "again"))
    drawn = [one for one in first if one.svg]
    assert {one.name for one in drawn} == {"latency", "cpu", "calls", "residuals", "naive"}
    for one, other in zip(first, again, strict=True):
        assert one.caption
        if one.svg is None or one.png is None or other.svg is None:
            continue
        assert one.svg.read_bytes() == other.svg.read_bytes()
        ElementTree.parse(one.svg)
        assert one.png.read_bytes().startswith(b"\x89PNG")


def test_what_was_not_measured_is_said_in_words_and_not_drawn(quick_run: Run, tmp_path: Path) -> None:
    """No empty axes; a figure left from an earlier analysis goes."""
    (tmp_path / "memory.svg").write_text("old")
    drawn = figures.draw(quick_run.summary, tmp_path, only=["idle", "memory", "calls-interval"])
    missing = {one.name: one.caption for one in drawn if one.svg is None}
    assert set(missing) == {"idle", "memory"}
    assert "200 subscribers" in missing["memory"]
    assert not (tmp_path / "memory.svg").exists()


def test_only_what_is_wanted_is_drawn(quick_run: Run, tmp_path: Path) -> None:
    """And nothing else is left there, which might be of another run."""
    (tmp_path / "latency.svg").write_text("old")
    [one] = figures.draw(quick_run.summary, tmp_path, only=["calls"])
    assert one.name == "calls"
    assert {path.name for path in tmp_path.iterdir()} == {"calls.svg", "calls.png"}


def test_a_sweep_is_drawn_against_subscribers(article_run: Run) -> None:
    """Three numbers of subscribers or more make curves; CPU across a link stays out of loopback's figure."""
    captions = {name: figures.make(name, article_run.summary)[1] for name in ("idle", "memory", "cpu")}
    assert "against the number of subscribers" in captions["idle"]
    assert "against the number of subscribers" in captions["memory"]
    assert "against the number of subscribers" not in captions["cpu"]
    assert "not to be compared with loopback's" in captions["cpu"]


def test_every_figure_is_drawn_with_its_axes_named(article_run: Run) -> None:
    """None is left without a name and a unit on each axis, however little of it a run has."""
    summary = told.everything(article_run.summary)
    for name in figures.FIGURES:
        figure, caption = figures.make(name, summary)
        assert figure is not None, (name, caption)
        assert caption
        for panel in figure.axes:
            beneath, beside = panel.get_shared_x_axes(), panel.get_shared_y_axes()
            assert any(other.get_xlabel() for other in beneath.get_siblings(panel)), name
            assert any(other.get_ylabel() or named_rows(other) for other in beside.get_siblings(panel)), name


def rows_of(summary: Summary) -> list[str]:
    figure, _ = figures.make("servers-cpu", summary)
    return [] if figure is None else [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_servers_are_rows_and_transports_marks(article_run: Run) -> None:
    """Of three servers at least, under the load that most of them had."""
    summary = told.everything(article_run.summary)
    assert {"gevent", "gthread", "nginx + nchan"} < set(rows_of(summary))
    figure, caption = figures.make("servers-cpu", summary)
    assert figure is not None
    assert {text.get_text() for text in figure.legends[0].get_texts()} >= {"long poll", "WebSocket"}
    assert "All with" in caption
    assert rows_of(summary.only(lambda cell: cell.server_model in ("gevent", "gthread"))) == []


def test_servers_are_compared_by_polls_as_often(article_run: Run) -> None:
    """Of cells that poll twice as often on a server alone, none is drawn beside the others'."""
    more = msgspec.to_builtins(told.everything(article_run.summary))
    for cell in list(more["cells"]):
        if cell["transport"] == "short-poll" and cell["server_model"] == "gevent":
            often = {**cell["metrics"], "server_cpu_us_per_delivery": {"value": 1e9, "low": 1e9, "high": 1e9}}
            more["cells"].append(
                {**cell, "id": f"{cell['id']}-often", "poll_interval_s": 0.123, "metrics": often}
            )
    figure, caption = figures.make("servers-cpu", msgspec.convert(more, Summary))
    assert figure is not None
    assert max(line.get_xdata()[0] for line in figure.axes[0].lines if len(line.get_xdata()) == 1) < 1e9
    assert "Short polls come every" in caption
    assert "0.123" not in caption


def named_rows(panel: Axes) -> bool:
    """Do names stand along the vertical axis, rather than numbers?"""
    ticks = [label.get_text() for label in panel.get_yticklabels()]
    return any(map(str.isalpha, "".join(ticks)))


def backwards(value: Any) -> Any:
    """The same JSON with the keys of every object in reverse."""
    if isinstance(value, dict):
        return {key: backwards(inner) for key, inner in reversed(value.items())}
    return [backwards(inner) for inner in value] if isinstance(value, list) else value


def test_nothing_depends_on_the_order_of_keys(article_run: Run, tmp_path: Path) -> None:
    """A summary whose keys stand the other way round gives the same figures and the same page."""
    summary = told.everything(article_run.summary)
    turned = msgspec.convert(backwards(msgspec.to_builtins(summary)), Summary)
    for name in ("cpu", "residuals"):
        svgs = []
        for number, one in enumerate((summary, turned)):
            figure, caption = figures.make(name, one)
            assert figure is not None
            figures.save(figure, tmp_path / f"{number}.svg", caption)
            svgs.append((tmp_path / f"{number}.svg").read_bytes())
        assert svgs[0] == svgs[1], name
    page, again = (report.render(article_run.run, one, []) for one in (summary, turned))
    assert page == again


def test_a_curve_passes_through_the_predictions_of_its_cells(article_run: Run) -> None:
    """At each cell's own place, in every metric that both have; the band lies around it."""
    cells = {cell.id: cell for cell in article_run.summary.cells}
    met = 0
    for curve in article_run.summary.curves:
        for name, at in zip(curve.cells, curve.at, strict=True):
            for metric in ("latency_ms_mean", "requests_per_delivery"):
                drawn = curve.whole(metric)
                if drawn is not None:
                    predicted = cells[name].predicted
                    assert predicted is not None
                    here = float(np.interp(at, curve.x, drawn))
                    assert here == pytest.approx(predicted.of(metric), rel=1e-6), (curve, metric)
                    band = curve.bands[metric]
                    assert band.low[0] < drawn[0] < band.high[0] or drawn[0] == 0
                    met += 1
    assert met >= 8
    assert {"one_way_ms", "publish_rate"} <= {curve.factor for curve in article_run.summary.curves}


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


USERS = [
    {"text.usetex": True, "font.size": 40},
    {"axes.prop_cycle": mpl.cycler(color=["red"]), "figure.dpi": 30, "savefig.dpi": 20},
    {"lines.linewidth": 9, "axes.facecolor": "black", "svg.image_inline": False, "path.simplify": False},
]


@pytest.mark.parametrize("settings", USERS)
def test_a_users_settings_change_no_figure(settings: dict[str, Any], quick_run: Run, tmp_path: Path) -> None:
    """Nor do we change them."""
    drawn = []
    for name, theirs in (("plain", {}), ("theirs", settings)):
        with mpl.rc_context(theirs):
            figures.draw(quick_run.summary, tmp_path / name, ["latency"])
            assert all(mpl.rcParams[key] == value for key, value in theirs.items())
        drawn.append([(tmp_path / name / f"latency.{kind}").read_bytes() for kind in ("svg", "png")])
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("file", "variables"),
    [(b"", {"MPLBACKEND": "nonsense"}), (b"font.size: \xff", {}), (b"", {"MATPLOTLIBRC": "/nowhere"})],
)
def test_settings_that_let_nobody_import_matplotlib(
    file: bytes, variables: dict[str, str], tmp_path: Path
) -> None:
    """A backend that does not exist, a file that is no text."""
    if file:
        (tmp_path / "matplotlibrc").write_bytes(file)
    code = "from bench.rendering import figures; print(figures.mpl.get_backend is not None)"
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", code],
        cwd=tmp_path,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"
