"""The gates: whether the results of a trial can be believed. Pure functions of what the trial left behind.

The harness checks them when a trial ends, and the analysis checks them again from the files, so that nobody
has to trust what run.json says. To add a gate, add one entry to the file of its subject.

Rules:
- A gate that fails makes the trial *invalid*: it is kept and shown, and wins nothing.
- A steadiness gate that fails makes it *not steady*: its counts and costs stand, its latency wins nothing.
- Each gate has a value, a limit, and whether the trial passed. `passed` is None if the trial has nothing to
  measure it on (no polls, nothing published, a system that does not report it), which is no failure.
- Evidence that the harness always writes must be there and must not contradict itself: what cannot be shown
  is not believed.
- Each failure is one sentence that names the value and the limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bench.evidence.gates import course, delivery, interference, link, load, requests, steadiness
from bench.evidence.gates.gate import Gate, Reading
from bench.evidence.window import Window
from bench.rundir.trial import Trial

GATES: dict[str, Gate] = {
    gate.name: gate
    for gate in (
        *course.GATES,
        *delivery.GATES,
        *requests.GATES,
        *load.GATES,
        *link.GATES,
        *interference.GATES,
        *steadiness.GATES,
    )
}
"""Every gate, in the order in which they are checked and their sentences are written."""


@dataclass
class Outcome:
    """What the gates say of one trial."""

    gates: dict[str, dict[str, Any]] = field(default_factory=dict)
    why: list[str] = field(default_factory=list)
    not_steady_why: list[str] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        """Whether the trial counts."""
        return not self.why

    @property
    def steady(self) -> bool:
        """Whether its latency counts."""
        return not self.not_steady_why

    def as_record(self) -> dict[str, Any]:
        """What run.json keeps of it."""
        return {
            "valid": self.valid,
            "why": self.why,
            "steady": self.steady,
            "not_steady_why": self.not_steady_why,
            "gates": self.gates,
        }

    def note(self, gate: Gate, reading: Reading) -> None:
        """Keep what one gate read, and its sentence if the trial failed it."""
        passed: bool | None = False
        if not reading.lacking:
            limit = gate.limit if reading.limit is None else reading.limit
            assert limit is not None
            passed = gate.passes(reading.value, limit)
            self.gates[gate.name] = {"value": reading.value, "limit": limit, "passed": passed, **reading.more}
        if passed is False:
            (self.why if gate.makes == "invalid" else self.not_steady_why).append(reading.says)


def check(trial: Trial) -> Outcome:
    """Check every gate on one trial. A trial without a window is invalid whatever else holds; one that was
    cut short tells what cut it, and nothing that follows from that."""
    outcome, window = Outcome(), Window.of(trial)
    if window is None:
        outcome.note(GATES["server_alive"], course.alive(trial.record))
        outcome.why = [course.no_window(trial.record)]
        return outcome
    for gate in GATES.values():
        if gate.only_finished and not course.finished(trial.record):
            continue
        reading = gate.read(window)
        if reading is not None:
            outcome.note(gate, reading)
    if not course.finished(trial.record):
        # What else fails then follows from it.
        outcome.why = [course.alive(trial.record).says]
    return outcome
