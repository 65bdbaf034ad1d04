"""Run directories without a run: a small queueing model of each transport writes what the harness would.

Rules: everything is drawn from a seed; costs are exact inputs (`COSTS`), so that a test knows what the
analysis must find; no process is started and no clock is read. Tests that need the real thing use the
golden run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.scenario.links import Link

STARTED_US = 1_763_874_000_000_000
EMPTY_SERVER_US_PER_SECOND = 500.0

# transport -> server model -> (CPU µs a delivery or answer, CPU µs an idle subscriber-second, kB a
# subscriber)
COSTS: dict[str, dict[str, tuple[float, float, float]]] = {
    "short-poll": {"gevent": (300.0, 300.0, 14.0), "gthread": (400.0, 400.0, 14.0)},
    "long-poll": {"gevent": (320.0, 13.0, 19.0), "gthread": (340.0, 14.0, 40.0)},
    "websocket": {"gevent": (32.0, 4.0, 39.0), "gthread": (100.0, 8.0, 60.0)},
}

# What TCP_INFO tells of one subscriber, and what then passes the clients' interface: TCP/IP's 52 bytes and
# Ethernet's 14 more for each packet.
WIRE = {
    "total_bytes_sent": 1_000,
    "total_bytes_received": 9_000,
    "total_segments_sent": 30,
    "total_segments_received": 30,
}
PASSED = {
    "bytes_sent": 1_000 + 30 * (52 + 14),
    "bytes_received": 9_000 + 30 * (52 + 14),
    "packets_sent": 30,
    "packets_received": 30,
}

UPGRADE = {
    "request": "GET /streams/main/websocket HTTP/1.1\r\nHost: x\r\n"
    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "request_bytes": 170,
    "response": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    "response_bytes": 129,
    "status": 101,
    "messages_sent": 20,
    "messages_received": 20,
    "same_connection": True,
    "websocket_round_trip_ms": [0.3, 0.4],
    "post_round_trip_ms": [0.9, 1.0],
}
AS_PRINTED = {
    "printed": {"request": "GET / HTTP/1.1", "status": 400, "response": "HTTP/1.1 400 Bad Request"},
    "completed": {"request": "GET / HTTP/1.1", "status": 101, "response": "HTTP/1.1 101 Switching Protocols"},
    "key_only": {"status": 426},
    "version_only": {"status": 400},
}


def cell(transport: str | None, **settings: Any) -> dict[str, Any]:
    """A cell's settings, the usual ones filled in."""
    usual = {
        "transport": transport,
        "system": "wirelab",
        "server_model": "gevent",
        "subscribers": 20 if transport else 0,
        "publish_rate": 4.0,
        "schedule": "poisson",
        "payload_bytes": 100,
        "poll_interval_s": 1.0,
        "wait_s": 25.0,
        "headers": "minimal",
        "connection": "kept",
        "permessage_deflate": False,
        "link": "constant" if settings.get("one_way_ms") else "loopback",
        "one_way_ms": 0.0,
        "jitter_ms": 0.0,
        "loss_percent": 0.0,
        "bandwidth_mbit": 0.0,
        "window_s": 5.0,
        "settle_s": 1.0,
        "memory": False,
    }
    return {**usual, **settings}


QUICK = [cell("short-poll"), cell("long-poll"), cell("websocket")]


def linked() -> list[dict[str, Any]]:
    """Two rates across two delays: long poll's answers are one transit late at the low one, two at the
    high."""
    return [
        cell(transport, one_way_ms=one_way_ms, publish_rate=rate)
        for transport in ("long-poll", "websocket")
        for one_way_ms in (25.0, 75.0)
        for rate in (0.5, 20.0)
    ]


def article() -> list[dict[str, Any]]:
    """Cells enough for every claim."""
    cells = linked()
    for model in ("gevent", "gthread"):
        cells.append(cell(None, server_model=model, publish_rate=0.0))
        cells.append(cell("short-poll", server_model=model, publish_rate=0.4))
        for transport in ("short-poll", "long-poll", "websocket"):
            cells.append(cell(transport, server_model=model))
            for subscribers in (200, 300, 400):
                idle = {"publish_rate": 0.0, "wait_s": 5.0, "subscribers": subscribers}
                cells.append(cell(transport, server_model=model, **idle))
    return cells


