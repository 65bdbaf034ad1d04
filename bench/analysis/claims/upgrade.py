"""The claim `upgrade`: does a WebSocket start as an HTTP request, and is it then open both ways?"""

from __future__ import annotations

import re

from wsproto.utilities import generate_accept_token

from bench.analysis.cells import Measured
from bench.analysis.verdicts.claim import Claim
from bench.analysis.verdicts.comparison import Comparison, Judged, evidence

UPGRADED = 101
"""The status of the answer to a handshake (RFC 6455 §4.2.2)."""


def judge(measured: Measured) -> Judged:
    """The probe's handshake and its messages, checked against RFC 6455."""
    probe = measured.probes.get("upgrade")
    if not probe or "error" in probe:
        why = f": {probe['error']}" if probe else ""
        return Judged(reasons=(f"this run did not probe the handshake to its end{why}",))
    request, response = probe.get("request") or "", probe.get("response") or ""
    accepted = _header(response, "sec-websocket-accept")
    key = _header(request, "sec-websocket-key")
    checks = {
        "the request is an HTTP GET": request.startswith("GET ")
        and "HTTP/1.1" in request.split("\r\n")[0].split("\n")[0],
        "it carries Upgrade: websocket": (_header(request, "upgrade") or "").lower() == "websocket",
        f"the answer is {UPGRADED}": probe.get("status") == UPGRADED,
        "the answer's key matches (RFC 6455 §4.2.2)": key is not None
        and accepted == generate_accept_token(key.encode()).decode(),
        "messages then went up": (probe.get("messages_sent") or 0) > 0,
        "and came down": (probe.get("messages_received") or 0) == probe.get("messages_sent"),
        "on the same TCP connection": probe.get("same_connection") is True,
    }
    failed = [check for check, passed in checks.items() if not passed]
    entries = tuple(
        evidence("probe upgrade", "check", None, "must be so", f"{check}: {'yes' if passed else 'no'}")
        for check, passed in checks.items()
    )
    if failed:
        return Judged((Comparison("fails", f"not so: {'; '.join(failed)}", {}, entries),))
    says = (
        f"a GET of {probe['request_bytes']} bytes with Upgrade was answered {UPGRADED} in "
        f"{probe['response_bytes']} bytes, and {probe['messages_sent']} messages went each way "
        "on the same TCP connection"
    )
    return Judged((Comparison("holds", says, {}, entries),))


def _header(message: str, name: str) -> str | None:
    match = re.search(rf"^{re.escape(name)}:[ \t]*(.*?)[ \t]*\r?$", message, re.IGNORECASE | re.MULTILINE)
    return None if match is None else match.group(1)


CLAIM = Claim(
    id="upgrade",
    says="A WebSocket starts as an HTTP request with Upgrade, is answered, and is then open both ways.",
    hypothesis=f"A GET with Upgrade is answered {UPGRADED}, and messages then go up and down on the same TCP "
    "connection.",
    band="every check must pass",
    measured="the handshake's bytes; messages both ways on the same connection",
    decided_by=("quick", "article"),
    judge=judge,
)
