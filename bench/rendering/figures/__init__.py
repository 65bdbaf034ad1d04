"""The figures of a run: which there are, in the order of the report, and how they are written as SVG and PNG.

Rules:
- Figures show what the summary holds and compute nothing; only valid cells are drawn.
- Every axis has a name and a unit, curves are named where they end, and colour, marker and line all tell the
  transports apart (`bench/rendering/looks.py`, `bench/rendering/figures/style.py`).
- A figure is a function of the summary that returns it with its caption, or None with what was not measured.
  Of the usual ones that sentence is shown; one for a factor or a model that a run does not have is left out.
- The same summary gives the same SVG, byte for byte.

A notebook calls `figures.make("delay", run.summary)`; `figures.FIGURES` lists the names.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

# Before matplotlib, which some settings of a user's let nobody import.
from bench.rendering.plain import mpl

# isort: split
from matplotlib.figure import Figure

from bench.analysis.summary import Summary
from bench.errors import DAMAGE
from bench.rendering.figures import against, calls, costs, latency, million, saturation, servers, trust
from bench.rendering.figures.style import STYLE
from bench.rundir.record import short
from bench.rundir.whole import write_whole

PNG_DPI = 150
FAILURES = (*DAMAGE, ImportError, RuntimeError)
"""What drawing raises: figures that nobody foresaw, a font or a back end that is not as it should be."""

SERVERS, LATE, COST, MILLION, TRUST = (
    "Is it the protocol or the server?",
    "How late?",
    "At what cost?",
    "At a million?",
    "May it be believed?",
)
CHAPTERS = (SERVERS, LATE, COST, MILLION, TRUST)

Maker = Callable[[Summary], tuple[Figure | None, str]]


class FigureMaker(NamedTuple):
    """One figure: the question it answers, the chapter of the report it stands in, what draws it, and
    whether its absence is told."""

    title: str
    chapter: str
    draw: Maker
    usual: bool = False


@dataclass(frozen=True)
class Drawn:
    """One figure of the report. `svg` and `png` are None if nothing was drawn; then `caption` says why."""

    name: str
    title: str
    chapter: str
    caption: str
    svg: Path | None = None
    png: Path | None = None


def _against(factor: str, *metrics: str, least: int = against.LEAST) -> Maker:
    return lambda summary: against.against(summary, factor, metrics, least)


def _costs(unmeasured: str, *metrics: str) -> Maker:
    return lambda summary: costs.costs(summary, metrics, unmeasured)


def _servers(metric: str) -> Maker:
    return lambda summary: servers.servers(summary, metric)


FIGURES: dict[str, FigureMaker] = {
    "servers-cpu": FigureMaker(
        "What does a delivery cost each server?", SERVERS, _servers("server_cpu_us_per_delivery")
    ),
    "servers-latency": FigureMaker("How late is it from each server?", SERVERS, _servers("latency_ms_p50")),
    "servers-memory": FigureMaker(
        "What does a subscriber take of each server's memory?",
        SERVERS,
        _servers("server_memory_kb_per_subscriber"),
    ),
    "latency": FigureMaker("How late is a notification?", LATE, latency.distribution, usual=True),
    "delay": FigureMaker(
        "How does the network's delay add up?", LATE, _against("one_way_ms", "latency_ms_mean", least=2)
    ),
    "latency-rate": FigureMaker(
        "Does it get later when more is published?", LATE, _against("publish_rate", "latency_ms_mean")
    ),
    "latency-sweep": FigureMaker(
        "How does latency grow with subscribers?",
        LATE,
        _against("subscribers", "latency_ms_p50", "latency_ms_p99"),
    ),
    "calls": FigureMaker(
        "How many requests and bytes for each delivery?",
        COST,
        _costs(
            "Requests and bytes were not measured in any valid cell that published.",
            "requests_per_delivery",
            "wire_bytes_per_delivery",
        ),
        usual=True,
    ),
    "calls-interval": FigureMaker(
        "When does polling ask more often than there is news?", COST, calls.per_interval
    ),
    "cpu": FigureMaker(
        "What does it cost the server's CPU?",
        COST,
        _costs(
            "The server's CPU was not measured in any valid cell that published.",
            "server_cpu_us_per_delivery",
            "server_cpu_us_per_request",
        ),
        usual=True,
    ),
    "idle": FigureMaker(
        "What does waiting cost?",
        COST,
        _costs(
            "What an idle subscriber costs was not measured: it needs cells in which nothing is published, "
            "beside an empty server.",
            "server_cpu_us_per_idle_subscriber_second",
        ),
        usual=True,
    ),
    "memory": FigureMaker(
        "What does a waiting subscriber cost in memory?",
        COST,
        _costs(
            "Memory was not measured: it needs 200 subscribers or more.", "server_memory_kb_per_subscriber"
        ),
        usual=True,
    ),
    "cost-model": FigureMaker(
        "Does a model of the costs predict a load that it has not seen?", MILLION, million.costs
    ),
    "saturation": FigureMaker("How much load until it is too late?", MILLION, saturation.budget),
    "residuals": FigureMaker("What does theory miss?", TRUST, trust.residuals),
    "naive": FigureMaker("What would another clock have shown?", TRUST, latency.naive),
}
"""Every figure by its name, in the order of the report."""


def make(name: str, summary: Summary) -> tuple[Figure | None, str]:
    """One figure with its caption, or None with what the run lacks for it. Raises KeyError for a name that
    is not in FIGURES."""
    with mpl.rc_context(STYLE):
        figure, caption = FIGURES[name].draw(summary)
        if figure is not None:
            # Laid out once, rather than again for each file.
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        return figure, caption


def draw(summary: Summary, directory: Path, only: Collection[str] = tuple(FIGURES)) -> list[Drawn]:
    """Draw figures into `directory`, as NAME.svg and NAME.png, in the order of the report: all, or `only`
    those of these names. What is there of others goes, since it may be of an earlier analysis."""
    directory.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, maker in FIGURES.items():
        svg, png = directory / f"{name}.svg", directory / f"{name}.png"
        told = maker.usual
        try:
            figure, caption = make(name, summary) if name in only else (None, "")
            if figure is not None:
                write_whole(svg, partial(save, figure, title=maker.title))
                write_whole(png, partial(save, figure, title=maker.title))
                drawn.append(Drawn(name, maker.title, maker.chapter, caption, svg, png))
                continue
        except FAILURES as error:
            # A report without one figure is better than none.
            caption = f"This figure could not be drawn: {type(error).__name__}: {short(error)}."
            told = True
        svg.unlink(missing_ok=True)
        png.unlink(missing_ok=True)
        if caption and told:
            drawn.append(Drawn(name, maker.title, maker.chapter, caption))
    return drawn


def save(figure: Figure, path: Path, title: str) -> None:
    """Write a figure as SVG or PNG, by the path's suffix, without the time of day."""
    with mpl.rc_context(STYLE):
        if path.suffix == ".svg":
            figure.savefig(path, metadata={"Date": None, "Title": title, "Creator": "wirelab"})
        else:
            figure.savefig(path, dpi=PNG_DPI, metadata={"Software": "wirelab"})
