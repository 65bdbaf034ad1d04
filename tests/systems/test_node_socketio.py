"""Socket.IO on the article's stack, by npm's own client; and the article's example as it is printed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Server, Visits, start_server, stop_server
from raw import ask, publish, stats

from bench.systems.node import packages

pytestmark = pytest.mark.long

ENGINES = {"websocket": "socketio", "polling": "socketio-polling"}
Follow = Callable[..., "Follower"]


class Follower:
    """npm's client in a process of its own."""

    def __init__(self, url: str, stream: str, engine: str) -> None:
        self.process = subprocess.Popen(
            ["node", Path(__file__).with_name("follow.cjs"), url, stream, engine],
            env=os.environ | {"NODE_PATH": str(packages.folder() / "node_modules")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> Any:
        """The next batch, answer or refusal."""
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())

    def send(self, message: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def follow() -> Iterator[Follow]:
    started: list[Follower] = []

    def start(server: Server, stream: str, engine: str) -> Follower:
        started.append(Follower(server.url, stream, engine))
        return started[-1]

    yield start
    for follower in started:
        follower.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_npms_client_gets_all_and_resumes_after_a_crash(tmp_path: Path, follow: Follow, engine: str) -> None:
    server = start_server(tmp_path / "log", "--server-model", "node")
    try:
        publish(server, "main", "before")
        follower = follow(server, "main", engine)
        joined = follower.line()
        assert (joined["notifications"], joined["missed"]) == ([], 0)
        for number in range(3):
            publish(server, "main", number)
            assert [each["data"] for each in follower.line()["notifications"]] == [number]
        served = stats(server, "main")["transports"][ENGINES[engine]]
        requests = served.pop("requests")
        assert served == {"subscribers": 1, "notifications": 3}
        assert requests == 1 if engine == "websocket" else requests > 4
        server.process.kill()
        stop_server(server)
        server = start_server(tmp_path / "log", "--server-model", "node", port=server.address[1])
        publish(server, "main", "another life")
        lines = [follower.line()]
        while "cursor" not in lines[-1] or not lines[-1]["notifications"]:
            lines.append(follower.line())
        assert [each["data"] for each in lines[-1]["notifications"]] == ["another life"]
        assert next(line["missed"] for line in lines if "missed" in line) is None
    finally:
        stop_server(server)
    assert "at " not in (tmp_path / "log").read_text()


def test_publishing_is_acknowledged_and_refused_with_the_sentence(
    serve: Callable[..., Server], follow: Follow
) -> None:
    server = serve("--server-model", "node", "--max-subscribers", "1")
    follower = follow(server, "main", "websocket")
    follower.line()
    refused = follow(server, "main", "websocket").line()
    assert "max_subscribers" in refused["refused"]
    assert refused["data"] == {"status": 503}
    follower.send({"data": {"up": "stream"}, "due_us": 5})
    told = [follower.line(), follower.line()]
    [answer] = [line["answer"] for line in told if "answer" in line]
    [batch] = [line for line in told if "cursor" in line]
    assert answer == {"id": 1, "cursor": batch["cursor"]}
    poll = ask(server, "GET", "/streams/main/short-poll?after=otherlife.0").json
    assert batch["notifications"] == poll["notifications"]
    follower.send({"data": 1, "due_us": -1})
    assert "due_us" in follower.line()["answer"]["problem"]


def test_the_articles_example_greets_every_tab(visit: Visits) -> None:
    """To *everybody* at each connection: a tab that has its greeting gets it again when another comes."""
    if said := packages.missing():
        pytest.skip(said)
    process = subprocess.Popen(
        ["node", packages.SERVER / "article" / "server.cjs"],
        env=os.environ | {"PORT": "0", "NODE_PATH": str(packages.folder() / "node_modules")},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        port = process.stdout.readline().split()[-1]
        first = visit(f"http://127.0.0.1:{port}/")
        first.wait_for_function("document.getElementById('message').innerHTML === 'web Socket Works'")
        first.evaluate("document.getElementById('message').innerHTML = ''")
        second = visit(f"http://127.0.0.1:{port}/")
        first.wait_for_function("document.getElementById('message').innerHTML === 'web Socket Works'")
        second.wait_for_function("document.getElementById('message').innerHTML === 'web Socket Works'")
        # The page tells each greeting on the console, as in the article.
        told = [line for line in visit.console if "favicon" not in line]
        assert len(told) >= 3
        for page in (first, second):
            page.context.close()
    finally:
        process.kill()
        process.communicate()
        visit.console.clear()
