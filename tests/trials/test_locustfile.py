"""The locustfile under plain Locust, as its users run it, against a real server that is published to."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Server
from raw import stats

from clients.publisher import Publisher, schedule

LOCUSTFILE = Path(__file__).parents[2] / "bench" / "locustfile.py"


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


def failures(url: str, *arguments: str) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run Locust for its time; return how it ended, and how many failures its table tells."""
    done = subprocess.run(command(url, *arguments), capture_output=True, text=True, timeout=60, check=False)
    told = re.findall(r"^NOTIFY +\S+ +\d+ +(\d+)\(", done.stdout + done.stderr, re.MULTILINE)
    return done, sum(map(int, told[:1]))


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
    done, failed = failures("http://127.0.0.1:9", "-u", "2", "-r", "2", "-t", "3s", "WebSocketUser")
    assert done.returncode == 1
    assert "cannot connect" in done.stdout + done.stderr
    assert failed > 0


def test_a_refused_user_stops_and_says_why(server: Server) -> None:
    """It would be refused again at once, over and over."""
    done, failed = failures(f"{server.url}/elsewhere", "-u", "2", "-r", "2", "-t", "2s", "LongPollUser")
    assert done.returncode == 1
    assert "404" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert failed == 2


@pytest.mark.parametrize("option", ["--stream=No Such", "--poll-interval=0", "--wait=61", "--headers=all"])
def test_bad_options_are_told_before_anything_starts(option: str) -> None:
    """By argparse, as Locust's own are."""
    line = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", option]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert option[2:6] in done.stderr
    assert "Traceback" not in done.stderr
