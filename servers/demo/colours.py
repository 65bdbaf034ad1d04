"""The transports' colours, for pages, figures and reports alike.

Colours are Okabe and Ito's (2008), told apart with any colour vision. Nothing else chooses a colour.
"""

from collections.abc import Iterable

COLOURS = {
    "short-poll": "#D55E00",
    "long-poll": "#0072B2",
    "websocket": "#009E73",
    "sse": "#CC79A7",
    "socketio": "#56B4E9",
    "socketio-polling": "#E69F00",
}
SPARE_COLOURS = ("#8C6BB1", "#7F7F7F", "#B2912F")


def assign(transports: Iterable[str]) -> dict[str, str]:
    """A colour for each transport, those that are not listed taking the spare ones in turn."""
    unlisted = 0
    colours = {}
    for transport in transports:
        if transport in COLOURS:
            colours[transport] = COLOURS[transport]
        else:
            colours[transport] = SPARE_COLOURS[unlisted % len(SPARE_COLOURS)]
            unlisted += 1
    return colours
