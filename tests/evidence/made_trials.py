"""Small trials for gates and metrics: one that is good in all, and the same across a link."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.rundir.trial import Trial
from bench.scenario.links import Link
from bench.scenario.settings import DEFAULTS

START_US = 1_763_874_000_000_000
END_US = START_US + 5_000_000
SUBSCRIBERS, NOTIFICATIONS = 4, 20
COUNTED = ("missed", "duplicates", "reordered", "epoch_changes", "reconnects")


def good_trial(transport: str | None = "long-poll") -> Trial:
    """Four subscribers who joined at id 1 and got ids 2 to 21, each 2 ms after it was due."""
    ids = np.arange(2, 2 + NOTIFICATIONS, dtype=np.int64)
    due_us = START_US + (ids - 2) * 200_000
    subscribers = np.repeat(np.arange(SUBSCRIBERS), NOTIFICATIONS)
    all_ids, all_due = np.tile(ids, SUBSCRIBERS), np.tile(due_us, SUBSCRIBERS)
    count = np.zeros(SUBSCRIBERS, np.int64)
    record = {
        "id": "r1",
        "transport": transport,
        "subscribers": SUBSCRIBERS,
        "publish_rate": 4.0,
        **DEFAULTS,
        "unreported": [],
        "window_start_us": START_US,
        "window_end_us": END_US,
        "window_s": 5.0,
        "exit": "finished",
    }
    return Trial(
        record,
        deliveries={
            "subscriber": subscribers,
            "id": all_ids,
            "due_us": all_due,
            "accepted_us": all_due + 300,
            "received_us": all_due + 2000,
            "handled_us": all_due + 2100,
        },
        requests={
            "subscriber": subscribers,
            "sent_us": all_due - 1000,
            "received_us": all_due + 2000,
            "handled_us": all_due + 2100,
            "notifications": np.ones(len(subscribers), np.int64),
            "status": np.full(len(subscribers), 101 if transport == "websocket" else 200),
        },
        published={"id": ids, "due_us": due_us, "written_us": due_us + 100, "answered_us": due_us + 500},
        subscribers={
            "subscriber": np.arange(SUBSCRIBERS),
            "joined_id": count + 1,
            **{name: count.copy() for name in COUNTED},
            "requests": count + NOTIFICATIONS,
        },
        resources=[sample("window_start", START_US), sample("window_end", END_US)],
        pinning={"server": [0], "generator": [1]},
        measured={"arrival": "kernel", "cpu": "process clocks"},
    )


def sample(edge: str, at_us: int) -> dict[str, Any]:
    """What everybody had used by then: the generator a tenth of a core, the server's core half of it."""
    spent_us = at_us - START_US
    return {
        "edge": edge,
        "at_us": at_us,
        "monotonic_us": at_us - START_US + 7_000_000,
        "server": {"cpu_us": spent_us // 2},
        "generator": {"cpu_us": spent_us // 10, "waited_us": spent_us // 100},
        "cores": {"0": {"busy_us": spent_us // 2, "total_us": spent_us}},
    }


def lose_one(trial: Trial) -> None:
    keep = np.ones(len(trial.deliveries["id"]), bool)
    keep[30] = False
    trial.deliveries = {name: values[keep] for name, values in trial.deliveries.items()}


def across_a_link() -> Trial:
    """The good trial, 20 ms one way: 100 packets of 100 bytes each way passed the clients' interface."""
    trial = good_trial()
    asked = Link("constant", one_way_ms=20.0)
    trial.record |= asked._asdict()
    trial.link_check = {**asked._asdict(), "passed": True, "why": None}
    for name in ("deliveries", "requests"):
        for column in ("received_us", "handled_us"):
            getattr(trial, name)[column] += 20_000
    relay = {"forwarded": 200, "overflowed": 0, "unread": 0, "late_ms_p99": 0.2}
    trial.resources.insert(0, {**sample("empty", START_US - 1_000_000), "link": {"wire": passed(0)}})
    trial.resources[2]["link"] = {"wire": passed(50), "relay": relay}
    trial.resources.append({**sample("drained", END_US + 100_000), "link": {"wire": passed(100)}})
    counts = np.full(SUBSCRIBERS, 100 // SUBSCRIBERS)
    trial.subscribers |= {
        **{f"total_segments_{way}": counts for way in ("sent", "received")},
        **{f"total_bytes_{way}": 100 * counts for way in ("sent", "received")},
    }
    return trial


def passed(packets: int) -> dict[str, int]:
    """What the interface counted: IPv4, TCP and Ethernet headers are 66 bytes, and of a connection's first
    packet each way 74."""
    ways, count = ("sent", "received"), 166 * packets + (8 * SUBSCRIBERS if packets else 0)
    return {f"packets_{way}": packets for way in ways} | {f"bytes_{way}": count for way in ways}
