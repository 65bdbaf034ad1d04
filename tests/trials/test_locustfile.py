"""The locustfile under plain Locust, as its users run it, against a real server that is published to."""

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from conftest import Server
from fake_server import Peer, batch, fake_server, frame
from raw import stats

from clients.publisher import Publisher, schedule

LOCUSTFILE = Path(__file__).parents[2] / "bench" / "locustfile.py"


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def stream(server: Server) -> Iterator[str]:
    """A stream on which something happens twenty times a second."""
    stop = threading.Event()
    with Publisher(server.url, "locust") as publisher:
        thread = threading.Thread(
            target=publisher.run, args=(schedule("poisson", 20, 1),), kwargs={"stop": stop}
        )
        thread.start()
        yield "locust"
        stop.set()
        thread.join()


def command(url: str, *arguments: str) -> list[str]:
    """Locust, headless. Not with --csv: as it ends, it may write to a file that it has closed."""
    line = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--host", url]
    return [*line, "--only-summary", *arguments]


def failures(
    url: str, *arguments: str, expected: int = 0, begin: Callable[[], object] = list
) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run Locust; return how it ended, and how many failures its table tells. Where so many are `expected`,
    it runs for 3 s, and again for longer until they are there: on a busy machine its users start late. Calls
    `begin` before each run."""
    for run_time in ["3s", "10s", "30s"] if expected else [""]:
        begin()
        line = command(url, *(["-t", run_time] if expected else []), *arguments)
        done = subprocess.run(line, capture_output=True, text=True, timeout=90, check=False)
        told = re.findall(r"^NOTIFY +\S+ +\d+ +(\d+)\(", done.stdout + done.stderr, re.MULTILINE)
        failed = sum(map(int, told[:1]))
        if failed >= expected:
            break
    return done, failed


@pytest.mark.parametrize(
    ("user", "transport", "more"),
    [
        ("WebSocketUser", "websocket", []),
        ("LongPollUser", "long-poll", ["--headers", "browser"]),
        ("ShortPollUser", "short-poll", ["--poll-interval", "0.3", "--processes", "2"]),
    ],
)
def test_a_user_reports_deliveries(
    server: Server, stream: str, tmp_path: Path, user: str, transport: str, more: list[str]
) -> None:
    """With real latencies, never 0; no failures; and it stops at once when it is told to."""

    def delivered() -> int:
        return int(stats(server, stream)["transports"][transport]["notifications"])

    before = delivered()
    table = tmp_path / "told.json"
    line = command(server.url, "-u", "10", "-r", "10", "--stream", stream, *more, user)
    with subprocess.Popen(
        [*line, "--json-file", str(table.with_suffix(""))], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            deadline_s = time.monotonic() + 60
            while delivered() < before + 200 and process.poll() is None and time.monotonic() < deadline_s:
                time.sleep(0.05)
            process.terminate()
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert "Not all users finished" not in errors
    [row] = [row for row in json.loads(table.read_text()) if row["method"] == "NOTIFY"]
    assert row["name"] == transport
    assert row["num_requests"] > 100
    assert row["num_failures"] == 0
    mean_ms = row["total_response_time"] / row["num_requests"]
    assert 0 < row["min_response_time"] <= mean_ms
    assert row["total_content_length"] / row["num_requests"] > 100
    if transport == "short-poll":
        assert 50 < mean_ms < 1000


def test_a_server_that_is_not_there_is_a_failure() -> None:
    """Not an empty table: whoever mistypes the host sees why."""
    done, failed = failures("http://127.0.0.1:9", "-u", "2", "-r", "2", "WebSocketUser", expected=1)
    assert done.returncode == 1
    assert "cannot connect" in done.stdout + done.stderr
    assert failed > 0


def test_a_refused_user_stops_and_says_why(server: Server) -> None:
    """It would be refused again at once, over and over."""
    done, failed = failures(f"{server.url}/elsewhere", "-u", "2", "-r", "2", "LongPollUser", expected=2)
    assert done.returncode == 1
    assert "404" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert failed == 2


@pytest.mark.parametrize(
    "option",
    [
        "--stream=No Such",
        "--poll-interval=0",
        "--poll-interval=inf",
        "--wait=61",
        "--wait=0",
        "--wait=nan",
        "--headers=all",
        "--heartbeat=61",
        "--heartbeat=1.5",
    ],
)
def test_bad_options_are_told_before_anything_starts(option: str) -> None:
    """By argparse, as Locust's own are."""
    line = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", option]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert option[2:6] in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("host", "more"),
    [
        ("localhost", []),
        ("ws://127.0.0.1:9", ["--processes", "2"]),
        ("http://a..b", []),
        ("http://127.0.0.1:99999", []),
    ],
)
def test_a_host_that_is_none_is_a_failure_and_ends_the_run(host: str, more: list[str]) -> None:
    """Without --run-time too: the users would be "spawning" for ever, and no failure would tell."""
    done, failed = failures(host, "-u", "3", "-r", "3", *more, "LongPollUser")
    assert done.returncode == 1
    assert failed == 3
    assert "All users have failed for good" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_host_that_cannot_be_found_is_a_failure() -> None:
    """Each time: it may be found later, so it is tried again."""
    done, failed = failures("http://no-such.invalid", "-u", "2", "-r", "2", "ShortPollUser", expected=3)
    assert done.returncode == 1
    assert "cannot find no-such.invalid" in done.stdout + done.stderr
    assert failed > 2


def test_each_lost_connection_is_counted() -> None:
    """Though the reason is the same each time."""
    lost: list[int] = []

    def script(peer: Peer, number: int) -> None:
        peer.upgrade()
        peer.send(frame(batch(number + 1)))
        lost.append(number)

    with fake_server(script) as url:
        done, failed = failures(url, "-u", "1", "WebSocketUser", expected=3, begin=lost.clear)
    assert done.returncode == 1
    assert failed >= 3
    assert len(lost) - 1 <= failed <= len(lost)


def test_the_web_ui_refuses_what_the_command_line_does(server: Server) -> None:
    """And says why, as Locust does for a form that is wrong; then it starts with what is right."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    line = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--host", server.url]
    line += ["--web-host", "127.0.0.1", "--web-port", str(port), "WebSocketUser"]

    def ask(path: str, **form: str) -> Any:
        body = urlencode(form).encode() if form else None
        with urlopen(Request(f"http://127.0.0.1:{port}{path}", body), timeout=10) as response:
            return json.load(response)

    def answers() -> bool:
        try:
            return bool(ask("/stats/requests"))
        except OSError:
            return False

    with subprocess.Popen(line, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(answers)
            for name, value in (
                ("wait", "0"),
                ("wait", "a while"),
                ("poll_interval", "-1"),
                ("heartbeat", "99"),
                ("headers", "curl"),
                ("connection", "none"),
                ("stream", "No Such"),
                ("host", "localhost:8000"),
                ("host", ""),
            ):
                told = ask("/swarm", user_count="2", spawn_rate="2", **{name: value})
                assert told["success"] is False
                assert told["message"].startswith(f"Invalid {name} value: {value!r}")
            assert ask("/stats/requests")["state"] == "ready"
            assert (
                ask("/swarm", user_count="2", spawn_rate="2", host=server.url, wait="10")["success"] is True
            )
            wait_until(lambda: ask("/stats/requests")["state"] == "running")
        finally:
            process.terminate()
            process.wait(30)
