"""The claim `as-printed`: is the handshake incomplete as the article prints it?"""

from __future__ import annotations

from bench.analysis.cells import Measured
from bench.analysis.estimate import Band, Estimate
from bench.analysis.verdicts.claim import Claim
from bench.analysis.verdicts.comparison import Comparison, Judged, evidence

REFUSED = Band(400, 499)
"""Statuses that refuse the handshake as it is printed. A server error refuses nothing."""
OPENED = 101
"""The status once a key and a version are added."""


def judge(measured: Measured) -> Judged:
    """The probe's two answers: to what is printed, and to it with a key and a version."""
    probe = measured.probes.get("as-printed")
    if not probe:
        return Judged(reasons=("this run did not probe the printed handshake",))
    printed, completed = (_status(probe.get(name, {}).get("status")) for name in ("printed", "completed"))
    if printed is None or completed is None:
        return Judged(reasons=("one of the two handshakes got no answer",))
    as_it_is, with_both = f"{printed.value:g}", f"{completed.value:g}"
    says = f"as printed the handshake is answered {as_it_is}; with a key and a version added, {with_both}"
    where = "probe as-printed"
    entries = (
        evidence(where, "status as printed", printed, REFUSED.text(), f"as printed: {as_it_is}"),
        evidence(where, "status completed", completed, str(OPENED), f"with key and version: {with_both}"),
    )
    if REFUSED.outcome(printed) == "holds" and completed.value == OPENED:
        says = f"{says}: what is printed is incomplete (RFC 6455 §4.2.1)"
        return Judged((Comparison("holds", says, {}, entries),))
    if printed.value == OPENED:
        return Judged((Comparison("fails", f"{says}: this server takes it as printed", {}, entries),))
    return Judged((Comparison("unclear", f"{says}, which tells nothing about the handshake", {}, entries),))


def _status(status: int | None) -> Estimate | None:
    return None if status is None else Estimate.exact(float(status))


CLAIM = Claim(
    id="as-printed",
    says="The handshake, as the article prints it, is incomplete.",
    hypothesis="A server that follows RFC 6455 refuses it, and accepts it once a key and a version are "
    "added.",
    band=f"4xx as printed and {OPENED} when completed",
    measured="the printed handshake sent to the WebSocket route, then the same with key and version",
    decided_by=("quick", "article"),
    judge=judge,
)
