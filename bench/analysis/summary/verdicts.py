"""Claims and published results with their verdicts, in a summary."""

from __future__ import annotations

from typing import Literal

from bench.analysis.summary.base import Form

Verdict = Literal["holds", "fails", "depends", "inconclusive"]


class Evidence(Form, frozen=True):
    """One figure that a verdict rests on."""

    cell: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    band: str
    says: str


class Claim(Form, frozen=True):
    """One claim with its verdict."""

    id: str
    verdict: Verdict
    why: str
    short: str
    says: str
    hypothesis: str
    band: str
    measured: str
    decided_by: list[str]
    evidence: list[Evidence]


class ServerVerdict(Form, frozen=True):
    """One claim on one server by itself."""

    verdict: Verdict
    short: str


class ServerVerdicts(Form, frozen=True):
    """The claims that compare transports, judged on one server by itself, by claim."""

    system: str
    server_model: str | None
    verdicts: dict[str, ServerVerdict]


class Row(Form, frozen=True):
    """One measured figure beside a published one; `band` and `outcome` are None for a comparison."""

    case: str
    published: str
    value: float | None
    low: float | None
    high: float | None
    band: str | None
    outcome: Literal["holds", "fails", "unclear"] | None
    why: str


class Statement(Form, frozen=True):
    """One published result."""

    says: str
    read: str
    measure: str
    rows: list[Row]
    verdict: Verdict
    why: str


class Reproduction(Form, frozen=True):
    """A published comparison against a run of our own."""

    name: str
    source: str
    differs: list[str]
    links_unavailable: str | None
    statements: list[Statement]
    verdict: Verdict
    why: str
