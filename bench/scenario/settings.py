"""What one trial is measured under: every factor, declared once.

Rules:
- A factor is one annotated field of `Settings`: its type with the values that are allowed, its part, and how
  the names of trials write it. The keys of a scenario's file, the fields of a trial in run.json and of a cell
  in summary.json have the same names, and all lists of factors below follow from the fields.
- A field without a default has to be given.
- What a factor does stands where it acts. Which transports use it stands on their client classes (`factors`);
  which systems, server models and transports there are stands in `bench/systems/registry.py`.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta

from bench.scenario.links import LOOPBACK, Link
from bench.systems.registry import OURS, SYSTEMS
from clients.headers import ConnectionUse, HeaderSet
from clients.publisher import Schedule
from clients.subscriber import Subscriber

TRIAL_OVERHEAD_S = 0.8
"""Seconds that starting, draining and collecting a trial take; only the time left is told from it."""
LINK_OVERHEAD_S = 0.5
TRANSITS = 6
"""Seconds that making a link takes, and transits that joining and draining across it take; told likewise."""
COHORT_S = 0.3
"""Seconds that the warm-up cohort of a memory trial takes; told likewise."""
JOINS_PER_SECOND = 1000
"""Subscribers that join each second while something is published; else joins are spread over `wait_s`."""
MEMORY_SUBSCRIBERS = 200
"""Below this many subscribers memory is not measured: the noise of the rest would be divided by too
little."""

Part = Literal["kind", "load", "measuring"]
"""What a factor is a part of. `kind`: what the subscribers and the server are; cells that differ in these
alone may stand side by side. `load`: what is asked of them, and where; cells that share these ran under the
same load. `measuring`: how a cell is measured, on which nothing but the precision of its values depends."""


def _factor(part: Part, low: float | None = None, high: float | None = None, mark: str = "{}") -> Meta:
    """A factor's part, the least and the most that it may be, and how a trial's name writes a value of it."""
    return Meta(ge=low, le=high, extra={"part": part, "mark": mark})


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One cell: everything that two trials share when they count as repeats of each other.

    `transport` None is a baseline without subscribers; `server_model` None goes with a system that has no
    choice of them. `publish_rate` is in notifications a second, 0 for an idle cell. `memory` asks for a
    warm-up cohort first, so that memory per subscriber can be measured. `link` and the four after it are the
    fields of `bench.scenario.links.Link`.
    """

    transport: Annotated[str | None, _factor("kind")]
    system: Annotated[str, _factor("kind")] = OURS.name
    server_model: Annotated[str | None, _factor("load")] = OURS.server_models[0]
    subscribers: Annotated[int, _factor("load", 0, 5000)]
    publish_rate: Annotated[float, _factor("load", 0, 1000)]
    schedule: Annotated[Schedule, _factor("load")] = "poisson"
    payload_bytes: Annotated[int, _factor("load", 1, 1_000_000, mark="{}B")] = 100
    poll_interval_s: Annotated[float, _factor("kind", 0.01, 60, mark="T{:g}")] = 1.0
    wait_s: Annotated[float, _factor("kind", 0.1, 60, mark="wait{:g}")] = 25.0
    headers: Annotated[HeaderSet, _factor("load")] = "minimal"
    connection: Annotated[ConnectionUse, _factor("kind")] = "kept"
    permessage_deflate: Annotated[bool, _factor("kind", mark="deflate-{}")] = False
    link: Annotated[str, _factor("load")] = LOOPBACK
    one_way_ms: Annotated[float, _factor("load", 0, 1000, mark="{:g}ms")] = 0.0
    jitter_ms: Annotated[float, _factor("load", 0, 1000)] = 0.0
    loss_percent: Annotated[float, _factor("load", 0, 20)] = 0.0
    bandwidth_mbit: Annotated[float, _factor("load", 0, 10_000)] = 0.0
    window_s: Annotated[float, _factor("measuring", 0.5, 300)] = 5.0
    settle_s: Annotated[float, _factor("measuring", 0, 60)] = 1.0
    memory: Annotated[bool, _factor("measuring")] = False

    @property
    def client(self) -> type[Subscriber] | None:
        """The class of its subscribers, which has the transport's traits; None for a baseline."""
        return None if self.transport is None else SYSTEMS[self.system].transports[self.transport]

    @property
    def factors(self) -> tuple[str, ...]:
        """Which of the transports' own factors its subscribers use; a baseline uses none."""
        return () if self.client is None else self.client.factors

    def with_load(self, load: str, value: float) -> Settings:
        """The same under another load: `load` is "subscribers", of which there is at least one, or
        "publish_rate", which keeps three digits."""
        if load == "subscribers":
            return msgspec.structs.replace(self, subscribers=max(1, round(value)))
        return msgspec.structs.replace(self, publish_rate=float(f"{value:.3g}"))

    @property
    def join_s(self) -> float:
        """Seconds over which joins are spread. If nothing is published, they are spread over `wait_s`, so
        that long polls end and WebSockets are pinged evenly, or over a multiple of it if that would be more
        than JOINS_PER_SECOND. A short poller's phase spreads itself over its interval."""
        if self.client is None or not self.client.held:
            return 0.0
        least_s = self.subscribers / JOINS_PER_SECOND
        return self.wait_s * max(1, math.ceil(least_s / self.wait_s)) if self.publish_rate == 0 else least_s

    @property
    def expected_s(self) -> float:
        """About how many seconds the trial takes, for the time left."""
        polls = self.poll_interval_s if "poll_interval_s" in self.factors else 0.0
        cohort = COHORT_S if self.memory else 0.0
        link_s = 0.0 if self.link == LOOPBACK else LINK_OVERHEAD_S + TRANSITS * self.one_way_ms / 1000
        return TRIAL_OVERHEAD_S + cohort + self.join_s + self.settle_s + self.window_s + 2 * polls + link_s


FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}
SETTINGS = tuple(FIELDS)
DEFAULTS: dict[str, Any] = {name: field.default for name, field in FIELDS.items() if not field.required}
REQUIRED = tuple(name for name, field in FIELDS.items() if field.required)
KEYS = tuple(name for name in (*REQUIRED, *DEFAULTS) if name not in Link._fields[2:])
"""What a cell may set; the other fields of a link come with its name."""


def _declared(name: str) -> dict[str, str]:
    """What `_factor` was told of a field."""
    extra: dict[str, str] = get_args(FIELDS[name].type)[1].extra
    return extra


def _of_part(part: Part) -> tuple[str, ...]:
    return tuple(name for name in SETTINGS if _declared(name)["part"] == part)


KIND, LOAD, MEASURING = _of_part("kind"), _of_part("load"), _of_part("measuring")
SERIES = tuple(name for name in SETTINGS if name not in ("subscribers", *MEASURING))
"""Cells that share these differ in their number of subscribers alone: they lie on one curve."""
MARKS = {name: _declared(name)["mark"] for name in SETTINGS}
"""How the name of a trial writes a value of each."""
OWN_FACTORS = tuple(
    dict.fromkeys(
        factor
        for system in SYSTEMS.values()
        for client in system.transports.values()
        for factor in client.factors
    )
)
"""The factors that are some transports' own."""
