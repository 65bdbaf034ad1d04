"""Our own server: the one place that starts `wirelab serve`."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.systems.system import Options, System
from clients import TRANSPORTS
from servers.models import SERVER_MODELS


class Wirelab(System):
    """The server of servers/: on gunicorn, or by itself."""

    name = "wirelab"
    label = "wirelab"
    server_models = tuple(SERVER_MODELS)
    uncompressed = tuple(name for name, model in SERVER_MODELS.items() if not model.can_compress)
    transports = TRANSPORTS
    ours = True
    judged = ("gevent", "gthread")
    noise_floor = ("asyncio",)

    def command(self, options: Options, scratch: Path) -> list[str]:
        """On a free port, which it names."""
        server_model = options.server_model or self.server_models[0]
        command = [sys.executable, "-m", "bench.cli", "serve", "--server-model", server_model]
        return [*command, *options.words()]
