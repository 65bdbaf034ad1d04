"""The ways to start that gunicorn has: each is served or refused in a sentence."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from conftest import Server
from models import WITH_WORKERS
from processes import descendants
from raw import RawWebSocket, ask, publish, stats

pytestmark = pytest.mark.long

START_S = 30
OURS = ["-c", "python:servers.gunicorn_conf"]
ASGI = ["-k", "servers.asgi_server.worker.AsgiWorker", "--no-control-socket"]
PLAIN = ["servers.app:app()", "-k", "gevent", "--no-control-socket"]


def environ(model: str = "gevent", **more: str) -> dict[str, str]:
    return os.environ | {"WIRELAB_SERVER_MODEL": model, **more}


def gunicorn(*options: str, bind: str = "127.0.0.1:0", **more: str) -> subprocess.CompletedProcess[str]:
    """Start it where it is to be refused."""
    return subprocess.run(
        [sys.executable, "-m", "gunicorn", *options, "--bind", bind],
        capture_output=True,
        text=True,
        timeout=START_S,
        env=environ(**more),
        check=False,
    )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start gunicorn with our configuration where it is to be served."""
    started: list[subprocess.Popen[str]] = []

    def run(*options: str, model: str = "gevent") -> Server:
        log = tmp_path / "gunicorn.log"
        with log.open("w") as stderr:
            command = [sys.executable, "-m", "gunicorn", *OURS, "-b", "127.0.0.1:0", *options]
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, env=environ(model), text=True
            )
        started.append(process)
        assert process.stdout
        return Server(process, process.stdout.readline().split()[3], log)

    yield run
    for process in started:
        process.terminate()
        process.wait(START_S)
        assert process.stdout
        process.stdout.close()


