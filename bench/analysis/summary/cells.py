"""Cells and trials in a summary."""

from __future__ import annotations

import msgspec

from bench.analysis.estimate import Estimate
from bench.analysis.summary.base import Form, Number
from bench.analysis.summary.theory import Prediction, Residual
from bench.scenario.settings import Settings


class GateOfCell(Form, frozen=True):
    """A gate over the trials of a cell: every trial's value, and who did not pass."""

    limit: Number | None
    values: list[Number | None]
    passed: bool | None
    failed_trials: list[str]


class Gate(Form, frozen=True):
    """A gate asked of one trial. `passed` is None if there was nothing to measure it on."""

    value: Number | None
    limit: Number | None
    passed: bool | None
    wrong_deliveries: int | msgspec.UnsetType = msgspec.UNSET


class GateCount(Form, frozen=True):
    """A gate over the whole run: in how many trials it was passed, failed, or had nothing to measure; the
    lowest and highest of its limits."""

    name: str
    passed: int
    failed: int
    silent: int
    limit_low: Number | None
    limit_high: Number | None


class _Named(Settings, frozen=True, kw_only=False):
    id: str


class CellSummary(_Named, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All trials of the same settings, which it has as its own attributes.

    The quantiles are at the summary's `quantiles`. `hidden_ms` is how much of the last one the naive clock
    hides; `notifications_per_interval` is a short poll's λT as it was asked for.
    """

    trials: int
    valid_trials: int
    steady_trials: int
    valid: bool
    gates: dict[str, GateOfCell]
    metrics: dict[str, Estimate | None]
    latency_quantiles_ms: list[float] | None
    naive_latency_quantiles_ms: list[float] | None
    response_quantiles_ms: list[float] | None
    hidden_ms: float | None
    notifications_per_interval: float | None
    predicted: Prediction | None
    residuals: dict[str, Residual]


class FloorCell(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A valid cell of the noise floor, with its settings."""

    cell: str
    metrics: dict[str, Estimate | None]


class Conservation(Form, frozen=True):
    """Whether published × subscribers = delivered + told as missed."""

    expected: int | None
    delivered: int
    missed: int | None
    holds: bool


class TrialSummary(Form, frozen=True):
    """One trial."""

    id: str
    cell: str
    valid: bool
    why: list[str]
    steady: bool
    not_steady_why: list[str]
    conservation: Conservation | None
    gates: dict[str, Gate]
    figures: dict[str, Number | None]


class TrialCounts(Form, frozen=True):
    """How many trials there are, how many of them are valid, and how many were made in spare repeats."""

    all: int
    valid: int
    spare: int
