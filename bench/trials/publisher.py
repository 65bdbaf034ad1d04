"""The publisher of one trial, a process of its own: it shares no interpreter with the subscribers.

It is told its work in JSON lines on stdin, the settings first, and answers in JSON lines on stdout:

    {"do":"publish","start_s":…,"window_s":…,"end_s":…}
                           → {"event":"published","last_id":…,"error":…|null,"stalls_ms":{…}}
    {"do":"stop"}                            → {"event":"stopped"}, and the raw columns are on disk

Moments are of the monotonic clock, which is the same in all processes. It publishes from `start_s` on, and
tells for how long it stood still, at the most and in all, from `window_s` until all is answered
(`bench.trials.processes.heartbeat`).

`published.i64` holds rows of id, due, written, answered; -1 stands for what never came. The schedule is open
and drawn from the seed, which the harness makes the same for every transport of a repeat, so that they are
all told of the same news. It takes precedence (see `bench.trials.processes.launch`): it makes only a few
system calls a second, and a busy load generator on the same core would delay it by some milliseconds. If the
system does not allow precedence, the gate on its lateness decides. When stdin ends, the harness is gone: this
process ends too.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from array import array
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.rundir.schema import NEVER
from bench.systems.registry import SYSTEMS
from bench.trials.processes.child import say
from bench.trials.processes.heartbeat import Heartbeat
from clients.errors import ClientError
from clients.publisher import Publisher, schedule

ANSWER_TIMEOUT_S = 20.0
READ_BYTES = 4096


def publish(publisher: Publisher, settings: dict[str, Any], start_s: float, end_s: float) -> dict[str, Any]:
    """Publish from `start_s` until `end_s` and wait for the answers. Returns what to tell the harness."""
    time.sleep(max(0.0, start_s - time.monotonic()))
    error = None
    try:
        offsets_s = schedule(settings["schedule"], settings["publish_rate"], settings["seed"])
        publisher.run(offsets_s, stop=threading.Event(), seconds=end_s - start_s)
        if not publisher.drain():
            error = "some publishes were never answered"
    except ClientError as failure:
        error = str(failure)
    last_id = max((record.id for record in publisher.records if record.id is not None), default=None)
    return {"event": "published", "last_id": last_id, "error": error}


def await_acceptance(url: str) -> None:
    """Return when the server has accepted the publisher's connection, so that its descriptor and memory are
    in the sample of the empty server.

    A server accepts connections in their order, so one answer on a later connection tells it, whatever the
    answer is. The server has ended that connection when this returns, but may hold it for a moment longer
    (RFC 9112, section 9.6). Raises OSError if no answer comes."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), ANSWER_TIMEOUT_S) as later:
        later.sendall(
            f"GET /healthz HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode("ascii")
        )
        while later.recv(READ_BYTES):
            pass


def write(publisher: Publisher, path: Path) -> None:
    """Write one row for each notification that was written."""
    rows = array("q")
    for record in publisher.records:
        if record.written_us is not None:
            fields = (record.id, record.due_us, record.written_us, record.answered_us)
            rows.extend(NEVER if field is None else field for field in fields)
    with path.open("wb") as file:
        rows.tofile(file)


def main() -> int:
    """Do as the harness says until it says stop or is gone."""
    settings = json.loads(sys.stdin.readline())
    publisher = SYSTEMS[settings["system"]].publisher(
        settings["url"], settings["stream"], settings["payload_bytes"]
    )
    await_acceptance(settings["url"])
    say({"event": "ready"})
    heartbeat = Heartbeat()
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "stop":
            write(publisher, Path(settings["directory"]) / "published.i64")
            publisher.close()
            say({"event": "stopped"})
            return 0
        heartbeat.watch(order["window_s"])
        told = publish(publisher, settings, order["start_s"], order["end_s"])
        say({**told, "stalls_ms": {"publisher": heartbeat.tell()}})
    return 1


if __name__ == "__main__":
    sys.exit(main())
