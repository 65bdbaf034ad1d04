"""Scenarios: a TOML file in, a shuffled list of trials out. Pure, but for reading the file.

Rules:
- A scenario is checked whole before anything starts. What is wrong is told by the key's name, with what
  is allowed there; unknown keys are wrong too, so that a typing slip never measures something else.
- Every factor may be one value or a list; lists make a grid. A factor that a transport does not know
  (`poll_interval_s` on a WebSocket) takes its first value there, and equal cells are measured once.
- The keys in the file, the fields here and the fields of a trial in run.json have the same names.
- `link` names a link that is emulated between server and clients: `loopback` for none, a profile of
  `bench/trials/network/network.py`, or one that the scenario gives in `[links.NAME]`. Instead of it,
  `one_way_ms` gives a delay alone, whose link is called `constant`.
- Loads are bounded (`BOUNDS`, and the limits below): a scenario cannot ask for more than one machine's
  memory or half a day.
- `core_busy_share` in a group of cells says how busy the largest of its loads is to keep the server's core.
  The group's loads, one list of `subscribers` or of `publish_rate`, then stand in proportion, and the run
  multiplies them all by what this machine needs (`bench/trials/calibration.py`), within `TIMES`.
- `spare_repeats` says how many more repeats there may be for cells that the laboratory spoiled trials of
  (`bench/trials/retries.py`).
- The order of trials is shuffled within each repeat, and everything drawn at random comes from `seed`. With
  `p99_budget_ms`, cells that differ in their subscribers alone keep their rising order
  (`bench/analysis/saturation.py` says why).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.scenario.links import CONSTANT, LOOPBACK, PROFILES, Link
from servers.settings import PONG_PATIENCE_S

SHIPPED = Path(__file__).parent / "shipped"

MAXIMUM_DELIVERIES = 5_000_000
"""Deliveries, and polls, that one trial may ask for; the load generator keeps 48 bytes for each."""
MAXIMUM_BYTES_PER_SECOND = 500_000_000
MAXIMUM_TRIALS = 2_000
MAXIMUM_HOURS = 6
TRIAL_OVERHEAD_S = 0.8
"""Seconds that starting, draining and collecting a trial take; only the time left is told from it."""
LINK_OVERHEAD_S = 0.5
TRANSITS = 6
"""Seconds that making a link takes, and transits that joining and draining across it take; told likewise."""
COHORT_S = 0.3
"""Seconds that the warm-up cohort of a memory trial takes; told likewise."""
JOINS_PER_SECOND = 1000
"""Subscribers that join each second where something is published; elsewhere joins are spread over
`wait_s`."""
LEAST_BANDWIDTH_MBIT = 0.5
"""A slower link than this would be full of its own check's packets."""
MEMORY_SUBSCRIBERS = 200
"""Below this many subscribers memory is not measured: the noise of the rest would be divided by too
little."""

BUDGET_MS = (1, 60_000)
CORE_BUSY_SHARE = (0.05, 0.9)
TIMES = (0.25, 2.5)
"""By how much a calibrated load may be multiplied; the largest has to fit all limits."""

PROBES = ("upgrade", "as-printed", "welcome", "headers")

BOUNDS: dict[str, tuple[float, float]] = {
    "subscribers": (0, 5000),
    "publish_rate": (0, 1000),
    "payload_bytes": (1, 1_000_000),
    "poll_interval_s": (0.01, 60),
    "wait_s": (0.1, 60),
    "window_s": (0.5, 300),
    "settle_s": (0, 60),
    "one_way_ms": (0, 1000),
    "jitter_ms": (0, 1000),
    "loss_percent": (0, 20),
    "bandwidth_mbit": (0, 10_000),
}
CHOICES: dict[str, tuple[str, ...]] = {
    "implementation": ("wirelab", "bare"),
    "server_model": ("gevent", "gthread"),
    "schedule": ("poisson", "constant", "on-off"),
    "headers": ("minimal", "browser"),
    "connection": ("kept", "fresh"),
}
FLAGS = ("permessage_deflate", "memory")
WHOLE_NUMBERS = ("subscribers", "payload_bytes")

