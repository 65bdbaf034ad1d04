"""What it cost the server: CPU, context switches, memory, threads, descriptors. All of its process tree."""

from __future__ import annotations

from bench.evidence.metrics.metric import Metric
from bench.evidence.window import Window
from bench.scenario.settings import MEMORY_SUBSCRIBERS

TICKED_MINIMUM_US = 100_000
"""User and system time are counted in ticks of 10 ms: below this much CPU one tick is over a tenth of it, so
no share is given."""


def _cpu_us_over(window: Window, count: int) -> float | None:
    return window.server_cpu_us / count if window.server_cpu_us is not None and count else None


def _cpu_us_per_delivery(window: Window) -> float | None:
    return _cpu_us_over(window, window.deliveries)


def _cpu_us_per_request(window: Window) -> float | None:
    return _cpu_us_over(window, window.requests) if window.asks_again else None


def _cpu_us_per_publish(window: Window) -> float | None:
    return None if window.has_subscribers else _cpu_us_over(window, int(window.published.sum()))


def _idle_cpu_us_per_second(window: Window) -> float | None:
    """Server CPU (µs) a second, if nothing was published. With no subscribers it is what an empty server
    costs."""
    if window.record["publish_rate"] != 0 or window.server_cpu_us is None or not window.elapsed_us:
        return None
    return window.server_cpu_us / (window.elapsed_us / 1e6)


def _per_idle_subscriber(cpu_us: float, empty_us: float, subscribers: int) -> float:
    return (cpu_us - empty_us) / subscribers


def _system_cpu_share(window: Window) -> float | None:
    """How much of its CPU time the server spent in the kernel, by the kernel's own estimate; the rest is its
    own code."""
    user_us, system_us = window.used("server", "user_us"), window.used("server", "system_us")
    if user_us is None or system_us is None or user_us + system_us < TICKED_MINIMUM_US:
        return None
    return system_us / (user_us + system_us)


def _switches(window: Window, kind: str) -> float | None:
    """Context switches of all threads that live. A thread that ends takes its own with it; if so many ended
    that the sum fell, it is not known."""
    switches = window.used("server", f"{kind}_switches")
    return None if switches is None or switches < 0 else switches


def _voluntary_switches_per_delivery(window: Window) -> float | None:
    """How often a thread of the server went to sleep: to wait for a client, for the log, or for a lock."""
    switches = _switches(window, "voluntary")
    return switches / window.deliveries if switches is not None and window.deliveries else None


def _involuntary_switches_per_second(window: Window) -> float | None:
    """How often a thread of the server lost its core to another one, the server's own or somebody else's."""
    switches = _switches(window, "involuntary")
    return None if switches is None else switches / window.length_s


def _growth_per_subscriber(window: Window, part: str, field: str | None) -> float | None:
    """Growth (kB a subscriber) from the state after a warm-up cohort had left to all subscribers settled."""
    if not window.has_subscribers or window.subscribers < MEMORY_SUBSCRIBERS:
        return None
    warmed, settled = window.at("warmed", part, field), window.at("settled", part, field)
    return None if warmed is None or settled is None else (settled - warmed) / window.subscribers


def _memory_kb_per_subscriber(window: Window) -> float | None:
    return _growth_per_subscriber(window, "server", "pss_kb")


def _socket_memory_kb_per_subscriber(window: Window) -> float | None:
    return _growth_per_subscriber(window, "socket_memory_kb", None)


def _most(window: Window, field: str) -> float | None:
    """The most of it in any sample of the window."""
    counts = [(sample.get("server") or {}).get(field) for sample in window.samples]
    known = [count for count in counts if count is not None]
    return max(known) if known else window.at("window_end", "server", field)


def _threads(window: Window) -> float | None:
    return _most(window, "threads")


def _file_descriptors(window: Window) -> float | None:
    return _most(window, "file_descriptors")


def _core_busy_share(window: Window) -> float | None:
    return window.server_core_busy_share


METRICS = (
    Metric("server_cpu_us_per_delivery", "server CPU / delivery", "µs", "cost", _cpu_us_per_delivery),
    Metric("server_cpu_us_per_request", "server CPU / request", "µs", "cost", _cpu_us_per_request),
    Metric(
        "server_cpu_us_per_publish",
        "server CPU / publish, nobody listening",
        "µs",
        "cost",
        _cpu_us_per_publish,
    ),
    Metric(
        "server_cpu_us_per_idle_subscriber_second",
        "CPU / idle subscriber·s",
        "µs",
        "cost",
        _idle_cpu_us_per_second,
        idle=True,
        over_empty=_per_idle_subscriber,
    ),
    Metric(
        "server_system_cpu_share",
        "server CPU in the kernel (approximate)",
        "",
        "share",
        _system_cpu_share,
    ),
    Metric(
        "server_voluntary_switches_per_delivery",
        "voluntary context switches / delivery",
        "",
        "cost",
        _voluntary_switches_per_delivery,
    ),
    Metric(
        "server_involuntary_switches_per_second",
        "involuntary context switches / s",
        "",
        "cost",
        _involuntary_switches_per_second,
    ),
    Metric(
        "server_memory_kb_per_subscriber",
        "memory / subscriber",
        "kB",
        "cost",
        _memory_kb_per_subscriber,
        idle=True,
    ),
    Metric(
        "socket_memory_kb_per_subscriber",
        "socket memory / subscriber",
        "kB",
        "cost",
        _socket_memory_kb_per_subscriber,
    ),
    Metric("server_threads", "server threads", "", "count", _threads),
    Metric("server_file_descriptors", "server file descriptors", "", "count", _file_descriptors),
    Metric("server_core_busy_share", "server core busy", "", "share", _core_busy_share),
)
