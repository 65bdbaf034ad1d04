"""Across a link: one that was not as asked, a relay that does not keep up, counts that disagree."""

from __future__ import annotations

import pytest
from made_trials import SUBSCRIBERS, across_a_link

from bench.evidence import gates


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({}, None),
        ({"late_ms_p99": 2.1}, "relay was late: p99 was 2.1 ms, over 2 ms"),
        ({"overflowed": 3}, "dropped 3 packets"),
        ({"unread": 2}, "dropped 2 packets"),
    ],
)
def test_a_relay_that_does_not_keep_up(broken: dict[str, float], why: str | None) -> None:
    """Late, or without room: what it delays and loses is not the profile's."""
    trial = across_a_link()
    trial.resources[2]["link"]["relay"] |= broken
    outcome = gates.check(trial)
    assert outcome.valid is (why is None)
    assert (why or "") in " ".join(outcome.why)


def test_a_link_that_was_not_found_to_be_so() -> None:
    """Its check failed, or was never made; or its relay told nothing."""
    trial = across_a_link()
    assert trial.link_check is not None
    trial.link_check |= {"passed": False, "why": "round trip took 90.00 ms"}
    assert "round trip took 90.00 ms" in gates.check(trial).why[0]
    trial.link_check = None
    assert "never checked" in gates.check(trial).why[0]
    trial = across_a_link()
    del trial.resources[2]["link"]
    assert "did not tell" in gates.check(trial).why[0]


@pytest.mark.parametrize(("more", "valid"), [(0, True), (100, True), (400, False), (-400, False)])
def test_wire_counts_that_the_interface_contradicts(more: int, valid: bool) -> None:
    """Within 1 % of 30,464 bytes."""
    trial = across_a_link()
    trial.subscribers["total_bytes_sent"] = trial.subscribers["total_bytes_sent"] + more // SUBSCRIBERS
    outcome = gates.check(trial)
    assert outcome.gates["wire_counts_off_share"]["value"] == pytest.approx(abs(more) / 30_464)
    assert outcome.valid is valid
    trial.resources.pop()
    assert "one of the two is missing" in gates.check(trial).why[0]


def test_each_fresh_connection_has_its_own_first_packets() -> None:
    """Eight bytes more each way for every request, not for every subscriber."""
    trial = across_a_link()
    trial.record["connection"] = "fresh"
    requests = len(trial.requests["subscriber"])
    for sample in trial.resources[2:]:
        wire = sample.get("link", {}).get("wire", {})
        for name in {"bytes_sent", "bytes_received"} & set(wire):
            wire[name] += 8 * (requests - SUBSCRIBERS)
    assert gates.check(trial).gates["wire_counts_off_share"]["value"] == 0