FACTORS_OF: dict[str | None, tuple[str, ...]] = {
    None: (),
    "short-poll": ("poll_interval_s", "headers", "connection"),
    "long-poll": ("wait_s", "headers", "connection"),
    "websocket": ("wait_s", "headers", "permessage_deflate"),
}
"""Which of the transports' own factors each knows; `wait_s` sets how often a WebSocket is pinged.

A transport that is not listed here knows all of them."""
OWN_FACTORS = tuple(dict.fromkeys(factor for known in FACTORS_OF.values() for factor in known))


class ScenarioError(ValueError):
    """The scenario cannot be run; the message names the key and says what is allowed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """One cell: everything that two trials share when they count as repeats of each other.

    This is the one list of them: what a scenario may set, what run.json and summary.json tell of a trial, and
    what tells two cells apart all follow from it. A field without a default has to be given.

    `transport` None is a baseline without subscribers; `server_model` None goes with `implementation`
    "bare", the noise floor. `publish_rate` is in notifications a second, 0 for an idle cell. `memory`
    asks for a warm-up cohort first, so that memory per subscriber can be told. `link` and the four after it
    are the fields of `bench.scenario.links.Link`.
    """

    transport: str | None
    implementation: str = "wirelab"
    server_model: str | None = "gevent"
    subscribers: int
    publish_rate: float
    schedule: str = "poisson"
    payload_bytes: int = 100
    poll_interval_s: float = 1.0
    wait_s: float = 25.0
    headers: str = "minimal"
    connection: str = "kept"
    permessage_deflate: bool = False
    link: str = LOOPBACK
    one_way_ms: float = 0.0
    jitter_ms: float = 0.0
    loss_percent: float = 0.0
    bandwidth_mbit: float = 0.0
    window_s: float = 5.0
    settle_s: float = 1.0
    memory: bool = False

    def with_load(self, load: str, value: float) -> Settings:
        """The same under another load: `load` is "subscribers", of which there is at least one, or
        "publish_rate", which keeps three digits."""
        if load == "subscribers":
            return dataclasses.replace(self, subscribers=max(1, round(value)))
        return dataclasses.replace(self, publish_rate=float(f"{value:.3g}"))

    @property
    def join_s(self) -> float:
        """Seconds over which joins are spread: over `wait_s` where nothing is published, so that long
        polls end and WebSockets are pinged evenly, and over a multiple of it where that would be more than
        JOINS_PER_SECOND. A short poller's phase spreads itself over its interval."""
        if self.transport in (None, "short-poll"):
            return 0.0
        least_s = self.subscribers / JOINS_PER_SECOND
        return self.wait_s * max(1, math.ceil(least_s / self.wait_s)) if self.publish_rate == 0 else least_s

    @property
    def expected_s(self) -> float:
        """About how many seconds the trial takes, for the time left."""
        polls = self.poll_interval_s if self.transport == "short-poll" else 0.0
        cohort = COHORT_S if self.memory else 0.0
        link_s = 0.0 if self.link == LOOPBACK else LINK_OVERHEAD_S + TRANSITS * self.one_way_ms / 1000
        return TRIAL_OVERHEAD_S + cohort + self.join_s + self.settle_s + self.window_s + 2 * polls + link_s