EVERYWHERE = [
    (["--workers", "2"], "2 worker processes"),
    (["--reuse-port"], "--reuse-port"),
    (["--max-requests", "100"], "--max-requests"),
    (["--certfile", __file__, "--keyfile", __file__], "TLS"),
    (["--worker-class", "tornado"], "gevent or gthread"),
]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(([*OURS, *options], words) for options, words in EVERYWHERE if "tornado" not in options),
        *(([*PLAIN, *options], words) for options, words in EVERYWHERE if "tornado" not in options),
        ([*OURS, "--preload"], "--preload"),
        ([*PLAIN, "--preload"], "--preload"),
        (["servers.app:app()", "-k", "sync"], "gevent or gthread"),
        (["servers.app:app()"], "gevent or gthread"),
        (["servers.app:app()", *ASGI], "server model asgi alone"),
        (["servers.asgi_server.application:app()", *ASGI], "WIRELAB_SERVER_MODEL=asgi"),
        ([*OURS, "-k", "gthread"], "WIRELAB_SERVER_MODEL"),
        ([*OURS, "-k", "sync"], "gevent or gthread"),
        ([*OURS, "--proxy-protocol"], "--proxy-protocol"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_not_served_is_refused_in_a_sentence(options: list[str], words: str) -> None:
    result = gunicorn(*options)
    assert result.returncode != 0
    # Each worker of several says so.
    [said] = {line for line in result.stderr.splitlines() if line.startswith("wirelab: ")}
    assert words in said
    # gunicorn itself stumbles when a second worker gives up while it ends because of the first.
    assert "Traceback" not in result.stderr or options[-2:] == ["--workers", "2"]
    assert "serving on" not in result.stdout


@pytest.mark.parametrize("configuration", [OURS, PLAIN], ids=["ours", "plain"])
def test_unix_sockets_are_refused_in_a_sentence(configuration: list[str], tmp_path: Path) -> None:
    result = gunicorn(*configuration, bind=f"unix:{tmp_path}/socket")
    with closing(socket.socket(socket.AF_UNIX)) as inherited:
        inherited.bind(str(tmp_path / "inherited"))
        inherited.listen()
        by_number = subprocess.run(
            [sys.executable, "-m", "gunicorn", *configuration, "--bind", f"fd://{inherited.fileno()}"],
            capture_output=True,
            text=True,
            timeout=START_S,
            pass_fds=[inherited.fileno()],
            check=False,
        )
    for each in (result, by_number):
        assert each.returncode != 0
        assert "Unix socket" in each.stderr
        assert "Traceback" not in each.stderr


@pytest.mark.parametrize(
    "more", [{"WIRELAB_SERVER_MODEL": "fork"}, {"WIRELAB_MAX_SUBSCRIBERS": "many"}, {"WIRELAB_HANGUP": "no"}]
)
def test_settings_that_cannot_be_read_are_told_in_a_sentence(more: dict[str, str]) -> None:
    result = gunicorn(*OURS, **({"model": "gevent"} | more) if "WIRELAB_SERVER_MODEL" not in more else more)
    assert result.returncode != 0
    assert next(iter(more)) in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("model", WITH_WORKERS)
def test_a_second_master_is_refused_and_the_first_serves_on(start: Callable[..., Server], model: str) -> None:
    server = start(model=model)
    epoch = publish(server, "main", 1).json["cursor"].split(".")[0]
    with closing(RawWebSocket(server, "/streams/main/websocket")) as reader:
        reader.message()
        for number in (signal.SIGUSR2, signal.SIGTTIN):
            server.process.send_signal(number)
        until_said(server, "USR2")
        until_said(server, "2 worker processes")
        assert len(descendants(server.process.pid)) == 1
        publish(server, "main", 2)
        assert b'"data":2' in reader.message()
    assert stats(server, "main")["epoch"] == epoch


def until_said(server: Server, words: str) -> None:
    deadline = time.monotonic() + START_S
    while words not in server.log.read_text():
        assert time.monotonic() < deadline, server.log.read_text()
        time.sleep(0.02)


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return int(probe.getsockname()[1])


def test_a_second_master_is_refused_under_plain_gunicorn(tmp_path: Path) -> None:
    log = tmp_path / "gunicorn.log"
    # Started with -m, gunicorn does not find its own modules again; and it gives no inherited socket on.
    command = [
        Path(sys.executable).with_name("gunicorn"),
        *PLAIN,
        "--bind",
        f"127.0.0.1:{(port := free_port())}",
    ]
    with log.open("w") as stderr:
        process = subprocess.Popen(command, stderr=stderr, text=True)
    server = Server(process, f"http://127.0.0.1:{port}", log)
    try:
        until_said(server, "Booting worker")
        epoch = publish(server, "main", 1).json["cursor"].split(".")[0]
        process.send_signal(signal.SIGUSR2)
        until_said(server, "USR2 would start a second server")
        assert {publish(server, "main", 1).json["cursor"].split(".")[0] for _ in range(20)} == {epoch}
    finally:
        process.terminate()
        process.wait(START_S)


@pytest.mark.parametrize("options", [["--preload"], ["--reload"]], ids=" ".join)
def test_other_ways_are_served(start: Callable[..., Server], options: list[str]) -> None:
    server = start(*options, model="gthread")
    assert publish(server, "main", 1).status == 201
    with closing(RawWebSocket(server, "/streams/main/websocket")) as reader:
        reader.message()
        server.process.terminate()
        assert reader.close_event().code == 1001
    assert server.process.wait(START_S) == 0
    assert "Traceback" not in server.log.read_text()


def test_a_daemon_is_served(tmp_path: Path) -> None:
    port = free_port()
    pid_file = tmp_path / "pid"
    result = gunicorn(*OURS, "--daemon", "--pid", str(pid_file), bind=f"127.0.0.1:{port}")
    assert (result.returncode, result.stderr) == (0, "")
    deadline = time.monotonic() + START_S
    # Its address is all that is needed of the process.
    server = Server(None, f"http://127.0.0.1:{port}", tmp_path / "none")  # type: ignore[arg-type]
    try:
        while time.monotonic() < deadline:
            with suppress(OSError):
                assert publish(server, "main", 1).status == 201
                break
            time.sleep(0.05)
        assert ask(server, "GET", "/healthz").status == 200
    finally:
        os.kill(int(pid_file.read_text()), signal.SIGTERM)


@pytest.mark.parametrize("model", WITH_WORKERS)
def test_connections_beyond_the_descriptors_end_nothing(model: str, tmp_path: Path) -> None:
    """Threads that waited for silent connections took two descriptors, and the worker died at the limit."""
    log = tmp_path / "server.log"
    command = f"ulimit -n 300; exec {sys.executable} -m bench.cli serve --port 0 --server-model {model}"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            ["bash", "-c", command], stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=Path.cwd()
        )
    assert process.stdout
    server = Server(process, process.stdout.readline().split()[3], log)
    try:
        epoch = publish(server, "main", 1).json["cursor"].split(".")[0]
        with ExitStack() as stack:
            for _ in range(140):
                stack.enter_context(closing(RawWebSocket(server, "/streams/main/websocket")))
            assert ask(server, "GET", "/streams/main/long-poll").status == 503
            for _ in range(300):
                stack.enter_context(closing(socket.create_connection(server.address)))
            assert ask(server, "GET", "/healthz").status == 200
            assert stats(server, "main")["epoch"] == epoch
            assert stats(server, "main")["transports"]["websocket"]["subscribers"] == 140
        assert "Traceback" not in log.read_text()
    finally:
        process.terminate()
        process.wait(START_S)
        process.stdout.close()


def test_a_gunicorn_of_ones_own_keeps_within_the_descriptors_too() -> None:
    command = f"ulimit -n 300; exec timeout 3 {sys.executable} -m gunicorn {' '.join(OURS)} -b 127.0.0.1:0"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=30)
    assert "2000 subscribers need 2160 file descriptors, but the hard limit is 300" in result.stderr
    assert "serving 140" in result.stderr
    assert "serving on" in result.stdout
