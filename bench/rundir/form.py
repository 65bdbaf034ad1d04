"""The form of run.json, as far as readers rely on it.

Rules:
- It is the newest schema's; older ones are migrated before. Fields that are not named here are passed on.
- Numbers have bounds: what no run can have is damage, and would otherwise overflow far from here.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=2**53)]
Micros = Count
Real = Annotated[float, Meta(ge=-1e15, le=1e15)]
Words = list[str]
Mapping = dict[str, Any]


class TrialForm(msgspec.Struct, kw_only=True):
    """One trial, without its settings."""

    id: str
    repeat: Count
    order: Count
    unreported: Words
    window_start_us: Micros | None = None
    window_end_us: Micros | None = None
    exit: str | None = None
    why: Words | None = None
    not_steady_why: Words | None = None
    gates: dict[str, Mapping] | None = None


class ScenarioForm(msgspec.Struct, kw_only=True):
    """What was to be measured."""

    name: str | None = None
    question: str | None = None
    prediction: str | None = None
    toml: str | None = None
    seed: Count | None = None
    repeats: Count | None = None
    minimum_valid_trials: Count | None = None
    spare_repeats: Count | None = None
    p99_budget_ms: Annotated[float, Meta(gt=0, le=1e9)] | None = None


class LinkForm(msgspec.Struct, kw_only=True):
    """What the check of a link measured."""

    link: str
    one_way_ms: Real
    jitter_ms: Real
    loss_percent: Real
    bandwidth_mbit: Real
    round_trip_ms: Real | None = None
    connect_ms: Real | None = None
    lost_percent: Real | None = None
    passed: bool | None = None
    why: str | None = None


class CalibrationForm(msgspec.Struct, kw_only=True):
    """By how much the loads of a group were multiplied."""

    transport: str | None
    system: str
    server_model: str | None
    load: str
    core_busy_share: Real
    generator_cpu_share: Real | None = None
    bound_by: str = "server"
    found: list[Real | None]
    times: Real
    loads: list[Real]


class MachineForm(msgspec.Struct, kw_only=True):
    """What the machine is, as far as anything is computed from it."""

    memory_kb: Count | None = None


class RunForm(msgspec.Struct, kw_only=True):
    """The whole of it."""

    trials: list[TrialForm]
    id: str | None = None
    command: str | None = None
    started_us: Micros | None = None
    finished_us: Micros | None = None
    interrupted: bool = False
    planned: Count | None = None
    scenario: ScenarioForm | None = None
    machine: MachineForm | None = None
    versions: Mapping | None = None
    commit: str | None = None
    pinning: dict[str, list[Count]] | None = None
    links: list[LinkForm] | None = None
    links_unavailable: str | None = None
    systems_unavailable: dict[str, str] | None = None
    calibrations: list[CalibrationForm] | None = None
    measured: Mapping | None = None
    skipped: list[Mapping] | None = None
    probes: Mapping | None = None


def wrong(run: Mapping) -> str | None:
    """Where a run is not of this form, in a few words; None if it is."""
    try:
        form = msgspec.convert(run, RunForm)
    except msgspec.ValidationError as error:
        return str(error)
    ids = [trial.id for trial in form.trials]
    if len(set(ids)) < len(ids):
        return "two trials have the same id"
    if len({trial.order for trial in form.trials}) < len(ids):
        return "two trials have the same order"
    return None
