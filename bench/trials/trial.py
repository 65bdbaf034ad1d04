"""One trial, in fresh processes: a server, a load generator and a publisher, from start to collected.

Rules:
- The stages are: start; with `memory`, a cohort that joins and leaves; subscribers join; settle; window;
  drain; stop. Publishing begins when all have joined, so the first notifications are not in the window.
- The server has a core to itself; the load generator, the publisher and the harness share the other.
- Whatever goes wrong ends the trial, not the run: what was collected so far is kept, and `exit` says why.
- Every process that a trial starts is gone when it returns or raises, also on Ctrl-C.
- Across an emulated link the server and the publisher are on its one side, the load generator on the other,
  in network namespaces that the trial's own relay makes. The relay shares the load generator's core.
- WebSockets are pinged as often as long polls are renewed: every `wait_s`.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from bench.rundir.collected import Collected
from bench.scenario.links import LOOPBACK, Link
from bench.scenario.scenario import Planned
from bench.scenario.settings import MEMORY_SUBSCRIBERS
from bench.systems.registry import SYSTEMS
from bench.systems.system import Options
from bench.trials import sampling
from bench.trials.network import network
from bench.trials.processes import resources
from bench.trials.processes.child import Child, ChildFailed
from bench.trials.processes.deaths import Processes
from bench.trials.processes.heartbeat import Heartbeat
from bench.trials.processes.interruption import shielded
from bench.trials.processes.own_server import START_TIMEOUT_S, url_of

STREAM = "main"
SPARE_SUBSCRIBERS = 64
JOIN_TIMEOUT_S = 30.0
DRAIN_TIMEOUT_S = 15.0
COLLECT_TIMEOUT_S = 60.0
COHORT_SUBSCRIBERS = 10
CLOSE_TIMEOUT_S = 5.0
SAMPLE_EVERY_S = 1.0
SETTLED_BEFORE_S = 0.15
SETTLED_BEFORE_S_A_SUBSCRIBER = 0.0002
"""PSS is read so long before the window: to walk the server's pages disturbs it for some milliseconds. So
does counting its threads one by one, and there may be two threads a subscriber."""


def run(
    planned: Planned,
    *,
    seed: int,
    pinning: dict[str, list[int]] | None,
    scratch: Path,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Collected:
    """Run one trial; raw files pass through the empty directory `scratch`. Never raises for a trial's own
    failure."""
    course = _Course(planned, seed, pinning, scratch.absolute(), on_stage)
    try:
        course.run()
    except ChildFailed as failure:
        course.collected.exit = course.why(failure)
        course.collect_what_there_is()
    finally:
        with shielded():
            course.end()
    course.collected.read_rows(scratch)
    return course.collected


class _Course:
    """The stages of one trial."""

    def __init__(
        self,
        planned: Planned,
        seed: int,
        pinning: dict[str, list[int]] | None,
        scratch: Path,
        on_stage: Callable[[str], None],
    ) -> None:
        self.planned, self.settings = planned, planned.settings
        self.system = SYSTEMS[self.settings.system]
        self.collected = Collected(planned)
        self.publish_seed = random.Random(f"{seed}/{planned.repeat}/publish").getrandbits(32)
        self.link_seed = f"{seed}/{planned.repeat}/link"
        self.pinning = pinning
        self.scratch = scratch
        self.on_stage = on_stage
        self.server: Child | None = None
        self.generator: Child | None = None
        self.publisher: Child | None = None
        self.network: network.Network | None = None
        self.tree: resources.ProcessTree | None = None
        self.server_pids: list[int] = []
        self.url = ""
        self.heartbeat = Heartbeat()

    def run(self) -> None:
        self.on_stage("starting")
        self.start()
        if self.settings.memory and resources.LINUX:
            self.on_stage("warming up")
            self.cohort()
        if self.generator:
            self.on_stage("joining")
            self.generator.ask({"do": "join"}, "joined", self.settings.join_s + JOIN_TIMEOUT_S, self.check)
        self.measure()
        self.on_stage("draining")
        self.drain()
        self.on_stage("collecting")
        self.collect()

    def start(self) -> None:
        """Start all processes at once; each is ready when it says so."""
        settings = self.settings
        if settings.link != LOOPBACK:
            core = (self.pinning or {}).get("generator")
            self.network = network.Network(Link.of(settings), self.link_seed, scratch=self.scratch, core=core)
        options = Options(
            host="127.0.0.1" if settings.link == LOOPBACK else network.SERVER_ADDRESS,
            server_model=settings.server_model,
            max_subscribers=settings.subscribers + SPARE_SUBSCRIBERS,
            ping_interval_s=settings.wait_s,
            permessage_deflate=settings.permessage_deflate,
        )
        self.server = Child(
            "server",
            self.system.command(options, self.scratch),
            errors=self.scratch / "server.log",
            core=(self.pinning or {}).get("server"),
            inside=self.inside("server"),
        )
        if settings.transport:
            self.generator = self.start_python("generator", "bench.trials.generator", "client")
        if settings.publish_rate:
            self.publisher = self.start_python("publisher", "bench.trials.publisher", "server", precedence=1)
        self.url = url_of(self.system, self.server)
        self.tree = resources.ProcessTree(self.server.pid)
        self.server_pids = self.tree.pids()
        told = asdict(settings) | {
            "url": self.url,
            "stream": STREAM,
            "directory": str(self.scratch),
            "join_s": settings.join_s,
            "seed": self.publish_seed,
        }
        for child in (self.generator, self.publisher):
            if child:
                child.tell(told)
                child.expect("ready", START_TIMEOUT_S, self.check)
        self.wait_while(self.tree.closing)
        self.sample("empty", pss=True)

    def start_python(self, name: str, module: str, side: str, precedence: int = 0) -> Child:
        return Child(
            name,
            [sys.executable, "-m", module],
            errors=self.scratch / f"{name}.log",
            core=(self.pinning or {}).get("generator"),
            precedence=precedence,
            inside=self.inside(side),
        )

    def wait_while(self, held: Callable[[], int]) -> None:
        """Wait for the server to let go of connections that have ended: one that lingers would be in the
        sample of the empty server, and missing from what its subscribers cost."""
        until_s = time.monotonic() + CLOSE_TIMEOUT_S
        while time.monotonic() < until_s and held():
            time.sleep(0.02)

    def inside(self, side: str) -> str:
        """Where a process of that side of the link runs."""
        return self.network.inside(side) if self.network else "here"

    def cohort(self) -> None:
        """A few subscribers join and leave, so that the memory that the server keeps for good is not billed
        to the others."""
        assert self.generator is not None and self.tree is not None
        tree, empty = self.tree, self.collected.samples[-1]["server"]["file_descriptors"]
        order = {"do": "cohort", "subscribers": COHORT_SUBSCRIBERS}
        if error := self.generator.ask(order, "cohort_left", JOIN_TIMEOUT_S, self.check)["error"]:
            raise ChildFailed(f"nothing could be published after the cohort: {error}")
        self.wait_while(lambda: tree.sample()["file_descriptors"] > empty)
        self.sample("warmed", pss=True)

    def measure(self) -> None:
        """Settle, then the window. Samples are taken at both edges, and once a second between them."""
        settings, count = self.settings, self.settings.subscribers
        begin_s = time.monotonic() + 0.05
        start_s = begin_s + settings.settle_s
        end_s = start_s + settings.window_s
        self.heartbeat.watch(start_s)
        if self.generator:
            self.generator.tell({"do": "window", "start_s": start_s, "end_s": end_s})
        if self.publisher:
            self.publisher.tell({"do": "publish", "start_s": begin_s, "window_s": start_s, "end_s": end_s})
        self.on_stage("settling")
        if count >= MEMORY_SUBSCRIBERS:
            self.sleep_until(start_s - SETTLED_BEFORE_S - SETTLED_BEFORE_S_A_SUBSCRIBER * count)
            self.sample("settled", pss=True)
        self.sleep_until(start_s)
        start = self.sample("window_start")
        self.on_stage("measuring")
        while (next_s := time.monotonic() + SAMPLE_EVERY_S) < end_s - SAMPLE_EVERY_S / 2:
            self.sleep_until(next_s)
            self.sample("sample")
        self.sleep_until(end_s)
        self.collected.window_us = (start["at_us"], self.sample("window_end")["at_us"])
        self.collected.stalls_ms["harness"] = self.heartbeat.tell()
        if self.generator:
            self.generator.expect("window_done", 10, self.check)

    def drain(self) -> None:
        """Wait until all that was published is answered, and has reached every subscriber or never will."""
        last_id = None
        if self.publisher:
            told = self.publisher.expect("published", DRAIN_TIMEOUT_S, self.check)
            last_id = told["last_id"]
            self.collected.stalls_ms |= told["stalls_ms"]
            if error := told["error"]:
                self.note(f"publisher: {error}")
        if self.generator:
            within_s = DRAIN_TIMEOUT_S + self.settings.poll_interval_s
            order = {"do": "drain", "last_id": last_id, "until_s": time.monotonic() + within_s}
            told = self.generator.ask(order, "drained", within_s + 5, self.check)
            self.collected.stalls_ms |= told["stalls_ms"]
            self.sample("drained")

    def collect(self) -> None:
        """Have the load generator and the publisher write what they hold."""
        self.collect_generator()
        self.collect_publisher()

    def collect_generator(self) -> None:
        if self.generator is None:
            return
        self.generator.tell({"do": "stop"})
        told = self.generator.skip_to("stopped", COLLECT_TIMEOUT_S)
        self.collected.subscribers = told["subscribers"]
        self.collected.arrival = told["arrival"]
        self.collected.errors += told["errors"]
        if told["not_kept"]:
            raise ChildFailed(f"the generator could not keep {told['not_kept']} rows: ask for a smaller load")

    def collect_publisher(self) -> None:
        if self.publisher:
            self.publisher.tell({"do": "stop"})
            self.publisher.skip_to("stopped", COLLECT_TIMEOUT_S)

    def collect_what_there_is(self) -> None:
        """After a failure: keep what the other processes hold, each asked by itself."""
        for collect in (self.collect_generator, self.collect_publisher):
            try:
                collect()
            except ChildFailed as failure:
                self.note(str(failure))

    def end(self) -> None:
        """Leave no process behind: clients before the server."""
        self.heartbeat.end()
        for child in (self.publisher, self.generator, self.server, self.network):
            if child:
                child.end()

    def check(self) -> None:
        """Raise ChildFailed as soon as a process of the trial has died."""
        if died := self.processes().death():
            raise ChildFailed(died)

    def why(self, failure: ChildFailed) -> str:
        """What ended the trial."""
        return self.processes().cause(failure)

    def processes(self) -> Processes:
        relay = self.network.relay if self.network else None
        return Processes(relay, self.server, self.server_pids, (self.publisher, self.generator))

    def sleep_until(self, at_s: float) -> None:
        """Sleep until a moment of the monotonic clock, noticing a death meanwhile."""
        while (left_s := at_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.25))
            self.check()

    def sample(self, edge: str, *, pss: bool = False) -> dict[str, Any]:
        """Read what everybody uses and keep it."""
        assert self.tree is not None
        children = {"generator": self.generator, "publisher": self.publisher}
        taken = sampling.sample(self.tree, children, self.network, edge, pss=pss)
        self.collected.samples.append({"trial": self.planned.id, **taken})
        return self.collected.samples[-1]

    def note(self, error: str) -> None:
        self.collected.errors.append({"subscriber": None, "at_us": time.time_ns() // 1000, "error": error})
