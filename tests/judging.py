"""What tests of judges share: cells with narrow intervals, a claim's verdict on them, a probe of headers."""

from __future__ import annotations

from functools import partial
from typing import Any

import made_cells

from bench.analysis.cells import Cell, Measured
from bench.analysis.claims import CLAIMS
from bench.analysis.verdicts import claim as verdicts

made = partial(made_cells.made, width=0.02)


def judged(claim: str, cells: list[Cell], probes: dict[str, Any] | None = None) -> dict[str, Any]:
    """The claim's verdict on these cells."""
    chosen = next(one for one in CLAIMS if one.id == claim)
    return verdicts.judge(chosen, Measured(tuple(cells), probes or {}))


def three(short_ms: float, long_ms: float, socket_ms: float, **changed: Any) -> list[Cell]:
    """A cell of each transport with this mean latency."""
    means = {"short-poll": short_ms, "long-poll": long_ms, "websocket": socket_ms}
    return [made(transport, {"latency_ms_mean": mean}, **changed) for transport, mean in means.items()]


def headers(*, poll: int, frame: int) -> dict[str, Any]:
    """What the probe `headers` found: so many bytes of headers a poll, and a frame."""
    parts = {"head": poll, "framing": 0, "payload": 133}
    asked = [{"phase": "deliver", "sender": "client", **parts}]
    pushed = [{"phase": "deliver", "sender": "server", "head": 0, "framing": frame, "payload": 133}]
    polled = {f"short-poll, {kind}": asked for kind in ("minimal", "browser")}
    return {"headers": {**polled, "websocket, minimal": pushed}}
