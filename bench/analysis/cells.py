"""Cells as the judges see them: settings, metrics with their intervals, and ratios between two cells.

Rules:
- An estimate may decide only if its cell has enough valid trials, and for latency as many steady ones.
- The interval of a ratio comes from the bootstrap replicates of both cells, resampled independently.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.analysis import intervals
from bench.analysis.estimate import Estimate
from bench.evidence.metrics import METRICS
from bench.scenario.settings import LOAD
from bench.systems.registry import is_judged, server_name
from clients import TRANSPORTS

Floats = npt.NDArray[np.float64]


class Server(NamedTuple):
    """What a cell was served by."""

    system: str
    server_model: str | None


@dataclass(frozen=True)
class Cell:
    """One cell: settings, validity, metrics with their bootstrap replicates."""

    id: str
    settings: dict[str, Any]
    trials: int
    valid_trials: int
    steady_trials: int
    minimum_valid_trials: int
    metrics: dict[str, Estimate | None]
    replicates: dict[str, Floats] = field(default_factory=dict)
    service_s: float | None = None
    finished_losses: tuple[str, ...] = ()
    """Trials that ended with the server alive, yet lost, repeated or reordered notifications."""

    @property
    def server(self) -> Server:
        """The cell's system and server model."""
        return Server(self.settings["system"], self.settings["server_model"])

    def factors(self, *names: str) -> dict[str, Any]:
        """These settings, as conditions name them: the server model by what readers see for the server."""
        told = {"server_model": server_name(*self.server)}
        return {name: told.get(name, self.settings[name]) for name in names}

    @property
    def transport(self) -> str | None:
        """The cell's transport; None for a baseline without subscribers."""
        transport: str | None = self.settings["transport"]
        return transport

    @property
    def enough(self) -> bool:
        """Has it as many valid trials as the scenario asks for?"""
        return self.valid_trials >= self.minimum_valid_trials

    def estimate(self, metric: str) -> Estimate | None:
        """The metric if it may decide something: measured, with an interval, from enough valid trials, and
        for latency from as many steady ones."""
        steady = self.steady_trials >= self.minimum_valid_trials
        if not self.enough or (METRICS[metric].kind == "latency" and not steady):
            return None
        estimate = self.metrics.get(metric)
        return None if estimate is None or estimate.low is None else estimate

    def why_not(self, metric: str) -> str:
        """Why `estimate` is None, in words."""
        if not self.enough:
            needed = self.minimum_valid_trials
            return f"{self.id} has {self.valid_trials} of the {needed} valid trials it needs"
        if METRICS[metric].kind == "latency" and self.steady_trials < self.minimum_valid_trials:
            needed = self.minimum_valid_trials
            return f"{self.id} was steady in {self.steady_trials} of the {needed} trials that latency needs"
        if self.metrics.get(metric) is not None:
            return f"{self.id} has a single valid trial, which gives no interval"
        return f"{METRICS[metric].label} was not measured in {self.id}"

    def load_text(self) -> str:
        """The cell's load in words."""
        return f"{self.settings['subscribers']:,} subscribers on {server_name(*self.server)}"


@dataclass(frozen=True)
class Measured:
    """Everything a judge may look at."""

    cells: tuple[Cell, ...]
    probes: dict[str, Any]
    server: Server | None = None
    """The one that is judged by itself; None: those that the claims are about."""

    @property
    def servers(self) -> list[Server]:
        """Every server that somebody subscribed to, in the order of the cells."""
        return list(dict.fromkeys(cell.server for cell in self.cells if cell.transport is not None))

    def alone(self, server: Server) -> Measured:
        """The same, to judge one server by itself."""
        return replace(self, server=server)

    def of(self, transport: str, *, busy: bool | None = None) -> list[Cell]:
        """The cells of one transport on the servers that are judged; busy True/False asks for publishing or
        idle ones."""
        return [
            cell
            for cell in self.cells
            if cell.transport == transport
            and (is_judged(*cell.server) if self.server is None else cell.server == self.server)
            and (busy is None or (cell.settings["publish_rate"] > 0) == busy)
        ]

    def partner(self, cell: Cell, transport: str) -> Cell | None:
        """The uncompressed cell of another transport under the same load, across the same link, on the same
        server model.

        Both keep their connections or neither does. If nothing is published and the server holds something
        open for both, both are renewed or pinged as often, since that is all that an idle subscriber costs.
        """
        shared = (*LOAD, "connection")
        if cell.settings["publish_rate"] == 0 and _is_held(cell.transport) and _is_held(transport):
            shared = (*shared, "wait_s")
        for other in self.of(transport):
            same = all(other.settings[key] == cell.settings[key] for key in shared)
            if same and not other.settings["permessage_deflate"]:
                return other
        return None


def ratio(over: Cell, under: Cell, metric: str, under_metric: str | None = None) -> Estimate | None:
    """The ratio of one metric (or two) in two cells, with its bootstrap interval; None if it cannot
    decide."""
    bottom_metric = under_metric or metric
    top, bottom = over.estimate(metric), under.estimate(bottom_metric)
    if top is None or bottom is None or bottom.value <= 0:
        return None
    value = top.value / bottom.value
    tops, bottoms = over.replicates.get(metric), under.replicates.get(bottom_metric)
    if tops is None or bottoms is None or (bottoms <= 0).any():
        return Estimate(value, None, None)
    return Estimate(value, *intervals.around(value, tops / bottoms))


def _is_held(transport: str | None) -> bool:
    return transport in TRANSPORTS and TRANSPORTS[transport].held
