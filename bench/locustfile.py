"""Locust users, one a transport: the load of `wirelab bench`, and by itself a plain locustfile.

    locust -f bench/locustfile.py --host http://127.0.0.1:8000 WebSocketUser

runs with everything Locust has: the web UI, the class picker, --processes, --headless, --master/--worker.

Rules:
- A user is one subscriber. Its only task is to take deliveries until it is stopped; between two of them
  it waits in a socket, so Locust's own wait_time plays no part.
- A delivery is reported as a Locust request of type NOTIFY, named after the transport. Its response_time is
  the delivery latency in milliseconds (arrival − due, a float), never the time of a request: Locust's tables
  round it, its CSV and web UI less so. `wirelab bench` reads its raw deliveries instead.
- A user that is stopped closes its connection first, so that Locust need not kill it.
- What makes no sense is refused by one rule, the subscriber's own: on the command line by argparse, in the
  web UI by its form, and whatever came past them (a host, what a master sends, an Environment made by hand)
  by the user, which reports a failure that says why, and stops. So does a user that the server refuses. A
  headless run ends when all its users have stopped so.
- Each lost connection is a failure, and so is each answer that asks to come back. The subscriber comes back.
- `observer` is where deliveries go. The load generator (`bench.trials.generator`) sets its own; nothing else
  about a user differs there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

import gevent
from flask import Response, jsonify, request
from locust import User, events, task
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import STATE_RUNNING, STATE_STOPPED, WorkerRunner

from bench.systems.registry import OURS, SYSTEMS
from clients import TRANSPORTS
from clients.errors import ClientError
from clients.headers import CONNECTION_USES, HEADER_SETS
from clients.subscriber import Delivery, Request, Subscriber

WATCH_S = 1.0
"""How often a headless run looks whether a user is left."""

SEEDS_A_WORKER = 1_000_000

ANY_SUBSCRIBER = next(iter(TRANSPORTS.values()))
"""All check all arguments, whether they use them or not."""


class Observer(Protocol):
    """Who is told what a user meets."""

    def joining(self, user: SubscribingUser) -> None:
        """The user is about to join; it joins when this returns."""

    def requested(self, user: SubscribingUser, request: Request) -> None:
        """A request was answered."""

    def delivered(self, user: SubscribingUser, delivery: Delivery) -> None:
        """A notification arrived."""

    def lost(self, user: SubscribingUser, why: str) -> None:
        """A connection was lost, or an answer asks to come back: the user will."""

    def failed(self, user: SubscribingUser, error: Exception) -> None:
        """The user cannot go on."""


class LocustStatistics:
    """Tell Locust's own statistics, for those who run this file with `locust`."""

    def joining(self, user: SubscribingUser) -> None:
        """Nothing: Locust spaces the joins itself (--spawn-rate)."""

    def requested(self, user: SubscribingUser, request: Request) -> None:
        """Nothing: the time for which a poll was held is no response time."""

    def lost(self, user: SubscribingUser, why: str) -> None:
        """One failure each time, though the subscriber comes back by itself."""
        self.failed(user, ConnectionError(why))

    def failed(self, user: SubscribingUser, error: Exception) -> None:
        """One failure, in Locust's own table of them."""
        user.environment.events.request.fire(
            request_type="NOTIFY",
            name=user.subscriber_class.transport,
            response_time=None,
            response_length=0,
            exception=error,
            context={},
        )

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


class Option(NamedTuple):
    """An option of ours: whose argument of the subscriber it is, and how its text is read."""

    argument: str
    read: Callable[[str], Any]


OPTIONS = {
    "stream": Option("stream", str),
    "poll_interval": Option("poll_interval_s", float),
    "wait": Option("wait_s", float),
    "heartbeat": Option("heartbeat_s", int),
    "headers": Option("headers", str),
    "connection": Option("connection", str),
}


def check_option(name: str, text: str) -> Any:
    """Read the text of an option. Raises ValueError with the subscriber's own sentence: what it refuses is
    refused at every door, and nothing else is."""
    option = OPTIONS[name]
    value = option.read(text)
    ANY_SUBSCRIBER("http://localhost", **{option.argument: as_argument(name, value)})
    return value


def as_argument(name: str, value: Any) -> Any:
    """An option's value as the subscriber takes it. No field of Locust's web UI can be None, so 0 says it."""
    return None if name == "heartbeat" and value == 0 else value


def check_host(host: str | None) -> None:
    """Raise ValueError unless subscribers can be sent there."""
    ANY_SUBSCRIBER(host or "")


