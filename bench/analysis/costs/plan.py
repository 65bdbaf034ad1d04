"""What so many users would take: the cost model of a run, multiplied. Pure; nothing is measured here.

Each user is told of λ notifications a second (Poisson), all users of the same ones: a fan-out, one stream to
all. What a server handles for each of them every second stands in the transport's theory
(`bench/analysis/theory/`), with the wait w of `WAIT_S`.

Rules:
- CPU is the sum over operations of rate × users × cost, with the costs that `bench/analysis/costs/model.py`
  checked; memory likewise. A transport for which one of them is missing or was not checked is refused, with
  the reason.
- Cores are CPU seconds a second of the run's machine. They add up: work for another core costs what it cost
  on this one. What divides users among processes (a shared log, a balancer) is not in it.
- Bandwidth is application bytes (TCP payload) and, apart, with TCP and IPv4 headers: `HEADER_BYTES` a packet.
  Bytes grow with the payload; packets do beyond `SEGMENT_BYTES`, which loopback does not show, and every
  second full one is acknowledged (RFC 1122 §4.2.3.2).
- The interval of a sum is the sum of the intervals: no narrower than the truth, whatever hangs together.
- Limits are counted for one server process as it was measured, smallest first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from bench.analysis import theory
from bench.analysis.costs.model import BAND
from bench.analysis.estimate import Estimate
from bench.analysis.summary import CostModel, CostSeries, Threads, Wire
from bench.analysis.theory import THEORIES

WAIT_S = 25.0
"""How often an idle long poll is renewed, and what stays open is pinged, unless set otherwise."""
PAYLOAD_TIMES = 100
"""A payload of more than so many times the measured one is not planned for: its CPU is another."""
HEADER_BYTES = 52
"""IPv4 20, TCP 20, the timestamps option 12 (RFC 7323)."""
SEGMENT_BYTES = 1448
"""Payload of a full packet on Ethernet: 1500 less the headers."""

Entry = TypeVar("Entry", CostSeries, Wire, Threads)

BUSY_MOST = BAND[1]
"""How busy a core may be kept: the most that was fitted."""
PROXY_PORTS = 28_232
"""Linux's usual ports for outgoing connections, 32768 to 60999 (net.ipv4.ip_local_port_range)."""
DESCRIPTORS = 1_048_576
"""Most file descriptors that Linux lets one process have (fs.nr_open); 1,024 until `ulimit -n` raises it."""
THREADS = 65_530 // 2
"""Linux lets a process have 65,530 memory maps (vm.max_map_count), and a thread's stack and guard are two."""

MEASURE = "run `wirelab bench capacity` and plan from that"
MEASURE_AGAIN = "run `wirelab bench capacity` on a machine that does nothing else, and plan from that"
MEASURE_PAYLOAD = (
    "set `payload_bytes` in a copy of `bench/scenario/shipped/capacity.toml`, measure that, and plan from it"
)
"""What a refusal asks for."""


class CannotPlan(Exception):
    """The run cannot tell; the message says why, and which scenario could."""


@dataclass(frozen=True)
class Demand:
    """What is planned for."""

    users: int
    rate: float
    payload_bytes: int
    poll_interval_s: float


@dataclass(frozen=True)
class Limit:
    """What ends the growth of one server process, and at how many users: its `core`, BUSY_MOST busy; the
    PROXY_PORTS (`ports`) of one address in front of it; DESCRIPTORS (`files`); THREADS (`threads`); the
    `memory` of the run's machine."""

    what: str
    users: float


@dataclass(frozen=True)
class Plan:
    """What one transport on one server model takes for all users. Bandwidth is in Mbit/s, `down` from the
    server: application bytes, and on the `wire` with headers. `limits` are of one process, the first to break
    first."""

    transport: str
    server_model: str
    cores: Estimate
    memory_gb: Estimate
    down: Estimate
    down_wire: Estimate
    up: Estimate
    up_wire: Estimate
    connections: int
    requests_per_second: float
    limits: tuple[Limit, ...]


