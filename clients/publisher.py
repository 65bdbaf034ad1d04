"""The publisher: one pipelined keep-alive connection, on an open schedule.

Rules:

1. `publish` writes at once and waits for no answer, so that a slow server cannot slow the load down
   (coordinated omission). It waits only if the kernel takes no more bytes; `written_us` then shows it.
2. Answers come in the order of the requests (RFC 9112, 9.3.2); a second thread collects them.
3. An answer other than 201, an answer that breaks the protocol, or a lost connection is final: nobody can
   know any more what was published. It is kept as `error`, and the next call raises it.
4. The newest RECORDS publications are remembered; `forgotten` counts those before. There are never more
   than UNANSWERED_MOST unanswered ones: beyond, publishing raises.
"""

from __future__ import annotations

import json
import random
import string
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from clients.errors import BadAnswer, ClientError, ConnectionLost, Refused
from clients.http_response import Response, ResponseParser
from clients.subscriber import check_stream, problem_detail
from clients.wire import Connection, Endpoint

RECORDS = 500_000
UNANSWERED_MOST = 100_000
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


class Publisher:
    """Add notifications to one stream. The module's docstring has the rules."""

    def __init__(self, url: str, stream: str = "main", *, payload_bytes: int = 100, seed: int = 0) -> None:
        """Connect to `url`; `run` publishes fillers of `payload_bytes`, drawn from the seed.

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
            f"Host: {self.endpoint.host_header}\r\nContent-Type: application/json\r\nContent-Length: "
        ).encode("ascii")
        self._unanswered: deque[Publication] = deque()
        self._all_answered = threading.Event()
        self._all_answered.set()
        self._closed = False
        self._connection = self._connect()
        self._reader = threading.Thread(target=self._read, name="publisher answers", daemon=True)
        self._reader.start()

    def publish(self, data: Any, due_us: int) -> Publication:
        """Write one notification and return its record, which fills in as the answer comes.

        Raises ValueError or TypeError for data that JSON has no word for, else what `error` holds.
        """
        body = json.dumps(
            {"data": data, "due_us": due_us}, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode("utf-8")
        self._raise_error()
        if len(self._unanswered) >= UNANSWERED_MOST:
            raise ConnectionLost(f"the server has {UNANSWERED_MOST} publishes to answer and answers none")
        record = Publication(due_us)
        # Before the write: the answer can be here before the write returns.
        self._unanswered.append(record)
        self._all_answered.clear()
        if len(self.records) == RECORDS:
            self.records.popleft()
            self.forgotten += 1
        self.records.append(record)
        try:
            self._connection.send(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))
        except OSError as error:
            self._fail(ConnectionLost(f"the publisher's connection was lost: {error}"))
            self._raise_error()
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
        self._closed = True
        self._connection.shutdown()
        self._reader.join(DRAIN_S)
        self._connection.close()

    def __enter__(self) -> Publisher:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

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

    def _read(self) -> None:
        """Collect answers until the connection ends; runs in the second thread."""
        parser = ResponseParser()
        try:
            while True:
                data = self._connection.receive()
                if not data:
                    raise ConnectionLost("the server closed the publisher's connection")
                for response in parser.feed(data):
                    self._answer(response)
        except OSError as error:
            self._fail(ConnectionLost(f"the publisher's connection was lost: {error}"))
        except ClientError as error:
            self._fail(error)

    def _answer(self, response: Response) -> None:
        if not self._unanswered:
            raise BadAnswer("the server answered a publish that nobody made")
        record = self._unanswered.popleft()
        record.answered_us = self._connection.received_us
        record.status = response.status
        if response.status != 201:
            raise Refused(response.status, problem_detail(response))
        try:
            id_ = json.loads(response.body)["id"]
        except (ValueError, TypeError, KeyError, RecursionError):
            id_ = None
        if type(id_) is not int:
            raise BadAnswer("the server answered 201 without telling the notification's id")
        record.id = id_
        if not self._unanswered:
            self._all_answered.set()
            if self._unanswered:  # published between the two: nobody else would take it back
                self._all_answered.clear()

    def _fail(self, error: ClientError) -> None:
        if self.error is None and not self._closed:
            self.error = error
        self._all_answered.set()

    def _raise_error(self) -> None:
        if self._closed:
            raise ConnectionLost("the publisher is closed")
        if self.error is not None:
            raise self.error
