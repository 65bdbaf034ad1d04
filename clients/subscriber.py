"""What every subscriber does the same way: one connection, one cursor, one iterator of deliveries.

Rules:

1. Iterating runs until `close()`. Lost connections and the answers 5xx, 408 and 429 are retried: the
   subscriber comes back after a pause and asks from its cursor. So nothing is delivered twice or left out
   unless the receiver's counters say so. Any other 4xx raises Refused: asking again would not help.
2. The pause doubles from BACKOFF_FIRST_S to BACKOFF_MOST_S, each drawn between half of it and the whole. It
   begins anew when a connection has held: the server answered, and HELD_S have passed since the last pause.
   A first batch alone does not count, since a server may accept, answer and close all day. A Retry-After is
   obeyed, up to RETRY_AFTER_MOST_S. Up to half as much again is added, since all clients that were refused
   together would come back together.
3. The same pause follows a poll that was answered with nothing new well before the time for which it asked
   to be held; its connection is kept. What counts is what was seen: a proxy may drop `Connection: close`.
4. A kept-alive connection that the server has ended meanwhile is replaced before the next request, without
   a pause: servers end connections that are idle for long, and a poller with a large T always is.
5. With `connection="fresh"` each poll makes a connection of its own and says `Connection: close`, as
   clients without a pool of connections do. The server then ends it after its answer (RFC 9112, 9.6), and
   so keeps the port in TIME_WAIT; a client that ended it first would run out of ports at some hundred polls
   a second. Our end follows at once, before the next poll; the socket is given back only after that poll,
   when the last acknowledgement has come and can be counted.
6. Whatever is random is drawn from the seed.
7. Iterate from one thread or greenlet; `close` and `wire` may be called from any other.
8. Nothing here imports gevent: blocking sockets and `threading` are all, so it runs on either.
"""

from __future__ import annotations

import json
import math
import random
import re
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal, NamedTuple
from urllib.parse import quote

from clients.errors import BadAnswer, ConnectionLost, Refused
from clients.headers import CONNECTION_USES, HEADER_SETS, ConnectionUse, HeaderSet
from clients.http_response import Response, ResponseParser
from clients.receiver import Receiver
from clients.wire import KERNEL_TELLS, NOTHING, Connection, Endpoint, WireCounts

BACKOFF_FIRST_S = 0.1
BACKOFF_MOST_S = 5.0
RETRY_AFTER_MOST_S = 60.0
HELD_S = 2.0
"""A connection that has lasted so long has held: the pauses begin anew."""
EARLY_SHARE = 0.5
"""A poll is answered early if less than this share of its wait has passed."""
ANSWER_TIMEOUT_S = 30.0
"""How long an answer may take, on top of the time that a long poll asks to be held."""
WAIT_MOST_S = 60.0
HEARTBEAT_MOST_S = 60
HEARTBEATS_MISSED = 2
"""A connection on which nothing came for so many heartbeats is lost."""

Pong = Literal["frame", "packet"]

_STREAM_NAME = re.compile(r"[a-z0-9-]{1,64}")


class Delivery(NamedTuple):
    """One notification as it reached one subscriber; times are integer microseconds of Unix time."""

    id: int
    due_us: int
    accepted_us: int
    received_us: int
    """When the segment that completed its message arrived: the kernel's stamp, or see `arrival`."""
    handled_us: int
    """When our code had the message."""
    data: Any


class Request(NamedTuple):
    """One HTTP request and its answer; a WebSocket has one, its handshake. Times as in Delivery."""

    sent_us: int
    received_us: int
    handled_us: int
    notifications: int
    """New notifications that the answer brought."""
    status: int


