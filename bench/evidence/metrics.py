"""What one trial shows: its figure for each metric, from its raw columns alone.

Rules:
- Latency counts the notifications that were *due* in the window [start, end), whenever they arrived; it is
  arrival (the kernel's stamp, where the system gives one) minus due time.
- Naive latency is the same less what happened before the publisher had written the notification: what would
  be told if a late publisher could hide (Tene's "coordinated omission"). It is there to be looked at, beside
  how long a request took, which is no latency of a notification at all; neither is ever judged.
- Costs count what was received in the window: deliveries by their arrival, requests by the arrival of their
  answer.
- A percentile is over all deliveries of those notifications, linear between order statistics (numpy's
  default).
- What was not measured is None. A count of nothing is a real 0 only where it was counted: a WebSocket that
  made no request in the window has `requests_per_delivery` 0, a trial without deliveries has no latency at
  all.
- Server figures are of the whole process tree, between the samples at the window's edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.rundir.trial import Columns, Trial

POLLS = ("short-poll", "long-poll")
"""Transports that ask again and again, so that a late client delays its own next request."""

MEMORY_MINIMUM_SUBSCRIBERS = 200
"""Below this many subscribers the allocator's steps are as large as the figure, so none is given."""

Floats = npt.NDArray[np.float64]


class Metric(NamedTuple):
    """How a metric is called in tables and on axes. `unit` is empty for counts and shares."""

    label: str
    unit: str


METRICS: dict[str, Metric] = {
    "latency_ms_mean": Metric("latency, mean", "ms"),
    "latency_ms_p50": Metric("latency, p50", "ms"),
    "latency_ms_p90": Metric("latency, p90", "ms"),
    "latency_ms_p99": Metric("latency, p99", "ms"),
    "naive_latency_ms_mean": Metric("naive latency, mean", "ms"),
    "naive_latency_ms_p50": Metric("naive latency, p50", "ms"),
    "naive_latency_ms_p99": Metric("naive latency, p99", "ms"),
    "fanout_spread_ms_p50": Metric("fan-out spread, p50", "ms"),
    "accept_delay_ms_p50": Metric("due to accepted, p50", "ms"),
    "requests_per_delivery": Metric("requests / delivery", ""),
    "requests_per_subscriber_second": Metric("requests / subscriber·s", ""),
    "empty_response_share": Metric("empty answers", ""),
    "notifications_per_answer": Metric("notifications / answer", ""),
    "held_ms_mean": Metric("request to answer, mean", "ms"),
    "next_request_gap_ms_p50": Metric("answer to next request, p50", "ms"),
    "wire_bytes_per_delivery": Metric("wire bytes / delivery", "B"),
    "wire_packets_per_delivery": Metric("packets / delivery", ""),
    "bytes_up_per_subscriber_second": Metric("bytes up / subscriber·s", "B"),
    "bytes_down_per_subscriber_second": Metric("bytes down / subscriber·s", "B"),
    "packets_up_per_subscriber_second": Metric("packets up / subscriber·s", ""),
    "packets_down_per_subscriber_second": Metric("packets down / subscriber·s", ""),
    "server_cpu_us_per_delivery": Metric("server CPU / delivery", "µs"),
    "server_cpu_us_per_request": Metric("server CPU / request", "µs"),
    "server_cpu_us_per_publish": Metric("server CPU / publish, nobody listening", "µs"),
    "server_cpu_us_per_idle_subscriber_second": Metric("CPU / idle subscriber·s", "µs"),
    "server_memory_kb_per_subscriber": Metric("memory / subscriber", "kB"),
    "socket_memory_kb_per_subscriber": Metric("socket memory / subscriber", "kB"),
    "server_threads": Metric("server threads", ""),
    "generator_cpu_share": Metric("generator CPU share", ""),
    "generator_delay_ms_p50": Metric("generator delay, p50", "ms"),
    "server_core_busy_share": Metric("server core busy", ""),
    "deliveries": Metric("deliveries in the window", ""),
    "duplicates": Metric("duplicates", ""),
    "missed": Metric("told as missed", ""),
}
"""Every metric of a cell, in the order in which they are shown."""

WIRE = {
    "bytes_up_per_subscriber_second": "window_bytes_sent",
    "bytes_down_per_subscriber_second": "window_bytes_received",
    "packets_up_per_subscriber_second": "window_segments_sent",
    "packets_down_per_subscriber_second": "window_segments_received",
}
"""What a subscriber sends (up) and gets (down) a second, and the column that counted it: bytes are payload,
without TCP and IP headers; packets are all, bare acknowledgements too."""


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


def latencies(trial: Trial) -> Latencies | None:
    """Latency in ms of every delivery of a notification due in the window; None where there was none."""
    if trial.window_us is None:
        return None
    start, end = trial.window_us
    due = trial.deliveries["due_us"]
    chosen = (due >= start) & (due < end)
    if not chosen.any():
        return None
    ms = (trial.deliveries["received_us"][chosen] - due[chosen]) / 1000.0
    ids, notification = np.unique(trial.deliveries["id"][chosen], return_inverse=True)
    return Latencies(ms, notification, len(ids))


