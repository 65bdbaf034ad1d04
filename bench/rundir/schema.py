"""The run directory's form: the only contract between measuring and analysis.

    run.json             scenario, machine, versions; each trial's settings, window, gates and validity
    deliveries.parquet   every delivery, from join to drain
    requests.parquet     every HTTP request and its answer (for a WebSocket: its handshake)
    published.parquet    every notification that the publisher wrote
    subscribers.parquet  one row a subscriber
    resources.jsonl      one object a sample
    errors.jsonl         one object an error

Rules:
- Each column is named here once. Times are integer microseconds of Unix time. What was not measured is null,
  never 0.

Schema versions:
1. The first.
2. Links (`links`, and their fields in each trial), and what each subscriber put on the wire from its first
   connection until everything had been drained (`total_…`).
3. Each trial names all its settings, and what was `implementation` is `system`; also what its system does not
   tell (`unreported`), and which systems could not run (`systems_unavailable`).
   Later runs also have what older ones of this version lack, and who reads a run copes without it:
   `environment`, what its processes were started in (`bench/trials/processes/surroundings.py`); each trial's
   `stalls_ms`, for how long each process of the laboratory stood still; in samples, `irq_us` and
   `steal_us` of each core, and its `busy_us` without stolen time.

Older versions are read as the newest: `bench/rundir/migrate.py`.
"""

from __future__ import annotations

import re

import pyarrow as pa

SCHEMA = 3
"""The version that is written, and the newest that is read."""
NEVER = -1
"""In the raw rows of a trial: what never came. It is null in the run's files."""

LINES = ("resources", "errors")
"""The files of JSON lines."""

FILES = (
    "run.json",
    "deliveries.parquet",
    "requests.parquet",
    "published.parquet",
    "subscribers.parquet",
    "resources.jsonl",
    "errors.jsonl",
)
"""All files of a finished run."""

INTEGERS: dict[str, tuple[str, ...]] = {
    "deliveries": ("id", "due_us", "accepted_us", "received_us", "handled_us"),
    "requests": ("sent_us", "received_us", "handled_us", "notifications", "status"),
    "published": ("id", "due_us", "written_us", "answered_us"),
    "subscribers": (
        "joined_us",
        "joined_id",
        "final_id",
        "missed",
        "duplicates",
        "reordered",
        "lost",
        "epoch_changes",
        "reconnects",
        "requests",
        "empty_responses",
        "skipped_ticks",
        "window_bytes_sent",
        "window_bytes_received",
        "window_segments_sent",
        "window_segments_received",
        "total_bytes_sent",
        "total_bytes_received",
        "total_segments_sent",
        "total_segments_received",
    ),
}
RAW = {
    "deliveries": ("subscriber", *INTEGERS["deliveries"]),
    "requests": ("subscriber", *INTEGERS["requests"]),
    "published": INTEGERS["published"],
}
"""The columns of the raw rows that a trial's load generator and publisher write, as 64-bit integers."""
_TRIAL = pa.field("trial", pa.dictionary(pa.int32(), pa.string()))
_SUBSCRIBER = pa.field("subscriber", pa.int32())
SCHEMAS = {
    name: pa.schema(
        [
            _TRIAL,
            *([_SUBSCRIBER] if name != "published" else []),
            *(pa.field(key, pa.int64()) for key in keys),
        ]
    )
    for name, keys in INTEGERS.items()
}
"""The columns of each Parquet file."""

OPTIONAL = re.compile(r"lost|empty_responses|skipped_ticks|(window|total)_.*")
"""Columns without which a run can be analysed: those of schema 1 have no totals."""
REQUIRED = {
    name: [column for column in schema.names if not OPTIONAL.fullmatch(column)]
    for name, schema in SCHEMAS.items()
}
"""The columns of each file without which a run cannot be analysed."""
