"""Every way in which a server can end: its clients are told, and nothing of it is left."""

import os
import pty
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from conftest import Server
from models import MODELS, WITH_WORKERS
from processes import all_gone, descendants
from raw import Answer, RawWebSocket, ask, publish, stats
from waiting import until

pytestmark = pytest.mark.long

GONE_S = 6.0
"""A second until the loss is seen, three to say goodbye, and what a busy machine takes."""


def refuses(server: Server) -> bool:
    """Whether nobody listens there any more."""
    try:
        socket.create_connection(server.address, timeout=1).close()
    except OSError:
        return True
    return False


def is_bound_by_nobody(server: Server) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(server.address)
            probe.listen()
        except OSError:
            return False
        return True


class Clients:
    """An open WebSocket, an open echo and a held poll."""

    def __init__(self, server: Server) -> None:
        self.websockets = [RawWebSocket(server, path) for path in ["/streams/main/websocket", "/echo"]]
        self.answers: list[Answer] = []
        self._poll = threading.Thread(target=self._hold, args=(server,))
        self._poll.start()
        until(lambda: stats(server, "main")["transports"]["long-poll"]["subscribers"] == 1, 15)

    def _hold(self, server: Server) -> None:
        with suppress(OSError):
            self.answers.append(ask(server, "GET", "/streams/main/long-poll?wait=60"))

    def are_told(self) -> bool:
        """Whether each was told that the server goes."""
        codes = [each.close_event().code for each in self.websockets]
        self._poll.join()
        return codes == [1001, 1001] and [each.status for each in self.answers] == [200]

    def close(self) -> None:
        for each in self.websockets:
            each.close()


@pytest.mark.parametrize("model", WITH_WORKERS)
def test_a_lost_master_ends_the_server_though_clients_are_on(
    serve: Callable[..., Server], model: str
) -> None:
    """All are told, and nobody is waited for: neither who does not answer nor who has sent half a request."""
    server = serve("--server-model", model)
    processes = list(descendants(server.process.pid))
    assert processes
    with ExitStack() as stack:
        clients = stack.enter_context(closing(Clients(server)))
        half_sent = stack.enter_context(closing(socket.create_connection(server.address)))
        half_sent.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
        server.process.kill()
        server.process.wait()
        assert clients.are_told()
        until(lambda: refuses(server), 15)
        assert all_gone(processes, GONE_S), "clients are still on"
    until(lambda: is_bound_by_nobody(server), 15)


@pytest.mark.parametrize("model", WITH_WORKERS)
def test_a_lost_master_ends_a_server_without_clients_and_without_a_traceback(
    serve: Callable[..., Server], model: str
) -> None:
    server = serve("--server-model", model)
    processes = list(descendants(server.process.pid))
    server.process.kill()
    server.process.wait()
    assert all_gone(processes, GONE_S)
    log = server.log.read_text()
    assert "the master process has gone; ending" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("model", MODELS)
def test_a_hangup_ends_what_serve_started(serve: Callable[..., Server], model: str) -> None:
    server = serve("--server-model", model)
    processes = list(descendants(server.process.pid))
    with closing(Clients(server)) as clients:
        server.process.send_signal(signal.SIGHUP)
        assert clients.are_told()
    assert server.process.wait(15) == 0
    assert all_gone(processes)


@pytest.fixture
def terminal() -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], int]]]:
    """Start a command on a terminal of its own; gives the process and the terminal's other end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> tuple[subprocess.Popen[bytes], int]:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            # `setsid -c` makes the terminal the controlling one, whose closing tells every process on it.
            ["setsid", "--ctty", *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        started.append(process)
        return process, ours

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.mark.parametrize("options", [["--lan"], ["--server-model", "gthread"]])
def test_a_closed_terminal_ends_the_demo(
    terminal: Callable[..., tuple[subprocess.Popen[bytes], int]], options: list[str]
) -> None:
    process, ours = terminal(sys.executable, "-m", "bench.cli", "demo", "--port", "0", *options)
    printed = b""
    while b"serving on" not in printed:
        printed += os.read(ours, 4096)
    until(lambda: len(descendants(process.pid)) >= 1, 15)
    processes = [process.pid, *descendants(process.pid)]
    os.close(ours)
    process.wait(15)
    assert all_gone(processes)


@pytest.mark.parametrize("model", MODELS)
def test_under_nohup_it_stays(tmp_path: Path, model: str) -> None:
    """Who starts it so means it to outlive the terminal; a reload would wipe its logs."""
    command = ["nohup", sys.executable, "-m", "bench.cli", "serve", "--port", "0", "--server-model", model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = process.stdout.readline().split()[3]
        server = Server(process, url, tmp_path / "none")
        epoch = publish(server, "main", 1).json["cursor"].split(".")[0]
        for pid in [process.pid, *descendants(process.pid)]:
            os.kill(pid, signal.SIGHUP)
        time.sleep(0.5)
        assert stats(server, "main")["epoch"] == epoch
        process.terminate()


@pytest.mark.parametrize("model", WITH_WORKERS)
def test_a_hangup_is_a_reload_under_a_gunicorn_of_ones_own(tmp_path: Path, model: str) -> None:
    command = [sys.executable, "-m", "gunicorn", "-c", "python:servers.gunicorn_conf", "-b", "127.0.0.1:0"]
    environ = os.environ | {"WIRELAB_SERVER_MODEL": model}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, text=True) as process:
        assert process.stdout
        server = Server(process, process.stdout.readline().split()[3], tmp_path / "none")
        epoch = publish(server, "main", 1).json["cursor"].split(".")[0]
        with closing(Clients(server)) as clients:
            process.send_signal(signal.SIGHUP)
            assert clients.are_told()

        def is_another() -> bool:
            with suppress(OSError, KeyError, ValueError):
                return bool(publish(server, "main", 2).json["cursor"].split(".")[0] != epoch)
            return False

        until(is_another, 15)
        process.terminate()
        assert process.wait(15) == 0
