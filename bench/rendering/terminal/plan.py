"""What so many users would take, on the terminal. 80 columns are enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from bench.analysis.costs.plan import (
    BUSY_MOST,
    DESCRIPTORS,
    HEADER_BYTES,
    PROXY_PORTS,
    THREADS,
    WAIT_S,
    Accepting,
    Demand,
    Plan,
    Refused,
)
from bench.analysis.estimate import Estimate
from bench.analysis.summary import CostModel
from bench.rendering import names
from bench.rendering.looks import look
from bench.rendering.terminal.console import console as terminal
from bench.words import number

COLUMNS = 3
"""Transports that fit into one table of 80 columns."""


def print_plans(
    demand: Demand,
    plans: Sequence[Plan],
    added: Mapping[str, Accepting | None],
    model: CostModel,
    machine: Mapping[str, Any],
) -> None:
    """The plans by server model, what a stream for each user would add there, the check of the cost model,
    and what was assumed. `machine` is run.json's."""
    console = terminal()
    console.print(
        f"\n{demand.users:,} users, each told of {demand.rate:g} notifications a second with "
        f"{demand.payload_bytes:,} bytes of data"
    )
    for server_model in dict.fromkeys(one.server_model for one in plans):
        mine = [one for one in plans if one.server_model == server_model]
        for first in range(0, len(mine), COLUMNS):
            console.print(_on(server_model, demand, mine[first : first + COLUMNS]))
        accepting = added.get(server_model)
        if accepting is not None:
            console.print(_if_told_apart(accepting))
    console.print(_checks(plans, model))
    for told in (
        "Assumed: a fan-out, all users told the same from one stream; long polls renewed, and what stays "
        f"open pinged, every {WAIT_S:g} s; connections kept, also between short polls; cost linear in cores.",
        f"Cores are CPU seconds a second on {machine.get('cpu_model') or 'an unnamed processor'}, as at the "
        "load that was held out. Intervals: bootstrap over trials, widened by the error at that load; with "
        f"an error beyond {model.most_error:.0%} nothing is projected.",
        f"Headers are {HEADER_BYTES} bytes of TCP and IPv4 a packet. Memory is the server processes'; "
        "the kernel's socket buffers come on top.",
        f"A process ends at so many users: core, where it is {BUSY_MOST:.0%} busy; ports, where a proxy "
        f"in front has used up its {PROXY_PORTS:,} from one address to one address (clients have ports "
        f"of their own); files, {DESCRIPTORS:,} descriptors (once `ulimit -n` is raised from 1,024); "
        f"threads, {THREADS:,} of two memory maps each; memory, all that the run's machine has.",
    ):
        console.print(told, style="dim")


def refusal(refused: Sequence[Refused]) -> str:
    """What was not planned for, why, and what to do."""
    whom: dict[str, list[str]] = {}
    for one in refused:
        whom.setdefault(one.why, []).append(f"{look(one.transport).label} on {one.server_model}")
    told = "; ".join(f"{', '.join(theirs)} ({why})" for why, theirs in whom.items())
    return f"not planned for: {told}. To mend it, {'; or '.join(dict.fromkeys(one.mend for one in refused))}."


def _on(server_model: str, demand: Demand, plans: Sequence[Plan]) -> Table:
    """The plan on one server model: a column a transport, then what breaks first."""
    table = _table(server_model)
    table.add_column("", no_wrap=True)
    for one in plans:
        asks = names.has_factor(one.transport, "poll_interval_s")
        interval = f", T={demand.poll_interval_s:g} s" if asks else ""
        table.add_column(look(one.transport).label + interval, justify="right")
    for label, figures in (
        ("cores busy", [one.cores for one in plans]),
        ("memory (GB)", [one.memory_gb for one in plans]),
        ("down (Mbit/s)", [one.down for one in plans]),
        ("  with headers", [one.down_wire for one in plans]),
        ("up (Mbit/s)", [one.up for one in plans]),
        ("  with headers", [one.up_wire for one in plans]),
    ):
        table.add_row(label, *map(_text, figures))
    table.add_row("connections", *(f"{one.connections:,}" for one in plans))
    table.add_row("requests / s", *(number(one.requests_per_second, 2) for one in plans))
    for place in range(max(len(one.limits) for one in plans)):
        label = "  then at" if place else "a process ends at"
        table.add_row(label, *(_limit(one, place) for one in plans))
    return table


def _if_told_apart(added: Accepting) -> str:
    return (
        f"Were each user told something else, accepting it would take about {number(added.cores, 2)} "
        f"cores more ({number(added.cost_us)} µs a notification, measured at {added.load:g}/s with "
        "nobody listening, and not checked at a larger load)."
    )


def _checks(plans: Sequence[Plan], model: CostModel) -> Table:
    """The cost model: what was fitted, and how it predicted the load that was held out."""
    table = _table("The cost model, and its check at a load that was held out")
    for heading in ("cost of one", "server", "fitted at", "held out", "predicted", "measured", "error"):
        table.add_column(heading, justify="left" if heading in ("cost of one", "server") else "right")
    planned = {(one.transport, one.server_model) for one in plans}
    for one in sorted(model.series, key=lambda one: (one.server_model, one.transport)):
        held_out = one.held_out
        if not one.checked or held_out is None or (one.transport, one.server_model) not in planned:
            continue
        unit = "" if one.operation == "subscriber" else "/s"
        what = "memory" if one.operation == "subscriber" else one.operation
        fitted = [point.load for point in one.points if point.role == "fitted"]
        table.add_row(
            f"{look(one.transport).label} {what}",
            one.server_model,
            f"{fitted[0]:,.0f}–{fitted[-1]:,.0f}{unit}",
            f"{held_out.load:,.0f}{unit}",
            number(held_out.predicted, 2),
            f"{number(held_out.measured.value, 2)} {one.unit}",
            f"{held_out.error:+.1%}",
        )
    return table


def _table(title: str) -> Table:
    return Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))


def _limit(plan: Plan, place: int) -> str:
    """One limit of a process, the number of users first."""
    if place >= len(plan.limits):
        return ""
    limit = plan.limits[place]
    return f"{limit.users:,.0f}: {limit.what}"


def _text(estimate: Estimate) -> str:
    """An estimate with its interval, to two digits."""
    value, low, high = (None if side is None else number(side, 2) for side in estimate.sides)
    return str(value) if low is None or low == high == value else f"{value} ({low}–{high})"
