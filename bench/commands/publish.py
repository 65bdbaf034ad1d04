"""`wirelab publish`: feed a stream of a running server, for those who look on with curl, Locust or a
browser."""

from __future__ import annotations

import argparse
import sys
import threading

from bench.commands.numbers import between
from bench.systems.registry import OURS, SYSTEMS
from clients.publisher import SCHEDULES

NUMBER = between(0.001, 10_000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to publish, how often, and what."""
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="the server (%(default)s)")
    parser.add_argument("--stream", default="main", help="the stream (%(default)s)")
    parser.add_argument(
        "--system", choices=list(SYSTEMS), default=OURS.name, help="whose server it is (%(default)s)"
    )
    parser.add_argument("--rate", type=NUMBER, default=10.0, help="notifications a second (%(default)s)")
    parser.add_argument(
        "--schedule", choices=SCHEDULES, default="poisson", help="gaps between them (%(default)s)"
    )
    parser.add_argument(
        "--payload-bytes",
        type=between(1, 1_000_000, int),
        default=100,
        help="letters in each one's data (%(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="what random gaps are drawn from (%(default)s)")
    parser.add_argument("--seconds", type=NUMBER, help="stop after so long (until Ctrl-C)")


def run(args: argparse.Namespace) -> int:
    """Publish until told to stop. Raises UsageError if the server or the stream is not to be had."""
    from bench.errors import UsageError
    from clients.errors import ClientError, Refused
    from clients.publisher import schedule

    try:
        publisher = SYSTEMS[args.system].publisher(
            args.url, args.stream, args.payload_bytes, seed=args.seed, keyed=True
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    except ClientError as error:
        start = "start one with `wirelab serve`" if args.system == OURS.name else "start it"
        raise UsageError(f"{error}; {start}, or name it with --url") from None
    print(f"publishing {args.rate:g} a second to {args.stream} at {args.url}; Ctrl-C ends", file=sys.stderr)
    stop = threading.Event()
    try:
        with publisher:
            publisher.run(schedule(args.schedule, args.rate, args.seed), stop=stop, seconds=args.seconds)
            publisher.drain()
    except KeyboardInterrupt:
        pass
    except Refused as error:
        raise UsageError(str(error)) from None
    except ClientError as error:
        print(f"wirelab publish: {error}", file=sys.stderr)
        return 1
    print(f"{publisher.published} published", file=sys.stderr)
    return 0
