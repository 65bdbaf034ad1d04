"""The network in between: what an emulated link does to packets, and how trials get one, without root.

A private user namespace holds three private network namespaces: the server's side, the clients' side, and the
relay's between them (`bench/trials/network/relay.py`). The server and the publisher run on the one side, the
load generator on the other, and every packet between them passes the relay, which delays, jitters, loses and
limits it as the profile says. Nothing of it reaches the machine's own network.

Rules:
- Each trial gets namespaces and a relay of its own, seeded by the run and the repeat, and leaves nothing
  behind: the kernel ends a namespace with its last process.
- A link is measured before the first trial on it (`check`): round trip, connect time, loss. This check cannot
  tell a loss of a few tenths of a percent from none. Each trial's samples say how late the relay sent packets
  on and how many it had no room for; both are gates.
- Packets pass our own relay even if the kernel has netem: netem does not report how late it was, so its
  lateness could not be a gate. One way to do it means one thing to check.
- Where the system does not allow such namespaces, `unavailable` says why in one line.

The addresses are those of RFC 5737, which no real host has.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

from bench.scenario.links import CONSTANT, Link
from bench.trials.processes.child import Child, ChildFailed

START_TIMEOUT_S = 15.0
CHECK_TIMEOUT_S = 30.0
SERVER_ADDRESS = "192.0.2.1"
CLIENT_ADDRESS = "192.0.2.2"
SIDES = ("server", "client")
FIRST_NAMESPACE_FD = 100
"""The relay keeps the sides' network namespaces open as this file descriptor and the next, as in SIDES."""

PACKET_BYTES = 74
"""The longest that the check sends, with its Ethernet header: a TCP SYN."""
ROUND_TRIP_TOLERANCE_MS = 1.0
ROUND_TRIP_TOLERANCE_SHARE = 0.05
"""A link passes its check when the median does not come back before twice its one-way delay, and no later
than the larger of the two after it (and what jitter and bandwidth add)."""
LOSS_DEVIATIONS = 4.0
"""And within so many standard deviations of the loss that was asked for."""


class Network:
    """The namespaces and the relay of one trial. `settings` is anything with the fields of `Link`."""

    def __init__(self, link: Link, seed: str, *, scratch: Path, core: list[int] | None) -> None:
        """Start the relay and wait until the link is up. Raises ChildFailed if it does not come up."""
        self.link = link
        command = [sys.executable, "-m", "bench.trials.network.relay"]
        self.relay = Child("relay", command, errors=scratch / "relay.log", core=core, precedence=2)
        try:
            self.relay.tell({**link._asdict(), "seed": random.Random(seed).getrandbits(32)})
            self.relay.expect("ready", START_TIMEOUT_S)
        except BaseException:
            self.relay.end()
            raise

    def inside(self, side: str) -> str:
        """The namespaces of one of SIDES, as `bench.trials.processes.launch` takes them."""
        process = f"/proc/{self.relay.pid}"
        return f"{process}/ns/user:{process}/fd/{FIRST_NAMESPACE_FD + SIDES.index(side)}"

    def report(self) -> dict[str, Any]:
        """What the relay did since the last report; its docstring names the fields. Raises ChildFailed."""
        self.relay.tell({"do": "report"})
        told = self.relay.expect("report", START_TIMEOUT_S)
        del told["event"]
        return told

    def end(self) -> None:
        """End the relay; the namespaces end with the last process in them."""
        self.relay.end()


def unavailable(scratch: Path) -> str | None:
    """Why no link can be emulated here, in one line; None if it can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    try:
        Network(Link(CONSTANT), "probe", scratch=scratch, core=None).end()
    except ChildFailed as failure:
        return str(failure)
    return None


def check(link: Link, seed: str, *, scratch: Path, core: list[int] | None) -> dict[str, Any]:
    """Measure a link as clients will meet it, and say whether it is what was asked for.

    Returns the link's fields and `round_trip_ms`, `connect_ms` (medians), `lost_percent` (of round trips),
    `passed`, and `why` where not. Never raises for the link's own failure.
    """
    found: dict[str, Any] = dict.fromkeys(("round_trip_ms", "connect_ms", "lost_percent"))
    try:
        found |= _measure(link, seed, scratch, core)
        why = _wrong(link, found)
    except ChildFailed as failure:
        why = str(failure)
    return {**link._asdict(), **found, "passed": why is None, "why": why}


def _measure(link: Link, seed: str, scratch: Path, core: list[int] | None) -> dict[str, Any]:
    network = Network(link, seed, scratch=scratch, core=core)
    ends: list[Child] = []
    try:
        for side in SIDES:
            most_s = 2 * (link.one_way_ms + link.jitter_ms) / 1000
            command = [sys.executable, "-m", "bench.trials.network.link_check", side, str(most_s)]
            errors = scratch / f"link-{side}.log"
            # The check tells of the link: its ends take precedence, or it would tell who else had the core.
            ends.append(
                Child(
                    f"link's {side}",
                    command,
                    errors=errors,
                    core=None,
                    precedence=1,
                    inside=network.inside(side),
                )
            )
            if side == "server":
                ends[0].expect("ready", START_TIMEOUT_S)
        told = json.loads(ends[1].line(CHECK_TIMEOUT_S))
        return {name: told[name] for name in ("round_trip_ms", "connect_ms", "lost_percent", "round_trips")}
    finally:
        for end in ends:
            end.end()
        network.end()


def _wrong(link: Link, found: dict[str, Any]) -> str | None:
    """In what the link differs from what was asked for, in one sentence."""
    least_ms = 2 * (link.one_way_ms - link.jitter_ms)
    sending_ms = 2 * PACKET_BYTES * 8 / link.bandwidth_mbit / 1000 if link.bandwidth_mbit else 0.0
    most_ms = 2 * (link.one_way_ms + link.jitter_ms) + sending_ms
    most_ms += max(ROUND_TRIP_TOLERANCE_MS, ROUND_TRIP_TOLERANCE_SHARE * 2 * link.one_way_ms)
    for name, what in (("round_trip_ms", "round trip"), ("connect_ms", "connecting")):
        if found[name] is None or not least_ms <= found[name] <= most_ms:
            took = "nothing came back" if found[name] is None else f"took {found[name]:.2f} ms"
            return f"{what} {took}, and {least_ms:g} to {most_ms:.3g} ms were asked for"
    survives = (1 - link.loss_percent / 100) ** 2
    deviation = 100 * (survives * (1 - survives) / found["round_trips"]) ** 0.5
    asked_percent = 100 * (1 - survives)
    if abs(found["lost_percent"] - asked_percent) > LOSS_DEVIATIONS * deviation:
        return (
            f"{found['lost_percent']:g} % of round trips were lost, and {asked_percent:.2g} % were asked for"
        )
    return None
