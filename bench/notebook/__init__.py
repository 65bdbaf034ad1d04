"""What the notebooks call: `from bench import notebook`."""

from __future__ import annotations

from bench.notebook.measuring import foretold, measure
from bench.notebook.showing import about, draw, guessed, say, show, table
from bench.notebook.tables import (
    conversation,
    cost_of,
    found,
    metrics,
    models,
    only,
    planned,
    points,
    spans,
)

__all__ = [
    "about",
    "conversation",
    "cost_of",
    "draw",
    "foretold",
    "found",
    "guessed",
    "measure",
    "metrics",
    "models",
    "only",
    "planned",
    "points",
    "say",
    "show",
    "spans",
    "table",
]
