"""`upgrade`: every check of the handshake."""

from __future__ import annotations

from judging import judged
from synthetic_run import UPGRADE


def test_upgrade_checks_the_handshake_itself() -> None:
    """101, the right accept key (RFC 6455 §1.3's own example), messages both ways on one connection."""
    assert "dGhlIHNhbXBsZSBub25jZQ==" in str(UPGRADE["request"])
    assert "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in str(UPGRADE["response"])
    assert judged("upgrade", [], {"upgrade": UPGRADE})["verdict"] == "holds"
    for change in (
        {"status": 200},
        {"same_connection": False},
        {"messages_received": 3},
        {"messages_sent": 0, "messages_received": 0},
        {"response": UPGRADE["response"].replace("s3pP", "xxxx")},  # type: ignore[attr-defined]
        {"request": UPGRADE["request"].replace("Upgrade: websocket", "Upgrade: h2c")},  # type: ignore[attr-defined]
    ):
        assert judged("upgrade", [], {"upgrade": {**UPGRADE, **change}})["verdict"] == "fails"
    assert judged("upgrade", [], {})["verdict"] == "inconclusive"
    assert judged("upgrade", [], {"upgrade": None})["verdict"] == "inconclusive"
    broken = judged("upgrade", [], {"upgrade": {"error": "TimeoutError: timed out"}})
    assert (broken["verdict"], "timed out" in broken["why"]) == ("inconclusive", True)
