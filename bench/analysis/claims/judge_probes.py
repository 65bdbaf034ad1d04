"""Judges of what was asked once, before the trials (`bench/trials/probes.py`): upgrade, as-printed, welcome.

The bands stand here and no run moves them. A judge returns comparisons, never a verdict;
`bench/analysis/claims/__init__.py` makes one of them.
"""

from __future__ import annotations

import re

from wsproto.utilities import generate_accept_token

from bench.analysis.cells import Measured
from bench.analysis.estimate import Estimate
from bench.analysis.verdicts.comparison import Comparison, Judged, evidence

GREETING = "web Socket Works"
"""welcome: what the article's server says to each client that connects, to the letter."""
WELCOME_LEAST_CLIENTS = 2
"""welcome: fewer clients than this are not "each"."""
MOST_SHOWN = 80
"""Characters of a wrong greeting that are shown."""


def upgrade(measured: Measured) -> Judged:
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
        "the answer is 101": probe.get("status") == 101,
        "the answer's key matches (RFC 6455 §4.2.2)": key is not None
        and accepted == generate_accept_token(key.encode()).decode(),
        "messages then went up": (probe.get("messages_sent") or 0) > 0,
        "and came down": (probe.get("messages_received") or 0) == probe.get("messages_sent"),
        "on the same TCP connection": probe.get("same_connection") is True,
    }
    failed = [check for check, passed in checks.items() if not passed]
    found = tuple(
        evidence("probe upgrade", "check", None, "must be so", f"{check}: {'yes' if passed else 'no'}")
        for check, passed in checks.items()
    )
    if failed:
        return Judged((Comparison("fails", f"not so: {'; '.join(failed)}", {}, found),))
    says = (
        f"a GET of {probe['request_bytes']} bytes with Upgrade was answered 101 in "
        f"{probe['response_bytes']} bytes, and {probe['messages_sent']} messages went each way "
        "on the same TCP connection"
    )
    return Judged((Comparison("holds", says, {}, found),))


def as_printed(measured: Measured) -> Judged:
    """The probe's two answers: to what is printed, and to it with a key and a version."""
    probe = measured.probes.get("as-printed")
    if not probe:
        return Judged(reasons=("this run did not probe the printed handshake",))
    printed, completed = (probe.get(name, {}).get("status") for name in ("printed", "completed"))
    says = f"as printed the handshake is answered {printed}; with a key and a version added, {completed}"
    found = (
        evidence(
            "probe as-printed", "status as printed", _status(printed), "400 to 499", f"as printed: {printed}"
        ),
        evidence(
            "probe as-printed",
            "status completed",
            _status(completed),
            "101",
            f"with key and version: {completed}",
        ),
    )
    if printed is None or completed is None:
        return Judged(reasons=("one of the two handshakes got no answer",))
    refused, opened = 400 <= printed <= 499, completed == 101
    if refused and opened:
        return Judged(
            (Comparison("holds", f"{says}: what is printed is incomplete (RFC 6455 §4.2.1)", {}, found),)
        )
    if printed == 101:
        return Judged((Comparison("fails", f"{says}: this server takes it as printed", {}, found),))
    return Judged((Comparison("unclear", f"{says}, which tells nothing about the handshake", {}, found),))


def welcome(measured: Measured) -> Judged:
    """The probe's clients and the first message of each. The page is seen in the tests' browser."""
    probe = measured.probes.get("welcome")
    if not probe:
        return Judged(reasons=("this run did not connect to the greeting endpoint",))
    messages = probe.get("messages") or []
    if len(messages) < WELCOME_LEAST_CLIENTS:
        return Judged(
            reasons=(f"the greeting was not probed to the end: {probe.get('error', 'too few clients')}",)
        )
    greeted = sum(message == GREETING for message in messages)
    says = f"{greeted} of {len(messages)} clients that connected were greeted with `{GREETING}` first"
    share = greeted / len(messages)
    found = (evidence("probe welcome", "share greeted", Estimate.exact(share), "all of them", says),)
    if greeted == len(messages):
        return Judged((Comparison("holds", says, {}, found),))
    other = next(message for message in messages if message != GREETING)
    got = "no message at all" if other is None else f"{other[:MOST_SHOWN]!r}"
    return Judged((Comparison("fails", f"{says}; another got {got}", {}, found),))


def _header(message: str, name: str) -> str | None:
    match = re.search(rf"^{re.escape(name)}:[ \t]*(.*?)[ \t]*\r?$", message, re.IGNORECASE | re.MULTILINE)
    return None if match is None else match.group(1)


def _status(status: int | None) -> Estimate | None:
    return None if status is None else Estimate.exact(float(status))
