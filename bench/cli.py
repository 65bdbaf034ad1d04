"""`wirelab`: the command line. One file a subcommand, each with `add_arguments(parser)` and `run(args)`.

Rules:
- A subcommand's module imports nothing heavy before `run`, so that `wirelab --help` answers at once.
- Nothing here imports gevent or Locust: their monkey patching happens in the server's and the load
  generator's own processes only.
- Exit codes: 0 done (for `bench`: the run is valid), 1 it did not work out (for `bench`: a gate failed),
  2 wrong usage, 130 interrupted. Wrong usage is told in one sentence on stderr, which says what to mend.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from bench.errors import UsageError

COMMANDS = {
    "serve": "serve one notification stream over every transport",
    "demo": "serve the pages for a class",
    "publish": "publish notifications to a running server",
    "bench": "measure a scenario, judge the claims and write a report",
    "report": "write the report and the figures of a run again",
    "claims": "print the verdicts of a run, or of several side by side",
    "reproduce": "run published comparisons scaled down, and print published against measured",
    "plan": "tell what so many users would take, from the costs of a run",
    "wire": "explain one real exchange byte by byte",
}


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The whole command line; with `only`, that subcommand's options alone are filled in."""
    parser = argparse.ArgumentParser(
        prog="wirelab", description="Measure how a server should tell its clients that something happened."
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary.capitalize() + ".")
        if only in (None, name):
            module = importlib.import_module(f"bench.commands.{name}")
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    named = arguments[0] if arguments and arguments[0] in COMMANDS else ""
    args = build_parser(named).parse_args(arguments)
    try:
        return int(args.run(args))
    except UsageError as error:
        print(f"wirelab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("wirelab: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
