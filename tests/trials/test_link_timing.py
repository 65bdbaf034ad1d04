"""What an emulated link really does to packets, as it is measured: nothing else may run beside it."""

import json
from pathlib import Path
from typing import Any

import pytest
from processes import without_browser

from bench.analysis import store
from bench.commands.bench import perform
from bench.scenario.links import Link
from bench.scenario.parse import parse
from bench.trials.network import network

pytestmark = pytest.mark.alone

SCENARIO = """
name = "linked"
question = "does it run?"
prediction = "it does"
expected_length = "seconds"
repeats = 1
minimum_valid_trials = 1
[defaults]
subscribers = 10
publish_rate = 20
window_s = 1.0
settle_s = 0.3
[[cells]]
transport = ["websocket", "long-poll"]
one_way_ms = 30
[[cells]]
transport = "websocket"
link = ["loopback", "4g"]
"""


@pytest.mark.parametrize(
    "asked",
    [
        Link("constant"),
        Link("constant", one_way_ms=20.0),
        Link("lossy", one_way_ms=5.0, loss_percent=10.0),
        Link("narrow", one_way_ms=5.0, jitter_ms=2.0, bandwidth_mbit=10.0),
    ],
)
def test_a_link_is_what_was_asked_for(asked: Link, tmp_path: Path) -> None:
    """Round trip, connect time and loss, measured from its ends; and nothing of it is left."""
    before = without_browser()
    found = network.check(asked, "a seed", scratch=tmp_path, core=None)
    assert found["passed"], found["why"]
    assert found["round_trip_ms"] >= 2 * asked.one_way_ms - 2 * asked.jitter_ms
    assert (found["lost_percent"] > 0) == (asked.loss_percent > 0)
    assert without_browser().items() <= before.items()


@pytest.mark.long
def test_a_run_across_a_link(tmp_path: Path) -> None:
    """Deliveries are late by a transit, TCP_INFO agrees with the interface, and the cells name their link."""
    path, _ = perform(parse(SCENARIO), tmp_path / "out", "wirelab bench linked.toml", quiet=True)
    run: dict[str, Any] = json.loads((path / "run.json").read_text())
    assert [check["passed"] for check in run["links"]] == [True, True]
    assert run["links_unavailable"] is None
    store.analyse(path)
    summary = json.loads((path / "summary.json").read_text())
    for cell in summary["cells"]:
        link_, one_way_ms = cell["link"], cell["one_way_ms"]
        linked = link_ != "loopback"
        assert one_way_ms == {"constant": 30.0, "4g": 85.0, "loopback": 0.0}[link_]
        figures = [one["figures"] for one in summary["trials"] if one["cell"] == cell["id"]]
        assert figures[0]["latency_ms_p50"] >= one_way_ms - cell["jitter_ms"]
        assert (figures[0]["latency_ms_p50"] >= 30.0) is linked
        gates = cell["gates"]
        assert gates["link_checked"]["passed"] is (True if linked else None)
        # Where packets are lost on purpose, what passes the interface twice is counted once.
        assert gates["wire_counts_off_share"]["passed"] is (True if link_ == "constant" else None)
        assert gates["relay_dropped"]["values"] == [0 if linked else None]
