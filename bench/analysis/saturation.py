"""How much load a server takes before its p99 latency breaks a budget, and what breaks first.

A scenario with `p99_budget_ms` is a search. Cells that differ in their subscribers alone are the steps of one
series, and run in rising order within a repeat.

Rules:
- A trial keeps the budget when it is valid, steady, and its p99 is within it. One that is not steady breaks
  it whatever its p99: a queue only grows there, and one window says nothing of the next. (A saturated long
  poll may look well for long, since each client has one request at the most.)
- When two steps of a series in a row have broken it, the higher ones are skipped in that repeat. run.json
  lists the skipped trials (`skipped`, with why), and each counts as one that broke.
- A step is within the budget when more than half of its repeats keep it, so that the median p99 does. The
  answer is the largest step with no broken one below it; the first broken one is asked for its cause.
- From the first broken step on, a cell need be neither valid nor whole: that it broke is the finding.
- If the load generator, or another tool of ours, was at its limit, nothing is said about the server.
- What a cause takes from the transport (its fan-out, its transits) its theory knows; a transport without one
  has no fan-out here, and one transit.

`summarise` gives summary.json's `saturation`, null without a budget:

    {"p99_budget_ms": 100, "series": [{
        "transport": …, "server_model": …, "publish_rate": …, and the other settings of its first step,
        "within": subscribers or null, "beyond": subscribers or null, "why": CAUSE or null,
        "says": "one sentence", "skipped": trials of all steps, "steps": [STEP, …]}]}
    STEP = {"cell": id or null, "subscribers": 200, "deliveries_per_second": 200.0, "p99_ms": median or null,
            "kept": trials that kept the budget, "repeats": 5, "skipped": 0,
            "outcome": "kept" by most repeats, "broke" where the load did, else "unknown"}
    CAUSE = the name of one of CAUSES
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bench.analysis import theory
from bench.analysis.theory.load import Load
from bench.evidence.budget import keeps
from bench.scenario.settings import SERIES, SETTINGS
from clients import TRANSPORTS

QUEUE_SHARE = 0.5
"""From this share of the core on, a fan-out often has to wait for the one before it."""
P99 = 0.99
HARNESS = "harness"
NOT_THE_LOAD = ("died", "lost", HARNESS)
"""Causes that leave a run invalid: a gate failed, whatever the load was."""

Record = Mapping[str, Any]


def summarise(
    cells: Sequence[Record], trials: Sequence[Record], skipped: Sequence[Record], budget_ms: float | None
) -> dict[str, Any] | None:
    """The answer of each series, from a summary's cells and trials and run.json's skipped ones."""
    if budget_ms is None:
        return None
    of_cell: dict[str, list[Record]] = {}
    for trial in trials:
        of_cell.setdefault(trial["cell"], []).append(trial)
    found: dict[tuple[Any, ...], dict[int, _Step]] = {}

    def step(settings: Record) -> _Step:
        series = found.setdefault(tuple(settings[name] for name in SERIES), {})
        return series.setdefault(int(settings["subscribers"]), _Step(settings, budget_ms))

    for cell in cells:
        if cell["transport"] is not None:
            step(cell).measured(cell["id"], of_cell.get(cell["id"], []))
    for one in skipped:
        step(one).skipped += 1
    rising = [[steps[subscribers] for subscribers in sorted(steps)] for steps in found.values()]
    return {"p99_budget_ms": budget_ms, "series": [_answer(steps, budget_ms) for steps in rising]}


def excuses(saturation: Record | None, cell: Record, minimum_valid_trials: int) -> bool:
    """Is the run valid although the cell has too few valid trials? Yes at or beyond the step that broke
    because of its load, and if only skipped trials are missing."""
    for series in (saturation or {"series": ()})["series"]:
        for step in series["steps"]:
            if step["cell"] == cell["id"]:
                broke = series["beyond"] is not None and series["why"] not in NOT_THE_LOAD
                past = broke and step["subscribers"] >= series["beyond"]
                return bool(past or cell["valid_trials"] + step["skipped"] >= minimum_valid_trials)
    return False


class _Step:
    """One load of a series: its settings and its trials, of which all may have been skipped."""

    def __init__(self, settings: Record, budget_ms: float) -> None:
        self.settings = settings
        self.cell: str | None = None
        self.kept = 0
        self.broken: list[Record] = []
        self.p99_ms: float | None = None
        self.skipped = 0
        self._budget_ms = budget_ms

    def measured(self, cell: str, trials: list[Record]) -> None:
        self.cell = cell
        self.p99_ms = _median(trial["figures"]["latency_ms_p99"] for trial in trials if trial["valid"])
        self.broken = [
            trial
            for trial in trials
            if not keeps(trial["valid"], trial["steady"], trial["figures"]["latency_ms_p99"], self._budget_ms)
        ]
        self.kept = len(trials) - len(self.broken)

    @property
    def repeats(self) -> int:
        return self.kept + len(self.broken) + self.skipped

    @property
    def within(self) -> bool:
        return self.kept * 2 > self.repeats

    @property
    def load(self) -> str:
        """In words."""
        return f"{self.settings['subscribers']:,} subscribers × {self.settings['publish_rate']:g}/s"

    def json(self, beyond: _Step | None) -> dict[str, Any]:
        """In summary.json's form; `beyond` is the step of its series from which on the load breaks it."""
        subscribers = int(self.settings["subscribers"])
        broke = beyond is not None and subscribers >= int(beyond.settings["subscribers"])
        return {
            "cell": self.cell,
            "subscribers": subscribers,
            "deliveries_per_second": subscribers * float(self.settings["publish_rate"]),
            "p99_ms": self.p99_ms,
            "kept": self.kept,
            "repeats": self.repeats,
            "skipped": self.skipped,
            "outcome": "kept" if self.within else "broke" if broke else "unknown",
        }


