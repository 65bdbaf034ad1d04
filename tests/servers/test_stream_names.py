"""Names have a gate: what makes a stream, what may make way for one, and where there are no others."""

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from conftest import Server
from models import ON_THE_WIRE, WITH_PAGES
from raw import RawWebSocket, ask, publish, refused_upgrade

from servers import stream as stream_module
from servers.drafts import parse_draft
from servers.refusals import StreamsFull
from servers.settings import Settings
from servers.stream import POLLED_S, Streams

READS = ["short-poll", "long-poll?wait=0", "websocket"]


@pytest.fixture
def full(serve: Callable[..., Server], request: pytest.FixtureRequest) -> Iterator[tuple[Server, list[str]]]:
    """A server with as many streams as it may have, each with a log; and where each began."""
    server = serve("--max-streams", "4", "--server-model", request.param)
    yield server, [publish(server, f"log-{number}", "kept").json["cursor"] for number in range(4)]


@pytest.mark.parametrize("full", ON_THE_WIRE, indirect=True)
def test_reading_new_names_wipes_no_log(full: tuple[Server, list[str]]) -> None:
    server, cursors = full
    for number, read in zip(range(70), itertools.cycle(READS), strict=False):
        path = f"/streams/new-{number}/{read}"
        answer = refused_upgrade(server, path) if read == "websocket" else ask(server, "GET", path)
        assert answer.status == 503
        assert "max_streams" in answer.json["detail"]
        assert answer.headers["Retry-After"]
    for number, cursor in enumerate(cursors):
        batch = ask(server, "GET", f"/streams/log-{number}/short-poll?after={cursor}").json
        assert (batch["missed"], batch["cursor"]) == (0, cursor)


@pytest.mark.parametrize("full", ON_THE_WIRE, indirect=True)
@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/json", "Idempotency-Key": ""},
    ],
    ids=str,
)
def test_a_publish_that_is_refused_by_its_head_wipes_no_log(
    full: tuple[Server, list[str]], headers: dict[str, str]
) -> None:
    """Any page in the operator's browser can send the first two."""
    server, cursors = full
    for number in range(6):
        path = f"/streams/new-{number}/notifications"
        assert ask(server, "POST", path, b'{"data":1}', headers).status in (400, 415)
    for number, cursor in enumerate(cursors):
        batch = ask(server, "GET", f"/streams/log-{number}/short-poll?after={cursor}").json
        assert (batch["missed"], batch["cursor"]) == (0, cursor)


@pytest.mark.parametrize("full", ON_THE_WIRE, indirect=True)
def test_publishing_on_a_new_name_spares_who_was_polled(full: tuple[Server, list[str]]) -> None:
    server, _ = full
    for name in ["log-0", "log-1", "log-3"]:
        assert ask(server, "GET", f"/streams/{name}/short-poll").status == 200
    assert publish(server, "new", 1).status == 201
    assert ask(server, "GET", "/streams/log-2/stats").status == 404, "nobody had polled it"
    for name in ["log-0", "log-1", "log-3"]:
        assert ask(server, "GET", f"/streams/{name}/stats").json["newest_id"] == 1
    assert ask(server, "GET", "/streams/new/long-poll?wait=0").status == 200
    refused = publish(server, "another", 1)
    assert (refused.status, "max_streams" in refused.json["detail"]) == (503, True)


def test_stats_create_nothing(wire_server: Server) -> None:
    for _ in range(3):
        answer = ask(wire_server, "GET", "/streams/never-named/stats")
        assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
    assert ask(wire_server, "GET", "/streams/Bad_Name/stats").status == 400
    ask(wire_server, "GET", "/streams/never-named/short-poll")
    assert ask(wire_server, "GET", "/streams/never-named/stats").json["newest_id"] is None


class TestWhatMakesWay:
    """On the streams themselves, with a clock of the test's own."""

    @pytest.fixture
    def later(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
        """Let so much time pass."""
        clock = [1000.0]

        def pass_by(seconds: float) -> None:
            clock[0] += seconds

        monkeypatch.setattr(stream_module.time, "monotonic", lambda: clock[0])
        return pass_by

    def test_an_empty_one_makes_way_for_a_reader_when_nobody_has_asked_for_long(
        self, later: Callable[[float], None]
    ) -> None:
        streams = Streams(Settings(max_streams=2))
        streams.to_publish("log").publish(parse_draft('{"data":1}'))
        streams.get("empty")
        later(POLLED_S - 1)
        with pytest.raises(StreamsFull, match="max_streams"):
            streams.get("new")
        later(2)
        assert streams.get("new").head_id == 0
        assert streams.find("log").head_id == 1
        with pytest.raises(StreamsFull):
            streams.get("newer")

    @pytest.mark.parametrize("seconds", [0.0, 1.0, POLLED_S - 1])
    def test_who_was_polled_lately_does_not_go(self, later: Callable[[float], None], seconds: float) -> None:
        streams = Streams(Settings(max_streams=1))
        streams.to_publish("log").publish(parse_draft('{"data":1}'))
        later(10 * POLLED_S)
        streams.get("log")
        later(seconds)
        with pytest.raises(StreamsFull):
            streams.to_publish("new")
        later(POLLED_S)
        assert streams.to_publish("new").head_id == 0

    def test_the_longest_unused_goes_for_a_publisher(self) -> None:
        streams = Streams(Settings(max_streams=3))
        for name in ["a", "b", "c"]:
            streams.to_publish(name).publish(parse_draft('{"data":1}'))
        streams.to_publish("a").publish(parse_draft('{"data":2}'))
        streams.to_publish("new")
        assert [streams.find(name).head_id for name in ["a", "c", "new"]] == [2, 1, 0]


@pytest.mark.parametrize("model", WITH_PAGES)
def test_in_lan_mode_there_are_the_demos_own_streams_only(demo: Callable[..., Server], model: str) -> None:
    server = demo("--lan", "--server-model", model)
    for name in ["whiteboard", "chat", "sensors", "game", "race", "control", "wire"]:
        assert ask(server, "GET", f"/streams/{name}/stats").status == 200
        assert ask(server, "GET", f"/streams/{name}/short-poll").status == 200
    for name in ["main", "secret", "whiteboard2", "x" * 64]:
        for read in [*READS[:2], "stats"]:
            assert ask(server, "GET", f"/streams/{name}/{read}").status == 404
        assert refused_upgrade(server, f"/streams/{name}/websocket").status == 404
        assert publish(server, name, 1).status == 403
    with closing(RawWebSocket(server, "/streams/chat/websocket")) as student:
        assert json.loads(student.message())["missed"] == 0
