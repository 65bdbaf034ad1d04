"""The receiver: the vectors that every language shares, and any interleaving of batches."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.receiver import SKIPPED_RANGES, BadBatch, Notification, Receiver

VECTORS = json.loads((Path(__file__).parents[1] / "receiver_vectors.json").read_text())["cases"]
COUNTERS = ("received", "duplicates", "reordered", "lost", "missed", "epoch_changes", "unknown_gaps")


def counters(receiver: Receiver) -> dict[str, int]:
    return {name: getattr(receiver, name) for name in COUNTERS}


def batch(ids: list[int], cursor: str, missed: int | None = 0) -> str:
    entries = [{"id": id_, "due_us": id_, "accepted_us": id_ + 1, "data": f"n{id_}"} for id_ in ids]
    return json.dumps({"notifications": entries, "cursor": cursor, "missed": missed})


@pytest.mark.parametrize("case", VECTORS, ids=[case["name"] for case in VECTORS])
def test_vectors(case: dict[str, Any]) -> None:
    """Each shared case gives what it says, as text and as bytes."""
    as_text, as_bytes = Receiver(case["after"]), Receiver(case["after"])
    for step in case["steps"]:
        text = step["text"] if "text" in step else json.dumps(step["batch"], ensure_ascii=False)
        if step.get("bad"):
            for receiver in (as_text, as_bytes):
                with pytest.raises(BadBatch):
                    receiver.receive(text if receiver is as_text else text.encode())
        else:
            given_ids = [notification.id for notification in as_text.receive(text)]
            assert given_ids == step["gives"]
            assert [notification.id for notification in as_bytes.receive(text.encode())] == given_ids
    for receiver in (as_text, as_bytes):
        assert receiver.cursor == case["cursor"]
        assert counters(receiver) == case["counters"]


def test_vector_names_are_unique() -> None:
    """A failing case can be told by its name."""
    assert len({case["name"] for case in VECTORS}) == len(VECTORS)


def test_a_notification_arrives_whole() -> None:
    """Times and data come out as they went in."""
    (notification,) = Receiver().receive(batch([3], "a.3"))
    assert notification == Notification(3, 3, 4, "n3")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"\xff", "malformed"),
        (b'{"notifications":[],"cursor":"\xff","missed":0}', "not UTF-8"),
        ('{"notifications":[', "truncated"),
        (
            '{"notifications":[{"id":1,"due_us":0,"accepted_us":0,"data":' + "[" * 100_000,
            "nested too deeply",
        ),
        ("7", "Expected `object`, got `int`"),
        ('{"notifications":[],"cursor":7,"missed":0}', r"Expected `str`, got `int` - at `\$.cursor`"),
        ('{"notifications":[],"cursor":"a.0"}', "missing required field `missed`"),
        ('{"notifications":[{"id":1}],"cursor":"a.1","missed":0}', "missing required field `due_us`"),
        ('{"notifications":[{"id":' + "9" * 5000 + '}],"cursor":"a.1","missed":0}', "out of range"),
    ],
)
def test_a_bad_batch_is_told_in_a_sentence(text: bytes | str, sentence: str) -> None:
    """The error names what is wrong, shortly."""
    with pytest.raises(BadBatch, match=sentence) as raised:
        Receiver().receive(text)
    assert len(str(raised.value)) < 300


def test_memory_of_jumps_is_bounded() -> None:
    """Of very many jumps only the newest can still be told from duplicates."""
    receiver = Receiver()
    ids = list(range(1, 2 * SKIPPED_RANGES + 10, 2))
    receiver.receive(batch(ids, "a.1"))
    assert receiver.lost == len(ids) - 1
    receiver.receive(batch([2, ids[-1] - 1], "a.1"))
    assert (receiver.duplicates, receiver.reordered) == (1, 1)


class Server:
    """What is needed of a server: a bounded log, its epoch, and how it answers a cursor."""

    def __init__(self, held: int) -> None:
        self.held = held
        self.epoch = 0
        self.head = 0
        self.oldest = 1

    def answer(self, cursor: str | None, most: int) -> str:
        if cursor is None:
            return batch([], f"{self.epoch}.{self.head}")
        epoch, last = map(int, cursor.split("."))
        if epoch != self.epoch:
            last, missed = self.oldest - 1, None
        else:
            missed = max(0, self.oldest - 1 - last)
            last += missed
        ids = list(range(last + 1, min(self.head, last + most) + 1))
        return batch(ids, f"{self.epoch}.{ids[-1] if ids else last}", missed)

    def publish(self, count: int) -> None:
        self.head += count
        self.oldest = max(self.oldest, self.head - self.held + 1)

    def restart(self) -> None:
        self.epoch += 1
        self.head, self.oldest = 0, 1


steps = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 8)),
        st.tuples(st.just("ask"), st.integers(1, 10)),
        st.tuples(st.just("publish, then ask"), st.integers(1, 3)),
        st.tuples(st.just("ask and lose the answer"), st.integers(1, 10)),
        st.tuples(st.just("repeat"), st.integers(0, 5)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=400)
@given(held=st.integers(1, 12), steps=steps)
def test_any_interleaving(held: int, steps: list[tuple[str, int]]) -> None:
    """Whatever is asked, lost on the way or repeated: once each, in order, and every gap accounted for."""
    server, receiver = Server(held), Receiver()
    given_out: list[tuple[int, int]] = []
    answers: list[str] = []  # of this epoch
    joined = 0

    def take(text: str) -> None:
        given_out.extend((server.epoch, notification.id) for notification in receiver.receive(text))

    for step, number in [*steps, ("ask", 10**6)]:
        if step == "publish":
            server.publish(number)
        elif step == "restart":
            if receiver.cursor is not None:
                server.restart()
                answers.clear()
        elif step == "repeat":
            # Only what this epoch and this receiver have seen can come again on a live connection.
            if answers and receiver.cursor is not None and receiver.cursor.startswith(f"{server.epoch}."):
                take(answers[-1 - number % len(answers)])
        else:
            if step == "publish, then ask":
                server.publish(number)
            if receiver.cursor is None:
                joined = server.head
            text = server.answer(receiver.cursor, number)
            if step != "ask and lose the answer":
                take(text)
                if json.loads(text)["notifications"]:
                    answers.append(text)

    assert given_out == sorted(set(given_out))
    assert receiver.received == len(given_out)
    assert receiver.lost == receiver.reordered == 0
    assert receiver.unknown_gaps == receiver.epoch_changes
    if server.epoch == 0:
        assert receiver.received + receiver.missed == server.head - joined


@given(
    batches=st.lists(
        st.tuples(
            st.lists(st.integers(1, 30), max_size=8),
            st.text(min_size=1, max_size=3),
            st.one_of(st.none(), st.integers(0, 10)),
        ),
        max_size=20,
    )
)
def test_nonsense_in_any_order_keeps_the_promises(
    batches: list[tuple[list[int], str, int | None]],
) -> None:
    """Even a server gone mad gets nothing given twice, or backwards, and every id is accounted for."""
    receiver = Receiver()
    taken = 0
    epoch: list[int] = []
    for ids, cursor, missed in batches:
        changes = receiver.epoch_changes
        new = [notification.id for notification in receiver.receive(batch(ids, cursor, missed))]
        if receiver.epoch_changes != changes:
            epoch = []
        epoch += new
        assert epoch == sorted(set(epoch))
        taken += len(ids)
        assert receiver.received + receiver.duplicates + receiver.reordered == taken
        assert receiver.cursor is not None


@given(st.one_of(st.text(), st.binary(), st.recursive(st.none() | st.integers(), st.lists).map(json.dumps)))
def test_arbitrary_text_is_refused_and_changes_nothing(text: bytes | str) -> None:
    """What is not a batch raises BadBatch and nothing else."""
    receiver = Receiver("a.1")
    with pytest.raises(BadBatch):
        receiver.receive(text)
    assert receiver.cursor == "a.1"
    assert set(counters(receiver).values()) == {0}
