"""`wirelab plan --users N --rate R --payload B [--poll-interval T] DIR`: what so many users would take.

Rules:
- It reads the run alone, multiplies by `bench/analysis/costs/plan.py`, and prints; 80 columns are enough.
- Exit codes: 0 when every transport that the run has costs of was planned, 1 when one was refused because
  the cost model was not checked or has a gap (told in a sentence each), 2 on wrong usage.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from bench.analysis.costs.plan import Demand, Plan, Refused
    from bench.analysis.estimate import Estimate

MOST_USERS = 10**10


def _between(low: float, high: float, kind: type = float) -> Callable[[str], Any]:
    """A converter for argparse that refuses what is no number from low to high, in a sentence."""
    what = "a whole number" if kind is int else "a number"

    def convert(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be {what} from {low:g} to {high:g}, not {text}")
        return value

    return convert


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many users, what each is told, and the run that tells what it costs."""
    parser.add_argument(
        "--users", type=_between(1, MOST_USERS, int), required=True, metavar="N", help="how many users"
    )
    parser.add_argument(
        "--rate",
        type=_between(0, 1000),
        required=True,
        metavar="R",
        help="notifications a second that each of them is told of, all of the same ones",
    )
    parser.add_argument(
        "--payload",
        type=_between(1, 1_000_000, int),
        required=True,
        metavar="B",
        help="bytes of data in each",
    )
    parser.add_argument(
        "--poll-interval",
        type=_between(0.01, 3600),
        default=5.0,
        metavar="T",
        help="seconds between short polls (%(default)s)",
    )
    parser.add_argument(
        "directory", metavar="DIR", type=Path, help="a run of `wirelab bench capacity`, or with its cells"
    )


def run(args: argparse.Namespace) -> int:
    """Plan and print. Raises UsageError where the directory is not a run."""
    from rich.console import Console

    from bench.analysis.costs.plan import CannotPlan, Demand, Refused, plan
    from bench.analysis.store import load

    measured = load(args.directory)
    demand = Demand(args.users, args.rate, args.payload, args.poll_interval)
    machine = measured.run.get("machine") or {}
    try:
        found = plan(measured.summary["costs"], demand, machine.get("memory_kb"))
    except CannotPlan as error:
        print(f"wirelab plan: {error}", file=sys.stderr)
        return 1
    plans = [one for one in found if not isinstance(one, Refused)]
    if plans:
        _Printer(demand, measured.summary["costs"], machine, Console(highlight=False)).print(plans)
    refused = [one for one in found if isinstance(one, Refused)]
    if refused:
        print(f"wirelab plan: {_sentence(refused)}", file=sys.stderr)
    return 1 if refused else 0


def _sentence(refused: list[Refused]) -> str:
    """What was not planned for, why, and what to do."""
    from bench.rendering.looks import look

    whom: dict[str, list[str]] = {}
    for one in refused:
        whom.setdefault(one.why, []).append(f"{look(one.transport).label} on {one.server_model}")
    told = "; ".join(f"{', '.join(names)} ({why})" for why, names in whom.items())
    return f"not planned for: {told}. To mend it, {'; or '.join(dict.fromkeys(one.mend for one in refused))}."


