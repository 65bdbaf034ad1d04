"""A scenario's TOML file in, a checked `Scenario` out. Pure, but for reading the file.

Rules:
- A scenario is checked whole before anything starts. An error names the key that is wrong and what is allowed
  there. Unknown keys are errors too, so that a mistyped key never measures something else.
- Every factor may be one value or a list; lists make a grid. A factor that a transport does not know
  (`poll_interval_s` on a WebSocket) takes its first value there, and equal cells are measured once.
- `link` names a link that is emulated between server and clients: `loopback` for none, a profile of
  `bench/scenario/links.py`, or one that the scenario gives in `[links.NAME]`. Instead of it,
  `one_way_ms` gives a delay alone, whose link is called `constant`.
- `core_busy_share` in a group of cells says how busy the largest of its loads is to keep the server's core.
  The group's loads, one list of `subscribers` or of `publish_rate`, then stand in proportion, and the run
  multiplies them all by what this machine needs (`bench/trials/calibration.py`), within `TIMES`.
"""

from __future__ import annotations

import itertools
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from bench.errors import ScenarioError
from bench.scenario.files import Unreadable, read_text
from bench.scenario.limits import check_cell, check_combinations, check_length
from bench.scenario.links import CONSTANT, LOOPBACK, PROFILES, Link
from bench.scenario.scenario import TIMES, Calibrated, Scenario
from bench.scenario.settings import (
    DEFAULTS,
    FIELDS,
    KEYS,
    MEMORY_SUBSCRIBERS,
    OWN_FACTORS,
    REQUIRED,
    Settings,
)
from bench.scenario.values import checked, one_of, refuse_unknown, shown
from bench.systems.registry import SYSTEMS

SHIPPED = Path(__file__).parent / "shipped"

MOST_BYTES = 1 << 20
"""Of a scenario's file."""
LEAST_BANDWIDTH_MBIT = 0.5
"""A slower link than this would be full of its own check's packets."""
CALIBRATION = "core_busy_share"
GENERATOR_BOUND = "generator_cpu_share"
"""The keys of a group of cells that are no factors; the second bounds the first."""
CORE_BUSY_SHARE = Annotated[float, Meta(ge=0.05, le=0.9)]
NO_TRANSPORT = "none"
"""The transport of a baseline in the file."""
RENAMED = {"implementation": "system"}
"""Keys that had another name, and what they are called now."""

Text = Annotated[str, Meta(pattern=r"\S")]
Repeats = Annotated[int, Meta(ge=1, le=100)]


class Head(msgspec.Struct, kw_only=True):
    """The top level of a scenario's file, but for its tables."""

    name: Text
    question: Text
    prediction: Text
    expected_length: Text
    seed: Annotated[int, Meta(ge=0, le=2**53)] = 1
    repeats: Repeats = 5
    minimum_valid_trials: Repeats = 5
    spare_repeats: Annotated[int, Meta(ge=0, le=10)] = 0
    probes: tuple[Literal["upgrade", "as-printed", "welcome", "headers"], ...] = ()
    p99_budget_ms: Annotated[float, Meta(ge=1, le=60_000)] | None = None


def shipped() -> list[str]:
    """The names of the scenarios that come with wirelab."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def load(name: str) -> Scenario:
    """The scenario of that name, or in that TOML file. Raises ScenarioError."""
    path = SHIPPED / f"{name}.toml" if name in shipped() else Path(name)
    if path.suffix != ".toml" or not os.path.lexists(path):
        raise ScenarioError(
            f"there is no scenario {shown(name)}: name one of {', '.join(shipped())}, or a .toml file"
        )
    try:
        return parse(read_text(path, MOST_BYTES))
    except Unreadable as error:
        raise ScenarioError(f"{path} {error}") from None
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {error}") from None


def parse(toml: str) -> Scenario:
    """A scenario from its TOML text. Raises ScenarioError, naming the key that is wrong."""
    try:
        document = tomllib.loads(toml)
    except RecursionError:
        raise ScenarioError("this is nested deeper than a scenario can be") from None
    except ValueError as error:
        # TOML's own, and that of a number with thousands of digits.
        raise ScenarioError(f"this is not TOML: {shown(error)}") from None
    head = _head(document)
    links = _links(document.get("links", {}))
    defaults = _table(document.get("defaults", {}), "defaults")
    groups = document.get("cells")
    if not isinstance(groups, list) or not groups:
        raise ScenarioError("cells is missing: give at least one [[cells]] group")
    check_combinations(defaults, groups)
    cells: dict[Settings, None] = {}
    calibrated: list[Calibrated] = []
    for number, group in enumerate(groups, 1):
        where = f"cells group {number}"
        own = _table(group, where, CALIBRATION, GENERATOR_BOUND)
        values = {**DEFAULTS, **defaults, **own}
        # The link is given by `link` or by `one_way_ms`: a group that has either overrides both.
        between = next((given for given in (own, defaults) if {"link", "one_way_ms"} & set(given)), {})
        values["link"] = _between(between, links, where)
        values["one_way_ms"] = 0.0
        of_group = _grid(values, where)
        cells.update(dict.fromkeys(of_group))
        if CALIBRATION in own:
            calibrated.append(_calibrated(values, of_group, where))
        elif GENERATOR_BOUND in own:
            raise ScenarioError(f"{where}: {GENERATOR_BOUND} bounds {CALIBRATION}, which is missing")
    scenario = Scenario(
        toml=toml, cells=tuple(cells), calibrated=tuple(calibrated), **msgspec.structs.asdict(head)
    )
    check_length(len(cells), head.repeats, head.spare_repeats, scenario.expected_s)
    return scenario


def _head(document: Mapping[str, Any]) -> Head:
    """The top level, each key checked."""
    fields = msgspec.structs.fields(Head)
    refuse_unknown(
        document, {"defaults", "cells", "links", *(field.name for field in fields)}, "the top level"
    )
    given = {
        field.name: checked(field.name, field.type, document.get(field.name))
        for field in fields
        if field.required or field.name in document
    }
    stripped: dict[str, Any] = {
        key: value.strip() if isinstance(value, str) else value for key, value in given.items()
    }
    head = Head(**stripped)
    if not head.name.replace("-", "").isalnum() or not head.name.islower() or not head.name.isascii():
        raise ScenarioError(f"name must be of a-z, 0-9 and -, not {head.name!r}")
    if head.minimum_valid_trials > head.repeats:
        raise ScenarioError(f"minimum_valid_trials must not exceed repeats, which is {head.repeats}")
    return head


def _grid(values: Mapping[str, Any], where: str) -> list[Settings]:
    """The cells of a group, one for each combination of its factors' values."""
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
        _fit_to_system(cell, where)
        if cell["transport"] is None:
            cell |= {"subscribers": 0, **Link()._asdict()}
        cell["memory"] = cell["memory"] and cell["subscribers"] >= MEMORY_SUBSCRIBERS
        settings = Settings(**cell)
        unused = {key: factors[key][0] for key in OWN_FACTORS if key not in settings.factors}
        settings = msgspec.structs.replace(settings, **unused)
        check_cell(settings, where)
        cells.append(settings)
    return cells


