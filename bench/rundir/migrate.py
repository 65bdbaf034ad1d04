"""What older versions of run.json lack, filled in as it is read.

Rules:
- The files of a run stay as they were written; what is read of them has the form of `bench/rundir/schema.py`.
- A setting that a version did not have yet is filled in with what its runs had.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any

Record = dict[str, Any]

LOOPBACK = {
    "link": "loopback",
    "one_way_ms": 0.0,
    "jitter_ms": 0.0,
    "loss_percent": 0.0,
    "bandwidth_mbit": 0.0,
}
FIRST_HAD = {"connection": "kept", **LOOPBACK}
"""Schema 1: connections were always kept, and there were no links."""
NOT_NOTED = {"settle_s": 1.0, "memory": False}
"""Schema 1 had these, and noted them in the scenario's text alone; this is what they were if it is silent."""


def migrate(run: Record) -> Record:
    """The run of any schema up to the present one, as the present one has it. Pure."""
    if run["schema"] >= 3:
        return run
    scenario = run.get("scenario") or {}
    lacked: Record = {} if run["schema"] >= 2 else {**FIRST_HAD, **_not_noted(scenario)}
    migrated = {
        **run,
        "schema": 3,
        "systems_unavailable": {},
        "calibrations": [_calibration(found) for found in run.get("calibrations") or []],
        "trials": [_settings(trial, lacked) for trial in run["trials"]],
        "skipped": [_settings(skipped, lacked) for skipped in run.get("skipped") or []],
    }
    if "toml" in scenario:
        text = re.sub(r"(?m)^(\s*)implementation(?=\s*=)", r"\1system", scenario["toml"])
        migrated["scenario"] = {**scenario, "toml": text}
    return migrated


def _settings(record: Record, lacked: Record) -> Record:
    """A trial's record with the present names of its settings, and all of them."""
    renamed = {"system" if key == "implementation" else key: value for key, value in record.items()}
    return {**lacked, **renamed, "unreported": []}


def _calibration(found: Record) -> Record:
    """A group's loads with the system that they were for: the bare server alone had no server model."""
    return {"system": "bare" if found["server_model"] is None else "wirelab", **found}


def _not_noted(scenario: Record) -> Record:
    """What a scenario of schema 1 said by its `[defaults]` of settings that its trials do not name."""
    try:
        defaults = tomllib.loads(scenario.get("toml", "")).get("defaults", {})
    except tomllib.TOMLDecodeError:
        defaults = {}
    return {name: defaults.get(name, usual) for name, usual in NOT_NOTED.items()}
