"""The log's invariants, on the log itself: whatever is published and read, nothing is lost unreported."""

import json
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servers.connection import text_frame
from servers.drafts import parse_draft
from servers.refusals import BadNotification
from servers.settings import Settings
from servers.stream import (
    JOINED_BYTES,
    MAX_BATCH_BYTES,
    MAX_SHARED_BYTES,
    Batch,
    Position,
    Streams,
    Waiter,
)

SMALL = Settings(max_notifications=5, max_notification_bytes=400, max_log_bytes=1500, max_streams=3)
NAMES = ["a", "b", "c"]
Steps = st.lists(
    st.tuples(st.sampled_from(["publish", "read"]), st.sampled_from(NAMES), st.integers(0, 250)), max_size=80
)


def text(size: int) -> str:
    return json.dumps({"data": "x" * size})


def body(batch: Batch) -> bytes:
    return b"".join(batch.chunks())


@settings(deadline=None)
@given(Steps)
def test_what_a_reader_gets_and_is_told_it_missed_is_all_there_was(steps: list[tuple[str, str, int]]) -> None:
    streams = Streams(SMALL)
    cursors = {name: f"{streams.get(name).epoch}.0" for name in NAMES}
    published, received, missed = (dict.fromkeys(NAMES, 0) for _ in range(3))
    last_id = dict.fromkeys(NAMES, 0)
    for action, name, size in [*steps, *[("read", name, 0) for name in NAMES]]:
        stream = streams.get(name)
        if action == "publish":
            stream.publish(parse_draft(text(size)))
            published[name] += 1
        else:
            batch = json.loads(body(stream.batch(stream.position(cursors[name]))))
            ids = [each["id"] for each in batch["notifications"]]
            assert ids == list(range(last_id[name] + batch["missed"] + 1, published[name] + 1))
            cursors[name] = batch["cursor"]
            last_id[name] = int(cursors[name].split(".")[1])
            received[name] += len(ids)
            missed[name] += batch["missed"]
        held = [streams.get(each).stats([])["bytes_held"] for each in NAMES]
        assert sum(held) == streams.bytes_held <= SMALL.max_log_bytes
        assert all(len(streams.get(each).entries) <= SMALL.max_notifications for each in NAMES)
    assert all(received[name] + missed[name] == published[name] for name in NAMES)


@settings(deadline=None)
@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=9)
)
def test_what_is_accepted_can_be_read_and_is_the_same(data: object) -> None:
    try:
        draft = parse_draft(json.dumps({"data": data}))
    except BadNotification:
        return
    assert json.loads(draft.data.decode()) == data
    assert b"\\u00e" not in draft.data


def test_a_batch_is_built_once_for_everybody_at_a_cursor() -> None:
    streams = Streams(Settings())
    stream = streams.get("main")
    stream.publish(parse_draft(text(10)))
    first, second = (stream.batch(stream.position(f"{stream.epoch}.0")) for _ in range(2))
    assert first is second
    framed = [first.shared(text_frame) for _ in range(2)]
    assert framed[0] is framed[1]
    stream.publish(parse_draft(text(10)))
    assert stream.batch(stream.position(f"{stream.epoch}.0")) is not first


def test_built_batches_are_bounded_over_all_streams() -> None:
    streams = Streams(Settings())
    for name in NAMES:
        stream = streams.get(name)
        for _ in range(20):
            stream.publish(parse_draft(text(1 << 20)))
        for last_id in range(20):
            batch = stream.batch(Position(True, last_id))
            assert batch.size == len(body(batch)) <= MAX_BATCH_BYTES + 1024
            assert streams.built_bytes <= MAX_SHARED_BYTES


def test_a_large_batch_is_sent_in_chunks_that_are_not_copies() -> None:
    streams = Streams(Settings())
    stream = streams.get("main")
    for size in [1, 30_000, 30_000, 1 << 20, 5, 40_000]:
        stream.publish(parse_draft(text(size)))
    batch = stream.batch(Position(True, 0))
    assert not batch.is_small
    chunks = list(batch.chunks())
    assert sum(map(len, chunks)) == batch.size
    large = [chunk for chunk in chunks if len(chunk) > JOINED_BYTES]
    assert [chunk is entry.encoded for chunk in large for entry in stream.entries if entry.id == 4] == [True]
    assert len(json.loads(b"".join(chunks))["notifications"]) == 6


@pytest.mark.parametrize("tail", ['"' + '\\"' * 500_000, '"' + '"' * 500_001, '"' * 500_000 + "\\", '"\\'])
def test_the_nesting_of_a_hostile_body_is_found_in_linear_time(tail: str) -> None:
    """Quadratic, this took an hour; the suite's time limit would tell."""
    with pytest.raises(BadNotification):
        parse_draft('{"data":' + "[" * 101 + tail)


@pytest.mark.parametrize("data", ["9e15,", '"é",', "[],", '"\\u0000",', "true,"])
def test_a_mebibyte_of_data_always_fits(data: str) -> None:
    count = (1 << 20) // len(data.encode())
    source = '{"data":[' + (data * count).removesuffix(",") + "]}"
    assert Streams(Settings()).get("main").publish(parse_draft(source.encode())).id == 1


def test_an_interrupted_waiter_is_answered_and_a_wake_up_is_never_lost() -> None:
    streams = Streams(Settings())
    stream = streams.get("main")
    waiters = [Waiter() for _ in range(20)]
    answers: list[Batch] = []

    def wait(waiter: Waiter) -> None:
        answers.append(stream.batch(Position(True, 0), None, waiter))

    threads = [threading.Thread(target=wait, args=(waiter,)) for waiter in waiters]
    for thread in threads[:10]:
        thread.start()
    waiters[3].interrupt()
    threads[3].join(10)
    assert [batch.news for batch in answers] == [False]
    # Half of them are waiting and half are about to: all hear of it.
    for thread in threads[10:]:
        thread.start()
    stream.publish(parse_draft(text(1)))
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert sum(batch.news for batch in answers) == 19


def test_stopping_answers_everybody() -> None:
    streams = Streams(Settings())
    stream = streams.get("main")
    threads = [
        threading.Thread(target=stream.batch, args=(Position(True, 0), 60.0)),
        threading.Thread(target=streams.wait_for_stop, args=(Waiter(),)),
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    streams.stop()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert not stream.batch(Position(True, 0), 60.0).news


@pytest.mark.parametrize("text", ['{"data":"[[[[' + "[" * 200 + '"}', '{"data":"\\"[' + "[" * 200 + '"}'])
def test_brackets_in_strings_are_no_nesting(text: str) -> None:
    assert parse_draft(text).data
