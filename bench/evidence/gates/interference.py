"""Whether something came between: a process of the laboratory that stood still, or other work on the server's
core.

What is late for such a reason looks like a slow server, and under a headline that is a p99 it takes little of
it: medians, means and shares over the whole window do not show it.

Runs of the time before these gates do not hold their evidence, and are not checked.
"""

from __future__ import annotations

from bench.evidence.gates.gate import NOTHING, Gate, Reading
from bench.evidence.window import Window

STALLED_MS = 80.0
"""A process that beats 100 times a second has gaps of 10 to 20 ms on a quiet machine, and of up to 40 ms if
others want its core now and then. 80 ms are 1 % of a window of 8 s: a longer stall is in its p99."""
LOOP_STALLED_MS = 250.0
"""The load generator's loop has longer gaps by its own work: it hands one notification to thousands of
subscribers in one turn, at about 30 µs each. Each has one message then, so no stamp is lost; what the loop
does for longer than this is not that."""
FOREIGN_SHARE = 0.15
"""Of the server's core. It was up to 0.04 in the 200 trials of the reference run, ticks of 10 ms and the
kernel's own work among it. Whoever has a queue waits longer by about this share, and the bands of the claims
are 10 to 20 % wide."""
LIMITS_MS = {"generator_loop": LOOP_STALLED_MS}
"""Where it is not STALLED_MS."""


def _stalled_ms(window: Window) -> Reading:
    """No process of the laboratory stood still for long between the window's start and the last delivery."""
    told = window.record.get("stalls_ms")
    if told is None:
        return NOTHING
    stalls_ms = {name: value for name, value in (told | _relay(window)).items() if value is not None}
    wanted = {"harness", *(["generator", "generator_loop"] if window.has_subscribers else [])}
    if window.record["publish_rate"]:
        wanted.add("publisher")
    if missing := sorted(wanted - stalls_ms.keys()):
        return Reading(None, f"nobody knows whether the {missing[0]} stood still", lacking=True)
    worst = max(stalls_ms, key=lambda name: stalls_ms[name] / LIMITS_MS.get(name, STALLED_MS))
    limit_ms = LIMITS_MS.get(worst, STALLED_MS)
    name = worst.replace("_loop", "'s loop")
    return Reading(
        stalls_ms[worst],
        f"the {name} stood still for {stalls_ms[worst]:.0f} ms, over {limit_ms:g} ms, and what arrived "
        "meanwhile lost its time",
        limit=limit_ms,
    )


def _relay(window: Window) -> dict[str, float | None]:
    """The relay tells its own in its reports."""
    reports = [
        ((window.edge(edge) or {}).get("link") or {}).get("relay") for edge in ("window_end", "drained")
    ]
    stalls_ms = [report["stall_ms"] for report in reports if report and report.get("stall_ms") is not None]
    return {"relay": max(stalls_ms)} if stalls_ms else {}


def _foreign_share(window: Window) -> Reading:
    """The server's core was the server's alone."""
    share = window.server_core_foreign_share
    if share is None:
        return NOTHING
    return Reading(
        share,
        f"other work took {share:.0%} of the server's core, over {FOREIGN_SHARE:.0%}: what waited for it is "
        "late, whoever serves it",
    )


GATES = (
    Gate("stalled_ms", STALLED_MS, _stalled_ms, spoiled_by="laboratory", only_finished=True),
    Gate(
        "server_core_foreign_share",
        FOREIGN_SHARE,
        _foreign_share,
        spoiled_by="laboratory",
        only_finished=True,
    ),
)
