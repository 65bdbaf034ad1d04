"""`wirelab serve` as an operator meets it, and plain gunicorn beside it."""

import errno
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from conftest import Server
from models import MODELS, WITH_PAGES
from raw import ask, publish, stats

from servers.thread_worker import ThreadWorker

START_S = 30


def run(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        capture_output=True,
        text=True,
        timeout=START_S,
        env=os.environ | environ,
        check=False,
    )


@pytest.mark.parametrize("model", MODELS)
def test_prints_exactly_one_line_when_it_answers(serve: Callable[..., Server], model: str) -> None:
    command = [sys.executable, "-m", "bench.cli", "serve", "--port", "0", "--server-model", model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        line = process.stdout.readline()
        match = re.fullmatch(rf"wirelab: serving on http://127\.0\.0\.1:(\d+) \({model}\)\n", line)
        assert match, line
        server = Server(process, f"http://127.0.0.1:{match[1]}", Path(os.devnull))
        assert ask(server, "GET", "/healthz").status == 200
        process.terminate()
        assert (process.stdout.read(), process.stderr.read()) == ("", "")
        assert process.wait() == 0


def test_a_taken_port_is_told_in_one_sentence(server: Server) -> None:
    result = run("bench.cli", "serve", "--port", str(server.address[1]))
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "--port" in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--max-subscribers", "0"], "max_subscribers must be at least 1"),
        (["--ping-interval-s", "nan"], "ping_interval_s must be at least"),
        (["--max-log-bytes", "1000"], "max_notification_bytes must not exceed max_log_bytes"),
        (["--max-unaccepted-bytes", "1000000"], "max_unaccepted_bytes must be at least 16777216"),
        (["--port", "http"], "a port is 0 to 65535, not http"),
        (["--server-model", "fork"], "gevent"),
        (["--server-model", "asyncio", "--permessage-deflate"], "asyncio offers no permessage-deflate"),
        (["--server-model", "asgi", "--permessage-deflate"], "asgi offers no permessage-deflate"),
    ],
)
def test_bad_options_are_told(options: list[str], words: str) -> None:
    result = run("bench.cli", "serve", *options)
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_too_few_file_descriptors_are_told() -> None:
    command = "ulimit -n 300; exec timeout 5 " + sys.executable + " -m bench.cli serve --port 0"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=30)
    sentence = "2000 subscribers need 2160 file descriptors, but the hard limit is 300: serving 140"
    assert sentence in result.stderr
    assert "serving on" in result.stdout


@pytest.mark.parametrize("how", [["-w", "2"], ["-w", "2", "-k", "gthread"]])
def test_more_than_one_process_is_refused_with_the_way_out(how: list[str]) -> None:
    for configuration in [["-c", "python:servers.gunicorn_conf"], ["servers.app:app()"]]:
        result = run("gunicorn", *configuration, *how, "--bind", "127.0.0.1:0", "--no-control-socket")
        assert result.returncode != 0
        assert "2 worker processes would split the in-memory log" in result.stderr
        assert "shared log" in result.stderr


@pytest.mark.parametrize("model", WITH_PAGES)
def test_plain_gunicorn_serves_it_too(model: str, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        command = [sys.executable, "-m", "gunicorn", "servers.app:app()", "-k", model, "--threads", "8"]
        command += ["--bind", f"fd://{listener.fileno()}", "--no-control-socket"]
        log = tmp_path / "gunicorn.log"
        with log.open("w") as stderr:
            process = subprocess.Popen(
                command,
                stderr=stderr,
                pass_fds=[listener.fileno()],
                env=os.environ | {"WIRELAB_MAX_NOTIFICATIONS": "2"},
            )
        server = Server(process, "http://127.0.0.1:%d" % listener.getsockname()[1], log)  # noqa: UP031
        try:
            assert publish(server, "main", 1).status == 201
            for _ in range(3):
                publish(server, "main", 2)
            assert stats(server, "main")["oldest_id"] == 3, "the environment's setting holds"
        finally:
            process.terminate()
            process.wait(START_S)


def test_a_killed_worker_comes_back_with_another_epoch(serve: Callable[..., Server]) -> None:
    server = serve()
    publish(server, "main", 1)
    epoch = stats(server, "main")["epoch"]
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    assert len(children) == 1
    os.kill(int(children[0]), 9)
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if publish(server, "main", 2).json["id"] == 1:
                break
        except OSError:
            time.sleep(0.05)
    assert stats(server, "main")["epoch"] not in (epoch, None)
    assert server.process.poll() is None


def test_what_fails_on_a_connection_is_told_to_the_log() -> None:
    """Lost peers are kept out of the log by its filter; a full kernel is not a lost peer."""
    worker: Any = ThreadWorker.__new__(ThreadWorker)
    worker.beat, worker.log = Mock(), Mock()
    worker.handle_request = Mock(side_effect=OSError(errno.ENOBUFS, "no buffer space"))
    client: Any = SimpleNamespace(has_pipelined=False, parser=iter([object()]))
    assert worker.handle(client) is False
    worker.log.exception.assert_called_once()
