"""Whether something came between: a process of the laboratory that stood still, or other work on the server's
core.

What is late for such a reason looks like a slow server, and under a headline that is a p99 it takes little of
it: medians, means and shares over the whole window do not show it.

Such a trial is invalid, rather than not steady, since its costs do not stand either. Other work on the
server's core empties its caches, so that the same request takes more CPU, and polls that wait for the core
skip their turns or come back with several notifications, so that there are fewer requests. Nor does it say
that the server is saturated, which is what the search for saturation takes a trial that is not steady for.

Runs of the time before these gates do not hold their evidence, and are not checked.
"""

from __future__ import annotations

from bench.evidence.gates.gate import NOTHING, Gate, Reading
from bench.evidence.window import Window

STALLED_MS = 80.0
"""A process that beats 100 times a second has gaps of 10 to 20 ms on a quiet machine, and of up to 40 ms if
others want its core now and then. 80 ms are 1 % of a window of 8 s: a longer stall is in its p99."""
STALLED_SHARE = 0.01
"""Of the window, and no less than STALLED_MS: so much all stalls may take together, for the same reason."""
LOOP_STALLED_MS = 150.0
LOOP_STALLED_MS_A_SUBSCRIBER = 0.1
"""The load generator's loop has longer gaps by its own work: it hands one notification to all subscribers in
one turn, at about 30 µs each, and more if it shares its core. Each has one message then, so no stamp is lost;
what takes the loop longer than this is not that."""
FOREIGN_SHARE = 0.15
"""Of the server's core. It was up to 0.04 in the 200 trials of the reference run, ticks of 10 ms and the
kernel's own work among it. Whoever has a queue waits longer by about this share, and the bands of the claims
are 10 to 20 % wide."""


def _stalls_ms(window: Window) -> dict[str, dict[str, float]] | None:
    """What each process told; None if nobody was asked."""
    told: dict[str, dict[str, float]] | None = window.record.get("stalls_ms")
    if told is None:
        return None
    reports = [
        ((window.edge(edge) or {}).get("link") or {}).get("relay") for edge in ("window_end", "drained")
    ]
    relay = [report["stalls_ms"] for report in reports if report and report.get("stalls_ms")]
    if not relay:
        return told
    longest, together = (max(of["longest"] for of in relay), sum(of["together"] for of in relay))
    return told | {"relay": {"longest": longest, "together": together}}


def _stalled_ms(window: Window) -> Reading:
    """No process of the laboratory stood still for long between the window's start and the last delivery."""
    stalls_ms = _stalls_ms(window)
    if stalls_ms is None:
        return NOTHING
    wanted = {"harness", *(["generator", "generator_loop"] if window.has_subscribers else [])}
    if window.record["publish_rate"]:
        wanted.add("publisher")
    if missing := sorted(wanted - stalls_ms.keys()):
        return Reading(None, f"nobody knows whether the {missing[0]} stood still", lacking=True)
    limits_ms = dict.fromkeys(stalls_ms, STALLED_MS)
    if "generator_loop" in limits_ms:
        limits_ms["generator_loop"] = LOOP_STALLED_MS + LOOP_STALLED_MS_A_SUBSCRIBER * window.subscribers
    worst = max(stalls_ms, key=lambda name: stalls_ms[name]["longest"] / limits_ms[name])
    stalled_ms, limit_ms = stalls_ms[worst]["longest"], limits_ms[worst]
    who = worst.replace("_loop", "'s loop")
    return Reading(
        stalled_ms,
        f"the {who} stood still for {stalled_ms:.0f} ms, over {limit_ms:g} ms, and what arrived meanwhile "
        "lost its time",
        limit=limit_ms,
    )


def _stalled_together_ms(window: Window) -> Reading:
    """Nor did it for short times, again and again."""
    limit_ms = max(STALLED_MS, 1000 * STALLED_SHARE * window.length_s)
    together_ms = {
        name: stalls["together"]
        for name, stalls in (_stalls_ms(window) or {}).items()
        if name != "generator_loop"
    }
    if not together_ms:
        return Reading(None, limit=limit_ms)
    worst = max(together_ms, key=lambda name: together_ms[name])
    return Reading(
        together_ms[worst],
        f"the {worst} stood still now and then, for {together_ms[worst]:.0f} ms together, over "
        f"{limit_ms:g} ms",
        limit=limit_ms,
    )


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
    Gate("stalled_together_ms", None, _stalled_together_ms, spoiled_by="laboratory", only_finished=True),
    Gate(
        "server_core_foreign_share",
        FOREIGN_SHARE,
        _foreign_share,
        spoiled_by="laboratory",
        only_finished=True,
    ),
)