@dataclass(frozen=True)
class Accepting:
    """What it would take to accept a notification for each user apart, instead of one for all: cores, with
    the cost (µs) of one as it was measured at `load` a second with nobody listening, and not checked."""

    cores: float
    cost_us: float
    load: float


@dataclass(frozen=True)
class Refused:
    """A transport on a server model that is not planned for, why, and what to do about it."""

    transport: str
    server_model: str
    why: str
    mend: str


def plan(model: CostModel | None, demand: Demand, machine_memory_kb: int | None) -> list[Plan | Refused]:
    """A plan, or the reason why there is none, for each transport and server model of `summary.costs`.

    Raises CannotPlan if the run has no costs at all."""
    who = {
        (one.server_model, one.transport)
        for one in (model.wire if model else [])
        if one.transport in THEORIES
    }
    if model is None or not who:
        raise CannotPlan(
            "this run has no costs of a server on loopback; `wirelab bench capacity` measures them"
        )
    in_order = sorted(who, key=lambda pair: (pair[0], list(THEORIES).index(pair[1])))
    return [
        _Costs(model, transport, server_model, demand).plan(machine_memory_kb)
        for server_model, transport in in_order
    ]


def accepting(model: CostModel, server_model: str, demand: Demand) -> Accepting | None:
    """What publishing to each user apart would add; None if its cost was not measured."""
    measured = [one for one in model.publish if one.server_model == server_model]
    if not measured or not demand.rate:
        return None
    most = max(measured, key=lambda one: one.load)
    cost_us = most.cost.value
    return Accepting(demand.users * demand.rate * cost_us / 1e6, cost_us, most.load)


def rates(transport: str, demand: Demand) -> dict[str, float]:
    """Operations a second for each user, by the operation's name in `bench/analysis/theory/bill.py`."""
    asked = theory.of(transport).rates(demand.rate, demand.poll_interval_s, WAIT_S)
    return {operation: rate for operation, rate in asked.items() if rate > 0}


