"""What the notebooks call: show a figure, a table, a sentence; measure a scenario of one's own.

Rules:
- It shows what others have found (`bench.load`, `clients.explain.exchange`, `bench.analysis.theory`);
  it computes nothing but how far off a guess was.
- What it shows is safe to open: PNG, Markdown, and tables whose styles stand in the tags. JupyterLab takes
  scripts, SVG and style sheets out of a notebook that it did not run itself. Colours are borders and letters,
  never a ground, so that they can be read in a dark theme too.
- Nothing that is shown names a path of this machine.
"""

from __future__ import annotations

import html
import io
import json
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
from IPython.display import HTML, Image, Markdown, display
from matplotlib.figure import Figure
from PIL import Image as Picture

import bench
from bench.analysis import theory
from bench.analysis.cells import Cell
from bench.analysis.estimate import Estimate
from bench.analysis.store import Run
from bench.analysis.theory.load import load_of
from bench.errors import UsageError
from bench.rendering import arrange, figures
from bench.rendering.looks import LOOKS, PART_COLOURS, look
from bench.rundir import writer as runs
from bench.scenario.parse import parse
from bench.scenario.settings import MEASURING, SETTINGS
from bench.systems import registry
from bench.words import number

PNG_DPI = 144
SHOWN_PX = 860
"""How wide a figure is shown; it has about twice the dots, for fine screens."""
PNG_COLOURS = 96
"""A figure has few colours; a palette makes it a third of its size."""
RIGHT_TIMES = 1.1
"""A guess is right within this factor."""
CELL = "text-align: left; vertical-align: top; white-space: normal; max-width: 34em"
NUMBER = "text-align: right; vertical-align: top; white-space: nowrap"
CODE = f"{CELL}; font-family: monospace"
SERVED_BY = ("transport", "system", "server_model")
"""Cells that share these spend their time alike."""
BORROWED = ("next_request_gap_ms_p50", "accept_delay_ms_p50")
"""What theory takes from measurements, beside the time for one delivery."""


# --- Showing ---


def show(figure: Figure | None, caption: str = "") -> None:
    """A figure with its caption; without one, the caption, which then says why there is none."""
    if figure is not None:
        display(Image(_png(figure), width=SHOWN_PX, alt=caption))
    say(f"*{caption}*" if caption else "")


def draw(name: str, run: Run, **settings: Any) -> None:
    """One of `figures.FIGURES`, of the run's cells that have these settings."""
    show(*figures.make(name, only(run.summary, **settings)))


def say(markdown: str) -> None:
    """Words with numbers in them that were computed just before."""
    display(Markdown(markdown))


