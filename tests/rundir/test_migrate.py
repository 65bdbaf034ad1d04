"""Runs of older schemas are read as the newest has them, and their files stay as they were written."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from bench.rundir import reader
from bench.rundir.migrate import migrate
from bench.rundir.schema import SCHEMA
from bench.scenario.links import Link
from bench.scenario.parse import parse
from bench.scenario.settings import SETTINGS

ROOT = Path(__file__).parents[2]
GOLDEN, REFERENCE = ROOT / "tests/golden/quick", ROOT / "notebooks/reference"


@pytest.mark.parametrize(("directory", "schema"), [(GOLDEN, 1), (REFERENCE, 2)])
def test_an_older_run_has_all_settings_under_their_present_names(directory: Path, schema: int) -> None:
    """All else is as it stands in the file, and the file stays."""
    written = (directory / "run.json").read_bytes()
    raw = json.loads(written)
    run = reader.read(directory).run
    assert (raw["schema"], run["schema"]) == (schema, SCHEMA)
    assert {trial["system"] for trial in run["trials"]} <= {"wirelab", "bare"}
    for before, after in zip(raw["trials"], run["trials"], strict=True):
        assert set(SETTINGS) <= set(after)
        assert after["system"] == before.pop("implementation")
        assert before.items() <= after.items()
    assert (directory / "run.json").read_bytes() == written


def test_what_schema_1_lacks_is_what_its_runs_had() -> None:
    """No link, kept connections, and what its scenario's text says of how it was measured."""
    trial = reader.read(GOLDEN).run["trials"][0]
    assert (Link(*(trial[name] for name in Link._fields)), trial["connection"]) == (Link(), "kept")
    assert (trial["settle_s"], trial["memory"]) == (0.3, True)


def test_the_scenario_of_an_older_run_can_be_run_again() -> None:
    """Its text, as the report shows it, has the present names; the word elsewhere stays."""
    found = parse(reader.read(REFERENCE).run["scenario"]["toml"])
    assert {cell.server_model for cell in found.cells} == {"gevent", "gthread", "asyncio"}
    newer = {"schema": SCHEMA, "trials": [], "scenario": {"toml": '  system = "bare"\nsystem = ["bare"]'}}
    assert migrate(newer)["scenario"]["toml"].splitlines() == [
        '  server_model = "asyncio"  # was: system = "bare"',
        'system = ["bare"]',
    ]
    run: dict[str, Any] = {"schema": 2, "trials": [], "scenario": {"toml": '# implementation\nseed = "x"'}}
    assert migrate(run)["scenario"] == run["scenario"]


def test_skipped_trials_are_migrated_and_nothing_is_changed_in_place() -> None:
    run = {"schema": 2, "trials": [], "skipped": [{"implementation": "bare", "why": "too much"}]}
    before = copy.deepcopy(run)
    assert migrate(run)["skipped"] == [{"system": "bare", "why": "too much", "unreported": []}]
    assert run == before
    new = {"schema": SCHEMA, "trials": [{"id": "one"}]}
    assert migrate(new) == new
