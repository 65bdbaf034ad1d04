"""What cells are called, and by which key they belong together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bench.scenario.links import Link
from bench.scenario.settings import (
    KIND,
    LOAD,
    MARKS,
    MEASURING,
    OWN_FACTORS,
    SERIES,
    SETTINGS,
    Settings,
)
from bench.systems.registry import is_ours

ALWAYS = ("transport", "system", "server_model", "subscribers", "publish_rate")
"""What each name begins with, in its own form."""


def labels(cells: Sequence[Settings]) -> dict[Settings, str]:
    """A short name for each cell: what is usual, every factor of its own that varies in this scenario, and a
    number if that does not tell two apart."""
    varying = [
        key
        for key in SETTINGS
        if key not in (*ALWAYS, *MEASURING, *Link._fields[2:])
        and len({getattr(cell, key) for cell in cells}) > 1
    ]
    named: dict[Settings, str] = {}
    for cell in cells:
        own = [key for key in varying if key in cell.factors or key not in OWN_FACTORS]
        parts = [
            cell.transport or "none",
            server_id(cell.system, cell.server_model),
            f"{cell.subscribers}x{cell.publish_rate:g}",
            *(MARKS[key].format(getattr(cell, key)).lower() for key in own),
        ]
        name = "-".join(parts)
        same = sum(label == name or label.startswith(f"{name}-again") for label in named.values())
        named[cell] = f"{name}-again{same + 1}" if same else name
    return named


def server_id(system: str, server_model: str | None) -> str:
    """The server, as a part of ids: of ours the model alone, of others their name and the model, if they have
    any."""
    if is_ours(system) and server_model:
        return server_model
    return f"{system}-{server_model}" if server_model else system


def cell_key(settings: Mapping[str, Any]) -> str:
    """The settings that make a trial a repeat of its cell, as canonical JSON."""
    return json.dumps({key: settings[key] for key in SETTINGS}, sort_keys=True)


def load_key(settings: Mapping[str, Any], *without: str) -> str:
    """What cells under the same load share; without some factors, what is the same for all their values."""
    return _key(settings, LOAD, without)


def series_key(settings: Mapping[str, Any], *without: str) -> str:
    """What cells share that differ in some factors alone: they lie on one curve."""
    return _key(settings, (*KIND, *LOAD), without)


def series_of(cell: Settings) -> tuple[Any, ...]:
    """What the steps of one search share: all but how many subscribers."""
    return tuple(getattr(cell, name) for name in SERIES)


def _key(settings: Mapping[str, Any], keys: Sequence[str], without: Sequence[str]) -> str:
    return str([settings[key] for key in keys if key not in without])
