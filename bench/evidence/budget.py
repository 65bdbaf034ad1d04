"""Whether a trial keeps a budget of latency.

A trial keeps the budget if it is valid and steady, and its p99 is within the budget. A trial that is not
steady breaks the budget whatever its p99: a queue is growing, so one window says nothing about the next. (A
saturated long poll may look good for a long time, since each client has at most one request open.)
"""

from __future__ import annotations


def keeps(valid: bool, steady: bool, p99_ms: float | None, budget_ms: float) -> bool:
    """Whether one trial keeps the budget. A trial in which nothing was due has no p99, and does not break
    it."""
    return valid and steady and (p99_ms is None or p99_ms <= budget_ms)