SETTINGS = tuple(field.name for field in dataclasses.fields(Settings))
DEFAULTS: dict[str, Any] = {
    field.name: field.default
    for field in dataclasses.fields(Settings)
    if field.default is not dataclasses.MISSING
}
REQUIRED = tuple(name for name in SETTINGS if name not in DEFAULTS)
KEYS = tuple(name for name in (*REQUIRED, *DEFAULTS) if name not in Link._fields[2:])
"""What a cell may set; the other fields of a link come with its name."""
CALIBRATION = "core_busy_share"
"""What a group of cells may say besides."""
MEASURING = ("window_s", "settle_s", "memory")
"""How a cell is measured, which no figure but its precision depends on."""
KIND = ("transport", "implementation", "poll_interval_s", "wait_s", "connection", "permessage_deflate")
"""What the subscribers, and the server, are: cells that differ in these alone may stand side by side."""
LOAD = tuple(name for name in SETTINGS if name not in (*KIND, *MEASURING))
"""What is asked of them, and where: cells that share these ran under the same load."""
SERIES = tuple(name for name in SETTINGS if name not in ("subscribers", *MEASURING))
"""Cells that share these differ in their number of subscribers alone: they lie on one curve."""
ADDED: dict[str, Any] = {"connection": "kept", **Link()._asdict()}
"""Settings that runs of schema 1 do not name, with what these had."""


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
    that differs: "subscribers" or "publish_rate"."""

    core_busy_share: float
    load: str
    cells: tuple[Settings, ...]

    def scaled(self, times: float) -> tuple[Settings, ...]:
        """The same cells with their loads multiplied."""
        return tuple(cell.with_load(self.load, getattr(cell, self.load) * times) for cell in self.cells)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """A checked scenario. `toml` is its source text; `cells` are distinct and in the file's order, and
    `calibrated` tells whose loads are still to be multiplied."""

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
            here = (dataclasses.replace(cell, **Link()._asdict()) for cell in cells)
            return tuple(dict.fromkeys(here))

        groups = (dataclasses.replace(group, cells=moved(group.cells)) for group in self.calibrated)
        return dataclasses.replace(self, cells=moved(self.cells), calibrated=tuple(groups))

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

    def plan(self) -> list[Planned]:
        """Every trial in the order in which it is to run, counted from 1."""
        planned: list[Planned] = []
        for repeat in range(1, self.repeats + 1):
            planned += self.one_repeat(repeat, self.cells, before=len(planned))
        return planned

    def one_repeat(self, repeat: int, cells: Sequence[Settings], before: int) -> list[Planned]:
        """The trials of one repeat of some of its cells, in their order, after so many trials before it."""
        labels = _labels(self.cells)
        shuffled = list(cells)
        random.Random(f"{self.seed}/{repeat}").shuffle(shuffled)
        ordered = shuffled if self.p99_budget_ms is None else _rising(shuffled)
        return [
            Planned(f"r{repeat}-{labels[cell]}", repeat, order, cell)
            for order, cell in enumerate(ordered, before + 1)
        ]


def _rising(cells: list[Settings]) -> list[Settings]:
    """The same cells, those of one series exchanged so that their subscribers rise."""
    series: dict[tuple[Any, ...], list[Settings]] = {}
    for cell in sorted(cells, key=lambda cell: cell.subscribers):
        series.setdefault(series_of(cell), []).append(cell)
    return [series[series_of(cell)].pop(0) for cell in cells]


def series_of(cell: Settings) -> tuple[Any, ...]:
    """What the steps of one search share: all but how many subscribers."""
    return tuple(getattr(cell, name) for name in SERIES)


def load_key(settings: Mapping[str, Any], *without: str) -> str:
    """What cells under the same load share; without some factors, what is the same for all their values."""
    return _key(settings, LOAD, without)


def series_key(settings: Mapping[str, Any], *without: str) -> str:
    """What cells share that differ in some factors alone: they lie on one curve."""
    return _key(settings, (*KIND, *LOAD), without)


def _key(settings: Mapping[str, Any], keys: Sequence[str], without: Sequence[str]) -> str:
    return str([settings.get(key) for key in keys if key not in without])


def shipped() -> list[str]:
    """The names of the scenarios that come with wirelab."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def load(name: str) -> Scenario:
    """The scenario of that name, or in that TOML file. Raises ScenarioError."""
    path = SHIPPED / f"{name}.toml" if name in shipped() else Path(name)
    if path.suffix != ".toml" or not path.is_file():
        raise ScenarioError(
            f"there is no scenario {name!r}: name one of {', '.join(shipped())}, or a .toml file"
        )
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, OSError) as error:
        raise ScenarioError(f"{path} cannot be read: {error}") from None
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None