@dataclass
class Tables:
    """Columns of the run's Parquet files as they grow."""

    deliveries: list[dict[str, Any]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    published: list[dict[str, Any]] = field(default_factory=list)
    subscribers: list[dict[str, Any]] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)


def write_run(
    directory: Path,
    cells: list[dict[str, Any]] | None = None,
    *,
    name: str = "quick",
    repeats: int = 3,
    minimum_valid_trials: int | None = None,
    seed: int = 1,
    noise: float = 0.03,
    probes: dict[str, Any] | None = None,
) -> Path:
    """Write a run directory of the given cells and return it. `noise` is the spread of costs between
    trials."""
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    tables = Tables()
    trials = []
    order = 0
    for repeat in range(1, repeats + 1):
        for settings in QUICK if cells is None else cells:
            order += 1
            trials.append(_trial(settings, repeat=repeat, order=order, rng=rng, tables=tables, noise=noise))
    run = {
        "schema": 3,
        "id": f"{name}-20261123-083600",
        "command": f"wirelab bench {name}",
        "started_us": STARTED_US,
        "finished_us": STARTED_US + order * 10_000_000,
        "interrupted": False,
        "scenario": {
            "name": name,
            "question": "How late, and at what cost?",
            "toml": f'name = "{name}"\n',
            "seed": seed,
            "repeats": repeats,
            "minimum_valid_trials": repeats if minimum_valid_trials is None else minimum_valid_trials,
        },
        "machine": {
            "cpu_model": "A processor",
            "cores": 2,
            "memory_kb": 4_000_000,
            "kernel": "6.1",
            "system": "Linux",
        },
        "versions": {"python": "3.11.7", "flask": "3.1.3", "gunicorn": "27.0.1"},
        "commit": "0123456789abcdef",
        "dirty": False,
        "pinning": {"server": [0], "generator": [1]},
        "links": _links(trials),
        "systems_unavailable": {},
        "precedence": False,
        "measured": {"arrival": "kernel", "wire": "tcp_info", "memory": "pss"},
        "trials": trials,
        "probes": {"upgrade": UPGRADE, "as-printed": AS_PRINTED, "welcome": None}
        if probes is None
        else probes,
    }
    (directory / "run.json").write_text(json.dumps(run, indent=1))
    for table in ("deliveries", "requests", "published", "subscribers"):
        rows = getattr(tables, table)
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMAS[table]), directory / f"{table}.parquet")
    (directory / "resources.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tables.resources))
    (directory / "errors.jsonl").write_text("")
    return directory


def _links(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every link that a trial ran across, checked and found in order."""
    found: dict[str, dict[str, Any]] = {}
    for trial in trials:
        if trial["link"] != "loopback":
            link = {name: trial[name] for name in Link._fields}
            round_trip_ms = 2 * trial["one_way_ms"] + 0.3
            measured = {"round_trip_ms": round_trip_ms, "connect_ms": round_trip_ms + 0.1}
            measured |= {"lost_percent": 0.0, "round_trips": 200}
            found[json.dumps(link)] = {**link, **measured, "passed": True, "why": None}
    return list(found.values())


def _trial(
    settings: dict[str, Any],
    *,
    repeat: int,
    order: int,
    rng: np.random.Generator,
    tables: Tables,
    noise: float,
) -> dict[str, Any]:
    transport, model = settings["transport"], settings["server_model"]
    subscribers, rate, window_s = settings["subscribers"], settings["publish_rate"], settings["window_s"]
    served_by = "bare" if settings["system"] == "bare" else model
    label = f"{transport or 'none'}-{served_by}-{subscribers}x{rate:g}-T{settings['poll_interval_s']:g}"
    if settings["link"] != "loopback":
        label += f"-{settings['link']}-{settings['one_way_ms']:g}ms"
    trial = f"r{repeat}-{label}"
    joined_us = STARTED_US + order * 10_000_000
    start_us, end_us = joined_us + 1_000_000, joined_us + 1_000_000 + int(window_s * 1e6)
    drained_us = end_us + int(settings["poll_interval_s"] * 1e6) + 1_000_000
    due_us = _due(settings, joined_us, end_us, rng)
    busy_us, idle_us, memory_kb = COSTS[transport][model] if transport else (0.0, 0.0, 0.0)
    factor = float(rng.normal(1.0, noise))
    service_us = busy_us * factor
    for number, at in enumerate(due_us, start=1):
        row = {"id": number, "due_us": int(at), "written_us": int(at) + 50, "answered_us": int(at) + 400}
        tables.published.append({"trial": trial, **row})
    in_window = requests_in_window = 0
    for subscriber in range(subscribers):
        ticks, arrivals, brought = _client(
            settings,
            subscriber,
            due_us=due_us,
            joined_us=joined_us,
            drained_us=drained_us,
            service_us=service_us,
            rng=rng,
        )
        for number, arrived in enumerate(arrivals, start=1):
            tables.deliveries.append(
                {
                    "trial": trial,
                    "subscriber": subscriber,
                    "id": number,
                    "due_us": int(due_us[number - 1]),
                    "accepted_us": int(due_us[number - 1]) + 60,
                    "received_us": int(arrived),
                    "handled_us": int(arrived) + 100,
                }
            )
            in_window += start_us <= arrived < end_us
        for (sent, answered), count in zip(ticks, brought, strict=True):
            row = {"sent_us": int(sent), "received_us": int(answered), "handled_us": int(answered) + 100}
            tables.requests.append(
                {"trial": trial, "subscriber": subscriber, **row, "notifications": count, "status": 200}
            )
            requests_in_window += start_us <= answered < end_us
        tables.subscribers.append(
            {
                "trial": trial,
                "subscriber": subscriber,
                "joined_us": joined_us,
                "joined_id": 0,
                "final_id": len(due_us),
                **dict.fromkeys(
                    ("missed", "duplicates", "reordered", "lost", "epoch_changes", "reconnects"), 0
                ),
                "requests": len(ticks),
                "empty_responses": sum(count == 0 for count in brought),
                "skipped_ticks": 0,
                "window_bytes_sent": 1_000,
                "window_bytes_received": 9_000,
                "window_segments_sent": 30,
                "window_segments_received": 30,
                **WIRE,
            }
        )
    served = in_window if transport == "websocket" else requests_in_window
    cpu_us = EMPTY_SERVER_US_PER_SECOND * window_s + served * service_us
    if rate == 0:
        cpu_us = (EMPTY_SERVER_US_PER_SECOND + subscribers * idle_us * factor) * window_s
    pss_kb = 50_000 + memory_kb * factor * subscribers
    linked = subscribers if settings["link"] != "loopback" else 0
    _resources(tables, trial, (start_us, end_us), cpu_us=cpu_us, pss_kb=pss_kb, linked=linked)
    return {
        "id": trial,
        "repeat": repeat,
        "order": order,
        **settings,
        "window_start_us": start_us,
        "window_end_us": end_us,
        "valid": True,
        "why": [],
        "steady": True,
        "not_steady_why": [],
        "gates": {},
        "unreported": [],
        "exit": "finished",
    }


def _due(
    settings: dict[str, Any], joined_us: int, end_us: int, rng: np.random.Generator
) -> np.ndarray[Any, Any]:
    """Due times from join to the window's end; never fewer than one in the window where anything is
    published."""
    rate = settings["publish_rate"]
    if rate == 0:
        return np.array([], dtype=np.int64)
    length_s = (end_us - joined_us) / 1e6
    while True:
        count = rng.poisson(rate * length_s)
        due = np.sort(joined_us + rng.uniform(0, length_s * 1e6, count)).astype(np.int64)
        if count and due[-1] >= joined_us + 1_000_000:
            return due


def _client(
    settings: dict[str, Any],
    subscriber: int,
    *,
    due_us: np.ndarray[Any, Any],
    joined_us: int,
    drained_us: int,
    service_us: float,
    rng: np.random.Generator,
) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """One client: its requests (sent, answered), when each notification arrived, and what each answer
    brought.

    A long poll's place in the fan-out is worth half its service time: the other half is its next request's.
    """
    transit_us = int(settings["one_way_ms"] * 1000)
    place_us = int((subscriber + 1) * service_us)
    if settings["transport"] == "websocket":
        return [], [int(at) + place_us + transit_us for at in due_us], []
    if settings["transport"] == "short-poll":
        interval_us = settings["poll_interval_s"] * 1e6
        sent = np.arange(joined_us + rng.uniform(0, interval_us), drained_us, interval_us).astype(np.int64)
        found = np.searchsorted(due_us, sent + transit_us, side="right")
        brought = np.diff(found, prepend=0)
        answered = sent + int(service_us) + 2 * transit_us
        arrivals = np.repeat(answered, brought)
        return list(zip(sent.tolist(), answered.tolist(), strict=True)), arrivals.tolist(), brought.tolist()
    ticks, arrived, counts = [], [], []
    at, cursor = joined_us + int(rng.uniform(0, 1000)), 0
    wait_us, place_us = int(settings["wait_s"] * 1e6), place_us // 2
    while at < drained_us:
        if cursor < len(due_us) and due_us[cursor] <= at + wait_us:
            # Only those who wait stand in line: who comes to find news has it at once.
            answered = int(due_us[cursor]) + place_us if due_us[cursor] > at else at + int(service_us)
        else:
            answered = at + wait_us + int(service_us)
        last = int(np.searchsorted(due_us, answered, side="right"))
        counts.append(last - cursor)
        arrived.extend([answered + transit_us] * (last - cursor))
        ticks.append((at - transit_us, answered + transit_us))
        cursor, at = last, answered + 2 * transit_us + 300
    return ticks, arrived, counts


def _resources(
    tables: Tables,
    trial: str,
    window_us: tuple[int, int],
    *,
    cpu_us: float,
    pss_kb: float,
    linked: int,
) -> None:
    """Samples at the edges; `linked` is how many subscribers are across a link, whose relay keeps up."""
    relay = {"late_ms_p99": 0.3, "overflowed": 0, "unread": 0} if linked else None
    start_us, end_us = window_us
    elapsed_us = end_us - start_us
    for edge, at_us, used, pss in (
        ("empty", start_us - 900_000, 0.0, 48_000.0),
        ("warmed", start_us - 600_000, 0.0, 50_000.0),
        ("settled", start_us - 100_000, 0.0, pss_kb),
        ("window_start", start_us, 0.0, None),
        ("window_end", end_us, 1.0, None),
        ("drained", end_us + 100_000, 1.0, None),
    ):
        passed = linked if edge == "drained" else 0
        server: dict[str, Any] = {
            "cpu_us": 1_000_000 + cpu_us * used,
            "threads": 4,
            "file_descriptors": 40,
            "processes": 2,
        }
        if pss is not None:
            server["pss_kb"] = pss
        tables.resources.append(
            {
                "trial": trial,
                "at_us": at_us,
                "monotonic_us": at_us - STARTED_US,
                "edge": edge,
                "server": server,
                "generator": {"cpu_us": 200_000 + 0.3 * elapsed_us * used},
                "publisher": {"cpu_us": 10_000},
                "cores": {
                    "0": {"busy_us": 0.4 * elapsed_us * used, "total_us": elapsed_us * used},
                    "1": {"busy_us": 0.3 * elapsed_us * used, "total_us": elapsed_us * used},
                },
                "socket_memory_kb": None,
                "link": {"relay": relay, "wire": {name: count * passed for name, count in PASSED.items()}}
                if linked
                else None,
            }
        )


_INTEGERS = {
    "deliveries": ("subscriber", "id", "due_us", "accepted_us", "received_us", "handled_us"),
    "requests": ("subscriber", "sent_us", "received_us", "handled_us", "notifications", "status"),
    "published": ("id", "due_us", "written_us", "answered_us"),
    "subscribers": (
        "subscriber", "joined_us", "joined_id", "final_id", "missed", "duplicates", "reordered", "lost",
        "epoch_changes", "reconnects", "requests", "empty_responses", "skipped_ticks", "window_bytes_sent",
        "window_bytes_received", "window_segments_sent", "window_segments_received", *WIRE,
    ),
}  # fmt: skip
SCHEMAS = {
    name: pa.schema([("trial", pa.string()), *((column, pa.int64()) for column in columns)])
    for name, columns in _INTEGERS.items()
}


def change(directory: Path, table: str, rows: list[dict[str, Any]] | None = None, edit: Any = None) -> None:
    """Replace a Parquet file's rows, or pass its pandas frame through `edit`. For breaking a run on
    purpose."""
    path = directory / f"{table}.parquet"
    if edit is not None:
        frame = edit(pq.read_table(path).to_pandas())
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), path)
    else:
        pq.write_table(pa.Table.from_pylist(rows or [], schema=SCHEMAS[table]), path)


def change_run(directory: Path, edit: Any) -> None:
    """Pass run.json through `edit`, which changes it in place."""
    path = directory / "run.json"
    run = json.loads(path.read_text())
    edit(run)
    path.write_text(json.dumps(run))