class _Costs:
    """The costs of one transport on one server model, for one demand."""

    def __init__(self, model: CostModel, transport: str, server_model: str, demand: Demand) -> None:
        self.model, self.transport, self.server_model = model, transport, server_model
        self.demand = demand
        self.rates = rates(transport, demand)
        self.polls = sum(rate for name, rate in self.rates.items() if name in ("request", "renewal"))

    def plan(self, machine_memory_kb: int | None) -> Plan | Refused:
        """The plan, or why there is none."""
        priced: dict[str, Estimate] = {}
        for operation in (*self.rates, "subscriber"):
            series = self.nearest(one for one in self.mine(self.model.series) if one.operation == operation)
            if series is None:
                return self.refused(f"the cost of a {operation} was not measured", MEASURE)
            if series.cost is None:
                why = f"the cost of a {operation} is not projected: {series.why_not}"
                return self.refused(why, MEASURE_AGAIN)
            measured_bytes = _payload_bytes(series)
            told = self.demand.payload_bytes if self.demand.rate > 0 else 0
            if operation in self.rates and told > PAYLOAD_TIMES * measured_bytes:
                why = (
                    f"the cost of a {operation} was measured with {measured_bytes:,} bytes of payload, and "
                    f"to copy {told:,} costs more"
                )
                return self.refused(why, MEASURE_PAYLOAD)
            priced[operation] = series.cost
        wire = self.wire()
        if wire is None:
            return self.refused("its bytes on the wire were not measured", MEASURE)
        users = self.demand.users
        cpu_us = _sum([(priced[name], rate) for name, rate in self.rates.items()])
        return Plan(
            self.transport,
            self.server_model,
            cores=_sum([(cpu_us, users / 1e6)]),
            memory_gb=_sum([(priced["subscriber"], users * 1024 / 1e9)]),
            **wire,
            connections=users,
            requests_per_second=users * self.rates.get("request", 0.0),
            limits=self.limits(cpu_us.value, priced["subscriber"].value, machine_memory_kb),
        )

    def refused(self, why: str, mend: str) -> Refused:
        """No plan for this transport on this server model."""
        return Refused(self.transport, self.server_model, why, mend)

    def wire(self) -> dict[str, Estimate] | None:
        """Bandwidth up and down for all users, without and with headers; None if it was not measured."""
        per_poll = self.nearest([one for one in self.mine(self.model.wire) if one.per_poll])
        per_news = self.nearest([one for one in self.mine(self.model.wire) if one.per_notification])
        if per_poll is None or (per_news is None and self.demand.rate > 0):
            return None
        found = {}
        for direction in ("up", "down"):
            totals = []
            for quantity in (f"bytes_{direction}", f"packets_{direction}"):
                parts = [(getattr(per_poll.per_poll, quantity), self.polls)]
                if per_news is not None:
                    parts.append((self.news(per_news, quantity), self.demand.rate))
                totals.append(_sum(parts))
            megabits = self.demand.users * 8 / 1e6
            found[direction] = _sum([(totals[0], megabits)])
            found[f"{direction}_wire"] = _sum([(totals[0], megabits), (totals[1], megabits * HEADER_BYTES)])
        return found

    def news(self, measured: Wire, quantity: str) -> Estimate:
        """What one notification adds, of the payload asked for instead of the one measured."""
        counts = measured.per_notification
        assert counts is not None
        longer = self.demand.payload_bytes - _payload_bytes(measured)
        full = max(0, math.ceil((counts.bytes_down.value + longer) / SEGMENT_BYTES) - 1)
        more = {"bytes_down": longer, "packets_down": full, "packets_up": full / 2}.get(quantity, 0)
        one: Estimate = getattr(counts, quantity)
        low, high = (None if side is None else side + more for side in (one.low, one.high))
        return Estimate(one.value + more, low, high)

    def limits(self, cpu_us: float, memory_kb: float, machine_memory_kb: int | None) -> tuple[Limit, ...]:
        """What ends the growth of one process, smallest number of users first."""
        told = (one.threads_per_subscriber for one in self.mine(self.model.threads))
        threads = next((number for number in told if number is not None), None)
        found = [
            Limit("core", BUSY_MOST * 1e6 / cpu_us),
            Limit("ports", PROXY_PORTS),
            Limit("files", DESCRIPTORS),
        ]
        if machine_memory_kb:
            found.append(Limit("memory", machine_memory_kb / memory_kb))
        if threads:
            found.append(Limit("threads", THREADS / threads))
        return tuple(sorted(found, key=lambda limit: limit.users))

    def mine(self, entries: Iterable[Entry]) -> list[Entry]:
        """Those about this transport and server model."""
        mine = (self.transport, self.server_model)
        return [one for one in entries if (one.transport, one.server_model) == mine]

    def nearest(self, entries: Iterable[Entry]) -> Entry | None:
        """What was checked before what was not, and with the payload nearest to the one asked for."""

        def distance(entry: Entry) -> tuple[bool, int]:
            unchecked = isinstance(entry, CostSeries) and not entry.checked
            return unchecked, abs(_payload_bytes(entry) - self.demand.payload_bytes)

        return min(entries, key=distance, default=None)


def _payload_bytes(entry: CostSeries | Wire | Threads) -> int:
    return int(entry.settings["payload_bytes"])


def _sum(parts: list[tuple[Estimate, float]]) -> Estimate:
    """Estimates times factors, added up; without an interval where one of them has none."""

    def total(side: int) -> float | None:
        terms = [(estimate.sides[side], factor) for estimate, factor in parts]
        known = [term * factor for term, factor in terms if term is not None]
        return sum(known) if len(known) == len(terms) else None

    value = total(0)
    assert value is not None
    return Estimate(value, total(1), total(2))
