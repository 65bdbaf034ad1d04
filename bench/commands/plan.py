"""`wirelab plan --users N --rate R --payload B [--poll-interval T] DIR`: what so many users would take.

Rules:
- It reads the run alone, multiplies by `bench/analysis/costs/plan.py`, and prints; 80 columns are enough.
- Exit codes: 0 when every transport that the run has costs of was planned, 1 when one was refused because
  the cost model was not checked or has a gap (told in a sentence each), 2 on wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.commands.numbers import between

MOST_USERS = 10**10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How many users, what each is told, and the run that tells what it costs."""
    parser.add_argument(
        "--users", type=between(1, MOST_USERS, int), required=True, metavar="N", help="how many users"
    )
    parser.add_argument(
        "--rate",
        type=between(0, 1000),
        required=True,
        metavar="R",
        help="notifications a second that each of them is told of, all of the same ones",
    )
    parser.add_argument(
        "--payload",
        type=between(1, 1_000_000, int),
        required=True,
        metavar="B",
        help="bytes of data in each",
    )
    parser.add_argument(
        "--poll-interval",
        type=between(0.01, 3600),
        default=5.0,
        metavar="T",
        help="seconds between short polls (%(default)s)",
    )
    parser.add_argument(
        "directory", metavar="DIR", type=Path, help="a run of `wirelab bench capacity`, or with its cells"
    )


def run(args: argparse.Namespace) -> int:
    """Plan and print. Raises UsageError if the directory is not a run."""
    from bench.analysis import store
    from bench.analysis.costs.plan import CannotPlan, Demand, Plan, Refused, accepting, plan
    from bench.commands.reading import tell
    from bench.rendering.terminal.plan import print_plans, refusal

    measured = tell(store.load(args.directory))
    model, machine = measured.summary.costs, measured.run.get("machine") or {}
    demand = Demand(args.users, args.rate, args.payload, args.poll_interval)
    try:
        found = plan(model, demand, machine.get("memory_kb"))
    except CannotPlan as error:
        print(f"wirelab plan: {error}", file=sys.stderr)
        return 1
    plans = [one for one in found if isinstance(one, Plan)]
    if plans and model is not None:
        added = {one.server_model: accepting(model, one.server_model, demand) for one in plans}
        print_plans(demand, plans, added, model, machine)
    refused = [one for one in found if isinstance(one, Refused)]
    if refused:
        print(f"wirelab plan: {refusal(refused)}", file=sys.stderr)
    return 1 if refused else 0
