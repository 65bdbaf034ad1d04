"""`wirelab serve`: the server of `servers/`, from the command line. All its logic is in `servers.serve`."""

from __future__ import annotations

import argparse

from servers import serve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The server's own options."""
    serve.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    return serve.run(args)