def naive_latencies_ms(trial: Trial) -> Floats | None:
    """For the deliveries of `latencies`, arrival minus when the publisher wrote it, in ms; None where there
    was no delivery, or where it is not known when each was written."""
    if trial.window_us is None:
        return None
    chosen = in_window(trial.deliveries, "due_us", *trial.window_us)
    written = dict(zip(trial.published["id"], trial.published["written_us"], strict=True))
    ids, notification = np.unique(trial.deliveries["id"][chosen], return_inverse=True)
    sent = np.array([written.get(number, math.nan) for number in ids], dtype=float)
    if not len(sent) or np.isnan(sent).any():
        return None
    late: Floats = (trial.deliveries["received_us"][chosen] - sent[notification]) / 1000.0
    return late


def response_times_ms(trial: Trial) -> Floats | None:
    """How long each request that was answered in the window took, in ms; None for a transport without any."""
    if trial.window_us is None or trial.record["transport"] not in POLLS:
        return None
    answered = in_window(trial.requests, "received_us", *trial.window_us)
    took: Floats = (trial.requests["received_us"] - trial.requests["sent_us"])[answered] / 1000.0
    return took if len(took) else None


def figures(trial: Trial) -> dict[str, float | None]:
    """The trial's own figure for every metric except the one that needs a second trial, what an idle
    subscriber costs (`idle_cpu_us_per_second`). None is "not measured"."""
    found: dict[str, float | None] = dict.fromkeys(METRICS)
    if trial.window_us is None:
        return found
    start, end = trial.window_us
    record = trial.record
    subscribers = int(record["subscribers"])
    polls = record["transport"] in POLLS
    cpu_us = server_cpu_us(trial)

    late = latencies(trial)
    if late is not None:
        found["latency_ms_mean"] = float(late.ms.mean())
        for percent in (50, 90, 99):
            found[f"latency_ms_p{percent}"] = float(np.percentile(late.ms, percent))
        naive_ms = naive_latencies_ms(trial)
        if naive_ms is not None:
            found["naive_latency_ms_mean"] = float(naive_ms.mean())
            for percent in (50, 99):
                found[f"naive_latency_ms_p{percent}"] = float(np.percentile(naive_ms, percent))
        due = in_window(trial.deliveries, "due_us", start, end)
        accepted_us = trial.deliveries["accepted_us"][due] - trial.deliveries["due_us"][due]
        found["accept_delay_ms_p50"] = float(np.median(accepted_us)) / 1000.0
        if subscribers > 1:
            found["fanout_spread_ms_p50"] = float(np.median(late.spreads_ms()))

    received = in_window(trial.deliveries, "received_us", start, end)
    deliveries = int(received.sum())
    answered = in_window(trial.requests, "received_us", start, end)
    requests = int(answered.sum())
    if record["transport"] is not None:
        found["deliveries"] = deliveries
        found["duplicates"] = total(trial.subscribers, "duplicates")
        found["missed"] = total(trial.subscribers, "missed")
        found["requests_per_subscriber_second"] = requests / subscribers / ((end - start) / 1e6)
        found["generator_delay_ms_p50"] = _generator_delay_ms(trial, answered if polls else None, received)
        for name, column in WIRE.items():
            counted = total(trial.subscribers, column)
            found[name] = None if counted is None else counted / subscribers / ((end - start) / 1e6)
    if deliveries:
        found["requests_per_delivery"] = requests / deliveries
        for name, sent, got in (
            ("wire_bytes_per_delivery", "window_bytes_sent", "window_bytes_received"),
            ("wire_packets_per_delivery", "window_segments_sent", "window_segments_received"),
        ):
            out, back = total(trial.subscribers, sent), total(trial.subscribers, got)
            found[name] = None if out is None or back is None else (out + back) / deliveries
        found["server_cpu_us_per_delivery"] = None if cpu_us is None else cpu_us / deliveries
    if polls and requests:
        brought = trial.requests["notifications"][answered]
        found["empty_response_share"] = float((brought == 0).mean())
        found["notifications_per_answer"] = (
            float(brought[brought > 0].mean()) if (brought > 0).any() else None
        )
        held_us = trial.requests["received_us"][answered] - trial.requests["sent_us"][answered]
        found["held_ms_mean"] = float(held_us.mean()) / 1000.0
        found["next_request_gap_ms_p50"] = _next_request_gap_ms(trial.requests, start, end)
        found["server_cpu_us_per_request"] = None if cpu_us is None else cpu_us / requests
    if record["transport"] is None:
        published = int(in_window(trial.published, "due_us", start, end).sum())
        found["server_cpu_us_per_publish"] = cpu_us / published if cpu_us is not None and published else None

    found["server_memory_kb_per_subscriber"] = _per_subscriber(trial, "server", "pss_kb")
    found["socket_memory_kb_per_subscriber"] = _per_subscriber(trial, "socket_memory_kb", None)
    threads = [
        sample["server"]["threads"]
        for sample in trial.resources
        if (sample.get("server") or {}).get("threads") is not None and start <= sample.get("at_us", 0) <= end
    ]
    found["server_threads"] = (
        max(threads) if threads else _edge_value(trial, "window_end", "server", "threads")
    )
    generator_us = _difference(trial, "generator", "cpu_us")
    elapsed_us = elapsed_between_edges_us(trial)
    if generator_us is not None and elapsed_us:
        found["generator_cpu_share"] = generator_us / elapsed_us
    found["server_core_busy_share"] = _server_core_busy_share(trial)
    return found