def parse(toml: str) -> Scenario:
    """A scenario from its TOML text. Raises ScenarioError, naming the key that is wrong."""
    try:
        document = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"this is not TOML: {error}") from None
    known = {
        "name",
        "question",
        "prediction",
        "expected_length",
        "seed",
        "repeats",
        "minimum_valid_trials",
        "spare_repeats",
        "probes",
        "p99_budget_ms",
    }
    _refuse_unknown(document, known | {"defaults", "cells", "links"}, "the top level")
    name = _text(document, "name")
    if not name.replace("-", "").isalnum() or not name.islower() or not name.isascii():
        raise ScenarioError(f"name must be of a-z, 0-9 and -, not {name!r}")
    repeats = _whole(document, "repeats", 5, 1, 100)
    spare_repeats = _whole(document, "spare_repeats", 0, 0, 10)
    links = _links(document.get("links", {}))
    defaults = _table(document.get("defaults", {}), "defaults")
    groups = document.get("cells")
    if not isinstance(groups, list) or not groups:
        raise ScenarioError("cells is missing: give at least one [[cells]] group")
    cells: dict[Settings, None] = {}
    calibrated: list[Calibrated] = []
    for number, group in enumerate(groups, 1):
        where = f"cells group {number}"
        own = _table(group, where, CALIBRATION)
        values = {**DEFAULTS, **defaults, **own}
        # Whichever of the two is nearer says what is in between.
        between = next((given for given in (own, defaults) if {"link", "one_way_ms"} & set(given)), {})
        values["link"] = _between(between, links, where)
        values["one_way_ms"] = 0.0
        of_group = _grid(values, where)
        cells.update(dict.fromkeys(of_group))
        if CALIBRATION in own:
            calibrated.append(_calibrated(own[CALIBRATION], of_group, where))
    scenario = Scenario(
        name=name,
        question=_text(document, "question"),
        prediction=_text(document, "prediction"),
        expected_length=_text(document, "expected_length"),
        toml=toml,
        seed=_whole(document, "seed", 1, 0, 2**53),
        repeats=repeats,
        minimum_valid_trials=_whole(document, "minimum_valid_trials", 5, 1, 100),
        probes=_probes(document.get("probes", [])),
        cells=tuple(cells),
        p99_budget_ms=_budget(document.get("p99_budget_ms")),
        calibrated=tuple(calibrated),
        spare_repeats=spare_repeats,
    )
    if scenario.minimum_valid_trials > repeats:
        raise ScenarioError(f"minimum_valid_trials must not exceed repeats, which is {repeats}")
    at_most = repeats + spare_repeats
    if len(cells) * at_most > MAXIMUM_TRIALS:
        raise ScenarioError(
            f"{len(cells)} cells × {at_most} repeats are more than {MAXIMUM_TRIALS} trials: ask for fewer"
        )
    hours = scenario.expected_s / 3600 * at_most / repeats
    if hours > MAXIMUM_HOURS:
        raise ScenarioError(
            f"this would take {hours:.0f} hours, and {MAXIMUM_HOURS} is the most: ask for fewer cells"
        )
    return scenario


def _grid(values: Mapping[str, Any], where: str) -> list[Settings]:
    for key in REQUIRED:
        if key not in values:
            raise ScenarioError(f"{where}: {key} is missing")
    factors: dict[str, list[Any]] = {}
    for key in KEYS:
        factors[key] = [_value(key, option, where) for option in _options(values, key, where)]
    cells = []
    for combination in itertools.product(*factors.values()):
        cell = dict(zip(factors, combination, strict=True))
        cell |= cell["link"]._asdict()
        if cell["transport"] is None:
            cell |= {"subscribers": 0, **Link()._asdict()}
        for key in OWN_FACTORS:
            if key not in FACTORS_OF.get(cell["transport"], OWN_FACTORS):
                cell[key] = factors[key][0]
        if cell["implementation"] == "bare":
            cell["server_model"] = None
        cell["memory"] = cell["memory"] and cell["subscribers"] >= MEMORY_SUBSCRIBERS
        settings = Settings(**cell)
        _check_cell(settings, where)
        cells.append(settings)
    return cells


def _calibrated(share: Any, cells: list[Settings], where: str) -> Calibrated:
    """A group whose loads follow the machine: they differ in nothing else, and fit the limits multiplied."""
    low, high = CORE_BUSY_SHARE
    if not isinstance(share, (int, float)) or isinstance(share, bool) or not low <= share <= high:
        raise ScenarioError(
            f"{where}: {CALIBRATION} must be a number from {low:g} to {high:g}, not {share!r}"
        )
    for load in ("subscribers", "publish_rate"):
        rest = {dataclasses.replace(cell.with_load(load, 1), memory=False) for cell in cells}
        if len(rest) == 1 < len(cells) and all(getattr(cell, load) for cell in cells):
            rising = sorted(cells, key=lambda cell: float(getattr(cell, load)))
            group = Calibrated(float(share), load, tuple(rising))
            for cell in group.scaled(TIMES[1]):
                most = f"{where}, multiplied by up to {TIMES[1]:g} for {CALIBRATION}"
                _value(load, getattr(cell, load), most)
                _check_cell(cell, most)
            return group
    raise ScenarioError(
        f"{where}: {CALIBRATION} takes one list of loads, of subscribers or of publish_rate, and a single "
        "value of everything else"
    )


