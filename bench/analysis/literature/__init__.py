"""Published comparisons that `wirelab reproduce` runs scaled down.

Each is a scenario (NAME.toml), what was published with its bands (NAME.py), and a name here.
"""

from __future__ import annotations

from typing import Any

from bench.analysis.cells import Measured
from bench.analysis.literature import bozdag, kaazing, pimentel, reproduce, rfc6202

REPRODUCTIONS = {one.name: one for one in (m.REPRODUCTION for m in (pimentel, rfc6202, bozdag, kaazing))}
"""By name, in the order in which they are run."""


def summarise(run: dict[str, Any], measured: Measured) -> dict[str, Any] | None:
    """The table of `bench.analysis.literature.reproduce.judge`, from run.json and its cells; None for a run
    that reproduces nothing."""
    scenario = str(run.get("scenario", {}).get("name", ""))
    reproduction = REPRODUCTIONS.get(scenario.removeprefix(reproduce.PREFIX))
    if reproduction is None or not scenario.startswith(reproduce.PREFIX):
        return None
    return reproduce.judge(reproduction, measured, run.get("links_unavailable"))
