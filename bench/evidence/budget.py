"""Whether a trial keeps a budget of latency.

A trial keeps the budget if it is valid, steady, and its p99 is within it. One that is not steady breaks it
whatever its p99: a queue only grows there, and what was measured in one window says nothing of the next. (A
saturated long poll may look well for long, since each client has one request at the most.)
"""

from __future__ import annotations


def keeps(valid: bool, steady: bool, p99_ms: float | None, budget_ms: float) -> bool:
    """Whether one trial keeps the budget. A trial in which nothing was due has no p99, and broke nothing."""
    return valid and steady and (p99_ms is None or p99_ms <= budget_ms)
