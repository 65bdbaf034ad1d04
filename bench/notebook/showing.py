"""Showing in a notebook: a figure, a table, a sentence, which run this is, a guess beside what was found.

Rules:
- It shows what others have found; it computes nothing but how far off a guess was.
- What it shows is safe to open: PNG, Markdown, and tables whose styles stand in the tags. JupyterLab takes
  scripts, SVG and style sheets out of a notebook that it did not run itself. Colours are borders and letters,
  never a ground, so that they can be read in a dark theme too.
- Nothing that is shown names a path of this machine.
"""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from IPython.display import HTML, Image, Markdown, display
from matplotlib.figure import Figure
from PIL import Image as Picture

from bench.analysis.store import Run
from bench.notebook.tables import only
from bench.rendering import figures, names
from bench.rendering.looks import LOOKS, PART_COLOURS
from bench.systems import registry
from bench.words import number, printable

PNG_DPI = 144
SHOWN_PX = 860
"""How wide a figure is shown; it has about twice the dots, for fine screens."""
PNG_COLOURS = 96
"""A figure has few colours; a palette makes it a third of its size."""
MARKUP = re.compile(r"[\\`*_\[\]<>&|~#!]|^[-+]|^\d+(?=[.)])")
"""What Markdown or HTML would act on; as an entity it is but a letter."""
NO_FORMULA = "<span>$</span>"
"""JupyterLab takes what stands between two dollar signs for a formula, unless tags are between."""
RIGHT_TIMES = 1.1
"""A guess is right within this factor."""
CELL = "text-align: left; vertical-align: top; white-space: normal; max-width: 34em"
NUMBER = "text-align: right; vertical-align: top; white-space: nowrap"
CODE = f"{CELL}; font-family: monospace"


def show(figure: Figure | None, caption: str = "") -> None:
    """A figure with its caption; without one, the caption, which then says why there is none."""
    if figure is not None:
        display(Image(_png(figure), width=SHOWN_PX, alt=caption))
    say(f"*{plain(caption)}*" if caption else "")


def draw(name: str, run: Run, **settings: Any) -> None:
    """One of `figures.FIGURES`, of the run's cells that have these settings."""
    show(*figures.make(name, only(run.summary, **settings)))


def say(markdown: str) -> None:
    """Words with numbers in them that were computed just before. A text that a run brings goes through
    `plain` first."""
    display(Markdown(markdown))


def plain(text: object) -> str:
    """A text from elsewhere as Markdown that shows it letter by letter: nothing in it is markup, HTML or a
    formula."""
    shown = MARKUP.sub(lambda found: f"&#{ord(found[0])};", " ".join(printable(str(text)).split()))
    return shown.replace("$", NO_FORMULA)


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
    counts = run.summary.counts
    told, scenario = run.run.get("machine") or {}, run.run.get("scenario") or {}
    machine = {name: plain(told.get(name)) for name in ("cpu_model", "cores", "system", "kernel")}
    lines = [
        f"**{plain(scenario.get('name'))}**: {plain(scenario.get('question') or '')}",
        f"{counts.valid} of {counts.all} trials are valid. Machine: {machine['cpu_model']}, "
        f"{machine['cores']} cores, {machine['system']} {machine['kernel']}.",
    ]
    if run.unfinished:
        lines.append(f"**{run.unfinished[:1].upper()}{run.unfinished[1:]}.**")
    if run.run.get("links_unavailable"):
        why = plain(run.run["links_unavailable"])
        lines.append(f"**No link could be emulated here** ({why}): what asked for one ran on loopback.")
    lines += [
        f"**{plain(registry.label(name))} could not run here** ({plain(why)}): its cells were left out."
        for name, why in sorted((run.run.get("systems_unavailable") or {}).items())
    ]
    refused = [
        f"- <code>{plain(one.id)}</code>: {plain('; '.join(one.why))}"
        for one in run.summary.trials
        if not one.valid
    ]
    if refused:
        summary = "What is not valid, and counts for nothing"
        lines += [f"<details><summary>{summary}</summary>", "\n".join(refused), "</details>"]
    say("\n\n".join(lines))


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
        return "<wbr>".join(_safe(piece) for piece in re.findall(r"[^,?&]+[,?&]*|[,?&]+", str(value)))
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return names.ABSENT
    if isinstance(value, (int, float)):
        return f"{int(value):,}" if value == int(value) else number(value)
    if column == "transport":
        mine = next((one for name, one in LOOKS.items() if value in (name, one.label)), None)
        return f'<b style="color: {mine.colour}">{mine.label}</b>' if mine else f"<b>{_escaped(value)}</b>"
    if column == "part":
        colour = PART_COLOURS[value]
        return f'<span style="border-left: 6px solid {colour}; padding-left: 6px">{_escaped(value)}</span>'
    return _escaped(value)


def _safe(text: str) -> str:
    """The text as HTML, letter by letter."""
    return html.escape(printable(text)).replace("$", NO_FORMULA)


def _escaped(text: Any) -> str:
    """The text as HTML, with what stands in backquotes as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _safe(str(text)))


def _how_far(mine: float | None, value: float | None) -> str:
    """A guess against the value, in words."""
    if mine is None or mine <= 0 or not value or math.isnan(value):
        return names.ABSENT
    times = max(mine / value, value / mine)
    if times < RIGHT_TIMES:
        return "right"
    return f"{number(times, 2)} times too {'high' if mine > value else 'low'}"
