"""`welcome`: each client is greeted first, to the letter."""

from __future__ import annotations

import pytest
from judging import judged


@pytest.mark.parametrize(
    ("messages", "verdict"),
    [
        (["web Socket Works"] * 3, "holds"),
        (["web Socket Works", "web Socket Works", None], "fails"),
        (["Web socket works"] * 3, "fails"),
        (["web Socket Works"], "inconclusive"),
        ([], "inconclusive"),
    ],
)
def test_welcome_greets_every_client(messages: list[str | None], verdict: str) -> None:
    """To the letter, first, and each of several; nothing less."""
    probe = {"target": "/welcome/websocket", "clients": len(messages), "messages": messages}
    assert judged("welcome", [], {"welcome": probe})["verdict"] == verdict


def test_welcome_without_its_probe_names_who_can_decide() -> None:
    """Runs from before the probe, and probes that failed."""
    for probes in ({}, {"welcome": None}, {"welcome": {"error": "ConnectionRefusedError: refused"}}):
        found = judged("welcome", [], probes)
        assert found["verdict"] == "inconclusive"
        assert "`wirelab bench quick`" in found["why"]
