"""The stock server as a system; the application itself is `bench/systems/stock/app.py`.

It is started as gunicorn's documentation does it, with the options below, and `gunicorn_conf.py` besides.

Rules:
- An option is given only if its default would break a run, and why stands beside it. All others are
  gunicorn's.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

from bench.systems.system import Options, System
from clients.long_poll import LongPollSubscriber
from clients.short_poll import ShortPollSubscriber
from clients.sse import SseSubscriber
from clients.websocket import WebSocketSubscriber

KEEP_ALIVE_S = 75


class Stock(System):
    """What the documentation gives to who follows it: what wirelab tunes is measured against it."""

    name = "stock"
    label = "stock Flask"
    server_models = ("gevent", "gthread")
    transports: ClassVar = {
        "short-poll": ShortPollSubscriber,
        "long-poll": LongPollSubscriber,
        "sse": SseSubscriber,
        "websocket": WebSocketSubscriber,
    }

    def command(self, options: Options, scratch: Path) -> list[str]:
        """On a free port, which `gunicorn_conf.py` names. It compresses for every client that offers it, and
        only those offer it of which a scenario asks it."""
        server_model = options.server_model or self.server_models[0]
        given = {
            "--bind": f"{options.host}:0",
            "--worker-class": server_model,
            # 1,000 by default: the 1,001st client would hang without an answer. As many again for short
            # polls, whose connections stay open beside.
            "--worker-connections": 2 * options.max_subscribers,
            # 2 s by default: a client that polls every 3 s would make a new connection each time.
            "--keep-alive": KEEP_ALIVE_S,
            "--env": f"PING_INTERVAL_S={options.ping_interval_s}",
        }
        if server_model == "gthread":
            # 1 by default: the second waiting client would hang without an answer.
            given["--threads"] = options.max_subscribers
        command = [sys.executable, "-m", "gunicorn", "-c", "python:bench.systems.stock.gunicorn_conf"]
        command += [str(part) for option in given.items() for part in option]
        return [*command, "bench.systems.stock.app:app"]
