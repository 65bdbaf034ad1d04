"""The publisher: one pipelined keep-alive connection, on an open schedule.

Rules:

1. `publish` writes at once and waits for no answer, so that a slow server cannot slow the load down
   (coordinated omission). It waits only if the kernel takes no more bytes; `written_us` then shows it.
2. Answers come in the order of the requests (RFC 9112, 9.3.2); a second thread collects them.
3. An answer with `Connection: close` is the last of its connection, and nothing after it was processed (RFC
   9112, 9.6): what is unanswered is sent again on a new connection, in its order. A connection that ended
   when all was answered is replaced by the next publish.
4. An answer other than 201, an answer that breaks the protocol, or a lost connection is final: nobody can
   know any more what was published. It is kept as `error`, and the next call raises it.
5. With `keyed` each publish has an Idempotency-Key, so a lost connection and the answers 5xx, 408 and 429 are
   not final: what is unanswered is sent again, after pauses that double from RETRY_FIRST_S to RETRY_MOST_S
   until a publish is answered. After RETRY_S of that they are final. It has a key from the first time on:
   sent again with a key that the first had not, it would be another. The publisher of a benchmark has no
   keys: its bytes stay what they were, and a lost connection makes a trial invalid.
6. The newest RECORDS publications are remembered; `forgotten` counts those before. There are never more
   than UNANSWERED_MOST unanswered ones, of UNANSWERED_BYTES_MOST together: beyond, publishing raises.
"""

from __future__ import annotations

import json
import random
import secrets
import string
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from clients.errors import BadAnswer, ClientError, ConnectionLost, Refused
from clients.http_response import Response, ResponseParser
from clients.subscriber import asks_to_come_back, check_stream, problem_detail, refusal
from clients.wire import Connection, Endpoint

RECORDS = 500_000
UNANSWERED_MOST = 100_000
UNANSWERED_BYTES_MOST = 256 * 2**20
RETRY_S = 30.0
RETRY_FIRST_S = 0.1
RETRY_MOST_S = 2.0
DRAIN_S = 10.0

Schedule = Literal["poisson", "constant", "on-off"]
SCHEDULES: tuple[Schedule, ...] = ("poisson", "constant", "on-off")
ON_SHARE = 0.2
"""Of the time, with `on-off`: what comes then comes five times as fast."""
ON_MEAN_S = 0.5
"""How long it is on, on average; the pauses between are of 2 s."""


def schedule(kind: Schedule, rate: float, seed: int) -> Iterator[float]:
    """Yield when notifications are due, in seconds from the start, without end.

    `poisson` draws exponential gaps with mean 1/rate from the seed, so that what is due does not depend on
    what was before; `constant` is every 1/rate seconds, without adding up rounding errors. With both the
    first is due after one gap.

    `on-off` is bursts: periods on and off of exponential lengths, those on of ON_MEAN_S on average and
    ON_SHARE of all time, and within them Poisson at rate/ON_SHARE, so that the mean over all time is rate
    (an interrupted Poisson process: Kuczura, Bell System Technical Journal 52(3), 1973). It begins on as
    often as it is on, so that this holds from the first second.

    Raises ValueError at the first item, for a kind that is none or a rate not above 0.
    """
    if not rate > 0:
        raise ValueError(f"rate is {rate}: it must be more than 0 notifications a second")
    if kind == "poisson":
        gaps = random.Random(seed)
        due_s = 0.0
        while True:
            due_s += gaps.expovariate(rate)
            yield due_s
    elif kind == "constant":
        count = 0
        while True:
            count += 1
            yield count / rate
    elif kind == "on-off":
        draws = random.Random(seed)
        begin_s, on = 0.0, draws.random() < ON_SHARE
        while True:
            mean_s = ON_MEAN_S if on else ON_MEAN_S * (1 - ON_SHARE) / ON_SHARE
            end_s = begin_s + draws.expovariate(1 / mean_s)
            if on:
                # Exponential gaps have no memory: each period may begin with a whole one.
                due_s = begin_s + draws.expovariate(rate / ON_SHARE)
                while due_s < end_s:
                    yield due_s
                    due_s += draws.expovariate(rate / ON_SHARE)
            begin_s, on = end_s, not on
    else:
        raise ValueError(f"the schedule is {kind!r}: it must be one of {', '.join(SCHEDULES)}")


def filler(payload_bytes: int, seed: int = 0) -> str:
    """Return data of so many bytes (its two quotes in JSON not counted): letters that hardly compress."""
    letters = string.ascii_letters + string.digits
    return "".join(random.Random(seed).choices(letters, k=payload_bytes))


@dataclass(slots=True)
class Publication:
    """One publish; times are integer microseconds of Unix time, None for what has not happened."""

    due_us: int
    written_us: int | None = None
    """When the last of its bytes had been handed to the kernel."""
    answered_us: int | None = None
    """When its answer arrived."""
    id: int | None = None
    """The id that the server gave it."""
    status: int | None = None
    """The answer's HTTP status; 201 is the good one."""
    request: bytes = field(default=b"", repr=False)
    """What to send again; empty once it is answered."""