def _fit_to_system(cell: dict[str, Any], where: str) -> None:
    """Raise ScenarioError if the system of a cell has no such transport or server model. A system without a
    choice of models gets none."""
    system = SYSTEMS[cell["system"]]
    where = f"{where}, system {system.name}"
    if cell["transport"] is not None:
        one_of("transport", (*system.transports, NO_TRANSPORT), cell["transport"], where)
    if system.server_models:
        one_of("server_model", system.server_models, cell["server_model"], where)
    else:
        cell["server_model"] = None


def _calibrated(values: Mapping[str, Any], cells: list[Settings], where: str) -> Calibrated:
    """A group whose loads follow the machine: they differ in nothing else, and fit the limits multiplied."""
    core_busy_share: float = checked(CALIBRATION, CORE_BUSY_SHARE, values[CALIBRATION], where)
    bound: float | None = None
    if GENERATOR_BOUND in values:
        bound = checked(GENERATOR_BOUND, CORE_BUSY_SHARE, values[GENERATOR_BOUND], where)
    for load in ("subscribers", "publish_rate"):
        rest = {msgspec.structs.replace(cell.with_load(load, 1), memory=False) for cell in cells}
        is_list = isinstance(values[load], list)
        if len(rest) == 1 and is_list and all(getattr(cell, load) for cell in cells):
            rising = sorted(cells, key=lambda cell: float(getattr(cell, load)))
            group = Calibrated(core_busy_share, load, tuple(rising), bound)
            for cell in group.scaled(TIMES[1]):
                most = f"{where}, multiplied by up to {TIMES[1]:g} for {CALIBRATION}"
                _value(load, getattr(cell, load), most)
                check_cell(cell, most)
            return group
    raise ScenarioError(
        f"{where}: {CALIBRATION} takes one list of loads, of subscribers or of publish_rate, and a single "
        "value of everything else"
    )


def _value(key: str, value: Any, where: str) -> Any:
    """One factor's value, checked and in the type that the trial keeps."""
    if names := _names(key):
        named = one_of(key, names, value, where)
        return None if named == NO_TRANSPORT else named
    return value if isinstance(value, Link) else checked(key, FIELDS[key].type, value, where)


def _names(key: str) -> tuple[str, ...]:
    """What the registry of systems has to choose from; nothing for a key that is no choice of it."""
    systems = SYSTEMS.values()
    if key == "transport":
        spoken = dict.fromkeys(transport for system in systems for transport in system.transports)
        return (*spoken, NO_TRANSPORT)
    if key == "server_model":
        return tuple(dict.fromkeys(model for system in systems for model in system.server_models))
    return tuple(SYSTEMS) if key == "system" else ()


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
        refuse_unknown(fields, set(Link._fields[1:]), where)
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
    return [links[one_of("link", links, name, where)] for name in _options(given, "link", where)]


def _table(value: Any, where: str, *besides: str) -> dict[str, Any]:
    """A table of factors, whose keys are known."""
    if not isinstance(value, dict):
        raise ScenarioError(f"{where} must be a table")
    for old, new in RENAMED.items():
        if old in value:
            raise ScenarioError(f"{where}: {old} is called {new} now")
    refuse_unknown(value, {*KEYS, *besides}, where)
    return value
