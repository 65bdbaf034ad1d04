"""`as-printed`: refused as printed, accepted when completed."""

from __future__ import annotations

import pytest
from judging import judged
from synthetic_run import AS_PRINTED


@pytest.mark.parametrize(
    ("printed", "completed", "verdict"),
    [
        (400, 101, "holds"),
        (426, 101, "holds"),
        (500, 101, "inconclusive"),
        (400, 400, "inconclusive"),
        (101, 101, "fails"),
        (None, 101, "inconclusive"),
    ],
)
def test_as_printed_needs_both_answers(printed: int | None, completed: int, verdict: str) -> None:
    """Refused as printed, accepted when completed; a server error refuses nothing."""
    probe = {**AS_PRINTED, "printed": {"status": printed}, "completed": {"status": completed}}
    assert judged("as-printed", [], {"as-printed": probe})["verdict"] == verdict
