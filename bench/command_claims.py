"""`wirelab claims DIR [--json]`: the verdicts of a run, alone."""

from __future__ import annotations

import argparse
import json
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the run is, and in which form to print."""
    parser.add_argument(
        "directory", metavar="DIR", type=Path, help="a run directory, as `wirelab bench` writes it"
    )
    parser.add_argument("--json", action="store_true", help="print the claims as summary.json has them")


def run(args: argparse.Namespace) -> int:
    """Judge the claims from the run's measurements and print them."""
    from bench import analysis, table
    from bench.run import require_run

    require_run(args.directory)
    summary = analysis.analyse(args.directory)
    if args.json:
        print(json.dumps(summary["claims"], indent=2, ensure_ascii=False))
    else:
        table.print_claims(args.directory)
    return 0