def _options(values: Mapping[str, Any], key: str, where: str) -> list[Any]:
    """A factor's values; one that is no list is its only one."""
    options = values[key] if isinstance(values[key], list) else [values[key]]
    if not options:
        raise ScenarioError(f"{where}: {key} is an empty list: give at least one value")
    return options


def _links(value: Any) -> dict[str, Link]:
    """All links that cells may name: the profiles, and those of the scenario's own."""
    if not isinstance(value, dict):
        raise ScenarioError("links must hold tables: [links.NAME]")
    found = {LOOPBACK: Link(), **{name: profile.link for name, profile in PROFILES.items()}}
    for name, fields in value.items():
        where = f"links.{name}"
        if name in (*found, CONSTANT) or not name.replace("-", "").isalnum() or not name.isascii():
            raise ScenarioError(f"{where}: name it with a-z, 0-9 and -, and not as one that is there already")
        if not isinstance(fields, dict):
            raise ScenarioError(f"{where} must be a table")
        _refuse_unknown(fields, set(Link._fields[1:]), where)
        link = Link(name, **{key: _value(key, given, where) for key, given in fields.items()})
        if link.jitter_ms > link.one_way_ms:
            raise ScenarioError(
                f"{where}: jitter_ms must not exceed one_way_ms: nothing arrives before it left"
            )
        if 0 < link.bandwidth_mbit < LEAST_BANDWIDTH_MBIT:
            raise ScenarioError(
                f"{where}: bandwidth_mbit must be 0, for no limit, or at least {LEAST_BANDWIDTH_MBIT:g}"
            )
        found[name] = link
    return found


def _between(given: Mapping[str, Any], links: Mapping[str, Link], where: str) -> list[Link]:
    """The links that a group of cells runs across, from its `link` or its `one_way_ms`."""
    if "one_way_ms" in given:
        if given.get("link", CONSTANT) != CONSTANT:
            raise ScenarioError(
                f"{where}: one_way_ms is the delay of a link of its own: leave out link, or give the whole "
                "link as [links.NAME]"
            )
        delays = _options(given, "one_way_ms", where)
        return [Link(CONSTANT, _value("one_way_ms", delay, where)) for delay in delays]
    if "link" not in given:
        return [links[LOOPBACK]]
    names = _options(given, "link", where)
    unknown = [name for name in names if not isinstance(name, str) or name not in links]
    if unknown:
        raise ScenarioError(f"{where}: link must be one of {', '.join(links)}, not {unknown[0]!r}")
    return [links[name] for name in names]


def _check_cell(cell: Settings, where: str) -> None:
    """What no single key can tell."""
    if cell.transport and not cell.subscribers:
        raise ScenarioError(f'{where}: subscribers must be at least 1, or transport "none" for a baseline')
    rate = cell.publish_rate * max(1, cell.subscribers)
    if rate * (cell.settle_s + cell.window_s) > MAXIMUM_DELIVERIES:
        raise ScenarioError(
            f"{where}: subscribers × publish_rate × (settle_s + window_s) must not exceed "
            f"{MAXIMUM_DELIVERIES:,} deliveries"
        )
    if rate * cell.payload_bytes > MAXIMUM_BYTES_PER_SECOND:
        raise ScenarioError(
            f"{where}: subscribers × publish_rate × payload_bytes must not exceed "
            f"{MAXIMUM_BYTES_PER_SECOND:,} bytes a second"
        )
    polls = (
        cell.subscribers * (cell.settle_s + cell.window_s + 2 * cell.poll_interval_s) / cell.poll_interval_s
    )
    if cell.transport == "short-poll" and polls > MAXIMUM_DELIVERIES:
        raise ScenarioError(
            f"{where}: subscribers × (settle_s + window_s) / poll_interval_s must not exceed "
            f"{MAXIMUM_DELIVERIES:,} requests"
        )
    round_trip_s = 2 * (cell.one_way_ms + cell.jitter_ms) / 1000
    if cell.transport == "websocket" and max(cell.wait_s, PONG_PATIENCE_S) <= round_trip_s:
        raise ScenarioError(
            f"{where}: wait_s must exceed a round trip of {PONG_PATIENCE_S:g} s or more: a WebSocket is cut "
            "at the first ping that finds those before unanswered for so long"
        )
    renewed = cell.publish_rate == 0 and cell.transport not in (None, "short-poll")
    waits = cell.window_s / cell.wait_s
    if renewed and (waits < 1 or not math.isclose(waits, round(waits))):
        raise ScenarioError(f"{where}: where publish_rate is 0, window_s must be a whole multiple of wait_s")


