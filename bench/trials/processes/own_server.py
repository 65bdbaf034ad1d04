"""A server of our own for as long as it is needed, on a free port of this machine. The probes, `wirelab wire`
and the notebooks share it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.systems.registry import OURS
from bench.systems.system import Options, System
from bench.trials.processes.child import Child, ChildFailed

START_TIMEOUT_S = 30.0


@contextlib.contextmanager
def own_server() -> Iterator[str]:
    """Start our server, give its URL, and end it. Raises ChildFailed."""
    with tempfile.TemporaryDirectory(prefix="wirelab-") as scratch:
        command = OURS.command(Options(), Path(scratch))
        server = Child("server", command, errors=Path(scratch, "server.log"), core=None)
        try:
            yield url_of(OURS, server)
        finally:
            server.end()


def url_of(system: System, server: Child) -> str:
    """Wait until the server says that it is ready, and return its URL. Raises ChildFailed."""
    line = server.line(START_TIMEOUT_S)
    if (url := system.url(line)) is None:
        raise ChildFailed(f"the server said {line.strip()[:200]!r} where its URL was due")
    return url
