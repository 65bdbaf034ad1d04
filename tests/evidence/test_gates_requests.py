"""Requests that were not kept, and connections that were lost."""

from __future__ import annotations

from typing import ClassVar

import pytest
from made_trials import good_trial

from bench.evidence import gates
from bench.systems.registry import SYSTEMS
from bench.systems.wirelab import Wirelab
from clients.long_poll import LongPollSubscriber


def test_a_connection_that_was_lost_and_made_again() -> None:
    """One is enough: its handshake would be billed as what the transport costs."""
    trial = good_trial("websocket")
    trial.subscribers["reconnects"][1] = 1
    outcome = gates.check(trial)
    assert "1 connections were lost and made again" in outcome.why[0]
    assert outcome.gates["reconnects"]["passed"] is False


def test_requests_are_all_kept() -> None:
    """As many as the subscribers counted; a refused one is kept and is in nobody's count."""
    trial = good_trial()
    trial.requests["status"][7] = 503
    outcome = gates.check(trial)
    assert outcome.why == ["the subscribers counted 80 requests, and 79 are kept"]
    trial.subscribers["requests"][0] -= 1
    assert gates.check(trial).valid


def test_a_transport_is_what_its_system_makes_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system may answer well by another status than ours does."""

    class OtherLongPoll(LongPollSubscriber):
        good_status = 204

    class Other(Wirelab):
        transports: ClassVar = {"long-poll": OtherLongPoll}

    monkeypatch.setitem(SYSTEMS, "other", Other())
    trial = good_trial()
    trial.requests["status"][:] = 204
    assert not gates.check(trial).valid
    trial.record["system"] = "other"
    assert gates.check(trial).valid
