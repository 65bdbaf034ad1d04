"""The cost model and the search for saturation, in a summary."""

from __future__ import annotations

from typing import Literal

from bench.analysis.estimate import Estimate
from bench.analysis.summary.base import Form
from bench.scenario.settings import Settings

Operation = Literal["request", "delivery", "renewal", "subscriber"]
Shared = dict[str, str | int | float | bool]
"""The settings that all cells of a series share, by name."""


class Point(Form, frozen=True):
    """What one operation cost in one cell."""

    cell: str
    load: float
    cost: Estimate | None
    busy_share: float | None
    role: Literal["fitted", "held out", "not used"]
    why_not: str | None


class HeldOut(Form, frozen=True):
    """The load on which a model was checked; `error` is predicted/measured − 1."""

    cell: str
    load: float
    measured: Estimate
    predicted: float
    error: float


class CostSeries(Form, frozen=True):
    """One operation of one transport on one server model, under several loads, the lightest first."""

    transport: str
    server_model: str
    settings: Shared
    operation: Operation
    unit: Literal["µs", "kB"]
    points: list[Point]
    candidates: dict[str, float]
    form: str | None
    parameters: dict[str, float] | None
    held_out: HeldOut | None
    curve: list[tuple[float, float]]
    checked: bool
    why_not: str | None
    cost: Estimate | None


class Counts(Form, frozen=True):
    """What goes over the wire, without the headers of TCP and IP."""

    bytes_up: Estimate
    bytes_down: Estimate
    packets_up: Estimate
    packets_down: Estimate


class Wire(Form, frozen=True):
    """What one poll without news (of a WebSocket: a ping and its pong) puts on the wire, and what each
    notification adds."""

    transport: str
    server_model: str
    settings: Shared
    per_poll: Counts | None
    per_notification: Counts | None


class Threads(Form, frozen=True):
    """How many threads one more subscriber takes."""

    transport: str
    server_model: str
    settings: Shared
    threads_per_subscriber: float | None


class Publish(Form, frozen=True):
    """What accepting a notification costs with nobody listening; the load is notifications a second."""

    server_model: str
    cell: str
    load: float
    cost: Estimate


class CostModel(Form, frozen=True):
    """What each operation costs the server (`bench/analysis/costs/model.py`)."""

    band: tuple[float, float]
    most_error: float
    series: list[CostSeries]
    wire: list[Wire]
    threads: list[Threads]
    publish: list[Publish]


class Step(Form, frozen=True):
    """One load of a search. `outcome` says whether most repeats kept the budget, or the load broke it."""

    cell: str | None
    subscribers: int
    deliveries_per_second: float
    p99_ms: float | None
    kept: int
    repeats: int
    skipped: int
    outcome: Literal["kept", "broke", "unknown"]


class SaturationSeries(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps that differ in their subscribers alone, rising; the settings are those of the first."""

    within: int | None
    beyond: int | None
    why: str | None
    says: str
    skipped: int
    steps: list[Step]


class Saturation(Form, frozen=True):
    """How much load each series takes before its p99 breaks the budget (`bench/analysis/saturation.py`)."""

    p99_budget_ms: float
    series: list[SaturationSeries]
