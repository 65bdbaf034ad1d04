"""The report of a run: one HTML file that needs nothing else, and the figures beside it.

It tells a story: the question, the answer in one screen, the verdicts, the figures by chapter with what
theory said beforehand, the evidence and its limits, and how to do it again.

Rules: it shows what the summary holds and computes nothing; every text from a run directory is escaped; the
page opens from disk, asks the network for nothing, and prints. `report.html` is the same for the same
files, wherever the directory lies.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, TemplateError
from markupsafe import Markup, escape

from bench.analysis.summary import GateCount, Summary
from bench.errors import DAMAGE, RunDirectoryError
from bench.rendering import arrange, figures, names
from bench.rendering.looks import VERDICT_COLOURS, look
from bench.rundir.record import short
from bench.rundir.whole import write_bytes
from bench.systems import registry
from bench.words import listed, printable

ANSWER = (
    "latency_ms_mean",
    "latency_ms_p50",
    "latency_ms_p99",
    "requests_per_delivery",
    "wire_bytes_per_delivery",
    "server_cpu_us_per_delivery",
    "server_memory_kb_per_subscriber",
)
"""What the first screen shows of the main load."""
NOT_TOLD: dict[str, Any] = {
    "id": "not known",
    "command": "not known",
    "commit": None,
    "dirty": False,
    "pinning": None,
    "systems_unavailable": {},
    "versions": {},
    "scenario": {"name": "not known", "seed": "not known", "repeats": "an unknown number of"},
    "machine": {
        "cpu_model": "an unnamed processor",
        "cores": "an unknown number of",
        "memory_kb": None,
        "system": "",
        "kernel": "",
    },
    "measured": {"arrival": None, "wire": None, "memory": None},
}
"""What the page says where run.json says nothing."""
VERDICTS = (
    ("holds", "Holds here"),
    ("depends", "Depends"),
    ("fails", "Fails here"),
    ("inconclusive", "Not decided by this run"),
)
"""In which order, and under what name, the first screen tells the claims."""


def write(
    directory: Path, run: dict[str, Any], summary: Summary, only: Collection[str] = tuple(figures.FIGURES)
) -> Path:
    """Write report.html and figures/ into a run directory; returns the report's path. `run` is its run.json;
    `only` names the figures, where not all are wanted.

    Raises `bench.errors.RunDirectoryError`.
    """
    target = directory / "report.html"
    try:
        drawn = figures.draw(summary, directory / "figures", only)
        write_bytes(target, render(run, summary, drawn).encode("utf-8", "replace"))
    except OSError as error:
        raise RunDirectoryError(
            f"{target} cannot be written ({error}): copy the run to where you may write"
        ) from error
    except (*DAMAGE, TemplateError) as error:
        raise RunDirectoryError(
            f"no report can be made of {directory} ({type(error).__name__}: {short(error)}): its run.json "
            "was damaged, or not written by wirelab"
        ) from error
    return target


def render(run: dict[str, Any], summary: Summary, drawn: list[figures.Drawn]) -> str:
    """The report as HTML."""
    environment = Environment(
        loader=PackageLoader("bench.rendering.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    environment.filters["code"] = _code
    main, far = arrange.main_load(summary), arrange.far_load(summary)
    cells = [cell for cell in summary.cells if cell.transport is not None]
    run = _filled(run)
    return environment.get_template("report.html").render(
        run=run,
        scenario=run["scenario"],
        summary=summary,
        date=_date(run.get("started_us")),
        arrange=arrange,
        names=names,
        look=look,
        server_name=registry.server_name,
        system_label=registry.label,
        kept_busy=_kept_busy,
        verdict_colours=VERDICT_COLOURS,
        main=main,
        answer=[metric for metric in ANSWER if any(cell.metrics.get(metric) for cell in main)],
        sentences=list(dict.fromkeys(filter(None, (_sentence(main), _sentence(far))))),
        verdicts=[
            (verdict, name, claims)
            for verdict, name in VERDICTS
            if (claims := [claim for claim in summary.claims if claim.verdict == verdict])
        ],
        on_loopback=not all(map(arrange.is_linked, cells)),
        on_link=any(map(arrange.is_linked, cells)),
        loads=arrange.loads(summary.cells),
        others=[cell for cell in summary.cells if _is_other(cell)],
        chapters=[
            (chapter, mine)
            for chapter in figures.CHAPTERS
            if (mine := [(figure, _inline(figure)) for figure in drawn if figure.chapter == chapter])
        ],
        trust=figures.TRUST,
        slug=_slug,
        invalid=[trial for trial in summary.trials if not trial.valid],
        not_steady=[trial for trial in summary.trials if trial.valid and not trial.steady],
        limit=_limit,
    )


def _filled(run: dict[str, Any]) -> dict[str, Any]:
    """run.json with all that the page names; what it does not tell is not known."""
    whole = {**NOT_TOLD, **_known(run)}
    for name in ("scenario", "machine", "measured"):
        whole[name] = {**NOT_TOLD[name], **_known(whole[name])}
    if whole["pinning"]:
        whole["pinning"] = {"server": [], "generator": [], **whole["pinning"]}
    return whole


def _known(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None}


def _shown(value: Any) -> Any:
    """A text as a page can hold it; what is HTML already is ours."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _code(text: str) -> Markup:
    """The text escaped, with what stands in backquotes as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _kept_busy(calibration: dict[str, Any]) -> str:
    """Whose core the largest load of a fitted group keeps busy, and how busy."""
    if calibration.get("bound_by") == "generator":
        return f"the load generator's {calibration['generator_cpu_share']:.0%}"
    return f"the server's {calibration['core_busy_share']:.0%}"


def _slug(words: str) -> str:
    """Words as an anchor of the page."""
    return re.sub(r"[^a-z]+", "-", words.lower()).strip("-")


def _is_other(cell: arrange.Cell) -> bool:
    """Baselines without subscribers, and the noise floor."""
    return cell.transport is None or arrange.is_floor(cell)


def _sentence(group: list[arrange.Cell]) -> str:
    """A load's mean latencies in words, and on loopback the bill; empty if none was measured."""
    late, bills = [], []
    for cell in group:
        mean = cell.metrics.get("latency_ms_mean")
        cpu = cell.metrics.get("server_cpu_us_per_delivery")
        name = names.transport_name(cell, group).replace(", ", " at ", 1)
        if cell.valid and mean is not None:
            late.append(f"{names.value_text('latency_ms_mean', mean.value)} ms by {name}")
        if cell.valid and cpu is not None and not arrange.is_linked(cell):
            bills.append(names.value_text("server_cpu_us_per_delivery", cpu.value))
    if not late:
        return ""
    told = f"With {names.group_name(group)}, a delivery came on average {listed(late)} after it was due."
    if len(bills) == len(late):
        told += f" It cost the server, in the same order, {listed(bills)} µs of CPU."
    return told


def _inline(figure: figures.Drawn) -> Markup | None:
    """A figure's SVG as it may stand in a page among others: ids made its own, no XML head."""
    if figure.svg is None:
        return None
    svg = figure.svg.read_text(encoding="utf-8")
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{figure.name}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{figure.name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{figure.name}-\1)", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    # matplotlib wrote this text, and every word in it that came from a run is escaped by its SVG writer.
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{figure.title}"', 1))


def _limit(gate: GateCount) -> str:
    """The limit of a gate, or from where to where it lies."""
    low, high = gate.limit_low, gate.limit_high
    if low is None or high is None:
        return names.ABSENT
    return f"{low:g}" if low == high else f"{low:.3g} to {high:.3g}"


def _date(started_us: int | None) -> str:
    if started_us is None:
        return "an unknown date"
    return datetime.datetime.fromtimestamp(started_us / 1e6, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
