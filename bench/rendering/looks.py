"""How each transport looks, everywhere: name, colour, marker and line.

Rules: one entry a transport. Name and colour are those of the pages (`servers/demo/colours.py`); marker and
line differ too, so that a grey print tells as much.
"""

from __future__ import annotations

from typing import NamedTuple

from clients import label
from servers.demo.colours import COLOURS


class Look(NamedTuple):
    """How one transport is drawn. `line` is a matplotlib line style."""

    label: str
    colour: str
    marker: str
    line: str | tuple[int, tuple[int, ...]]


STYLES: dict[str, tuple[str, str | tuple[int, tuple[int, ...]]]] = {
    "short-poll": ("s", "-"),
    "long-poll": ("^", (0, (7, 2))),
    "websocket": ("o", (0, (3, 1, 1, 1))),
    "sse": ("D", (0, (5, 1, 1, 1, 1, 1))),
    "socketio": ("v", (0, (1, 1))),
    "socketio-polling": ("<", (0, (3, 2, 1, 2))),
}
LOOKS: dict[str | None, Look] = {
    **{name: Look(label(name), COLOURS[name], *style) for name, style in STYLES.items()},
    None: Look(label(None), "#666666", "x", ":"),
}
OTHER = Look("", "#000000", "P", "-")

VERDICT_COLOURS = {"holds": "#00725A", "fails": "#B14A00", "depends": "#005A94", "inconclusive": "#5F5F5F"}
"""Darker tints of the same palette, readable as text on white."""

PART_COLOURS = {"head": "#8B929A", "framing": "#C98A00", "payload": "#6A51A3"}
"""What bytes on the wire are, in about the colours of the page `/wire`; each tells in grey too."""


def look(transport: str | None) -> Look:
    """How a transport is drawn; one that is not listed keeps its own name and is black."""
    return LOOKS.get(transport) or OTHER._replace(label=str(transport))
