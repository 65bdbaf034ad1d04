"""`wirelab claims DIR [DIR …] [--json]`: the verdicts of a run, alone, or of several side by side."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the runs are, and in which form to print."""
    parser.add_argument(
        "directories",
        metavar="DIR",
        type=Path,
        nargs="+",
        help="a run directory, as `wirelab bench` writes it; with several, whether their verdicts agree",
    )
    parser.add_argument("--json", action="store_true", help="print JSON; of one run, as summary.json has it")


def run(args: argparse.Namespace) -> int:
    """Judge the claims from the runs' measurements and print them."""
    import msgspec

    from bench.analysis import store
    from bench.analysis.verdicts import agreement
    from bench.commands.reading import judge
    from bench.rendering.terminal.streams import print_json
    from bench.rendering.terminal.verdicts import print_claims, print_side_by_side

    # All are opened before the first is analysed, which takes its time.
    runs = [store.load(directory) for directory in args.directories]
    summaries = [judge(run) for run in runs]
    if len(summaries) == 1:
        [summary] = summaries
        if args.json:
            print_json(msgspec.to_builtins(summary.claims))
        else:
            print_claims(summary)
        return 0
    names, rows = [summary.run for summary in summaries], agreement.rows(summaries)
    if args.json:
        claims = [row.as_data() for row in rows]
        print_json({"runs": names, "claims": claims})
    else:
        print_side_by_side(names, rows)
    return 0