class Publisher:
    """Add notifications to one stream. The module's docstring has the rules."""

    good_statuses: ClassVar[frozenset[int]] = frozenset({201})
    """The statuses that say that a notification was accepted."""

    def __init__(
        self, url: str, stream: str = "main", *, payload_bytes: int = 100, seed: int = 0, keyed: bool = False
    ) -> None:
        """Connect to `url`; `run` publishes fillers of `payload_bytes`, drawn from the seed.

        `keyed` publishes with idempotency keys, so that a lost connection can be made good.
        Raises ValueError for arguments that make no sense, and ConnectionLost if nobody answers.
        """
        check_stream(stream)
        self.endpoint = Endpoint.of(url)
        self.stream = stream
        self.data = filler(payload_bytes, seed)
        self.records: deque[Publication] = deque()
        """The newest publications, oldest first."""
        self.forgotten = 0
        """Publications that were too many to be remembered."""
        self.published = 0
        """Publications written."""
        self.error: ClientError | None = None
        """What ended the publishing, if something did."""
        self._head = (
            f"POST {self.endpoint.path}/streams/{stream}/notifications HTTP/1.1\r\n"
            f"Host: {self.endpoint.host_header}\r\nContent-Type: application/json\r\n"
        ).encode("ascii")
        self._key_prefix = secrets.token_hex(8) if keyed else None
        self._keys = 0
        self._writing = threading.Lock()
        """Held while requests are written, and while the connection is replaced."""
        self._ended = False
        """The connection has ended and nothing was unanswered: the next publish replaces it."""
        self._unanswered: deque[Publication] = deque()
        # Each has one thread that adds to it.
        self._written_bytes = self._answered_bytes = 0
        self._all_answered = threading.Event()
        self._all_answered.set()
        self._closed = threading.Event()
        self._retries = 0
        """Tries to send again since the last answer."""
        self._retrying_since_s = 0.0
        """When the first of them was due, by the monotonic clock."""
        self._connection = self._connect()
        self._reader = self._start(self._read, self._connection)

    def publish(self, data: Any, due_us: int) -> Publication:
        """Write one notification and return its record, which fills in as the answer comes.

        Raises ValueError or TypeError for data that JSON has no word for, else what `error` holds.
        """
        body = self._body(data, due_us)
        key = b""
        if self._key_prefix is not None:
            self._keys += 1
            key = f"Idempotency-Key: {self._key_prefix}-{self._keys}\r\n".encode("ascii")
        self._raise_error()
        if len(self._unanswered) >= UNANSWERED_MOST:
            raise ConnectionLost(f"the server has {UNANSWERED_MOST} publishes to answer and answers none")
        request = b"%b%bContent-Length: %d\r\n\r\n%b" % (self._head, key, len(body), body)
        if self._written_bytes - self._answered_bytes + len(request) > UNANSWERED_BYTES_MOST:
            raise ConnectionLost(
                f"the server has publishes of {UNANSWERED_BYTES_MOST} bytes to answer and answers none"
            )
        record = Publication(due_us, request=request)
        with self._writing:
            # Before the write: the answer can be here before the write returns.
            self._written_bytes += len(request)
            self._unanswered.append(record)
            self._all_answered.clear()
            if len(self.records) == RECORDS:
                self.records.popleft()
                self.forgotten += 1
            self.records.append(record)
            try:
                if self._ended:
                    self._replace()
                self._connection.send(request)
            except ConnectionLost as error:
                if self._key_prefix is None:
                    self._fail(error)
                    raise
                self._ended = False
                self._reader = self._start(self._go_on, self._connection, error)
            except OSError:
                pass  # the reader sees how the connection ended, and what that means for what is unanswered
        record.written_us = time.time_ns() // 1000
        self.published += 1
        return record

    def run(
        self,
        offsets_s: Iterator[float],
        *,
        stop: threading.Event,
        count: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Publish fillers as `offsets_s` say, from now on, until `stop`, `count` or `seconds`.

        A notification that is late is written at once, with the time at which it was due: nothing is
        left out, and lateness shows. Raises as `publish` does.
        """
        start_us = time.time_ns() // 1000
        start_s = time.monotonic()
        for done, offset_s in enumerate(offsets_s):
            if done == count or (seconds is not None and offset_s > seconds):
                return
            pause_s = start_s + offset_s - time.monotonic()
            if stop.wait(pause_s) if pause_s > 0 else stop.is_set():
                return
            self.publish(self.data, start_us + round(offset_s * 1e6))

    def drain(self, timeout_s: float = DRAIN_S) -> bool:
        """Wait until everything is answered; False if it is not in time. Raises what `error` holds."""
        answered = self._all_answered.wait(timeout_s)
        self._raise_error()
        return answered

    def close(self) -> None:
        """Close the connection. What is not answered yet may be lost: `drain` waits for it."""
        self._closed.set()
        self._connection.shutdown()
        self._reader.join(DRAIN_S)
        self._connection.close()

    def __enter__(self) -> Publisher:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _body(self, data: Any, due_us: int) -> bytes:
        """What is posted of a notification. Raises ValueError or TypeError for data JSON has no word for."""
        draft = {"data": data, "due_us": due_us}
        return json.dumps(draft, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")

    def _told_id(self, response: Response) -> int:
        """The id that the answer to a publish tells; raises BadAnswer."""
        try:
            id_ = json.loads(response.body)["id"]
        except (ValueError, TypeError, KeyError, RecursionError):
            id_ = None
        if type(id_) is not int:
            raise BadAnswer("the server answered 201 without telling the notification's id")
        return id_

    def _connect(self) -> Connection:
        why = "no address"
        try:
            addresses = self.endpoint.resolve()
        except OSError as error:
            raise ConnectionLost(f"cannot find {self.endpoint.host}: {error}") from None
        for family, address in addresses:
            try:
                connection = Connection(family)
            except OSError as error:
                why = str(error)
                continue
            try:
                connection.connect(address)
            except OSError as error:
                why = str(error)
                connection.close()
                continue
            return connection
        raise ConnectionLost(f"cannot connect to {self.endpoint.host}:{self.endpoint.port}: {why}")

    def _start(self, target: Callable[..., None], *arguments: object) -> threading.Thread:
        """Start the one thread that collects answers, or replaces the connection, at a time."""
        thread = threading.Thread(target=target, args=arguments, name="publisher answers", daemon=True)
        thread.start()
        return thread

    def _read(self, connection: Connection) -> None:
        """Collect answers until the connection ends; see that what is unanswered is sent again, if it may."""
        lost: ConnectionLost | None = None
        try:
            self._collect(connection)
        except ConnectionLost as error:
            lost = error
        except OSError as error:
            lost = ConnectionLost(f"the publisher's connection was lost: {error}")
        except ClientError as error:
            self._fail(error)
            return
        self._go_on(connection, lost)

    def _collect(self, connection: Connection) -> None:
        """Take answers until the connection has ended in good order; raises OSError and ClientError.

        With keys an answer that asks to come back is a connection lost.
        """
        parser = ResponseParser()
        while True:
            data = connection.receive()
            if not data:
                with self._writing:
                    if self._unanswered or self._closed.is_set() or self.error is not None:
                        raise ConnectionLost("the server closed the publisher's connection")
                    self._ended = True
                return
            for response in parser.feed(data):
                if self._key_prefix is not None and asks_to_come_back(response.status):
                    raise refusal(response)
                self._answer(response, connection.received_us)
                if not response.keep_alive:
                    return

    def _go_on(self, ended: Connection, lost: ConnectionLost | None) -> None:
        """Replace a connection, and send what is unanswered again; runs in the thread that has read it.

        Where it was not `lost` it ended in good order, and the first try is made without a pause.
        """
        while lost is None or self._pause(lost):
            with self._writing:
                if self._closed.is_set() or self._connection is not ended:
                    return  # replaced by a publish
                if not self._unanswered:
                    self._ended = True
                    return
                requests = [record.request for record in self._unanswered]
                try:
                    self._replace()
                except ConnectionLost as error:
                    lost = error
                    continue
                try:
                    for request in requests:
                        self._connection.send(request)
                except OSError:
                    pass  # its reader sees how it ended
                return

    def _pause(self, lost: ConnectionLost) -> bool:
        """Wait before the next try; False where there is none, since what is unanswered is lost for good."""
        now_s = time.monotonic()
        if not self._retries:
            self._retrying_since_s = now_s
        if self._key_prefix is None or now_s - self._retrying_since_s > RETRY_S:
            self._fail(lost)
            return False
        pause_s = min(RETRY_MOST_S, RETRY_FIRST_S * 2.0 ** min(self._retries, 16))
        self._retries += 1
        return not self._closed.wait(max(pause_s, min(lost.retry_after_s or 0.0, RETRY_S)))

    def _replace(self) -> None:
        """Connect anew; raises ConnectionLost. The caller holds `_writing`."""
        self._connection.close()
        self._connection = self._connect()
        self._ended = False
        self._reader = self._start(self._read, self._connection)
        if self._closed.is_set():
            self._connection.shutdown()

    def _answer(self, response: Response, received_us: int) -> None:
        if not self._unanswered:
            raise BadAnswer("the server answered a publish that nobody made")
        record = self._unanswered.popleft()
        self._retries = 0
        self._answered_bytes += len(record.request)
        record.request = b""
        record.answered_us = received_us
        record.status = response.status
        if response.status not in self.good_statuses:
            raise Refused(response.status, problem_detail(response))
        record.id = self._told_id(response)
        if not self._unanswered:
            self._all_answered.set()
            if self._unanswered:  # published between the two: nobody else would take it back
                self._all_answered.clear()

    def _fail(self, error: ClientError) -> None:
        if self.error is None and not self._closed.is_set():
            self.error = error
        self._all_answered.set()

    def _raise_error(self) -> None:
        if self._closed.is_set():
            raise ConnectionLost("the publisher is closed")
        if self.error is not None:
            raise self.error