def _answer(steps: list[_Step], budget_ms: float) -> dict[str, Any]:
    """One series in summary.json's form; its steps rise."""
    at = next((place for place, step in enumerate(steps) if not step.within), None)
    beyond = None if at is None else steps[at]
    within = steps[-1] if at is None else steps[at - 1] if at else None
    cause = None if beyond is None else _cause(beyond, budget_ms)
    budget = f"a p99 of {budget_ms:g} ms"
    if beyond is None or cause is None:
        says = f"It keeps {budget} up to the largest load, {steps[-1].load}: what breaks it is larger."
    elif cause.name == HARNESS:
        kept = (
            f"It keeps {budget} up to {within.load}" if within else f"Whether it keeps {budget} is not known"
        )
        says, beyond = f"{kept}; of {beyond.load} {cause.says(beyond)}.", None
    elif within is None:
        says = f"It breaks {budget} at the smallest load, {beyond.load}: {cause.says(beyond)}."
    else:
        says = f"It keeps {budget} up to {within.load}, and breaks it at {beyond.load}: {cause.says(beyond)}."
    return {
        **{name: steps[0].settings[name] for name in SETTINGS if name in steps[0].settings},
        "within": None if within is None else within.settings["subscribers"],
        "beyond": None if beyond is None else beyond.settings["subscribers"],
        "why": None if cause is None else cause.name,
        "says": says,
        "skipped": sum(step.skipped for step in steps),
        "steps": [step.json(beyond) for step in steps],
    }


# --- Why a step broke ---


class Cause(NamedTuple):
    """What may have broken a budget: did it do so in a trial, and what is said of a step if it did."""

    name: str
    holds: Callable[[Record, Record, float], bool]
    """Of a trial, its settings and the budget in ms."""
    says: Callable[[_Step], str]


def _cause(step: _Step, budget_ms: float) -> Cause:
    """The cause of most of its broken trials; among equally frequent ones, the first of CAUSES."""
    if not step.broken:
        return Cause("unknown", lambda *_: True, lambda _: "lower steps broke it, and it was not measured")
    asked = Counter(
        next(cause.name for cause in CAUSES if cause.holds(trial, step.settings, budget_ms))
        for trial in step.broken
    )
    return max(CAUSES, key=lambda cause: asked[cause.name])


def _failed(gate: str) -> Callable[[Record, Record, float], bool]:
    return lambda trial, settings, budget_ms: (trial["gates"].get(gate) or {}).get("passed") is False


