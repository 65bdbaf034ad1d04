"""The load generator: one process that plays all subscribers of one trial, with Locust as a library.

It is told its work in JSON lines on stdin, the settings first, and answers in JSON lines on stdout, beginning
with {"event":"ready"}:

    {"do":"cohort","subscribers":…}         → {"event":"cohort_left","error":…|null}
    {"do":"join"}                        → {"event":"joined","seconds":…}
    {"do":"window","start_s":…,"end_s":…} → {"event":"window_done"} at its end
    {"do":"drain","last_id":…|null,"until_s":…} → {"event":"drained","behind":…,"stalls_ms":{…}}
    {"do":"stop"}                        → {"event":"stopped"}, and the raw columns are on disk

Moments are of the monotonic clock, which is the same in all processes: the time of day may be set meanwhile.

Rules:
- The users are those of bench/locustfile.py, unchanged; only their observer is ours.
- Python's cyclic garbage collector is off in the window, and what lives before it is frozen: a collection
  over a thousand greenlets takes tens of milliseconds and would be measured as latency of polls. Reference
  counts still free what is used up, so memory stays bounded.
- Each order runs in a greenlet of its own, so that an order to stop is heard at any time.
- It has two heartbeats from the window's start until everything has been drained: a thread of the system's
  shows that the process stood still, a greenlet that its loop did (`bench.trials.processes.heartbeat`).
- When stdin ends, the harness is gone: this process ends too.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import gevent.pool
from gevent import monkey
from gevent.fileobject import FileObject
from locust.env import Environment

from bench.locustfile import user_of
from bench.systems.registry import SYSTEMS
from bench.trials.processes.child import say
from bench.trials.processes.heartbeat import Heartbeat
from bench.trials.recorder import Recorder
from clients.errors import ClientError
from clients.wire import WireCounts, keep_stamping

COHORT_POLL_INTERVAL_S = 0.1
POLL_S = 0.005
"""How often the state of all users is looked at while they join or drain."""


class Generator:
    """One trial's load. `settings` are the trial's, with `url`, `stream`, `directory` and `join_s` beside
    them."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.directory = Path(settings["directory"])
        self.recorder = Recorder(settings["subscribers"], settings["join_s"])
        self.edges: list[list[WireCounts | None]] = []
        self.totals: list[WireCounts | None] = [None] * settings["subscribers"]
        self.system = SYSTEMS[settings["system"]]
        user_class = user_of(self.system.transports[settings["transport"]])
        user_class.observer = self.recorder
        self.environment = Environment(
            user_classes=[user_class],
            host=settings["url"],
            stop_timeout=2.0,
            parsed_options=argparse.Namespace(
                system=settings["system"],
                stream=settings["stream"],
                poll_interval=settings["poll_interval_s"],
                wait=settings["wait_s"],
                # Asks none: the empty batches would come beside the server's pings, and be billed to idle
                # WebSockets alone. A peer that vanishes within a trial shows as notifications that were lost.
                heartbeat=0,
                headers=settings["headers"],
                connection=settings["connection"],
                permessage_deflate=settings["permessage_deflate"],
            ),
        )
        self.environment.events.user_error.add_listener(
            lambda user_instance, exception, tb: self.recorder.note(
                None, f"{type(exception).__name__}: {exception}"
            )
        )
        self.runner = self.environment.create_local_runner()
        start_thread = monkey.get_original("_thread", "start_new_thread")
        self.heartbeats = {
            "generator": Heartbeat(lambda beat: start_thread(beat, ()), monkey.get_original("time", "sleep")),
            "generator_loop": Heartbeat(gevent.spawn, gevent.sleep),
        }

    def start_users(self, subscribers: int, *, keeping: bool) -> float:
        """Start users and wait until each has joined. Returns the seconds that took."""
        self.recorder.reset(subscribers, keeping=keeping)
        started = time.monotonic()
        self.runner.start(subscribers, spawn_rate=subscribers)
        while self.recorder.waiting_to_join():
            gevent.sleep(POLL_S)
        return time.monotonic() - started

    def cohort(self, order: dict[str, Any]) -> dict[str, Any]:
        """A few users join and leave, so that the memory that the server keeps for good after its first
        clients is not billed to the others. Only a few: memory that they leave behind is used again, and
        would be missing from the bill."""
        options, join_s = self.environment.parsed_options, self.recorder.join_s
        poll_interval_s = options.poll_interval
        self.recorder.join_s, options.poll_interval = 0.0, min(poll_interval_s, COHORT_POLL_INTERVAL_S)
        self.start_users(order["subscribers"], keeping=False)
        self.runner.stop()
        # A held poll whose client has gone is noticed when it is answered: give it something to answer.
        error = None
        try:
            url, stream, payload_bytes = (self.settings[key] for key in ("url", "stream", "payload_bytes"))
            with self.system.publisher(url, stream, payload_bytes) as publisher:
                publisher.publish("the cohort has left", time.time_ns() // 1000)
                if not publisher.drain():
                    error = "the server did not answer a notification"
        except ClientError as failure:
            error = str(failure)
        self.recorder.join_s, options.poll_interval = join_s, poll_interval_s
        return {"event": "cohort_left", "error": error}

    def join(self, order: dict[str, Any]) -> dict[str, Any]:
        """The subscribers of the trial."""
        seconds = self.start_users(self.settings["subscribers"], keeping=True)
        gc.collect()
        return {"event": "joined", "seconds": seconds}

    def window(self, order: dict[str, Any]) -> dict[str, Any]:
        """Read the wire counts at both edges of the window; no garbage collection between them."""
        gc.freeze()
        gc.disable()
        for heartbeat in self.heartbeats.values():
            heartbeat.watch(order["start_s"])
        for edge_s in (order["start_s"], order["end_s"]):
            gevent.sleep(max(0.0, edge_s - time.monotonic()))
            self.edges.append(self.recorder.wire())
        gc.enable()
        return {"event": "window_done"}

    def drain(self, order: dict[str, Any]) -> dict[str, Any]:
        """Wait until everybody has the last notification, or until it is too late; read the wire counts."""
        last_id = order["last_id"] or 0
        while (behind := self.recorder.behind(last_id)) and time.monotonic() < order["until_s"]:
            gevent.sleep(POLL_S)
        stalls_ms = {name: heartbeat.tell() for name, heartbeat in self.heartbeats.items()}
        self.totals = self.recorder.wire()
        return {"event": "drained", "behind": behind, "stalls_ms": stalls_ms}

    def stop(self) -> dict[str, Any]:
        """Stop all users and write what they left."""
        self.recorder.keeping = False
        users = [user for user in self.recorder.users if user is not None]
        for user in users:
            if user.subscriber.last_error:
                self.recorder.note(user.number, f"connected again: {user.subscriber.last_error}")
        rows = [self.subscriber_row(number) for number in range(len(self.recorder.users))]
        kernel = bool(users) and all(user.subscriber.arrival == "kernel" for user in users)
        arrival = "kernel" if kernel else "handling"
        self.runner.stop()
        for name in ("deliveries", "requests"):
            with (self.directory / f"{name}.i64").open("wb") as file:
                getattr(self.recorder, name).tofile(file)
        return {
            "event": "stopped",
            "subscribers": rows,
            "errors": self.recorder.errors,
            "arrival": arrival,
            "not_kept": self.recorder.not_kept,
        }

    def subscriber_row(self, number: int) -> dict[str, Any]:
        """One row of subscribers.parquet."""
        user = self.recorder.users[number]
        row: dict[str, Any] = {"subscriber": number}
        if user is None:
            return row
        subscriber, receiver = user.subscriber, user.subscriber.receiver
        row |= {
            "joined_us": self.recorder.joined_us[number] or None,
            "joined_id": self.recorder.joined_id(number),
            "final_id": self.recorder.newest(number),
            "missed": receiver.missed,
            "duplicates": receiver.duplicates,
            "reordered": receiver.reordered,
            "lost": receiver.lost,
            "epoch_changes": receiver.epoch_changes,
            "reconnects": subscriber.reconnects,
            "requests": subscriber.requests,
            "empty_responses": subscriber.empty_responses,
            "skipped_ticks": subscriber.skipped_ticks,
        }
        if len(self.edges) == 2:
            before, after = (edge[number] for edge in self.edges)
            if before is not None and after is not None:
                spent = after - before
                row |= {f"window_{name}": getattr(spent, name) for name in WireCounts._fields}
        total = self.totals[number]
        if total is not None:
            row |= {f"total_{name}": getattr(total, name) for name in WireCounts._fields}
        return row


def main() -> int:
    """Do as the harness says until it says stop or is gone."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR)
    orders = iter(FileObject(os.dup(0), "rb"))
    generator = Generator(json.loads(next(orders)))
    keep_stamping()
    say({"event": "ready"})
    actions: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
        "cohort": generator.cohort,
        "join": generator.join,
        "window": generator.window,
        "drain": generator.drain,
    }
    busy = gevent.pool.Group()
    for line in orders:
        order = json.loads(line)
        if order["do"] == "stop":
            # What the orders still wait for will not come: the harness has seen a process die.
            busy.kill()
            say(generator.stop())
            return 0
        busy.spawn(lambda order: say(actions[order["do"]](order)), order)
    return 1


if __name__ == "__main__":
    sys.exit(main())
