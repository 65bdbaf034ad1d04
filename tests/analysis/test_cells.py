"""Cells as the judges see them: ratios, and which cell is compared with which."""

from __future__ import annotations

import pytest
from judging import made

from bench.analysis.cells import Measured, ratio


def test_a_ratio_takes_the_uncertainty_of_both_sides() -> None:
    """Wider than either; absent where a side may not decide."""
    over, under = made("long-poll", {"deliveries": 30.0}), made("websocket", {"deliveries": 10.0})
    found = ratio(over, under, "deliveries")
    assert found is not None
    assert found.value == pytest.approx(3)
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert ratio(over, made("websocket", {"deliveries": 10.0}, valid_trials=4), "deliveries") is None
    assert ratio(over, made("websocket", {"deliveries": 0.0}), "deliveries") is None


def test_partners_share_the_link_and_the_use_of_connections() -> None:
    """Else another network, or another client, would be compared; where nothing is published the wait counts
    too."""
    held = made("long-poll", {"deliveries": 1.0}, one_way_ms=20.0)
    for changed in ({}, {"one_way_ms": 50.0}, {"one_way_ms": 20.0, "loss_percent": 1.0}):
        assert Measured((held, made("websocket", {}, **changed)), {}).partner(held, "websocket") is None
    push = made("websocket", {}, one_way_ms=20.0, wait_s=5.0)
    assert Measured((held, push), {}).partner(held, "websocket") is push
    fresh = made("long-poll", {"deliveries": 1.0}, one_way_ms=20.0, connection="fresh")
    kept = made("websocket", {}, one_way_ms=20.0, connection="kept")
    assert Measured((fresh, kept), {}).partner(fresh, "websocket") is None
    idle = made("long-poll", {}, publish_rate=0.0, wait_s=5.0)
    other = made("websocket", {}, publish_rate=0.0, wait_s=25.0)
    assert Measured((idle, other), {}).partner(idle, "websocket") is None


def test_a_partner_is_not_compressed_and_is_ours() -> None:
    """The other transport has no compression to match it; a server of another kind is no partner either."""
    held = made("long-poll", {})
    packed = made("websocket", {}, permessage_deflate=True)
    bare = made("websocket", {}, system="bare")
    push = made("websocket", {})
    assert Measured((held, packed, bare), {}).partner(held, "websocket") is None
    assert Measured((held, packed, bare, push), {}).partner(held, "websocket") is push
