"""Fixtures: a real server, on a free port, that is ended whatever happens."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

START_S = 30.0
STOP_S = 15.0


@dataclass
class Server:
    """A running `wirelab serve`. What it prints on stderr is in `log`."""

    process: subprocess.Popen[str]
    url: str
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname and parts.port
        return parts.hostname, parts.port


def start_server(log: Path, *options: str) -> Server:
    """Start `wirelab serve` on a free port and wait until it says that it serves."""
    command = [sys.executable, "-m", "bench.cli", "serve", "--port", "0", *options]
    with log.open("w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
    assert process.stdout
    line = process.stdout.readline()
    if not line.startswith("wirelab: serving on "):
        process.kill()
        process.wait()
        process.stdout.close()
        pytest.fail(f"the server did not start: {line!r}\n{log.read_text()}")
    return Server(process, line.split()[3], log)


def stop_server(server: Server) -> None:
    """End it as an operator would, and by force where that does not help."""
    server.process.terminate()
    deadline = time.monotonic() + STOP_S
    while server.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    server.process.kill()
    server.process.wait()
    assert server.process.stdout
    server.process.stdout.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers with options of the test's own."""
    started: list[Server] = []

    def start(*options: str) -> Server:
        started.append(start_server(tmp_path / f"server-{len(started)}.log", *options))
        return started[-1]

    yield start
    for server in started:
        stop_server(server)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One gevent server for the whole session: use streams of names that no other test uses."""
    started = start_server(tmp_path_factory.mktemp("server") / "server.log")
    yield started
    stop_server(started)


@pytest.fixture(scope="session", params=["gevent", "gthread"])
def any_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of each model in turn, shared as `server` is."""
    log = tmp_path_factory.mktemp(request.param) / "server.log"
    started = start_server(log, "--server-model", request.param)
    yield started
    stop_server(started)
