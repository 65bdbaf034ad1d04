"""Read older versions of run.json as the newest.

Rules:
- The files of a run stay as they were written.
- A setting that a version did not have yet is filled in with what its runs had.
- The noise floor was a system of its own, `bare`; a scenario that names it is run again with the present one.
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
"""Schema 1 had these two, but only the scenario's text noted them; these are the defaults of that time."""

BARE = re.compile(r'(?m)^(\s*)system\s*=\s*"bare"[ \t]*$')
PRESENT_FLOOR = 'server_model = "asyncio"  # was: system = "bare"'


def migrate(run: Record) -> Record:
    """A run of any schema, as the newest schema has it. Pure."""
    if run["schema"] >= 3:
        return _with_present_floor(run)
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
    return _with_present_floor(migrated)


def _with_present_floor(run: Record) -> Record:
    """The run, its scenario's text as it would be run again: the bare server is no more. Its trials keep its
    name."""
    scenario = run.get("scenario") or {}
    text, changed = BARE.subn(r"\1" + PRESENT_FLOOR, scenario.get("toml", ""))
    return {**run, "scenario": {**scenario, "toml": text}} if changed else run


def _settings(record: Record, lacked: Record) -> Record:
    """A trial's record with the present names of its settings, and all of them."""
    renamed = {"system" if key == "implementation" else key: value for key, value in record.items()}
    return {**lacked, **renamed, "unreported": []}


def _calibration(found: Record) -> Record:
    """An entry of `calibrations` with its system: only the bare server had no server model."""
    return {"system": "bare" if found["server_model"] is None else "wirelab", **found}


def _not_noted(scenario: Record) -> Record:
    """The settings of NOT_NOTED, as the `[defaults]` of the scenario's text have them, unless by a list."""
    try:
        defaults = tomllib.loads(scenario.get("toml", "")).get("defaults", {})
    except tomllib.TOMLDecodeError:
        defaults = {}
    given = {name: defaults[name] for name in NOT_NOTED if not isinstance(defaults.get(name, []), list)}
    return {**NOT_NOTED, **given}