def table(frame: pd.DataFrame, *, code: Sequence[str] = ()) -> None:
    """A frame as a table: numbers to three digits, on the right; the columns `transport` and `part` in their
    colours; `code` names columns of bytes or source."""
    numeric = {name: pd.api.types.is_numeric_dtype(frame[name]) for name in frame}
    styles = {name: CODE if name in code else NUMBER if numeric[name] else CELL for name in frame}
    head = "".join(f'<th style="{NUMBER if numeric[name] else CELL}">{_escaped(name)}</th>' for name in frame)
    rows = []
    for row in frame.to_dict("records"):
        cells = (
            f'<td style="{styles[name]}">{_cell(str(name), value, name in code)}</td>'
            for name, value in row.items()
        )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    display(HTML(f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"))


def about(run: Run) -> None:
    """Which run this is, on what machine, and what of it does not count."""
    trials = run.summary["trials"]
    valid = sum(trial["valid"] for trial in trials)
    machine = run.run.get("machine", {})
    question = " ".join(str(run.run.get("scenario", {}).get("question", "")).split())
    lines = [
        f"**{run.run.get('scenario', {}).get('name')}**: {question}",
        f"{valid} of {len(trials)} trials are valid. Machine: {machine.get('cpu_model')}, "
        f"{machine.get('cores')} cores, {machine.get('system')} {machine.get('kernel')}.",
    ]
    if run.run.get("links_unavailable"):
        why = run.run["links_unavailable"]
        lines.append(f"**No link could be emulated here** ({why}): what asked for one ran on loopback.")
    lines += [
        f"**{registry.label(name)} could not run here** ({why}): its cells were left out."
        for name, why in run.run["systems_unavailable"].items()
    ]
    refused = [f"- `{trial['id']}`: {'; '.join(trial['why'])}" for trial in trials if not trial["valid"]]
    if refused:
        summary = "What is not valid, and counts for nothing"
        lines += [f"<details><summary>{summary}</summary>", "\n".join(refused), "</details>"]
    say("\n\n".join(lines))


def only(summary: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """The summary with those cells alone that have these settings."""
    kept = [cell for cell in summary["cells"] if all(cell.get(key) == settings[key] for key in settings)]
    return {**summary, "cells": kept}


def found(run: Run, metric: str, **settings: Any) -> dict[str, float | None]:
    """A metric of each transport, in the cells that have these settings: its value, None where it was not
    measured. Raises UsageError where several cells of a transport have them."""
    cells = [cell for cell in only(run.summary, **settings)["cells"] if cell["transport"] is not None]
    values: dict[str, float | None] = {}
    for cell in arrange.in_order(cells):
        name = arrange.transport_name(cell)
        if name in values:
            raise UsageError(f"several cells of {name} have these settings: give more of them")
        figure = cell["metrics"].get(metric)
        values[name] = None if figure is None else figure["value"]
    return values


def metrics(run: Run, *names: str, **settings: Any) -> pd.DataFrame:
    """One row a cell that has these settings: its transport, what else tells the cells apart, and metrics,
    each with its interval."""
    cells = arrange.in_order(cell for cell in only(run.summary, **settings)["cells"] if cell["transport"])
    apart = [
        key
        for key in SETTINGS
        if key not in ("transport", *MEASURING) and len({cell[key] for cell in cells}) > 1
    ]
    return pd.DataFrame(
        [
            {
                "transport": cell["transport"],
                **{key: cell[key] for key in apart},
                **{
                    arrange.label(name): arrange.figure_text(name, cell["metrics"].get(name))
                    for name in names
                },
            }
            for cell in cells
        ]
    )


def guessed(
    guess: Mapping[str, float | None],
    found: Mapping[str, float | None],
    unit: str,
    who: str = "your guess",
    against: str = "found",
) -> None:
    """What the reader, or whoever it was, said beforehand beside what was found, and how far off that was."""
    rows = [
        {
            "transport": name,
            f"{who} ({unit})": guess.get(name),
            f"{against} ({unit})": value,
            f"{who} was": _how_far(guess.get(name), value),
        }
        for name, value in found.items()
    ]
    table(pd.DataFrame(rows))


# --- Measuring ---


def measure(toml: str, **changes: Any) -> Run:
    """Run a scenario, quietly, and open what it measured. `changes` are lines of it, `publish_rate=10`, to be
    put in place of those that it has.

    The run stays in runs/, where `wirelab bench` would have put it. Raises UsageError where the scenario is
    wrong, before anything is started, or where the run could not be made.
    """
    for key, value in changes.items():
        toml, found = re.subn(rf"(?m)^{key} *=.*$", f"{key} = {json.dumps(value)}", toml)
        if found != 1:
            raise UsageError(f"the scenario has {found} lines that set {key}: a change needs one to replace")
    checked = parse(toml)
    directory = runs.default_directory(checked).resolve()
    with tempfile.TemporaryDirectory(prefix="wirelab-") as scratch:
        Path(scratch, f"{checked.name}.toml").write_text(toml, encoding="utf-8")
        command = [sys.executable, "-m", "bench.cli", "bench", f"{checked.name}.toml", "--quiet"]
        ended = subprocess.run(
            [*command, "--out", str(directory)], cwd=scratch, capture_output=True, text=True, check=False
        )
    if ended.returncode not in (0, 1):
        raise UsageError(
            f"the run could not be made: {(ended.stderr.splitlines() or ['it says nothing'])[-1]}"
        )
    return bench.load(directory)


def foretold(toml: str, run: Run) -> dict[str, float | None]:
    """What theory says of a scenario before it is run: the mean latency (ms) of each transport.

    What it cannot know (the server's time for one delivery, its acceptance, the client's turnaround) is taken
    from the cell of another run, on the same server model, whose load is nearest.
    """
    values: dict[str, float | None] = {}
    for settings in parse(toml).cells:
        kin = [
            cell
            for cell in run.summary["cells"]
            if all(cell[key] == getattr(settings, key) for key in SERVED_BY) and cell["predicted"]
        ]
        if not kin:
            wanted = f"{settings.transport} on {settings.server_model}"
            raise UsageError(f"the other run has no cell of {wanted} to take times from")
        if look(settings.transport).label in values:
            raise UsageError(
                f"the scenario has several cells of {look(settings.transport).label}: give it one value of "
                "each factor, or theory's answers could not be told apart"
            )
        load = settings.subscribers * settings.publish_rate
        near = min(kin, key=lambda cell: abs(cell["subscribers"] * cell["publish_rate"] - load))
        borrowed = Cell(
            id="",
            settings=msgspec.structs.asdict(settings),
            trials=0,
            valid_trials=0,
            steady_trials=0,
            minimum_valid_trials=0,
            metrics={
                name: Estimate(**near["metrics"][name]) if near["metrics"].get(name) else None
                for name in BORROWED
            },
            service_s=near["predicted"]["service_us"] / 1e6,
        )
        mean_s = theory.mean_latency_s(load_of(borrowed))
        values[look(settings.transport).label] = None if mean_s is None else mean_s * 1000
    return values


# --- How things look ---


def _png(figure: Figure) -> bytes:
    drawn, packed = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=PNG_DPI)
    with Picture.open(drawn) as picture:
        picture.convert("RGB").quantize(PNG_COLOURS, dither=Picture.Dither.NONE).save(
            packed, "png", optimize=True
        )
    return packed.getvalue()


def _cell(column: str, value: Any, is_code: bool) -> str:
    """A value as HTML."""
    if is_code:
        return "<wbr>".join(html.escape(piece) for piece in re.findall(r"[^,?&]+[,?&]*|[,?&]+", str(value)))
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return arrange.ABSENT
    if isinstance(value, (int, float)):
        return f"{int(value):,}" if value == int(value) else number(value)
    if column == "transport":
        mine = next((one for name, one in LOOKS.items() if value in (name, one.label)), None)
        return f'<b style="color: {mine.colour}">{mine.label}</b>' if mine else f"<b>{_escaped(value)}</b>"
    if column == "part":
        colour = PART_COLOURS[value]
        return f'<span style="border-left: 6px solid {colour}; padding-left: 6px">{_escaped(value)}</span>'
    return _escaped(value)


def _escaped(text: Any) -> str:
    """The text as HTML, with what stands in backquotes as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(str(text)))


def _how_far(mine: float | None, value: float | None) -> str:
    """A guess against the value, in words."""
    if mine is None or mine <= 0 or not value or math.isnan(value):
        return arrange.ABSENT
    times = max(mine / value, value / mine)
    if times < RIGHT_TIMES:
        return "right"
    return f"{number(times, 2)} times too {'high' if mine > value else 'low'}"