def _fan_out_ms(trial: Record, settings: Record) -> float:
    """F of the transport's theory: how long one fan-out takes, by what a delivery (of a poll: an answer) cost
    in this trial. 0 if that was not measured, if it has no theory, and for short polls, which come spread."""
    known = theory.of(settings["transport"])
    load = Load(
        transport=str(settings["transport"]),
        subscribers=int(settings["subscribers"]),
        publish_rate=float(settings["publish_rate"]),
        poll_interval_s=float(settings["poll_interval_s"]),
        wait_s=float(settings["wait_s"]),
        one_way_s=float(settings["one_way_ms"]) / 1000.0,
        service_s=float(trial["figures"][known.service_metric] or 0.0) / 1e6,
        server_model=settings["server_model"],
    )
    return known.fan_out_s(load) * 1000.0


def _transits_ms(settings: Record) -> float:
    """The longest that packets alone take."""
    return float(settings["one_way_ms"]) * theory.of(settings["transport"]).most_transits


def _interval_ms(settings: Record) -> float:
    """How long a subscriber that asks every T may wait for its next turn to ask; 0 for all others."""
    client = TRANSPORTS.get(settings["transport"])
    asks = client is not None and "poll_interval_s" in client.factors
    return 1000 * settings["poll_interval_s"] if asks else 0.0


def _busy(step: _Step) -> str:
    share = _median(trial["figures"]["server_core_busy_share"] for trial in step.broken)
    return "the server's core busy" if share is None else f"the server's core {share:.0%} busy"


def _say_harness(step: _Step) -> str:
    why = next((reason for trial in step.broken for reason in trial["why"]), "a gate failed")
    return f"nothing is said about the server, since {why}"


def _say_fan_out(step: _Step) -> str:
    took_ms = _median(_fan_out_ms(trial, step.settings) for trial in step.broken) or 0.0
    return f"one fan-out takes {took_ms:.0f} ms, with {_busy(step)}"


def _is_fan_out(trial: Record, settings: Record, budget_ms: float) -> bool:
    """Does one fan-out break the budget by itself, or take most of the p99 on a core that is seldom busy?"""
    took_ms, p99_ms = P99 * _fan_out_ms(trial, settings), trial["figures"]["latency_ms_p99"]
    return took_ms > budget_ms or (p99_ms is not None and took_ms > p99_ms / 2 and not _is_queue(trial))


def _is_queue(trial: Record) -> bool:
    return (trial["figures"]["server_core_busy_share"] or 0.0) >= QUEUE_SHARE


def _say_threads(step: _Step) -> str:
    threads = _median(trial["figures"]["server_threads"] for trial in step.broken) or 0
    return f"{threads:,.0f} threads take turns, with {_busy(step)}, and no fan-out or queue explains it"


CAUSES = (
    Cause(
        "died",
        _failed("server_alive"),
        lambda step: "the trial was cut short, " + next((why for t in step.broken for why in t["why"]), ""),
    ),
    Cause("lost", _failed("delivered"), lambda step: "notifications were lost, repeated or reordered"),
    Cause(HARNESS, lambda trial, settings, budget_ms: not trial["valid"], _say_harness),
    Cause("gaps", _failed("told_gap"), lambda step: "subscribers fell behind the log and were told of gaps"),
    Cause("cores", _failed("server_core_busy_share"), _busy),
    Cause(
        "delay",
        lambda trial, settings, budget_ms: _transits_ms(settings) > budget_ms,
        lambda step: f"its transits alone take up to {_transits_ms(step.settings):g} ms",
    ),
    Cause(
        "interval",
        lambda trial, settings, budget_ms: P99 * _interval_ms(settings) > budget_ms,
        lambda step: f"it asks once in {step.settings['poll_interval_s']:g} s, whatever the load",
    ),
    Cause("fan-out", _is_fan_out, _say_fan_out),
    Cause(
        "queue",
        lambda trial, settings, budget_ms: _is_queue(trial),
        lambda step: f"with {_busy(step)}, what came had to wait for what came before it",
    ),
    Cause("threads", lambda trial, settings, budget_ms: settings["server_model"] == "gthread", _say_threads),
    Cause(
        "unknown", lambda *_: True, lambda step: f"nothing that was measured explains it, with {_busy(step)}"
    ),
)
"""In the order in which they are asked of a trial."""


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
