"""What the terminal shows when a run has ended: figures, verdicts, and what does not count.

Rules: it reads the summary and computes nothing; readable at 80 columns, however many cells there are; plain
text where the output is no terminal (rich sees to that); nothing is a winner here, for only a verdict may say
so; a figure outside the band around its prediction is marked.
"""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.analysis.summary import Summary
from bench.rendering import arrange, names
from bench.rendering.terminal.console import console as terminal
from bench.rendering.terminal.verdicts import print_claims, print_servers

DIGITS = 2
FULL_TABLES, FULL_COLUMNS = 2, 4
"""Up to this many loads, of so many cells each, get a table of their own; else there is a line a cell."""
WIDTH, VALUE_WIDTH, VALID_WIDTH = 80, 7, 5
INTERVAL_WIDTH, INTERVALS_ABREAST = 11, 4
"""An interval in its brackets, and how many of such columns have room beside each other."""
COLUMNS = {
    "latency_ms_mean": "mean\nms",
    "latency_ms_p99": "p99\nms",
    "requests_per_delivery": "calls\n/ del",
    "server_cpu_us_per_delivery": "µs\n/ del",
    "server_cpu_us_per_idle_subscriber_second": "idle\nµs",
    "server_memory_kb_per_subscriber": "kB\n/ sub",
}
"""What a line a cell shows, and how it is headed."""


def print_summary(run: dict[str, Any], summary: Summary, console: Console | None = None) -> None:
    """Print the run's figures, its verdicts, and the trials that do not count. `run` is its run.json."""
    console = console or terminal()
    _print_head(console, run, summary)
    groups = arrange.loads(summary.cells)
    if len(groups) <= FULL_TABLES and all(len(group) <= FULL_COLUMNS for group in groups):
        for group in groups:
            console.print(_load_table(group))
    elif groups:
        _print_cells(console, arrange.loads(summary.cells, with_floor=True))
    _print_outside(console, summary)
    _print_saturation(console, summary)
    print_claims(summary, console)
    print_servers(summary, console)
    _print_invalid(console, summary)


def _print_head(console: Console, run: dict[str, Any], summary: Summary) -> None:
    scenario = run.get("scenario", {})
    console.print()
    console.print(Text(str(scenario.get("question", "")).strip(), style="bold"))
    counts = summary.counts
    state = "valid" if summary.valid else "NOT VALID"
    cut = ", interrupted" if summary.interrupted else ""
    console.print(f"run {run.get('id')}: {state}{cut}; {counts.valid} of {counts.all} trials valid.")
    console.print("Medians over valid trials, 95 % intervals in brackets; – is not measured.", style="dim")


def _load_table(group: list[arrange.Cell]) -> Table:
    title = names.group_name(group)
    table = Table(
        box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("", no_wrap=True)
    for cell in group:
        least = INTERVAL_WIDTH if len(group) <= INTERVALS_ABREAST else None
        table.add_column(names.transport_name(cell, group), justify="right", overflow="fold", min_width=least)
    for metric in arrange.shown_metrics(group):
        values = [
            names.estimate_text(metric, cell.metrics.get(metric), DIGITS) + names.mark(metric, cell)
            for cell in group
        ]
        table.add_row(names.label(metric), *values)
    table.add_row("valid trials", *(f"{cell.valid_trials} of {cell.trials}" for cell in group))
    return table


def _print_cells(console: Console, groups: list[list[arrange.Cell]]) -> None:
    """A line a cell, under the name of its load."""
    cells = [cell for group in groups for cell in group]
    metrics = [metric for metric in COLUMNS if any(cell.metrics.get(metric) for cell in cells)]
    console.print()
    named = {cell.id: "  " + names.transport_name(cell, cells).removesuffix(" connections") for cell in cells}
    room = WIDTH - (VALUE_WIDTH + 1) * len(metrics) - VALID_WIDTH - 1
    width = min(max(map(len, named.values())), room)
    console.print(_lines(metrics, width, heading=True))
    for group in groups:
        console.print(Text(names.group_name(group), style="bold"))
        lines = _lines(metrics, width, heading=False)
        for cell in group:
            values = [_value(metric, cell) for metric in metrics]
            lines.add_row(named[cell.id], *values, f"{cell.valid_trials}/{cell.trials}")
        console.print(lines)
    console.print(
        "\ncalls/del: requests for each delivery; µs/del: the server's CPU for each;\n"
        "idle µs: for an idle subscriber and second; kB/sub: memory for one.\n"
        "Everything else, and the intervals, are in the report.",
        style="dim",
    )


def _lines(metrics: list[str], width: int, *, heading: bool) -> Table:
    """A table of fixed widths, so that several stand as one."""
    table = Table(box=None, show_header=heading, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", width=width, overflow="fold")
    for metric in metrics:
        table.add_column(COLUMNS[metric], width=VALUE_WIDTH, justify="right", no_wrap=True)
    table.add_column("valid", width=VALID_WIDTH, justify="right", no_wrap=True)
    return table


def _value(metric: str, cell: arrange.Cell) -> str:
    figure = cell.metrics.get(metric)
    if figure is None:
        return names.ABSENT
    return names.value_text(metric, figure.value, DIGITS) + names.mark(metric, cell)


def _print_outside(console: Console, summary: Summary) -> None:
    """The footnote of the marked figures; those that no column shows are in the report."""
    found = summary.outcomes
    if found.outside:
        told = f"{found.outside} of {found.together}"
        console.print(f"{names.OUTSIDE} outside the band around its prediction: {told}.")


def _print_saturation(console: Console, summary: Summary) -> None:
    """What each series of a search for saturation came to, and how many trials it had no need of."""
    found = summary.saturation.series if summary.saturation else []
    own = names.load_names(found, "subscribers")[1]
    for series, load_ in zip(found, own, strict=True):
        name = ", ".join(filter(None, (names.transport_name(series, found), load_)))
        console.print(Text(f"\n{name}", style="bold"))
        spared = f" {series.skipped} trials of larger loads were skipped." if series.skipped else ""
        console.print(f"  {series.says}{spared}")


def _print_invalid(console: Console, summary: Summary) -> None:
    for trial in summary.trials:
        if not trial.valid:
            console.print(f"invalid: {trial.id}: {'; '.join(trial.why)}", style="red", soft_wrap=True)
        elif not trial.steady:
            console.print(f"not steady: {trial.id}: {'; '.join(trial.not_steady_why)}", soft_wrap=True)