class Subscriber(ABC):
    """One client of one transport. Subclasses say how they ask; the module's docstring has the rules."""

    transport: ClassVar[str]
    """The transport's name: in the registry, in scenarios, in the URL."""
    label: ClassVar[str]
    """What readers see."""
    asks_again: ClassVar[bool] = True
    """Does it make a request for each batch? Then a client that is late delays its own next request."""
    held: ClassVar[bool]
    """Does the server hold something open while there is no news, renewed or pinged every `wait_s`?"""
    pong: ClassVar[Pong | None] = None
    """As what it answers a ping of the server's, which waits for that; None if nothing is waited for."""
    factors: ClassVar[tuple[str, ...]]
    """Which of the settings below it uses; the others make no difference to it."""
    good_status: ClassVar[int] = 200
    """The status of a request that was answered well."""
    empty_status: ClassVar[int | None] = None
    """Another such status, of a system whose answer has no body where there is nothing new."""
    _streamed_status: ClassVar[int | None] = None
    """The status of an answer whose body goes on until the connection ends."""

    def __init__(
        self,
        url: str,
        stream: str = "main",
        *,
        poll_interval_s: float = 1.0,
        wait_s: float = 25.0,
        headers: HeaderSet = "minimal",
        connection: ConnectionUse = "kept",
        seed: int = 0,
        after: str | None = None,
        permessage_deflate: bool = False,
        heartbeat_s: int | None = 25,
        on_request: Callable[[Request], None] | None = None,
        on_lost: Callable[[str], None] | None = None,
    ) -> None:
        """Prepare to follow `stream` at `url`, from the cursor `after` or from the head.

        `poll_interval_s` is short polling's T, `wait_s` what a long poll asks for, `connection` whether polls
        share one; the others ignore them. `permessage_deflate` offers the WebSocket extension, and
        `heartbeat_s` is how often a connection that stays open asks for a sign of life; None asks for none.
        `on_request` is told of each answer, `on_lost` of each lost connection and each answer that asks to
        come back.
        Nothing is sent before the first iteration. Raises ValueError for arguments that make no sense.
        """
        check_stream(stream)
        if not 0 < poll_interval_s < math.inf:
            raise ValueError(f"poll_interval_s is {poll_interval_s}: it must be more than 0 seconds")
        if not 0 < wait_s <= WAIT_MOST_S:
            raise ValueError(f"wait_s is {wait_s}: a poll is held for more than 0, at most {WAIT_MOST_S:g} s")
        if headers not in HEADER_SETS:
            raise ValueError(f"headers is {headers!r}: it must be one of {', '.join(HEADER_SETS)}")
        if connection not in CONNECTION_USES:
            raise ValueError(f"connection is {connection!r}: it must be one of {', '.join(CONNECTION_USES)}")
        if heartbeat_s is not None and (
            type(heartbeat_s) is not int or not 1 <= heartbeat_s <= HEARTBEAT_MOST_S
        ):
            raise ValueError(
                f"heartbeat_s is {heartbeat_s}: it must be a whole number of seconds, 1 to {HEARTBEAT_MOST_S}"
            )
        self.endpoint = Endpoint.of(url)
        self.stream = stream
        self.poll_interval_s = poll_interval_s
        self.wait_s = wait_s
        self.headers: HeaderSet = headers
        self.connection: ConnectionUse = connection
        self.permessage_deflate = permessage_deflate
        self.heartbeat_s = heartbeat_s
        self.on_request = on_request
        self.on_lost = on_lost
        self.receiver = Receiver(after)
        self.joined_cursor: str | None = None
        """The cursor of the first batch. Clients never look inside it; the owner of the server may."""
        self.joined_id: int | None = None
        """The id before the first notification that this subscriber was to get; None until that is known."""
        self.requests = 0
        """Requests that were answered with a batch, or with 101."""
        self.empty_responses = 0
        """Requests whose answer brought nothing new, the one that joined included. Not those of connections
        that stay open."""
        self.skipped_ticks = 0
        """Short polls that were not asked, because the one before took too long."""
        self.reconnects = 0
        """Connections made in place of one that had ended. The fresh connections of polls do not count."""
        self.last_error: str | None = None
        """Why the connection was last lost."""
        self._random = random.Random(seed)
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._finished: Connection | None = None
        self._parser = ResponseParser()
        self._wire_before: WireCounts | None = NOTHING
        self._stamped = KERNEL_TELLS
        self._connected = False
        self._failures = 0
        """Pauses since a connection has held."""
        self._answered = False
        """Whether a batch has come since the last pause."""
        self._resumed_s = 0.0
        """When the last pause was over, by the monotonic clock."""
        # Received but not yet yielded: an iteration that stopped within a batch goes on with the rest.
        self._given: Iterator[Delivery] = iter(())

    @property
    def joined(self) -> bool:
        """Whether a batch has come, so that there is a cursor to resume from."""
        return self.joined_cursor is not None

    @property
    def arrival(self) -> str:
        """Which clock received_us is from: "kernel", or "handling" if a delivery came without stamp.

        The kernel begins to stamp a moment after the first socket on the machine asks for it, so the very
        first answers may have none; they are seldom deliveries.
        """
        return "kernel" if self._stamped else "handling"

    def wire(self) -> WireCounts | None:
        """Return what went over the wire so far, on all connections; None if it cannot be measured."""
        with self._lock:
            total = self._wire_before
            for connection in (self._finished, self._connection):
                if connection is not None:
                    total = _sum(total, connection.counts())
            return total

    def __iter__(self) -> Iterator[Delivery]:
        """Yield every delivery until `close()`; raises Refused, BadAnswer or BadBatch."""
        self._resumed_s = time.monotonic()
        try:
            yield from self._given
            while not self._closed.is_set():
                try:
                    yield from self._deliveries()
                except ConnectionLost as lost:
                    # The cursor is behind what came before the loss: it does not come again.
                    yield from self._given
                    self._drop()
                    if not self._closed.is_set():
                        self.last_error = str(lost)
                        if self.on_lost is not None:
                            self.on_lost(self.last_error)
                        self._back_off(lost.retry_after_s)
        finally:
            self._drop()
            with self._lock:
                self._give_back_finished()

    def close(self) -> None:
        """End the iteration, from any thread or greenlet: it stops by itself, soon, without an error."""
        self._closed.set()
        with self._lock:
            if self._connection is not None:
                self._connection.shutdown()

    @abstractmethod
    def _deliveries(self) -> Iterator[Delivery]:
        """Ask and yield, until ConnectionLost: this is what makes a transport."""

    def _target(self, **query: str) -> str:
        """Return the request target: this stream on this transport, from the cursor."""
        if self.receiver.cursor is not None:
            query = {"after": quote(self.receiver.cursor, safe=""), **query}
        target = f"{self.endpoint.path}/streams/{self.stream}/{self.transport}"
        return (
            target + "?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else target
        )

    def _poll(self, request: str, held_s: float = 0.0) -> Iterator[Delivery]:
        """Ask for a batch and return what is new in it; raises as `_ask` does, and BadBatch.

        `held_s` is for how long the request asks to be held.
        """
        asked_s = time.monotonic()
        sent_us, response = self._ask(request)
        connection = self._connection
        assert connection is not None
        notifications = 0
        if response.status == self.empty_status:
            self._answered = True
        else:
            notifications = self._take(response.body, connection)
        if not notifications:
            self.empty_responses += 1
        if self.on_request is not None:
            self.on_request(
                Request(
                    sent_us, connection.received_us, connection.handled_us, notifications, response.status
                )
            )
        if not response.keep_alive and self.connection == "fresh":
            self._finish(connection)
        elif not response.keep_alive or self.connection == "fresh":
            self._drop()
        if not notifications and time.monotonic() - asked_s < held_s * EARLY_SHARE:
            self._back_off()
        return self._given

    def _ask(self, request: str, good: int = 200) -> tuple[int, Response]:
        """Send a request and return when, and its answer; raises ConnectionLost, Refused or BadAnswer."""
        connection = self._connection
        if connection is not None and connection.ended():
            self._drop()
            connection = None
        if connection is None:
            connection = self._connect()
        sent_us, response = self._exchange(connection, request)
        if response.status not in (good, self.empty_status):
            if self.on_request is not None:
                self.on_request(
                    Request(sent_us, connection.received_us, connection.handled_us, 0, response.status)
                )
            raise refusal(response)
        if response.headers.get(b"content-encoding", b"identity") != b"identity":
            raise BadAnswer(
                "the answer is compressed, which the contract excludes: look at what is in between"
            )
        self.requests += 1
        return sent_us, response

    def _exchange(self, connection: Connection, request: str) -> tuple[int, Response]:
        if self._closed.is_set():
            raise ConnectionLost("closed by us")
        parser = self._parser
        sent_us = time.time_ns() // 1000
        try:
            connection.send(request.encode("ascii"))
            while True:
                data = connection.receive()
                if not data or self._closed.is_set():
                    raise ConnectionLost("the server closed the connection before it had answered")
                responses = parser.feed(data)
                if responses:
                    break
        except OSError as error:
            raise ConnectionLost(f"the connection was lost: {error}") from None
        if len(responses) > 1 or parser.started:
            raise BadAnswer("the server sent more than one answer to one request")
        return sent_us, responses[0]

    def _take(self, batch: bytes | str, connection: Connection) -> int:
        """Hand the batch that was just read to the receiver, and what is new in it to `_given`.

        Returns how many are new; raises BadBatch.
        """
        receiver = self.receiver
        missed_before = receiver.missed
        notifications = receiver.receive(batch)
        self._answered = True
        if self.joined_cursor is None:
            self.joined_cursor = receiver.cursor
        if not notifications:
            return 0
        if self.joined_id is None:
            self.joined_id = notifications[0].id - 1 - (receiver.missed - missed_before)
        self._stamped = self._stamped and connection.stamped
        received_us, handled_us = connection.received_us, connection.handled_us
        self._given = iter(
            [
                Delivery(new.id, new.due_us, new.accepted_us, received_us, handled_us, new.data)
                for new in notifications
            ]
        )
        return len(notifications)

    def _connect(self) -> Connection:
        """Open the connection; raises ConnectionLost."""
        why = "no address"
        try:
            addresses = self.endpoint.resolve()
        except OSError as error:
            raise ConnectionLost(f"cannot find {self.endpoint.host}: {error}") from None
        for family, address in addresses:
            try:
                connection = Connection(family)
                with self._lock:
                    self._connection = connection
                if self._closed.is_set():
                    break
                connection.connect(address, self._read_timeout_s())
            except OSError as error:
                why = str(error)
                self._drop()
                continue
            if self._connected:
                self.reconnects += 1
            self._connected = True
            self._parser = ResponseParser(self._streamed_status)
            return connection
        self._drop()
        raise ConnectionLost(f"cannot connect to {self.endpoint.host}:{self.endpoint.port}: {why}")

    def _read_timeout_s(self) -> float | None:
        """How long a read may take before the connection counts as lost."""
        return ANSWER_TIMEOUT_S

    def _receive(self, connection: Connection) -> bytes:
        """Wait for bytes and return them; raises OSError, and ConnectionLost if heartbeats did not come."""
        try:
            return connection.receive()
        except TimeoutError as error:
            if error.errno is not None:
                raise  # the kernel's, whose keep-alive was not answered
            # This process may have stood still, so that time was over before it could read what was there.
            if connection.has_arrived():
                return connection.receive()
        raise ConnectionLost(f"no heartbeat came for {self._patience_s():g} s")

    def _patience_s(self) -> float | None:
        """How long nothing may come on a connection that stays open; None without heartbeats."""
        return None if self.heartbeat_s is None else HEARTBEATS_MISSED * self.heartbeat_s

    def _heartbeat_query(self) -> dict[str, str]:
        return {} if self.heartbeat_s is None else {"heartbeat": str(self.heartbeat_s)}

    def _drop(self) -> None:
        """Close the connection, if there is one, and keep its counts."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                self._give_back(connection)

    def _finish(self, connection: Connection) -> None:
        """End a connection whose server ends it too, and keep it until the next one is at its end."""
        try:
            connection.finish()
        except OSError:
            pass  # reset, or left open by a server that said otherwise: then we end it alone
        with self._lock:
            self._give_back_finished()
            self._finished, self._connection = self._connection, None
        self._connected = False

    def _give_back_finished(self) -> None:
        finished, self._finished = self._finished, None
        if finished is not None:
            self._give_back(finished)

    def _give_back(self, connection: Connection) -> None:
        self._wire_before = _sum(self._wire_before, connection.counts())
        connection.close()

    def _back_off(self, retry_after_s: float | None = None) -> None:
        """Pause before the next attempt, unless closed meanwhile."""
        if self._answered and time.monotonic() - self._resumed_s >= HELD_S:
            self._failures = 0
        pause_s = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0 ** min(self._failures, 16))
        self._failures += 1
        if retry_after_s is None:
            pause_s *= self._random.uniform(0.5, 1.0)
        else:
            pause_s = max(pause_s, min(retry_after_s, RETRY_AFTER_MOST_S))
            pause_s *= self._random.uniform(1.0, 1.5)
        self._closed.wait(pause_s)
        self._answered = False
        self._resumed_s = time.monotonic()


def _sum(total: WireCounts | None, counts: WireCounts | None) -> WireCounts | None:
    """Add counts; None if one of them could not be measured."""
    return None if total is None or counts is None else total + counts


def check_stream(name: str) -> None:
    """Raise ValueError unless `name` is a well-formed stream's name."""
    if not _STREAM_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no stream's name: use 1 to 64 of a-z, 0-9 and -")


def refusal(response: Response) -> ConnectionLost | Refused | BadAnswer:
    """Return the error for an answer: ConnectionLost if asking again may help, else Refused."""
    status = response.status
    detail = problem_detail(response)
    if asks_to_come_back(status):
        return ConnectionLost(f"the server answered {status}: {detail}", _retry_after_s(response))
    if status >= 400:
        return Refused(status, detail)
    return BadAnswer(f"the server answered {status} where a batch or an upgrade was due: {detail}")


def problem_detail(response: Response) -> str:
    """Return the sentence of a problem+json answer (RFC 9457), or the beginning of whatever came."""
    try:
        problem = json.loads(response.body)
        return str(problem.get("detail") or problem["title"])
    except (ValueError, AttributeError, KeyError, RecursionError):
        return response.body[:200].decode("utf-8", "replace").strip() or "(it does not say why)"


def asks_to_come_back(status: int) -> bool:
    """Whether what was answered with this error may be answered better later."""
    return status >= 500 or status in (408, 429)


def _retry_after_s(response: Response) -> float | None:
    """Return Retry-After in seconds (RFC 9110, 10.2.3); None where absent, or given as a date."""
    value = response.headers.get(b"retry-after", b"")
    return float(value) if value.isdigit() else None
