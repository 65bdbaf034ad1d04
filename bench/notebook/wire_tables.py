"""An exchange as tables, for a notebook: its messages, and the bytes of one.

Rules: it arranges what `clients.explain.exchange` kept and counts nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from clients.explain.exchange import Exchange, Step
from clients.explain.spans import PARTS

ARROWS = {"client": "client → server", "server": "client ← server"}


def conversation(found: Exchange) -> pd.DataFrame:
    """One row a message of an exchange, and one for all of them: who said what, in how many bytes of which
    kind."""
    rows = [
        {"ms": round(step.at_ms, 1), "who": ARROWS[step.sender], "what": step.title, **_bytes(step.parts)}
        for step in found.steps
    ]
    whole = {part: sum(side[part] for side in found.totals().values()) for part in PARTS}
    return pd.DataFrame([*rows, {"ms": None, "who": "", "what": "together", **_bytes(whole)}])


def spans(step: Step) -> pd.DataFrame:
    """Every byte of one message: where it stands, what it is and why it is there."""
    return pd.DataFrame(
        [
            {
                "bytes": span.end - span.start,
                "part": span.part,
                "what": span.label,
                "is": span.shows,
                "why": " ".join(
                    [span.why, *(f"{bits.bits} {bits.name}: {bits.says}." for bits in span.bits)]
                ),
            }
            for span in step.spans
        ]
    )


def _bytes(parts: Mapping[Any, int]) -> dict[str, int]:
    return {**{part: parts[part] for part in PARTS}, "bytes": sum(parts.values())}
