"""Limits of what one machine, and what a system, can do, each over several keys of a scenario.

Rules:
- A scenario cannot ask for more than one machine's memory, or for more than MAXIMUM_HOURS.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.errors import ScenarioError
from bench.scenario.settings import Settings
from bench.systems.registry import SYSTEMS
from servers.rules import engine_io
from servers.settings import PONG_PATIENCE_S

PATIENCE_S: dict[str, Callable[[float], float]] = {
    "frame": lambda wait_s: max(wait_s, PONG_PATIENCE_S),
    "packet": engine_io.patience_s,
}
"""How long the server waits for a pong, by what that is, if it pings every so many seconds."""

MAXIMUM_DELIVERIES = 5_000_000
"""Deliveries, and polls, that one trial may ask for; the load generator keeps 48 bytes for each."""
MAXIMUM_BYTES_PER_SECOND = 500_000_000
MAXIMUM_TRIALS = 2_000
MAXIMUM_HOURS = 6
MAXIMUM_COMBINATIONS = 20_000
"""Of all factors' values, before equal cells are merged: ten times the trials that a run may have."""


def check_combinations(defaults: Mapping[str, Any], groups: Sequence[Any]) -> None:
    """Raise ScenarioError if the lists of all groups make more combinations than can be looked at. None is
    made for that."""
    combinations = 0
    for group in groups:
        values = {**defaults, **(group if isinstance(group, dict) else {})}
        combinations += math.prod(len(value) for value in values.values() if isinstance(value, list))
    if combinations > MAXIMUM_COMBINATIONS:
        raise ScenarioError(
            f"the lists of all groups make {combinations:,} combinations, and {MAXIMUM_COMBINATIONS:,} is "
            "the most: give shorter lists"
        )


def check_system(cell: Settings, where: str) -> None:
    """Raise ScenarioError if the settings of a cell ask of its system what that cannot do: the cell would be
    named after something else than it had."""
    system = SYSTEMS[cell.system]
    where = f"{where}, system {system.name}"
    if system.waits_in_s and cell.wait_s % system.waits_in_s:
        raise ScenarioError(
            f"{where}: wait_s must be a multiple of {system.waits_in_s:g} there, not {cell.wait_s:g}"
        )
    if cell.permessage_deflate and cell.server_model in system.uncompressed:
        who = f": server_model {cell.server_model}" if cell.server_model else ""
        raise ScenarioError(f"{where}{who} offers no permessage_deflate")


def check_cell(cell: Settings, where: str) -> None:
    """Raise ScenarioError if the settings of a cell do not go together, or ask for too much."""
    check_system(cell, where)
    if cell.transport and not cell.subscribers:
        raise ScenarioError(f'{where}: subscribers must be at least 1, or transport "none" for a baseline')
    measured_s = cell.settle_s + cell.window_s
    rate = cell.publish_rate * max(1, cell.subscribers)
    if rate * measured_s > MAXIMUM_DELIVERIES:
        raise ScenarioError(
            f"{where}: subscribers × publish_rate × (settle_s + window_s) must not exceed "
            f"{MAXIMUM_DELIVERIES:,} deliveries"
        )
    if rate * cell.payload_bytes > MAXIMUM_BYTES_PER_SECOND:
        raise ScenarioError(
            f"{where}: subscribers × publish_rate × payload_bytes must not exceed "
            f"{MAXIMUM_BYTES_PER_SECOND:,} bytes a second"
        )
    if "poll_interval_s" in cell.factors:
        polls = cell.subscribers * (measured_s + 2 * cell.poll_interval_s) / cell.poll_interval_s
        if polls > MAXIMUM_DELIVERIES:
            raise ScenarioError(
                f"{where}: subscribers × (settle_s + window_s) / poll_interval_s must not exceed "
                f"{MAXIMUM_DELIVERIES:,} requests"
            )
    client = cell.client
    if client is None or not client.held:
        return
    round_trip_s = 2 * (cell.one_way_ms + cell.jitter_ms) / 1000
    if client.pong is not None and (patience_s := PATIENCE_S[client.pong](cell.wait_s)) <= round_trip_s:
        raise ScenarioError(
            f"{where}: wait_s is too short for a round trip of {round_trip_s:g} s: by {client.label} the "
            f"server waits {patience_s:g} s for a pong, and cuts who has not answered"
        )
    waits = cell.window_s / cell.wait_s
    if cell.publish_rate == 0 and (waits < 1 or not math.isclose(waits, round(waits))):
        raise ScenarioError(f"{where}: where publish_rate is 0, window_s must be a whole multiple of wait_s")


def check_length(cells: int, repeats: int, spare_repeats: int, expected_s: float) -> None:
    """Raise ScenarioError if there are too many trials, or if all repeats take too long; `expected_s` is
    without the spare ones."""
    at_most = repeats + spare_repeats
    if cells * at_most > MAXIMUM_TRIALS:
        raise ScenarioError(
            f"{cells} cells × {at_most} repeats are more than {MAXIMUM_TRIALS} trials: ask for fewer"
        )
    hours = expected_s / 3600 * at_most / repeats
    if hours > MAXIMUM_HOURS:
        raise ScenarioError(
            f"this would take {hours:.0f} hours, and {MAXIMUM_HOURS} is the most: ask for fewer cells"
        )
