"""`wirelab`: the command line. One file a subcommand, each with `add_arguments(parser)` and `run(args)`.

Rules:
- A subcommand's module imports nothing heavy before `run`, so that `wirelab --help` answers at once.
- Nothing here imports gevent or Locust: their monkey patching happens in the server's and the load
  generator's own processes only.
- Exit codes: 0 done (for `bench`: the run is valid), 1 it did not work out (for `bench`: a gate failed, and
  nothing else), 2 wrong usage, or a directory that cannot be read or written; ended by a signal, 128 and its
  number: 130 for Ctrl-C. Each is told in one sentence on stderr, which says what to mend.
- What is printed vetoes nothing (`bench/rendering/terminal/streams.py`). Where the output is all that a
  command gives, and is lost, its exit code is 1.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence

from bench.errors import UsageError
from bench.rendering.terminal.streams import Stream, printing
from bench.trials.processes.interruption import signal_of

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
INTERRUPTED = 128 + signal.SIGINT
LEAVE_FILES = ("bench", "report", "reproduce")
"""Commands whose results lie in files, whether they could be printed or not."""


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
    with printing() as out:
        try:
            code = _run(named, arguments)
            if argv is None and code == INTERRUPTED:
                # This process ends now: a second Ctrl-C finds nothing that it could cut.
                signal.signal(signal.SIGINT, signal.SIG_IGN)
        except SystemExit as end:
            # argparse has told how to ask.
            if _all_was_shown(out):
                raise
            raise SystemExit(end.code or 1) from None
        return code if _all_was_shown(out) or named in LEAVE_FILES else code or 1


def _all_was_shown(out: Stream) -> bool:
    """Pass on what is still to be printed; say so if it is lost."""
    out.flush()
    out.bare.flush()
    if out.lost:
        print(f"wirelab: the output could not be written: {out.lost.strerror}", file=sys.stderr)
    return out.lost is None


def _run(named: str, arguments: list[str]) -> int:
    try:
        args = build_parser(named).parse_args(arguments)
        return int(args.run(args))
    except UsageError as error:
        print(f"wirelab: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interruption:
        print("wirelab: interrupted", file=sys.stderr)
        return 128 + signal_of(interruption)


if __name__ == "__main__":
    sys.exit(main())
