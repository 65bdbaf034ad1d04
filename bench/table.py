"""What the terminal shows when a run has ended: figures, verdicts, and what does not count.

Rules: it reads the summary and computes nothing; readable at 80 columns; plain text where the output is no
terminal (rich sees to that); nothing is a winner here, for only a verdict may say so.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench import analysis, layout
from bench.reading import load

VERDICT_STYLES = {"holds": "bold green", "fails": "bold red", "depends": "bold blue", "inconclusive": "dim"}
DIGITS = 2
FULL_TABLES = 2
"""Up to this many loads get a table of their own; more are listed in one, a line a cell."""


def print_summary(directory: Path, console: Console | None = None) -> None:
    """Print the run's figures, its verdicts, and the trials that do not count. Raises
    `bench.reading.RunDirectoryError`."""
    console = console or Console(highlight=False)
    summary = analysis.current(directory)
    run = load(directory).run
    _print_head(console, run, summary)
    groups = layout.loads(summary)
    if len(groups) <= FULL_TABLES:
        for group in groups:
            console.print(_load_table(group))
    elif groups:
        console.print(_cell_list(summary))
    _print_verdicts(console, summary)
    _print_invalid(console, summary)


def print_claims(directory: Path, console: Console | None = None) -> None:
    """Print the verdicts alone. Raises `bench.reading.RunDirectoryError`."""
    console = console or Console(highlight=False)
    summary = analysis.current(directory)
    _print_verdicts(console, summary)


def _print_head(console: Console, run: dict[str, Any], summary: dict[str, Any]) -> None:
    scenario = run.get("scenario", {})
    console.print()
    console.print(Text(str(scenario.get("question", "")).strip(), style="bold"))
    valid = sum(trial["valid"] for trial in summary["trials"])
    state = "valid" if summary["valid"] else "NOT VALID"
    cut = ", interrupted" if summary["interrupted"] else ""
    console.print(f"run {run.get('id')}: {state}{cut}; {valid} of {len(summary['trials'])} trials valid.")
    console.print("Medians over valid trials, 95 % intervals in brackets; – is not measured.", style="dim")


def _load_table(group: list[layout.Cell]) -> Table:
    title = layout.load_name(group[0])
    table = Table(
        box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("", no_wrap=True)
    for cell in group:
        table.add_column(layout.transport_name(cell, group), justify="right", overflow="fold")
    for metric in layout.shown_metrics(group):
        values = [layout.figure_text(metric, cell["metrics"].get(metric), DIGITS) for cell in group]
        table.add_row(layout.label(metric), *values)
    table.add_row("valid trials", *(f"{cell['valid_trials']} of {cell['trials']}" for cell in group))
    return table


def _cell_list(summary: dict[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    columns = {
        "latency_ms_p50": "p50 ms",
        "latency_ms_p99": "p99 ms",
        "server_cpu_us_per_delivery": "del µs",
        "server_cpu_us_per_idle_subscriber_second": "idle µs",
        "server_memory_kb_per_subscriber": "kB",
    }
    for heading in ("transport", "server", "load"):
        table.add_column(heading, no_wrap=True)
    for heading in columns.values():
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("valid", justify="right")
    cells = layout.in_order(cell for group in layout.loads(summary) for cell in group)
    for cell in cells:
        values = [_value(metric, cell) for metric in columns]
        load_ = f"{cell['subscribers']}×{cell['publish_rate']:g}/s"
        interval = f" T{cell['poll_interval_s']:g}" if cell["transport"] == "short-poll" else ""
        names = (layout.transport_name(cell), cell["server_model"], load_ + interval)
        table.add_row(*names, *values, f"{cell['valid_trials']}/{cell['trials']}")
    table.caption = (
        "load: subscribers × notifications, T the poll interval in s.\n"
        "del µs: the server's CPU per delivery; idle µs: per idle subscriber and second;\n"
        "kB: its memory for one. Intervals and all other figures are in the report."
    )
    table.caption_justify = "left"
    return table


def _value(metric: str, cell: layout.Cell) -> str:
    figure = cell["metrics"].get(metric)
    return layout.ABSENT if figure is None else layout.value_text(metric, figure["value"], DIGITS)


def _print_verdicts(console: Console, summary: dict[str, Any]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=False)
    table.add_column("claim", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("why")
    for claim in summary["claims"]:
        verdict = Text(claim["verdict"], style=VERDICT_STYLES[claim["verdict"]])
        table.add_row(claim["id"], verdict, claim["short"])
    console.print(table)


def _print_invalid(console: Console, summary: dict[str, Any]) -> None:
    for trial in summary["trials"]:
        if not trial["valid"]:
            console.print(f"invalid: {trial['id']}: {'; '.join(trial['why'])}", style="red", soft_wrap=True)
        elif not trial["steady"]:
            console.print(f"not steady: {trial['id']}: {'; '.join(trial['not_steady_why'])}", soft_wrap=True)
