"""The claim `million`: does keeping a million users connected take much computing?

Rules:
- It is asked for each transport on each server model, and only of the cost model
  (`bench/analysis/costs/model.py`): a cost that missed its check at the held-out load, or had none, is not
  projected and decides nothing.
- Idle: nothing is published. Held polls are renewed, what stays open is pinged, and short polls are asked, as
  often as `EVERY_S` says.
- It takes much if either resource does, and little only if both are known and neither does.
"""

from __future__ import annotations

from typing import Any

from bench.analysis import theory
from bench.analysis.cells import Measured
from bench.analysis.costs.model import HELD_OUT_ERROR, summarise
from bench.analysis.estimate import Band, Estimate, Outcome
from bench.analysis.verdicts.claim import Claim
from bench.analysis.verdicts.comparison import Comparison, Judged, evidence
from bench.words import number, percent
from clients import label

MILLION = 1_000_000
CORES = 4.0
MEMORY_GB = 128.0
"""Much computing is more than four cores that do nothing but wait, or more than 128 GB.

Set with results in sight: 16 cores or 64 GB at first ("more than one ordinary server has"), these since
23 November 2026, after the laboratory's first runs."""
EVERY_S = {"wait_s": 25.0, "poll_interval_s": 1.0}
"""How often an idle subscriber keeps the server busy: the defaults of the server and of a scenario."""
CONNECTED = ("long-poll", "websocket")
"""What the claim is about: clients that stay connected to get news. Nothing is decided without both."""


def judge(measured: Measured) -> Judged:
    """Cores and memory for a million idle subscribers, for each transport and server model."""
    model = summarise(measured.cells)
    series = [] if model is None else model["series"]
    comparisons: list[Comparison] = []
    reasons: list[str] = []
    missed: list[str] = []
    projected: dict[str, set[str]] = {}
    for cpu in series:
        upkeep = theory.of(cpu["transport"]).upkeep
        if upkeep is None or cpu["operation"] != upkeep.operation:
            continue
        period_s = EVERY_S[upkeep.every]
        name = f"{label(cpu['transport'])} {upkeep.says} {period_s:g} s"
        memory = next((one for one in series if one["operation"] == "subscriber" and _alike(one, cpu)), None)
        if not cpu["checked"]:
            reason = f"{name} on {cpu['server_model']} was not projected: {cpu['why_not']}"
            (missed if cpu["held_out"] else reasons).append(reason)
            if memory is None or not memory["checked"] or cpu["transport"] not in CONNECTED:
                continue
        comparisons.append(_projection(name, cpu, period_s / upkeep.times, memory))
        if cpu["checked"]:
            projected.setdefault(cpu["server_model"], set()).add(cpu["transport"])
    lacks = None
    if not any(transports.issuperset(CONNECTED) for transports in projected.values()):
        # On one server model, or the transports' difference would be the models'.
        most = max(projected.values(), key=len, default=set())
        missing = " or ".join(label(name) for name in CONNECTED if name not in most)
        lacks = (
            f"no idle {missing} subscriber could be projected (it takes both, on the same server model): "
            "that needs loads that keep a core busy, and a larger one that they predict"
        )
        # `lacks` already names the missing loads; only failed held-out checks are added.
        reasons = []
    return Judged(tuple(comparisons), tuple(dict.fromkeys([*missed, *reasons])), lacks)


def _projection(name: str, cpu: dict[str, Any], every_s: float, memory: dict[str, Any] | None) -> Comparison:
    """Whether a million idle subscribers of one transport on one server model take more than one ordinary
    server, if each makes it do its operation every `every_s`."""
    outcomes: list[Outcome] = []
    shown, open_, entries = [], [], []
    for series, unit, factor, limit in (
        (cpu, "cores", MILLION / every_s / 1e6, CORES),
        (memory, "GB", MILLION * 1024 / 1e9, MEMORY_GB),
    ):
        what = "CPU" if unit == "cores" else "memory"
        if series is None:
            open_.append(f"its {what} was not measured")
            continue
        if series["held_out"] is not None:
            entries.append(_check(series, what))
        if not series["checked"]:
            open_.append(f"its {what} is not projected: {series['why_not']}")
            continue
        whole = Estimate(**series["cost"]).times(factor)
        outcomes.append(Band(low=limit).outcome(whole))
        shown.append(f"{whole.text(2)} {unit}")
        says = f"a million: {whole.text()} {unit}"
        who = f"{name}, {cpu['server_model']}"
        entries.append(evidence(who, f"{what} × 10^6", whole, f"above {limit:g} {unit}", says))
    would = f"would take {' and '.join(shown)}" if shown else "cannot be projected"
    says = "; ".join([f"a million idle subscribers by {name} on {cpu['server_model']} {would}", *open_])
    outcome: Outcome = "unclear"
    if "holds" in outcomes:
        outcome = "holds"
    elif outcomes == ["fails", "fails"]:
        outcome = "fails"
    return Comparison(outcome, says, {"transport": name, "server_model": cpu["server_model"]}, tuple(entries))


def _check(series: dict[str, Any], what: str) -> dict[str, Any]:
    """The check at the held-out load, as evidence."""
    held_out = series["held_out"]
    fitted = [point["load"] for point in series["points"] if point["role"] == "fitted"]
    kind = "subscribers" if series["operation"] == "subscriber" else f"{series['operation']}s/s"
    says = (
        f"{what} fitted at {number(min(fitted))} to {number(max(fitted))} {kind} predicts "
        f"{number(held_out['predicted'])} {series['unit']} each at {number(held_out['load'])}, "
        f"{held_out['error']:+.0%}"
    )
    band = f"predicted within {HELD_OUT_ERROR:.0%}"
    measured = Estimate(**held_out["measured"])
    return evidence(held_out["cell"], f"{what} of one {series['operation']}", measured, band, says)


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(one["settings"] == other["settings"])


CLAIM = Claim(
    id="million",
    says="Keeping a million users connected takes much computing.",
    hypothesis=f"A million idle subscribers, renewed or pinged every {EVERY_S['wait_s']:g} s, need over "
    f"{CORES:g} cores or {MEMORY_GB:g} GB.",
    band=f"projection above {CORES:g} cores or {MEMORY_GB:g} GB; the model must predict a held-out larger "
    f"load within {percent(HELD_OUT_ERROR)}",
    measured="cost per idle subscriber, projected to 10^6 with its interval",
    decided_by=("article",),
    judge=judge,
)
