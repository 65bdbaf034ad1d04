"""Publishing again: an idempotency key, on every server model, on the log itself, and at every bound."""

import itertools
import json
import threading
from contextlib import closing
from typing import Any

import pytest
from conftest import Server
from raw import Answer, RawWebSocket, ask, stats

from servers.drafts import parse_draft
from servers.refusals import KeyReused
from servers.settings import Settings
from servers.stream import Streams

names = (f"publishing-{number}" for number in itertools.count())


@pytest.fixture
def stream() -> str:
    """A stream that no other test uses."""
    return next(names)


def publish(server: Server, stream: str, body: Any, key: str | bytes) -> Answer:
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(server, "POST", f"/streams/{stream}/notifications", sent, headers)  # type: ignore[arg-type]


class TestOverHttp:
    """What a publisher sees that tries again."""

    @pytest.mark.parametrize("key", ["k", "!" + "~" * 63, 'a,"b";c=\\'])
    def test_the_same_key_gets_the_same_answer_and_adds_nothing(
        self, wire_server: Server, stream: str, key: str
    ) -> None:
        first = publish(wire_server, stream, {"data": {"a": [1, 2]}}, key)
        publish(wire_server, stream, {"data": "another"}, "other")
        again = publish(wire_server, stream, b' {"data" : {"a":[1, 2]} }', key)
        assert (first.status, again.status) == (201, 201)
        assert first.json == again.json
        assert stats(wire_server, stream)["newest_id"] == 2

    @pytest.mark.parametrize("data", [2, "1", [1], 1.0, {"a": 1}, None])
    def test_other_data_is_422_and_adds_nothing(self, wire_server: Server, stream: str, data: Any) -> None:
        publish(wire_server, stream, {"data": 1}, "k")
        refused = publish(wire_server, stream, {"data": data}, "k")
        assert refused.status == 422
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert "key" in refused.json["detail"]
        assert stats(wire_server, stream)["newest_id"] == 1

    def test_another_due_time_is_no_other_data(self, wire_server: Server, stream: str) -> None:
        first = publish(wire_server, stream, {"data": 1, "due_us": 5}, "k")
        assert publish(wire_server, stream, {"data": 1, "due_us": 6}, "k").json == first.json
        batch = ask(wire_server, "GET", f"/streams/{stream}/short-poll?after=otherlife.0").json
        assert [each["due_us"] for each in batch["notifications"]] == [5]

    @pytest.mark.parametrize("key", ["", "x" * 65, "a b", b"\xc3\xa9", b"a\xff", "a\tb", b"\x80"])
    def test_what_is_no_key_is_refused(self, wire_server: Server, stream: str, key: str | bytes) -> None:
        refused = publish(wire_server, stream, {"data": 1}, key)
        assert refused.status == 400
        assert "Idempotency-Key" in refused.json["detail"]
        assert stats(wire_server, stream)["newest_id"] is None

    def test_a_key_in_the_body_is_told_where_it_goes(self, wire_server: Server, stream: str) -> None:
        refused = publish(wire_server, stream, {"data": 1, "key": "k"}, "k")
        assert (refused.status, "Idempotency-Key" in refused.json["detail"]) == (400, True)

    def test_who_tries_again_at_once_adds_one(self, wire_server: Server, stream: str) -> None:
        answers: list[Any] = []
        threads = [
            threading.Thread(
                target=lambda: answers.append(publish(wire_server, stream, {"data": 1}, "k").json)
            )
            for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [answers[0]] * 12
        assert stats(wire_server, stream)["newest_id"] == 1


def draft(data: Any, key: str) -> Any:
    return parse_draft(json.dumps({"data": data, "key": key}))


class TestOverWebSocket:
    """The same, on the connection that also delivers."""

    @pytest.mark.parametrize("key", ["k", "!" + "~" * 63, 'a,"b";c=\\'])
    def test_a_message_with_a_key_is_answered_and_again_alike(
        self, wire_server: Server, stream: str, key: str
    ) -> None:
        with closing(RawWebSocket(wire_server, f"/streams/{stream}/websocket")) as client:
            epoch = json.loads(client.message())["cursor"].split(".")[0]
            answer = {"published": {"key": key, "id": 1, "cursor": f"{epoch}.1"}}
            client.send(json.dumps({"data": 7, "key": key}))
            first = [json.loads(client.message()) for _ in range(2)]
            assert answer in first
            assert [each["notifications"][0]["data"] for each in first if each != answer] == [7]
            client.send(json.dumps({"key": key, "due_us": 5, "data": 7}))
            assert json.loads(client.message()) == answer
            client.send('{"data":8}')
            assert json.loads(client.message())["notifications"][0]["id"] == 2

    def test_the_key_is_one_with_that_of_a_post(self, wire_server: Server, stream: str) -> None:
        posted = publish(wire_server, stream, {"data": [1]}, "k").json
        with closing(RawWebSocket(wire_server, f"/streams/{stream}/websocket")) as client:
            client.message()
            client.send('{"data":[1],"key":"k"}')
            assert json.loads(client.message()) == {"published": {"key": "k", **posted}}

    @pytest.mark.parametrize(
        ("message", "code"),
        [
            ('{"data":2,"key":"k"}', 1008),
            ('{"data":"1","key":"k"}', 1008),
            ('{"data":1,"key":""}', 1007),
            ('{"data":1,"key":null}', 1007),
            ('{"data":1,"key":"é"}', 1007),
            ('{"data":1,"key":"' + 65 * "k" + '"}', 1007),
        ],
    )
    def test_what_cannot_be_met_closes(
        self, wire_server: Server, stream: str, message: str, code: int
    ) -> None:
        publish(wire_server, stream, {"data": 1}, "k")
        with closing(RawWebSocket(wire_server, f"/streams/{stream}/websocket")) as client:
            client.send(message)
            event = client.close_event()
            assert event.code == code
            assert event.reason and "key" in event.reason
        assert stats(wire_server, stream)["newest_id"] == 1


def test_a_key_is_of_its_stream() -> None:
    streams = Streams(Settings())
    assert streams.get("a").publish(draft(1, "k")).id == 1
    assert streams.get("b").publish(draft(2, "k")).id == 1


@pytest.mark.parametrize(
    "bound", [{"max_notifications": 3}, {"max_log_bytes": 3 * 400, "max_notification_bytes": 256}]
)
def test_a_key_goes_with_its_notification(bound: dict[str, int]) -> None:
    stream = Streams(Settings(**bound)).get("a")
    keys = [f"{number:x>64}" for number in range(20)]
    for number, key in enumerate(keys):
        assert stream.publish(draft("x" * 250, key)).id == number + 1
    assert stream.publish(draft("x" * 250, keys[-1])).id == 20
    with pytest.raises(KeyReused):
        stream.publish(draft("y", keys[-2]))
    assert stream.publish(draft("y", keys[0])).id == 21, "its notification has left"


@pytest.mark.parametrize("length", [1, 30, 64])
def test_keys_count_in_the_bytes_of_all_logs(length: int) -> None:
    streams = Streams(Settings(max_log_bytes=10_000, max_notification_bytes=1000))
    with_keys, without = streams.get("a"), streams.get("b")
    for number in range(9):
        with_keys.publish(draft(0, f"{number:x>{length}}"))
        without.publish(parse_draft('{"data":0}'))
    assert with_keys.bytes_held - without.bytes_held == 9 * length
    for number in range(9, 300):
        with_keys.publish(draft(0, f"{number:x>{length}}"))
        assert streams.bytes_held == with_keys.bytes_held + without.bytes_held <= 10_000
    while with_keys.entries:
        with_keys.drop_oldest()
    while without.entries:
        without.drop_oldest()
    assert streams.bytes_held == 0


def test_a_stream_that_makes_way_takes_its_keys_along() -> None:
    streams = Streams(Settings(max_streams=1))
    before = streams.to_publish("a").publish(draft(1, "k")).cursor
    streams.to_publish("b").publish(draft(1, "k"))
    assert streams.to_publish("a").publish(draft(2, "k")).cursor != before