def idle_cpu_us_per_second(trial: Trial) -> float | None:
    """Server CPU (µs) a second over the window of a trial in which nothing was published; None where
    something was, or where the CPU was not measured. With no subscribers it is what an empty server
    costs."""
    cpu_us, elapsed_us = server_cpu_us(trial), elapsed_between_edges_us(trial)
    if trial.record["publish_rate"] != 0 or cpu_us is None or not elapsed_us:
        return None
    return cpu_us / (elapsed_us / 1e6)


def server_cpu_us(trial: Trial) -> float | None:
    """Server CPU (µs, whole process tree) between the window's edges."""
    return _difference(trial, "server", "cpu_us")


def elapsed_between_edges_us(trial: Trial) -> float | None:
    """Time (µs) between the two samples at the window's edges."""
    start, end = edge(trial, "window_start"), edge(trial, "window_end")
    if start is None or end is None:
        return None
    for clock in ("monotonic_us", "at_us"):
        before, after = start.get(clock), end.get(clock)
        if before is not None and after is not None:
            return float(after - before)
    return None


def edge(trial: Trial, name: str) -> dict[str, Any] | None:
    """The trial's resource sample at an edge ("empty", "warmed", "settled", "window_start", "window_end")."""
    return next((sample for sample in trial.resources if sample.get("edge") == name), None)


def in_window(columns: Columns, name: str, start_us: int, end_us: int) -> npt.NDArray[np.bool_]:
    """Which rows have their `name` in [start, end)."""
    values = columns[name]
    chosen: npt.NDArray[np.bool_] = (values >= start_us) & (values < end_us)
    return chosen


def _edge_value(trial: Trial, name: str, part: str, field: str | None) -> float | None:
    sample = edge(trial, name)
    value = None if sample is None else sample.get(part)
    if field is not None:
        value = value.get(field) if isinstance(value, dict) else None
    return None if value is None else float(value)


def _difference(trial: Trial, part: str, field: str) -> float | None:
    start = _edge_value(trial, "window_start", part, field)
    end = _edge_value(trial, "window_end", part, field)
    return None if start is None or end is None else end - start


def _per_subscriber(trial: Trial, part: str, field: str | None) -> float | None:
    """Growth (kB a subscriber) from the state after a warm-up cohort had left to all subscribers settled."""
    subscribers = int(trial.record["subscribers"])
    if trial.record["transport"] is None or subscribers < MEMORY_MINIMUM_SUBSCRIBERS:
        return None
    warmed = _edge_value(trial, "warmed", part, field)
    settled = _edge_value(trial, "settled", part, field)
    return None if warmed is None or settled is None else (settled - warmed) / subscribers


def _server_core_busy_share(trial: Trial) -> float | None:
    start, end = edge(trial, "window_start"), edge(trial, "window_end")
    cores = (trial.pinning or {}).get("server")
    if start is None or end is None or not cores:
        return None
    busy = total = 0.0
    for core in map(str, cores):
        before, after = (start.get("cores") or {}).get(core), (end.get("cores") or {}).get(core)
        if before is None or after is None:
            return None
        busy += after["busy_us"] - before["busy_us"]
        total += after["total_us"] - before["total_us"]
    return busy / total if total else None


def total(columns: Columns, name: str) -> float | None:
    """The column's sum over the subscribers; None where it is absent or any of them was not measured."""
    values = columns.get(name)
    if values is None or len(values) == 0 or any(value is None for value in values[:1]):
        return None
    numbers = values.astype(float)
    return None if np.isnan(numbers).any() else float(numbers.sum())


def _generator_delay_ms(
    trial: Trial, answered: npt.NDArray[np.bool_] | None, received: npt.NDArray[np.bool_]
) -> float | None:
    """Median of handled − received: of answers where the client must ask again, else of deliveries."""
    columns, chosen = (trial.deliveries, received) if answered is None else (trial.requests, answered)
    if not chosen.any():
        return None
    return float(np.median(columns["handled_us"][chosen] - columns["received_us"][chosen])) / 1000.0


def _next_request_gap_ms(requests: Columns, start_us: int, end_us: int) -> float | None:
    """Median time (ms) from an answer's arrival to the same subscriber's next request, for answers in the
    window."""
    order = np.lexsort((requests["sent_us"], requests["subscriber"]))
    subscriber = requests["subscriber"][order]
    sent, received = requests["sent_us"][order], requests["received_us"][order]
    same = subscriber[1:] == subscriber[:-1]
    inside = (received[:-1] >= start_us) & (received[:-1] < end_us)
    gaps = (sent[1:] - received[:-1])[same & inside]
    return float(np.median(gaps)) / 1000.0 if len(gaps) else None
