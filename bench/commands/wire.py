"""`wirelab wire TRANSPORT`: one real exchange, every byte of it explained.

Rules: `--json` prints the same as data. Without `--url` it starts a server of its own on a free port, and
ends it.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from http import HTTPStatus
from typing import Any

from clients.headers import HEADER_SETS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which transport, where, and in which form."""
    parser.add_argument("transport", metavar="TRANSPORT", help="short-poll, long-poll, websocket, …")
    parser.add_argument("--url", help="a running server (default: one of its own, ended afterwards)")
    parser.add_argument(
        "--headers",
        choices=HEADER_SETS,
        default="minimal",
        help="what the protocol needs, or what a browser sends (default %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the exchange as data")


def run(args: argparse.Namespace) -> int:
    """Perform the exchange and print it. Raises UsageError if there is no such transport or server."""
    from bench.errors import UsageError
    from bench.rendering.terminal.streams import print_json
    from bench.rendering.terminal.wire import Printer
    from bench.trials.processes.child import ChildFailed
    from bench.trials.processes.own_server import own_server
    from bench.words import one_line
    from clients import TRANSPORTS
    from clients.errors import ClientError
    from clients.explain.exchange import exchange, printed, printed_as_data

    if args.transport not in TRANSPORTS:
        raise UsageError(f"there is no transport {args.transport!r}; choose one of {', '.join(TRANSPORTS)}")
    try:
        with contextlib.nullcontext(args.url) if args.url is not None else own_server() as url:
            found = {args.transport: exchange(url, args.transport, args.headers)}
            for name in TRANSPORTS:
                # The others are there to compare with. A server may lack some.
                with contextlib.suppress(ClientError, ValueError):
                    found[name] = found.get(name) or exchange(url, name, args.headers)
            # The article's handshake stands beside ours, where there is one.
            opens_by_handshake = TRANSPORTS[args.transport].good_status == HTTPStatus.SWITCHING_PROTOCOLS
            as_printed = printed(url) if opens_by_handshake else None
    except ValueError as error:
        raise UsageError(str(error)) from None
    except (ClientError, ChildFailed) as error:
        where = "the server of its own" if args.url is None else args.url
        print(f"wirelab wire: no exchange with {where}: {one_line(str(error))}", file=sys.stderr)
        return 1
    if args.json:
        data: dict[str, Any] = found[args.transport].as_data()
        data["delivered"] = {name: each.totals("deliver") for name, each in found.items()}
        data["as_printed"] = None if as_printed is None else printed_as_data(as_printed)
        print_json(data)
    else:
        Printer().print(url, found[args.transport], found, as_printed)
    return 0
