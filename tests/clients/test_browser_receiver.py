"""The JavaScript receiver is its Python twin: the shared vectors, and the same nonsense in, the same out."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from clients.receiver import BadBatch, Receiver
from tests.conftest import Server, Visits

VECTORS = json.loads((Path(__file__).parents[1] / "receiver_vectors.json").read_text())["cases"]
COUNTERS = ("received", "duplicates", "reordered", "lost", "missed", "epoch_changes", "unknown_gaps")

# Feeds each case's texts to a receiver of its own; bad ones give null. `asBytes` hands them over as UTF-8.
FEED = """async ([cases, asBytes, counters]) => {
  const { BadBatch, Receiver } = await import("/browser/receiver.js");
  return cases.map(({ after, texts }) => {
    const receiver = new Receiver(after);
    const gives = texts.map((text) => {
      try {
        return receiver.receive(asBytes ? new TextEncoder().encode(text) : text).map(({ id }) => id);
      } catch (error) {
        if (!(error instanceof BadBatch)) throw error;
        return null;
      }
    });
    const counted = Object.fromEntries(counters.map((name) => [name, receiver[name]]));
    return { gives, cursor: receiver.cursor, counters: counted };
  });
}"""


@pytest.fixture
def page(pages: Server, visit: Visits) -> Page:
    """Any page of the server: its modules can be imported there."""
    return visit(pages.url + "/welcome")


def text_of(step: dict[str, Any]) -> str:
    return str(step["text"]) if "text" in step else json.dumps(step["batch"], ensure_ascii=False)


@pytest.mark.parametrize("as_bytes", [False, True], ids=["text", "bytes"])
def test_vectors(page: Page, as_bytes: bool) -> None:
    """Each shared case gives in the browser what it gives in Python."""
    cases = [{"after": case["after"], "texts": [text_of(step) for step in case["steps"]]} for case in VECTORS]
    found = page.evaluate(FEED, [cases, as_bytes, COUNTERS])
    for case, result in zip(VECTORS, found, strict=True):
        wanted = [None if step.get("bad") else step["gives"] for step in case["steps"]]
        assert result == {"gives": wanted, "cursor": case["cursor"], "counters": case["counters"]}, case[
            "name"
        ]


def nonsense(rng: random.Random) -> str:
    """A batch such as no sane server sends: ids in any order, gaps that are none, epochs that come and go."""
    entries: list[Any] = [
        {
            "id": rng.randint(0, 12),
            "due_us": rng.choice([0, 2**53 - 1, 2**53, 5]),
            "accepted_us": 1,
            "data": None,
        }
        if rng.random() < 0.1
        else {"id": rng.randint(1, 30), "due_us": 1, "accepted_us": 2, "data": {"text": "ä\u2028"}}
        for _ in range(rng.randint(0, 5))
    ]
    batch: dict[str, Any] = {
        "notifications": entries,
        "cursor": rng.choice(["a.1", "a.2", "b.1", "b.7"]),
        "missed": rng.choice([0, 0, 0, 1, 4, None]),
    }
    if rng.random() < 0.05:
        del batch[rng.choice(list(batch))]
    return json.dumps(batch)


def test_both_make_the_same_of_nonsense(page: Page) -> None:
    """What the twins do with a server gone mad is the same, batch by batch."""
    rng = random.Random(20261123)
    cases: list[dict[str, Any]] = [
        {"after": rng.choice([None, "a.1"]), "texts": [nonsense(rng) for _ in range(rng.randint(1, 12))]}
        for _ in range(500)
    ]
    for case, result in zip(cases, page.evaluate(FEED, [cases, True, COUNTERS]), strict=True):
        receiver = Receiver(case["after"])
        gives: list[list[int] | None] = []
        for text in case["texts"]:
            try:
                gives.append([notification.id for notification in receiver.receive(text)])
            except BadBatch:
                gives.append(None)
        counters = {name: getattr(receiver, name) for name in COUNTERS}
        assert result == {"gives": gives, "cursor": receiver.cursor, "counters": counters}, case


def test_bytes_that_are_no_utf8_are_refused(page: Page) -> None:
    """As in Python, nothing is put in place of what cannot be read."""
    refused = page.evaluate(
        """async () => {
          const { parseBatch } = await import("/browser/receiver.js");
          try {
            parseBatch(new Uint8Array([0xff]));
          } catch (error) {
            return `${error.name}: ${error.message}`;
          }
        }"""
    )
    assert refused == "BadBatch: the batch is not UTF-8"


def test_the_clock_believes_the_shortest_round_trip(page: Page) -> None:
    """Three exchanges: the offset is of the one that tells most, and the error is half of its round trip."""
    offset_ms, error_ms, shown_ms = page.evaluate(
        """async () => {
          const { Clock } = await import("/browser/clock.js");
          const clock = new Clock();
          clock.take(1000, 6900, 1200);
          clock.take(2000, 7004, 2004);
          clock.take(3000, 8900, 3100);
          return [clock.offset_ms, clock.error_ms, clock.server(10)];
        }"""
    )
    assert (offset_ms, shown_ms) == (5002, 5012)
    assert 2 <= error_ms < 4