class _Printer:
    """The plan on the terminal."""

    def __init__(
        self, demand: Demand, model: dict[str, Any], machine: dict[str, Any], console: Console
    ) -> None:
        self.demand, self.model, self.console = demand, model, console
        self.cpu = machine.get("cpu_model") or "an unnamed processor"

    def print(self, plans: list[Plan]) -> None:
        """All of it."""
        from bench.analysis.costs.model import HELD_OUT_ERROR
        from bench.analysis.costs.plan import (
            BUSY_MOST,
            DESCRIPTORS,
            HEADER_BYTES,
            PROXY_PORTS,
            THREADS,
            WAIT_S,
        )

        demand = self.demand
        self.console.print(
            f"\n{demand.users:,} users, each told of {demand.rate:g} notifications a second with "
            f"{demand.payload_bytes:,} bytes of data"
        )
        for server_model in dict.fromkeys(one.server_model for one in plans):
            self.on(server_model, [one for one in plans if one.server_model == server_model])
        self.checks(plans)
        for told in (
            "Assumed: a fan-out, all users told the same from one stream; long polls renewed and WebSockets "
            f"pinged every {WAIT_S:g} s; connections kept, also between short polls; cost linear in cores.",
            f"Cores are CPU seconds a second on {self.cpu}, as at the load that was held out. Intervals: "
            "bootstrap over trials, widened by the error at that load; with an error beyond "
            f"{HELD_OUT_ERROR:.0%} nothing is projected.",
            f"Headers are {HEADER_BYTES} bytes of TCP and IPv4 a packet. Memory is the server processes'; "
            "the kernel's socket buffers come on top.",
            f"A process ends at so many users: core, where it is {BUSY_MOST:.0%} busy; ports, where a proxy "
            f"in front has used up its {PROXY_PORTS:,} from one address to one address (clients have ports "
            f"of their own); files, {DESCRIPTORS:,} descriptors (once `ulimit -n` is raised from 1,024); "
            f"threads, {THREADS:,} of two memory maps each; memory, all that the run's machine has.",
        ):
            self.console.print(told, style="dim")

    def on(self, server_model: str, plans: list[Plan]) -> None:
        """The plan on one server model: a column a transport, then what breaks first."""
        from bench.rendering.looks import look
        from bench.words import number

        table = _table(server_model)
        table.add_column("", no_wrap=True)
        for one in plans:
            interval = f", T={self.demand.poll_interval_s:g} s" if one.transport == "short-poll" else ""
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
        self.console.print(table)
        self.if_told_apart(server_model)

    def if_told_apart(self, server_model: str) -> None:
        """What a stream for each user would add, where it is known what accepting a notification costs."""
        from bench.analysis.costs.plan import accepting
        from bench.words import number

        added = accepting(self.model, server_model, self.demand)
        if added is not None:
            self.console.print(
                f"Were each user told something else, accepting it would take about {number(added.cores, 2)} "
                f"cores more ({number(added.cost_us)} µs a notification, measured at {added.load:g}/s with "
                "nobody listening, and not checked at a larger load)."
            )

    def checks(self, plans: list[Plan]) -> None:
        """The cost model: what was fitted, and how it predicted the load that was held out."""
        from bench.rendering.looks import look
        from bench.words import number

        table = _table("The cost model, and its check at a load that was held out")
        for heading in ("cost of one", "server", "fitted at", "held out", "predicted", "measured", "error"):
            table.add_column(heading, justify="left" if heading in ("cost of one", "server") else "right")
        planned = {(one.transport, one.server_model) for one in plans}
        for one in sorted(self.model["series"], key=lambda one: (one["server_model"], one["transport"])):
            if not one["checked"] or (one["transport"], one["server_model"]) not in planned:
                continue
            unit = "" if one["operation"] == "subscriber" else "/s"
            what = "memory" if one["operation"] == "subscriber" else one["operation"]
            fitted = [point["load"] for point in one["points"] if point["role"] == "fitted"]
            held_out = one["held_out"]
            table.add_row(
                f"{look(one['transport']).label} {what}",
                one["server_model"],
                f"{min(fitted):,.0f}–{max(fitted):,.0f}{unit}",
                f"{held_out['load']:,.0f}{unit}",
                number(held_out["predicted"], 2),
                f"{number(held_out['measured']['value'], 2)} {one['unit']}",
                f"{held_out['error']:+.1%}",
            )
        self.console.print(table)


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, padding=(0, 1, 0, 0))


def _limit(plan: Plan, place: int) -> str:
    """One limit of a process, the number of users first."""
    if place >= len(plan.limits):
        return ""
    limit = plan.limits[place]
    return f"{limit.users:,.0f}: {limit.what}"


def _text(figure: Estimate) -> str:
    """A figure with its interval, to two digits."""
    from bench.words import number

    value, low, high = (None if side is None else number(side, 2) for side in figure)
    return str(value) if low is None or low == high == value else f"{value} ({low}–{high})"
