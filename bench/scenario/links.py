"""What a network between server and clients does to packets: profiles, and delays of a scenario's own.

Rules:
- A link has a name and four numbers (`Link`). Each profile names its source. `constant` is a delay alone,
  which the scenario gives as `one_way_ms`: no jitter, no loss, no limit. `loopback` is no emulation at all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

LOOPBACK = "loopback"
CONSTANT = "constant"


class Link(NamedTuple):
    """What a link does to each packet, the same in both directions.

    `jitter_ms` is uniform around the delay, but no packet overtakes another, so that a dense stream of
    packets is later than the mean delay. `loss_percent` is drawn for each packet by itself. `bandwidth_mbit`
    0 is no limit.
    """

    link: str = LOOPBACK
    one_way_ms: float = 0.0
    jitter_ms: float = 0.0
    loss_percent: float = 0.0
    bandwidth_mbit: float = 0.0

    @classmethod
    def of(cls, settings: Any) -> Link:
        """The link in the settings of a cell, which have its fields."""
        return cls(*(getattr(settings, name) for name in cls._fields))


class Profile(NamedTuple):
    """A link with the source of its numbers."""

    link: Link
    source: str


PROFILES: dict[str, Profile] = {
    "lan": Profile(
        Link("lan", one_way_ms=0.25),
        "round trip within a data centre 0.5 ms: J. Dean, Designs, Lessons and Advice from Building Large "
        "Distributed Systems (2009)",
    ),
    "4g": Profile(
        Link("4g", one_way_ms=85.0, jitter_ms=10.0, loss_percent=0.1, bandwidth_mbit=9.0),
        "round trip 170 ms and 9 Mbit/s: WebPageTest's connectivity profile 4G; jitter and loss are ours, "
        "since it names none",
    ),
    "intercontinental": Profile(
        Link("intercontinental", one_way_ms=75.0),
        "15,000 km of fibre at 5 µs/km: ITU-T G.114, Annex A",
    ),
}
