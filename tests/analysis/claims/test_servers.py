"""Claims that compare transports, judged on each server by itself."""

from __future__ import annotations

import pytest
from made_cells import made

from bench.analysis import claims
from bench.analysis.cells import Cell, Measured

CPU = "server_cpu_us_per_delivery"
MEMORY = "server_memory_kb_per_subscriber"
NODE = {"system": "node", "server_model": None}


def pair(ratio: float, **server: str | None) -> tuple[Cell, Cell]:
    """Long poll and WebSocket on a server, long poll so many times as dear."""
    load = {"subscribers": 200, "publish_rate": 4.0, **server}
    return (
        made("long-poll", {CPU: 20.0 * ratio, MEMORY: 10.0 * ratio}, width=0.02, **load),
        made("websocket", {CPU: 20.0, MEMORY: 10.0}, width=0.02, **load),
    )


def judged(*cells: Cell) -> dict[tuple[str, str | None], dict[str, str]]:
    """The verdicts by server and claim."""
    return {
        (one["system"], one["server_model"]): {
            claim: found["verdict"] for claim, found in one["verdicts"].items()
        }
        for one in claims.judge_servers(Measured(cells, {}))
    }


def test_each_server_is_judged_by_its_own_cells() -> None:
    """Dear on ours, alike on another: the claim is about the server."""
    found = judged(*pair(5.0, server_model="gevent"), *pair(1.0, **NODE))
    assert found["wirelab", "gevent"]["cheaper"] == "holds"
    assert found["wirelab", "gevent"]["long-poll-cost"] == "holds"
    assert found["node", None]["cheaper"] == "fails"
    assert found["node", None]["long-poll-cost"] == "fails"


def test_servers_that_the_claims_are_not_about_are_judged_too() -> None:
    """A claim's own verdict is that of gevent and gthread alone."""
    cells = [*pair(5.0, server_model="gevent"), *pair(5.0, server_model="gthread")]
    others = [*pair(1.0, server_model="asyncio"), *pair(1.0, **NODE)]
    assert judged(*cells, *others)["wirelab", "asyncio"]["cheaper"] == "fails"
    alone, beside = (claims.judge_all(Measured(tuple(some), {})) for some in (cells, [*cells, *others]))
    assert alone == beside


@pytest.mark.parametrize("cells", [(), pair(5.0, server_model="gevent")])
def test_one_server_has_no_matrix(cells: tuple[Cell, ...]) -> None:
    assert judged(*cells) == {}


def test_what_was_not_measured_on_a_server_is_not_decided_there() -> None:
    held, push = pair(5.0, **NODE)
    found = judged(*pair(5.0, server_model="gevent"), held)
    assert found["node", None]["cheaper"] == "inconclusive"
    assert push.id not in str(found)


def test_only_claims_that_compare_transports_are_in_it() -> None:
    found = judged(*pair(5.0, server_model="gevent"), *pair(1.0, **NODE))
    compared = {claim.id for claim in claims.CLAIMS if claim.compares}
    assert {tuple(sorted(verdicts)) for verdicts in found.values()} == {tuple(sorted(compared))}
    assert compared == {"calls", "poll-latency", "long-poll-cost", "low-latency", "cheaper"}


def test_the_words_name_the_server_that_they_are_about() -> None:
    """One without a model too, and one whose models are called as ours are."""
    servers = {
        "Node": NODE,
        "stock Flask, gevent": {"system": "stock", "server_model": "gevent"},
        "gthread": {"server_model": "gthread"},
    }
    found = claims.judge_servers(
        Measured(tuple(cell for one in servers.values() for cell in pair(5.0, **one)), {})
    )
    for name, server in zip(servers, found, strict=True):
        short = server["verdicts"]["long-poll-cost"]["short"]
        assert f" on {name} " in short or f" on {name}," in short, short
