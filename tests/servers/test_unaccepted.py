"""The bound on what has been sent and is not accepted yet: the counter by itself."""

import pytest

from servers.settings import Settings
from servers.unaccepted import FREE_BYTES, Unaccepted, UnacceptedFull


def test_who_exceeds_the_bound_is_refused_and_keeps_what_it_had() -> None:
    unaccepted = Unaccepted(1000)
    with unaccepted.claim() as first, unaccepted.claim() as second:
        first.hold(FREE_BYTES + 600)
        second.hold(FREE_BYTES + 400)
        with pytest.raises(UnacceptedFull, match=r"1000 bytes \(max_unaccepted_bytes\)"):
            second.hold(FREE_BYTES + 401)
        assert unaccepted.bytes_held == 1000
        first.release()
        second.hold(FREE_BYTES + 1000)
    assert unaccepted.bytes_held == 0


def test_small_ones_are_taken_when_it_is_full() -> None:
    unaccepted = Unaccepted(1000)
    with unaccepted.claim() as large, unaccepted.claim() as small:
        large.hold(FREE_BYTES + 1000)
        small.hold(FREE_BYTES)
        small.refuse_length(FREE_BYTES)
        with pytest.raises(UnacceptedFull):
            small.refuse_length(FREE_BYTES + 1)
        assert unaccepted.bytes_held == 1000


def test_what_is_only_announced_takes_no_room() -> None:
    unaccepted = Unaccepted(1000)
    with unaccepted.claim() as claim:
        claim.refuse_length(FREE_BYTES + 1000)
        assert unaccepted.bytes_held == 0


def test_one_body_always_fits() -> None:
    with pytest.raises(ValueError, match="max_unaccepted_bytes must be at least 16777216"):
        Settings(max_unaccepted_bytes=1 << 20)
