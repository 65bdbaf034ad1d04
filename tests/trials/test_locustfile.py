"""The locustfile under plain Locust, as its users run it, against a real server that is published to."""

import csv
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Server

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


def locust(
    url: str, tmp_path: Path, *arguments: str
) -> tuple[subprocess.CompletedProcess[str], list[dict[str, str]]]:
    """Run Locust headless for a moment; return how it ended and its table of statistics."""
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--host", url]
    command += ["--csv", str(tmp_path / "told"), "--only-summary", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    with (tmp_path / "told_stats.csv").open() as file:
        return done, list(csv.DictReader(file))


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
    done, rows = locust(
        server.url, tmp_path, "-u", "10", "-r", "10", "-t", "3s", "--stream", stream, *more, user
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Not all users finished" not in done.stderr
    row = next(row for row in rows if row["Type"] == "NOTIFY")
    assert row["Name"] == transport
    assert int(row["Request Count"]) > 100
    assert row["Failure Count"] == "0"
    assert 0 < float(row["Min Response Time"]) <= float(row["Average Response Time"])
    assert float(row["Average Content Size"]) > 100
    if transport == "short-poll":
        assert 50 < float(row["Average Response Time"]) < 1000


def test_a_server_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    """Not an empty table: whoever mistypes the host sees why."""
    done, rows = locust("http://127.0.0.1:9", tmp_path, "-u", "2", "-r", "2", "-t", "3s", "WebSocketUser")
    assert done.returncode == 1
    assert "cannot connect" in done.stdout + done.stderr
    assert sum(int(row["Failure Count"]) for row in rows if row["Type"]) > 0


def test_a_refused_user_stops_and_says_why(server: Server, tmp_path: Path) -> None:
    """It would be refused again at once, over and over."""
    done, rows = locust(server.url + "/elsewhere", tmp_path, "-u", "2", "-r", "2", "-t", "2s", "LongPollUser")
    assert done.returncode == 1
    assert "404" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert sum(int(row["Failure Count"]) for row in rows if row["Type"]) == 2


@pytest.mark.parametrize("option", ["--stream=No Such", "--poll-interval=0", "--wait=61", "--headers=all"])
def test_bad_options_are_told_before_anything_starts(option: str) -> None:
    """By argparse, as Locust's own are."""
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", option]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert option[2:6] in done.stderr
    assert "Traceback" not in done.stderr