def _value(key: str, value: Any, where: str) -> Any:
    """One factor's value, checked and in the type that the trial keeps."""
    if key == "transport":
        from clients import TRANSPORTS

        allowed = (*TRANSPORTS, "none")
        if value not in allowed or not isinstance(value, str):
            raise ScenarioError(f"{where}: transport must be one of {', '.join(allowed)}, not {value!r}")
        return None if value == "none" else value
    if isinstance(value, Link):
        return value
    if key in CHOICES:
        if value not in CHOICES[key]:
            raise ScenarioError(f"{where}: {key} must be one of {', '.join(CHOICES[key])}, not {value!r}")
        return value
    if key in FLAGS:
        if not isinstance(value, bool):
            raise ScenarioError(f"{where}: {key} must be true or false, not {value!r}")
        return value
    low, high = BOUNDS[key]
    kind = "a whole number" if key in WHOLE_NUMBERS else "a number"
    number = isinstance(value, int if key in WHOLE_NUMBERS else (int, float)) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise ScenarioError(f"{where}: {key} must be {kind} from {low:g} to {high:g}, not {value!r}")
    return value if key in WHOLE_NUMBERS else float(value)


def _labels(cells: tuple[Settings, ...]) -> dict[Settings, str]:
    """A short name for each cell: what is usual, every factor of its own that varies in this scenario, and a
    number
    where that does not tell two apart."""
    always = ("transport", "implementation", "server_model", "subscribers", "publish_rate")
    marks = {
        "payload_bytes": "{}B",
        "poll_interval_s": "T{:g}",
        "wait_s": "wait{:g}",
        "one_way_ms": "{:g}ms",
        "permessage_deflate": "deflate-{}",
    }
    varying = [
        key
        for key in SETTINGS
        if key not in (*always, *MEASURING, *Link._fields[2:])
        and len({getattr(cell, key) for cell in cells}) > 1
    ]
    labels: dict[Settings, str] = {}
    for cell in cells:
        known = FACTORS_OF.get(cell.transport, OWN_FACTORS)
        parts = [
            cell.transport or "none",
            cell.server_model or "bare",
            f"{cell.subscribers}x{cell.publish_rate:g}",
        ]
        own = [key for key in varying if key in known or key not in OWN_FACTORS]
        parts += [marks.get(key, "{}").format(getattr(cell, key)).lower() for key in own]
        name = "-".join(parts)
        same = sum(label == name or label.startswith(f"{name}-again") for label in labels.values())
        labels[cell] = f"{name}-again{same + 1}" if same else name
    return labels


def _refuse_unknown(table: Mapping[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise ScenarioError(f"{where}: there is no key {unknown[0]!r}: known are {', '.join(sorted(known))}")


def _table(value: Any, where: str, *besides: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ScenarioError(f"{where} must be a table")
    _refuse_unknown(value, {*KEYS, *besides}, where)
    return value


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ScenarioError(f"{key} must be a text that is not empty")
    return value.strip()


def _whole(document: Mapping[str, Any], key: str, default: int, low: int, high: int) -> int:
    value = document.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ScenarioError(f"{key} must be a whole number from {low} to {high}, not {value!r}")
    return value


def _budget(value: Any) -> float | None:
    low, high = BUDGET_MS
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
        raise ScenarioError(f"p99_budget_ms must be a number from {low:g} to {high:g}, not {value!r}")
    return float(value)


def _probes(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or any(probe not in PROBES for probe in value):
        raise ScenarioError(f"probes must be a list of any of {', '.join(PROBES)}, not {value!r}")
    return tuple(value)
