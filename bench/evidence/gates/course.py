"""Whether the trial ran its course: to its end, over the window that was asked for, read at both edges."""

from __future__ import annotations

from typing import Any

from bench.evidence.gates.gate import Gate, Reading
from bench.evidence.window import Window

WINDOW_OFF_S = 0.1
WINDOW_OFF_SHARE = 0.05
"""How far the window's length may lie from what the scenario asked for: the larger of the two."""


def finished(record: dict[str, Any]) -> bool:
    """Whether the trial was not cut short."""
    return _exit(record) == "finished"


def alive(record: dict[str, Any]) -> Reading:
    """Whether the server, and all that measures it, lived to the end."""
    return Reading(int(finished(record)), f"the trial was cut short: {_exit(record)}")


def no_window(record: dict[str, Any]) -> str:
    """Why a trial has no window, in a sentence."""
    if record.get("window_start_us") is not None and record.get("window_end_us") is not None:
        return "the window does not end after its start, so nothing was measured in it"
    return f"the window was never measured: {_exit(record)}"


def _exit(record: dict[str, Any]) -> str:
    return str(record.get("exit") or "run.json does not tell how it ended")


def _window_off_s(window: Window) -> Reading:
    """The window is as long as the scenario asked."""
    asked_s = window.record.get("window_s")
    if asked_s is None:
        return Reading(None, "run.json does not tell how long the window was to be", lacking=True)
    return Reading(
        abs(window.length_s - asked_s),
        f"the window was {window.length_s:.2f} s long where {asked_s:g} s were asked for",
        limit=max(WINDOW_OFF_S, WINDOW_OFF_SHARE * asked_s),
    )


def _edge_samples_missing(window: Window) -> Reading:
    """The resource samples at the window's edges are there, with all that the operating system reports:
    without them nobody knows what the load generator, the server's core and the clock did."""
    missing = [
        name.replace("_", "'s ")
        for name, at_us in (("window_start", window.start_us), ("window_end", window.end_us))
        if not _whole(window, window.edge(name), at_us)
    ]
    edges = " and the ".join(missing)
    return Reading(len(missing), f"the resource samples at the {edges} are missing or not whole")


def _whole(window: Window, sample: dict[str, Any] | None, at_us: int) -> bool:
    """Whether an edge's sample was read at that edge and holds what the operating system reports."""
    if sample is None or sample.get("at_us") != at_us or sample.get("monotonic_us") is None:
        return False
    cores = sample.get("cores") or {}
    if any(str(core) not in cores for core in (window.trial.pinning or {}).get("server", ())):
        return False
    # A baseline has no load generator.
    read = ["server", "generator"] if window.has_subscribers else ["server"]
    return window.trial.measured.get("cpu") is None or all(
        (sample.get(name) or {}).get("cpu_us") is not None for name in read
    )


GATES = (
    Gate("server_alive", 1, lambda window: alive(window.record), fails="below"),
    Gate("window_off_s", None, _window_off_s, spoiled_by="laboratory"),
    Gate("edge_samples_missing", 0, _edge_samples_missing),
)
