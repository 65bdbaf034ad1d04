"""Locust users, one a transport: the load of `wirelab bench`, and by itself a plain locustfile.

    locust -f bench/locustfile.py --host http://127.0.0.1:8000 WebSocketUser

runs with everything Locust has: the web UI, the class picker, --processes, --headless, --master/--worker.

Rules:
- A user is one subscriber. Its only task is to take deliveries until it is stopped; between two of them
  it waits in a socket, so Locust's own wait_time plays no part.
- A delivery is reported as a Locust request of type NOTIFY, named after the transport. Its response_time is
  the delivery latency in milliseconds (arrival − due, a float), never the time of a request: Locust's tables
  round it, its CSV and web UI less so. `wirelab bench` reads its raw deliveries instead.
- A user that is stopped closes its connection first, so that Locust need not kill it. If the server refuses a
  user, the user stops and reports a failure that says why.
- `observer` is where deliveries go. The load generator (`bench.trials.generator`) sets its own; nothing else
  about a user differs there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from typing import Any, ClassVar, Protocol
from weakref import WeakKeyDictionary

import gevent
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopUser

from clients import TRANSPORTS
from clients.errors import ClientError
from clients.receiver import BadBatch
from clients.subscriber import WAIT_MOST_S, Delivery, Request, Subscriber, check_stream

WATCH_S = 1.0
"""How often Locust's statistics look for connections that were lost."""

SEEDS_A_WORKER = 1_000_000


class Observer(Protocol):
    """Who is told what a user meets."""

    def joining(self, user: SubscribingUser) -> None:
        """The user is about to join; it joins when this returns."""

    def requested(self, user: SubscribingUser, request: Request) -> None:
        """A request was answered."""

    def delivered(self, user: SubscribingUser, delivery: Delivery) -> None:
        """A notification arrived."""

    def failed(self, user: SubscribingUser, error: Exception | str) -> None:
        """The user cannot go on, or, where it is a text, had to connect again."""


class LocustStatistics:
    """Tell Locust's own statistics, for those who run this file with `locust`."""

    def __init__(self) -> None:
        self._told: WeakKeyDictionary[SubscribingUser, str] = WeakKeyDictionary()
        self._watcher: gevent.Greenlet | None = None

    def joining(self, user: SubscribingUser) -> None:
        """Locust spaces the joins itself (--spawn-rate); see that lost connections are told."""
        self._told[user] = ""
        if self._watcher is None:
            self._watcher = gevent.spawn(self._watch)

    def requested(self, user: SubscribingUser, request: Request) -> None:
        """Nothing: the time for which a poll was held is no response time."""

    def failed(self, user: SubscribingUser, error: Exception | str) -> None:
        """One failure, in Locust's own table of them."""
        user.environment.events.request.fire(
            request_type="NOTIFY",
            name=user.subscriber_class.transport,
            response_time=None,
            response_length=0,
            exception=error if isinstance(error, Exception) else ConnectionError(error),
            context={},
        )

    def _watch(self) -> None:
        """Report lost connections: a subscriber comes back by itself, and Locust's user should know why."""
        while True:
            gevent.sleep(WATCH_S)
            for user, told in list(self._told.items()):
                error = user.subscriber.last_error or ""
                if error != told:
                    self._told[user] = error
                    self.failed(user, error)

    def delivered(self, user: SubscribingUser, delivery: Delivery) -> None:
        """One delivery: its latency, and the length of its data as JSON."""
        user.environment.events.request.fire(
            request_type="NOTIFY",
            name=user.subscriber_class.transport,
            response_time=(delivery.received_us - delivery.due_us) / 1000,
            response_length=len(json.dumps(delivery.data)),
            exception=None,
            context={},
        )


@events.init_command_line_parser.add_listener
def add_options(parser: Any) -> None:
    """Options of ours on Locust's command line and in its web UI."""
    group = parser.add_argument_group("wirelab")
    group.add_argument(
        "--stream", type=_stream, default="main", env_var="WIRELAB_STREAM", help="stream to subscribe to"
    )
    group.add_argument(
        "--poll-interval",
        type=_interval,
        default=1.0,
        env_var="WIRELAB_POLL_INTERVAL",
        help="seconds between short polls",
    )
    group.add_argument(
        "--wait",
        type=_wait,
        default=25.0,
        env_var="WIRELAB_WAIT",
        help="seconds that a long poll may be held",
    )
    group.add_argument(
        "--headers",
        choices=("minimal", "browser"),
        default="minimal",
        env_var="WIRELAB_HEADERS",
        help="request headers: the fewest, or those of a browser",
    )
    group.add_argument(
        "--connection",
        choices=("kept", "fresh"),
        default="kept",
        env_var="WIRELAB_CONNECTION",
        help="polls share a kept-alive connection, or each makes its own",
    )
    group.add_argument(
        "--permessage-deflate",
        action="store_true",
        env_var="WIRELAB_PERMESSAGE_DEFLATE",
        help="offer compression",
    )


def _stream(text: str) -> str:
    """A stream's name; raises argparse's error, which Locust shows before anything starts."""
    try:
        check_stream(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _interval(text: str) -> float:
    if not 0 < (value := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"must be more than 0 seconds, not {text}")
    return value


def _wait(text: str) -> float:
    if not 0 <= (value := float(text)) <= WAIT_MOST_S:
        raise argparse.ArgumentTypeError(f"must be from 0 to {WAIT_MOST_S:g} seconds, not {text}")
    return value


class SubscribingUser(User):  # type: ignore[misc]  # Locust is not typed
    """What the three have in common. A User itself, since Locust collects no task from a plain mixin."""

    abstract = True
    subscriber_class: ClassVar[type[Subscriber]]
    observer: ClassVar[Observer] = LocustStatistics()
    numbers: ClassVar[itertools.count[int]] = itertools.count()

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        options = environment.parsed_options
        self.number = next(self.numbers)
        self.subscriber: Subscriber = self.subscriber_class(
            self.host,
            options.stream,
            poll_interval_s=options.poll_interval,
            wait_s=options.wait,
            headers=options.headers,
            connection=options.connection,
            permessage_deflate=options.permessage_deflate,
            # Numbers begin anew in each of Locust's workers; phases should not.
            seed=self.number + SEEDS_A_WORKER * getattr(environment.runner, "worker_index", 0),
            on_request=lambda request: self.observer.requested(self, request),
        )

    @task
    def listen(self) -> None:
        """Take deliveries until the user is stopped."""
        self.observer.joining(self)
        delivered = self.observer.delivered
        try:
            for delivery in self.subscriber:
                delivered(self, delivery)
        except (ClientError, BadBatch) as error:
            # Asking again would end the same, and Locust would do so at once, over and over.
            self.observer.failed(self, error)
        raise StopUser()

    def stop(self, force: bool = False) -> Any:
        """Close the connection, so that the task ends by itself, then stop as Locust does."""
        self.subscriber.close()
        return super().stop(force)

    def on_stop(self) -> None:
        """Killed or stopped: leave no connection behind."""
        self.subscriber.close()


def user_of(subscriber_class: type[Subscriber]) -> type[SubscribingUser]:
    """ShortPollUser for ShortPollSubscriber, and so on: Locust finds users as this module's classes."""
    name = subscriber_class.__name__.replace("Subscriber", "User")
    return type(
        name, (SubscribingUser,), {"subscriber_class": subscriber_class, "__doc__": subscriber_class.__doc__}
    )


globals().update({user.__name__: user for user in map(user_of, TRANSPORTS.values())})
