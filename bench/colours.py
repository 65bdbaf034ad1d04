"""How each transport looks, everywhere: name, colour, marker and line.

Rules: one entry a transport, and nothing else chooses a colour. Colours are Okabe and Ito's (2008), told
apart with any colour vision; marker and line differ too, so that a grey print tells as much.
"""

from __future__ import annotations

from typing import NamedTuple


class Look(NamedTuple):
    """How one transport is drawn. `line` is a matplotlib line style."""

    label: str
    colour: str
    marker: str
    line: str | tuple[int, tuple[int, ...]]


LOOKS: dict[str | None, Look] = {
    "short-poll": Look("short poll", "#D55E00", "s", "-"),
    "long-poll": Look("long poll", "#0072B2", "^", (0, (7, 2))),
    "websocket": Look("WebSocket", "#009E73", "o", (0, (3, 1, 1, 1))),
    "sse": Look("SSE", "#CC79A7", "D", (0, (5, 1, 1, 1, 1, 1))),
    "socketio": Look("Socket.IO", "#56B4E9", "v", (0, (1, 1))),
    None: Look("no subscribers", "#666666", "x", ":"),
}
OTHER = Look("", "#000000", "P", "-")

VERDICT_COLOURS = {"holds": "#00725A", "fails": "#B14A00", "depends": "#005A94", "inconclusive": "#5F5F5F"}
"""Darker tints of the same palette, readable as text on white."""


def look(transport: str | None) -> Look:
    """How a transport is drawn; one that is not listed keeps its own name and is black."""
    return LOOKS.get(transport) or OTHER._replace(label=str(transport))
