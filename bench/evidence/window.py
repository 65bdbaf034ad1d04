"""The measured window of one trial: what several metrics and gates need of it.

Rules:
- Each value is computed when it is first needed, and then kept: do not change a trial that has a window.
- What was not measured is None; a count of nothing is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.rundir.trial import Columns, Trial
from bench.systems.registry import SYSTEMS
from clients import TRANSPORTS
from clients.subscriber import Subscriber

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Latencies:
    """Deliveries of the notifications due in the window; `notification` numbers those 0 … count − 1."""

    ms: Floats
    notification: npt.NDArray[np.intp]
    count: int

    def spreads_ms(self) -> Floats:
        """For each notification, its last arrival minus its first, in ms."""
        last = np.full(self.count, -math.inf)
        first = np.full(self.count, math.inf)
        np.maximum.at(last, self.notification, self.ms)
        np.minimum.at(first, self.notification, self.ms)
        spread: Floats = last - first
        return spread


class Window:
    """A trial, from the start of its window to the end."""

    def __init__(self, trial: Trial, start_us: int, end_us: int) -> None:
        self.trial = trial
        self.record = trial.record
        self.start_us, self.end_us = start_us, end_us
        self.length_s = (end_us - start_us) / 1e6

    @classmethod
    def of(cls, trial: Trial) -> Window | None:
        """The window of a trial; None if it was never measured."""
        return None if trial.window_us is None else cls(trial, *trial.window_us)

    # Who took part.

    @property
    def subscribers(self) -> int:
        """How many subscribers the trial had."""
        return int(self.record["subscribers"])

    @property
    def has_subscribers(self) -> bool:
        """Whether the trial had a transport; a baseline has none, and no load generator."""
        return self.record["transport"] is not None

    @property
    def client(self) -> type[Subscriber] | None:
        """The client by which the trial's system was spoken to, with the transport's traits; None for a
        baseline, and for a transport that this code does not know."""
        system = SYSTEMS.get(self.record["system"])
        return (system.transports if system else TRANSPORTS).get(self.record["transport"])

    @property
    def asks_again(self) -> bool:
        """Whether each subscriber makes a request for each batch."""
        return self.client is not None and self.client.asks_again

    # Which rows count.

    @cached_property
    def due(self) -> Mask:
        """Which deliveries are of notifications that were due in the window."""
        return self._inside(self.trial.deliveries, "due_us")

    @cached_property
    def received(self) -> Mask:
        """Which deliveries arrived in the window."""
        return self._inside(self.trial.deliveries, "received_us")

    @cached_property
    def answered(self) -> Mask:
        """Which requests were answered in the window."""
        return self._inside(self.trial.requests, "received_us")

    @cached_property
    def published(self) -> Mask:
        """Which published notifications were due in the window."""
        return self._inside(self.trial.published, "due_us")

    @cached_property
    def deliveries(self) -> int:
        """How many deliveries arrived in the window."""
        return int(self.received.sum())

    @cached_property
    def requests(self) -> int:
        """How many requests were answered in the window."""
        return int(self.answered.sum())

    # How late.

    @cached_property
    def latencies(self) -> Latencies | None:
        """Latency in ms of every delivery of a notification due in the window; None if there was none."""
        if not self.due.any():
            return None
        deliveries = self.trial.deliveries
        ms = (deliveries["received_us"][self.due] - deliveries["due_us"][self.due]) / 1000.0
        ids, notification = self._notifications
        return Latencies(ms, notification, len(ids))

    @cached_property
    def naive_latencies_ms(self) -> Floats | None:
        """For the deliveries of `latencies`, arrival minus when the publisher wrote it, in ms; None if there
        was no delivery, or if it is not known when each was written."""
        if not self.due.any():
            return None
        published = self.trial.published
        written = dict(zip(published["id"], published["written_us"], strict=True))
        ids, notification = self._notifications
        sent = np.array([written.get(number, math.nan) for number in ids], dtype=float)
        if np.isnan(sent).any():
            return None
        late: Floats = (self.trial.deliveries["received_us"][self.due] - sent[notification]) / 1000.0
        return late

    @cached_property
    def response_times_ms(self) -> Floats | None:
        """How long each request that was answered in the window took, in ms; None for a transport that does
        not ask again, and if there was none."""
        if not self.asks_again or not self.requests:
            return None
        requests = self.trial.requests
        took: Floats = (requests["received_us"] - requests["sent_us"])[self.answered] / 1000.0
        return took

    # What it cost: the resource samples at the window's edges, and between them.

    def edge(self, name: str) -> dict[str, Any] | None:
        """The resource sample at an edge ("empty", "warmed", "settled", "window_start", "window_end",
        "drained")."""
        return next((sample for sample in self.trial.resources if sample.get("edge") == name), None)

    def at(self, edge: str, part: str, field: str | None = None) -> float | None:
        """A value of the sample at an edge, of one part of the laboratory ("server", "generator", …)."""
        value = (self.edge(edge) or {}).get(part)
        if field is not None:
            value = value.get(field) if isinstance(value, dict) else None
        return None if value is None else float(value)

    def used(self, part: str, field: str) -> float | None:
        """By how much a counter of one part of the laboratory rose between the window's edges."""
        start, end = self.at("window_start", part, field), self.at("window_end", part, field)
        return None if start is None or end is None else end - start

    @cached_property
    def samples(self) -> list[dict[str, Any]]:
        """The resource samples from the window's start to its end."""
        return [
            sample
            for sample in self.trial.resources
            if self.start_us <= sample.get("at_us", 0) <= self.end_us
        ]

    @cached_property
    def server_cpu_us(self) -> float | None:
        """Server CPU (µs, whole process tree) between the window's edges."""
        return self.used("server", "cpu_us")

    @cached_property
    def elapsed_us(self) -> float | None:
        """Time (µs) between the two samples at the window's edges."""
        start, end = self.edge("window_start"), self.edge("window_end")
        if start is None or end is None:
            return None
        for clock in ("monotonic_us", "at_us"):
            before, after = start.get(clock), end.get(clock)
            if before is not None and after is not None:
                return float(after - before)
        return None

    @cached_property
    def server_core_busy_share(self) -> float | None:
        """How busy the server's core was, with everything that ran on it, while the host let it run."""
        busy, total = self._server_core_us("busy_us"), self._server_core_us("total_us")
        if busy is None or total is None:
            return None
        had = total - (self._server_core_us("steal_us") or 0.0)
        return busy / had if had > 0 else None

    @cached_property
    def server_core_foreign_share(self) -> float | None:
        """Which share of its core the server could not have, since other work had it, here or on the host.

        Interrupts count for neither: on some kernels those of the server's own traffic are not in its CPU
        time. None for runs that did not tell interrupts and stolen time apart."""
        names = ("busy_us", "irq_us", "steal_us", "total_us")
        busy, irq, steal, total = (self._server_core_us(name) for name in names)
        if busy is None or irq is None or steal is None or not total:
            return None
        if self.server_cpu_us is None or not self.elapsed_us:
            return None
        return max(0.0, (busy - irq) / total - self.server_cpu_us / self.elapsed_us) + steal / total

    def _server_core_us(self, field: str) -> float | None:
        """By how much a time of the server's core rose between the window's edges; of its cores, if there are
        several."""
        start, end = self.edge("window_start"), self.edge("window_end")
        cores = (self.trial.pinning or {}).get("server")
        if start is None or end is None or not cores:
            return None
        spent = 0.0
        for core in map(str, cores):
            before, after = (((edge.get("cores") or {}).get(core) or {}).get(field) for edge in (start, end))
            if before is None or after is None:
                return None
            spent += after - before
        return spent

    def total(self, column: str) -> float | None:
        """The sum of a column over the subscribers; None if it is absent or any of them was not measured."""
        values = self.trial.subscribers.get(column)
        if values is None or len(values) == 0 or values[0] is None:
            return None
        numbers = values.astype(float)
        return None if np.isnan(numbers).any() else float(numbers.sum())

    @cached_property
    def _notifications(self) -> tuple[npt.NDArray[Any], npt.NDArray[np.intp]]:
        """The ids of the notifications due in the window that were delivered, and for each of their
        deliveries its place among them."""
        return np.unique(self.trial.deliveries["id"][self.due], return_inverse=True)

    def _inside(self, columns: Columns, name: str) -> Mask:
        """Which rows have their `name` in [start, end)."""
        values = columns[name]
        inside: Mask = (values >= self.start_us) & (values < self.end_us)
        return inside
