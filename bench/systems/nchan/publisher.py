"""Publishing to nchan: a message is one of our batches, made here.

nchan numbers nothing and knows no due times. So the publisher gives each notification its id, beginning
after the newest that the stream has, and each message is the batch in which wirelab would tell of it, byte
for byte.

Rules:
- One publisher a stream at a time: two would give the same ids.
- When the server accepted a notification nobody can know: `accepted_us` holds its due time, so that the
  bytes are there, and the system leaves it out of what it reports.
- nchan answers 201 where somebody was subscribed, else 202; both mean that the message is held. Answers
  come in the order of the publishes, and so do the ids.
"""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any, ClassVar

from clients.http_response import Response
from clients.publisher import Publisher
from clients.receiver import parse_batch
from clients.wire import Endpoint

EPOCH = "nchan000"
"""nchan's streams have no epoch. As long as wirelab's, so that cursors weigh the same."""
ASK_TIMEOUT_S = 10.0


def cursor_of(id_: int) -> str:
    """The cursor after a notification."""
    return f"{EPOCH}.{id_}"


def id_in(cursor: str) -> int:
    """The id before a cursor. Clients never look inside one; those of this folder are its makers."""
    return int(cursor.rpartition(".")[2])


def empty_batch(id_: int) -> bytes:
    """The batch that tells where a stream stands."""
    return f'{{"notifications":[],"cursor":"{cursor_of(id_)}","missed":0}}'.encode("ascii")


def prime(url: str, stream: str) -> None:
    """Make an empty batch the first message of a stream. Raises OSError if nobody answers."""
    _ask(url, "POST", f"/notifications?stream={stream}", empty_batch(0))


def newest_id(url: str, stream: str) -> int | None:
    """The newest notification of a stream; None if it has no message."""
    status, body = _ask(url, "GET", f"/short-poll?stream={stream}")
    return id_in(parse_batch(body).cursor) if status == 200 else None


def _ask(url: str, method: str, target: str, body: bytes | None = None) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    endpoint = Endpoint.of(url)
    connection = HTTPConnection(endpoint.host, endpoint.port, timeout=ASK_TIMEOUT_S)
    try:
        connection.request(method, target, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


class NchanPublisher(Publisher):
    """A publisher that numbers. The module's docstring has the rules."""

    good_statuses: ClassVar[frozenset[int]] = frozenset({201, 202})

    def __init__(self, url: str, stream: str, *, payload_bytes: int, seed: int = 0) -> None:
        """Connect. The stream is asked for its newest id with the first publish."""
        super().__init__(url, stream, payload_bytes=payload_bytes, seed=seed)
        self._url = url
        self._head = (
            f"POST /notifications?stream={stream} HTTP/1.1\r\n"
            f"Host: {self.endpoint.host_header}\r\nContent-Type: application/json\r\n"
        ).encode("ascii")
        self._newest: int | None = None
        self._answered = 0

    def _body(self, data: Any, due_us: int) -> bytes:
        if self._newest is None:
            newest = newest_id(self._url, self.stream)
            if newest is None:
                prime(self._url, self.stream)
            self._newest = self._answered = newest or 0
        self._newest += 1
        notification = {"id": self._newest, "due_us": due_us, "accepted_us": due_us, "data": data}
        batch = {"notifications": [notification], "cursor": cursor_of(self._newest), "missed": 0}
        return json.dumps(batch, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")

    def _told_id(self, response: Response) -> int:
        self._answered += 1
        return self._answered
