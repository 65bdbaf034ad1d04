"""The same transports as Flask's and flask-sock's documentation writes them: a loop and a send for each
connection, JSON by `jsonify`, the usual request objects and sessions.

It speaks the batches of README's "By hand", so our clients follow it. Beyond that it has what those pages
have, and not what wirelab adds: no answer is shared, each client's batch is encoded for it alone.

What is not as there, or may surprise:
- JSON is as Flask and `json.dumps` write it by default: members sorted and a newline at the end of polls,
  spaces in messages. So a batch has a few bytes more than wirelab's.
- The documentation has no page on long polling. Waiting is as Python's own threading.Condition shows it.
- A loop that waits for news wakes now and then (`PING_INTERVAL_S`) to see whether its client is still there.
- There are no limits: of streams, of clients, of a request's size, of how long a reader may take nothing.
  Of each stream the newest LOG notifications are kept, and a gap is told. It is for a benchmark, and for
  nothing else.
- simple-websocket's `send` ignores how much the socket took. With gevent a message larger than what a
  socket's buffer has room for is cut; with payloads of a few kilobytes that does not happen.
"""

from __future__ import annotations

import json
import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, jsonify, request
from flask_sock import Sock
from simple_websocket import Server

LOG = 10_000
EPOCH = secrets.token_hex(4)
PING_INTERVAL_S = float(os.environ.get("PING_INTERVAL_S", "25"))

app = Flask(__name__)
app.config["SOCK_SERVER_OPTIONS"] = {"ping_interval": PING_INTERVAL_S}
sock = Sock(app)


class Stream:
    """The newest notifications, and who waits for more (docs.python.org, library/threading, "Condition
    objects")."""

    def __init__(self) -> None:
        self.newest = 0
        self._held: deque[dict[str, Any]] = deque(maxlen=LOG)
        self._news = threading.Condition()

    def publish(self, data: Any, due_us: int | None) -> int:
        """Add one, wake everybody, and return its id."""
        accepted_us = time.time_ns() // 1000
        with self._news:
            self.newest += 1
            notification = {
                "id": self.newest,
                "due_us": accepted_us if due_us is None else due_us,
                "accepted_us": accepted_us,
                "data": data,
            }
            self._held.append(notification)
            self._news.notify_all()
            return self.newest

    def after(self, seen: int, wait_s: float = 0.0) -> tuple[list[dict[str, Any]], int]:
        """What came after `seen`, waited for if there is nothing yet, and how many of them are not held any
        more."""
        with self._news:
            self._news.wait_for(lambda: self.newest > seen, wait_s)
            missed = max(0, self.newest - len(self._held) - seen)
            start = len(self._held) - (self.newest - seen - missed)
            return [self._held[index] for index in range(start, len(self._held))], missed


streams: dict[str, Stream] = {}


class Reader:
    """One client's way through a stream."""

    def __init__(self, name: str, after: str | None) -> None:
        """From the cursor `after` on, or from now on. A cursor of an earlier process gets all there is."""
        self.stream = streams.setdefault(name, Stream())
        epoch, _, seen = (after or f"{EPOCH}.{self.stream.newest}").partition(".")
        self.knows_us = epoch == EPOCH
        self.seen = int(seen) if self.knows_us else 0

    def batch(self, wait_s: float = 0.0) -> dict[str, Any]:
        """The next batch. To a cursor that does not know us it comes at once."""
        notifications, missed = self.stream.after(self.seen, wait_s if self.knows_us else 0.0)
        if notifications:
            self.seen = notifications[-1]["id"]
        told = missed if self.knows_us else None
        self.knows_us = True
        return {"notifications": notifications, "cursor": f"{EPOCH}.{self.seen}", "missed": told}


@app.post("/streams/<name>/notifications")
def publish(name: str) -> tuple[dict[str, Any], int]:
    """Add a notification (flask.palletsprojects.com, Quickstart, "APIs with JSON")."""
    told = request.get_json()
    id_ = streams.setdefault(name, Stream()).publish(told["data"], told.get("due_us"))
    return {"id": id_, "cursor": f"{EPOCH}.{id_}"}, 201


@app.get("/streams/<name>/short-poll")
def short_poll(name: str) -> Response:
    """A batch at once (Flask, Quickstart, "APIs with JSON")."""
    return jsonify(Reader(name, request.args.get("after")).batch())


@app.get("/streams/<name>/long-poll")
def long_poll(name: str) -> Response:
    """A batch as soon as there is news: the same, with a wait before it."""
    wait_s = request.args.get("wait", 25.0, type=float)
    return jsonify(Reader(name, request.args.get("after")).batch(wait_s))


@app.get("/streams/<name>/sse")
def sse(name: str) -> Response:
    """An event a batch (Flask, Patterns, "Streaming Contents")."""
    reader = Reader(name, request.headers.get("Last-Event-ID") or request.args.get("after"))

    def generate() -> Iterator[str]:
        batch = reader.batch()
        while True:
            yield f"id: {batch['cursor']}\ndata: {json.dumps(batch)}\n\n"
            while not (batch := reader.batch(PING_INTERVAL_S))["notifications"]:
                yield ": nothing new\n\n"

    return Response(generate(), mimetype="text/event-stream")


@sock.route("/streams/<name>/websocket")
def websocket(ws: Server, name: str) -> None:
    """A message a batch (flask-sock.readthedocs.io, Quickstart; its SOCK_SERVER_OPTIONS has the pings)."""
    reader = Reader(name, request.args.get("after"))
    batch = reader.batch()
    while True:
        ws.send(json.dumps(batch))
        while not (batch := reader.batch(PING_INTERVAL_S))["notifications"]:
            if not ws.connected:
                return
