"""Loads that a theory can be asked about."""

from __future__ import annotations

from bench.analysis.theory.load import Load

RATE, WAIT_S = 3.0, 25.0


def load(transport: str, **changed: float | str) -> Load:
    settings: dict[str, object] = {
        "transport": transport,
        "subscribers": 100,
        "publish_rate": RATE,
        "poll_interval_s": 1.0,
        "wait_s": WAIT_S,
        "one_way_s": 0.02,
        "service_s": 0.0001,
        "turnaround_s": 0.3,
    }
    return Load(**{**settings, **changed})  # type: ignore[arg-type]
