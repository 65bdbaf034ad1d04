"""What is to be measured: the cells, the loads that follow the machine, and the plan of all trials. Pure.

Rules:
- The order of trials is shuffled within each repeat, and everything drawn at random comes from `seed`. With
  `p99_budget_ms`, cells that differ in their subscribers alone keep their rising order
  (`bench/analysis/saturation.py` says why).
- The loads of a calibrated group are multiplied by one number before the first trial
  (`bench/trials/calibration.py`).
- `spare_repeats` says how many more repeats there may be for cells that the laboratory spoiled trials of
  (`bench/trials/retries.py`).
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from bench.scenario.labels import labels, series_of
from bench.scenario.links import LOOPBACK, Link
from bench.scenario.settings import Settings

TIMES = (0.25, 2.5)
"""By how much a calibrated load may be multiplied; the largest has to fit all limits."""
ROUNDS = 4
"""How many trials of each calibrated group go before the first trial that is kept."""


@dataclasses.dataclass(frozen=True)
class Planned:
    """A trial before it has run: its settings, its place in the run and its name."""

    id: str
    repeat: int
    order: int
    settings: Settings


@dataclasses.dataclass(frozen=True)
class Calibrated:
    """The cells of one group, the smallest load first, whose loads follow the machine. `load` is the setting
    that differs: "subscribers" or "publish_rate". `generator_cpu_share` bounds what the load generator may
    take of its own core, if that comes first."""

    core_busy_share: float
    load: str
    cells: tuple[Settings, ...]
    generator_cpu_share: float | None = None

    def scaled(self, times: float) -> tuple[Settings, ...]:
        """The same cells with their loads multiplied."""
        return tuple(cell.with_load(self.load, getattr(cell, self.load) * times) for cell in self.cells)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A checked scenario. `toml` is its source text; `cells` are distinct and in the file's order, and
    `calibrated` has the groups whose loads are still to be multiplied."""

    name: str
    question: str
    prediction: str
    expected_length: str
    toml: str
    seed: int
    repeats: int
    minimum_valid_trials: int
    probes: tuple[str, ...]
    cells: tuple[Settings, ...]
    p99_budget_ms: float | None = None
    calibrated: tuple[Calibrated, ...] = ()
    spare_repeats: int = 0

    @property
    def links(self) -> tuple[Link, ...]:
        """The links that its cells run across, each once; loopback is none."""
        found = dict.fromkeys(Link.of(cell) for cell in self.cells)
        return tuple(link for link in found if link.link != LOOPBACK)

    def on_loopback(self) -> Scenario:
        """The same scenario where no link can be emulated: equal cells are measured once."""

        def moved(cells: tuple[Settings, ...]) -> tuple[Settings, ...]:
            here = (msgspec.structs.replace(cell, **Link()._asdict()) for cell in cells)
            return tuple(dict.fromkeys(here))

        groups = (dataclasses.replace(group, cells=moved(group.cells)) for group in self.calibrated)
        return dataclasses.replace(self, cells=moved(self.cells), calibrated=tuple(groups))

    @property
    def systems(self) -> tuple[str, ...]:
        """The systems that it measures, each once."""
        return tuple(dict.fromkeys(cell.system for cell in self.cells))

    def without(self, systems: Collection[str]) -> Scenario:
        """The same scenario without the cells of these systems."""
        cells = tuple(cell for cell in self.cells if cell.system not in systems)
        groups = tuple(group for group in self.calibrated if group.cells[0].system not in systems)
        return dataclasses.replace(self, cells=cells, calibrated=groups)

    def with_loads(self, times: Sequence[float]) -> Scenario:
        """The same scenario, the loads of each calibrated group multiplied by its number."""
        replaced = {
            cell: scaled
            for group, by in zip(self.calibrated, times, strict=True)
            for cell, scaled in zip(group.cells, group.scaled(by), strict=True)
        }
        cells = dict.fromkeys(replaced.get(cell, cell) for cell in self.cells)
        return dataclasses.replace(self, cells=tuple(cells), calibrated=())

    @property
    def possible_cells(self) -> tuple[Settings, ...]:
        """Its cells, and those that calibrated loads may become at the most."""
        return (*self.cells, *(cell for group in self.calibrated for cell in group.scaled(TIMES[1])))

    @property
    def expected_s(self) -> float:
        """About how many seconds all trials take together."""
        return self.repeats * sum(cell.expected_s for cell in self.cells)

    @property
    def calibrating_s(self) -> float:
        """About how many seconds it takes before, to fit loads to the machine."""
        return ROUNDS * sum(group.cells[-1].expected_s for group in self.calibrated)

    def plan(self) -> list[Planned]:
        """Every trial in the order in which it is to run, counted from 1."""
        planned: list[Planned] = []
        for repeat in range(1, self.repeats + 1):
            planned += self.one_repeat(repeat, self.cells, before=len(planned))
        return planned

    def one_repeat(self, repeat: int, cells: Sequence[Settings], before: int) -> list[Planned]:
        """The trials of one repeat of some of its cells, in their order, after so many trials before it."""
        named = labels(self.cells)
        shuffled = list(cells)
        random.Random(f"{self.seed}/{repeat}").shuffle(shuffled)
        ordered = shuffled if self.p99_budget_ms is None else _rising(shuffled)
        return [
            Planned(f"r{repeat}-{named[cell]}", repeat, order, cell)
            for order, cell in enumerate(ordered, before + 1)
        ]


def _rising(cells: list[Settings]) -> list[Settings]:
    """The same cells, those of one series exchanged so that their subscribers rise."""
    series: dict[tuple[Any, ...], list[Settings]] = {}
    for cell in sorted(cells, key=lambda cell: cell.subscribers):
        series.setdefault(series_of(cell), []).append(cell)
    return [series[series_of(cell)].pop(0) for cell in cells]
