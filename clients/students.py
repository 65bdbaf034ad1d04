"""Simulated students, for a rehearsal: `python -m clients.students URL COUNT PARENT`.

Each follows the race by the transport that it is dealt and reports its latencies, as a student's browser
does, and some draw on the whiteboard now and then. All are threads of this one process, which ends when
PARENT does. Where the server is in LAN mode they bear the teacher's token (`WIRELAB_TEACHER_TOKEN`): they
share one address, and the limits are for one student each.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import random
import secrets
import sys
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from clients import TRANSPORTS
from clients.errors import ClientError
from clients.subscriber import Subscriber

REPORT_EVERY_S = 2.0
MAX_LATENCIES = 100
DRAW_EVERY_S = 15.0
BOARD_ACROSS = 10_000
LOOK_S = 0.5


class Student(threading.Thread):
    """One simulated student."""

    def __init__(self, url: str, cookie: str, over: threading.Event) -> None:
        super().__init__(daemon=True, name="student")
        self._url = url
        self._headers = {"Content-Type": "application/json"} | ({"Cookie": cookie} if cookie else {})
        self._over = over
        self._word = f"simulated-{secrets.token_hex(8)}"
        self._reports = 0
        self._latencies_ms: list[float] = []
        self._lock = threading.Lock()
        self._subscriber: Subscriber | None = None

    def run(self) -> None:
        """Report until it is over; what fails is tried again at the next report."""
        self._over.wait(random.uniform(0, REPORT_EVERY_S))
        draw_at = time.monotonic() + random.uniform(1, DRAW_EVERY_S)
        while not self._over.is_set():
            try:
                self._follow(self._report()["transport"])
                if time.monotonic() > draw_at:
                    draw_at = time.monotonic() + random.expovariate(1 / DRAW_EVERY_S)
                    self._scribble()
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                pass
            self._over.wait(REPORT_EVERY_S)
        if self._subscriber:
            self._subscriber.close()

    def _report(self) -> dict[str, Any]:
        with self._lock:
            latencies = self._latencies_ms[:MAX_LATENCIES]
            self._latencies_ms = self._latencies_ms[MAX_LATENCIES:]
        self._reports += 1
        report: dict[str, Any] = {"student": self._word, "report": self._reports, "simulated": True}
        if self._subscriber:
            receiver = self._subscriber.receiver
            report |= {
                "transport": self._subscriber.transport,
                "latencies_ms": latencies,
                "clock_error_ms": 0,
                "missed": receiver.missed,
                "lost": receiver.lost,
                "duplicates": receiver.duplicates,
            }
        answer: dict[str, Any] = self._post("/class/report", report)
        return answer

    def _follow(self, transport: str) -> None:
        if self._subscriber and self._subscriber.transport == transport:
            return
        if self._subscriber:
            self._subscriber.close()
        with self._lock:
            self._latencies_ms = []
        subscriber = self._subscriber = TRANSPORTS[transport](self._url, "race")
        threading.Thread(target=self._take, args=(subscriber,), daemon=True).start()

    def _take(self, subscriber: Subscriber) -> None:
        try:
            for delivery in subscriber:
                with self._lock:
                    self._latencies_ms.append((delivery.received_us - delivery.due_us) / 1000)
        except ClientError:
            if self._subscriber is subscriber:
                self._subscriber = None

    def _scribble(self) -> None:
        """A small spiral somewhere on the whiteboard."""
        x, y, turns = random.uniform(0.1, 0.9), random.uniform(0.1, 0.9), random.uniform(1, 3)
        points = []
        for step in range(40):
            angle, radius = step / 40 * turns * math.tau, step / 40 * 0.06
            points.append(round(BOARD_ACROSS * (x + math.cos(angle) * radius)))
            points.append(round(BOARD_ACROSS * (y + math.sin(angle) * radius * 16 / 9)))
        data = {"by": self._word, "piece": 1, "points": points, "width": 3, "pen": random.randrange(6)}
        self._post("/streams/whiteboard/notifications", {"data": data})

    def _post(self, path: str, value: dict[str, Any]) -> Any:
        parts = urlsplit(self._url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        try:
            connection.request("POST", path, json.dumps(value), self._headers)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()


def main(arguments: list[str]) -> None:
    """Let them join when the server answers, and go when their parent has gone."""
    url, count, parent = arguments[0], int(arguments[1]), int(arguments[2])
    token = os.environ.get("WIRELAB_TEACHER_TOKEN")
    over = threading.Event()
    for _ in range(count):
        Student(url, f"wirelab_teacher={token}" if token else "", over).start()
    try:
        while os.getppid() == parent:
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        pass
    over.set()


if __name__ == "__main__":
    main(sys.argv[1:])
