"""`many-clients`: everything once, in order, to everybody."""

from __future__ import annotations

from judging import judged, made


def test_many_clients_holds_until_something_is_lost_twice() -> None:
    """Once may be an accident of the harness: the trial is invalid, and nothing is won."""
    whole = made("websocket", {"deliveries": 100.0})
    assert judged("many-clients", [whole])["verdict"] == "holds"
    once = made("websocket", {"deliveries": 100.0}, valid_trials=4, losses=("r1",))
    assert judged("many-clients", [once])["verdict"] == "inconclusive"
    twice = made("websocket", {"deliveries": 100.0}, valid_trials=3, losses=("r1", "r2"))
    assert judged("many-clients", [twice])["verdict"] == "fails"
    alone = made("websocket", {"deliveries": 100.0}, subscribers=1)
    assert judged("many-clients", [alone])["verdict"] == "inconclusive"