@events.init_command_line_parser.add_listener
def add_options(parser: Any) -> None:
    """Options of ours on Locust's command line and in its web UI."""
    group = parser.add_argument_group("wirelab")

    def add(name: str, default: Any, told: str, **more: Any) -> None:
        def read(text: str) -> Any:
            try:
                return check_option(name, text)
            except ValueError as error:
                raise argparse.ArgumentTypeError(str(error)) from None

        flag = "--" + name.replace("_", "-")
        group.add_argument(
            flag, type=read, default=default, env_var=f"WIRELAB_{name.upper()}", help=told, **more
        )

    add("stream", "main", "stream to subscribe to")
    add("poll_interval", 1.0, "seconds between short polls")
    add("wait", 25.0, "seconds that a long poll may be held")
    add(
        "heartbeat",
        25,
        "seconds between a WebSocket's signs of life; after two that did not come it is lost; 0 asks none",
    )
    add("headers", "minimal", "request headers: the fewest, or those of a browser", choices=HEADER_SETS)
    add(
        "connection",
        "kept",
        "polls share a kept-alive connection, or each makes its own",
        choices=CONNECTION_USES,
    )
    group.add_argument(
        "--system",
        choices=list(SYSTEMS),
        default=OURS.name,
        env_var="WIRELAB_SYSTEM",
        help="whose server it is: some want to be asked in a way of their own",
    )
    group.add_argument(
        "--permessage-deflate",
        action="store_true",
        env_var="WIRELAB_PERMESSAGE_DEFLATE",
        help="offer compression",
    )


@events.init.add_listener
def check_web_form(environment: Environment, web_ui: Any, **_: Any) -> None:
    """Refuse in the web UI what the command line refuses, in Locust's own words for a form that is wrong."""
    if web_ui is None:
        return

    def check() -> Response | None:
        if request.method != "POST" or not request.path.endswith("/swarm"):
            return None
        for name, text in request.form.items():
            try:
                if name in OPTIONS:
                    check_option(name, text)
                elif name == "host":
                    check_host(text)
            except ValueError as error:
                message = f"Invalid {name} value: {text!r} ({error})"
                logging.error(message)
                return jsonify({"success": False, "message": message, "host": environment.host})
        return None

    web_ui.app.before_request(check)


@events.test_start.add_listener
def end_when_nobody_is_left(environment: Environment, **_: Any) -> None:
    """End a headless run whose users have all stopped, each with its failure: else it would last for ever."""
    runner, options = environment.runner, environment.parsed_options
    if isinstance(runner, WorkerRunner) or not getattr(options, "headless", False) or environment.shape_class:
        return

    def watch() -> None:
        while runner.state != STATE_STOPPED:
            gevent.sleep(WATCH_S)
            if runner.state == STATE_RUNNING and runner.user_count == 0 and runner.errors:
                logging.error("All users have failed for good, and stopped: there is nothing left to run.")
                runner.quit()
                return

    gevent.spawn(watch)


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
        self.subscriber: Subscriber
        transport = self.subscriber_class.transport
        self.problem: ValueError | None = None
        """Why there is no subscriber: a user that raised here would leave Locust spawning for ever."""
        try:
            self.subscriber = SYSTEMS[options.system].client(transport)(
                self.host or "",
                **{
                    option.argument: as_argument(name, getattr(options, name))
                    for name, option in OPTIONS.items()
                },
                permessage_deflate=options.permessage_deflate,
                # Numbers begin anew in each of Locust's workers; phases should not.
                seed=self.number + SEEDS_A_WORKER * getattr(environment.runner, "worker_index", 0),
                on_request=lambda request: self.observer.requested(self, request),
                on_lost=lambda why: self.observer.lost(self, why),
            )
        except ValueError as error:
            self.problem = error

    @task
    def listen(self) -> None:
        """Take deliveries until the user is stopped."""
        self.observer.joining(self)
        delivered = self.observer.delivered
        try:
            if self.problem is not None:
                raise self.problem
            for delivery in self.subscriber:
                delivered(self, delivery)
        except (ClientError, ValueError) as error:
            # Asking again would end the same, and Locust would do so at once, over and over.
            self.observer.failed(self, error)
        raise StopUser()

    def stop(self, force: bool = False) -> Any:
        """Close the connection, so that the task ends by itself, then stop as Locust does."""
        self.on_stop()
        return super().stop(force)

    def on_stop(self) -> None:
        """Killed or stopped: leave no connection behind."""
        if self.problem is None:
            self.subscriber.close()


def user_of(subscriber_class: type[Subscriber]) -> type[SubscribingUser]:
    """ShortPollUser for ShortPollSubscriber, and so on: Locust finds users as this module's classes."""
    name = subscriber_class.__name__.replace("Subscriber", "User")
    return type(
        name, (SubscribingUser,), {"subscriber_class": subscriber_class, "__doc__": subscriber_class.__doc__}
    )


globals().update({user.__name__: user for user in map(user_of, TRANSPORTS.values())})
