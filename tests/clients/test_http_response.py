"""Responses, cut anywhere."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients import http_response
from clients.errors import BadAnswer
from clients.http_response import ResponseParser

STREAM = (
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello"
    b"HTTP/1.1 503 Busy\r\nRetry-After: 3\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
)
UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def cut(data: bytes, at: set[int]) -> list[bytes]:
    edges = [0, *sorted(edge for edge in at if 0 < edge < len(data)), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@given(st.sets(st.integers(0, len(STREAM))))
def test_responses_come_out_whole_however_they_are_cut(at: set[int]) -> None:
    """Interim ones are passed over; chunked bodies, repeated headers and reasons to close are understood."""
    parser = ResponseParser()
    responses = [response for piece in cut(STREAM, at) for response in parser.feed(piece)]
    first, second = responses
    assert (first.status, first.body, first.keep_alive) == (200, b"hello", True)
    assert first.headers[b"x-a"] == b"1, 2"
    assert (second.status, second.body, second.keep_alive) == (503, b"abcde", False)
    assert second.headers[b"retry-after"] == b"3"
    assert not parser.started


@given(st.sets(st.integers(0, len(UPGRADE) + 4)))
def test_what_follows_an_upgrade_is_kept_however_it_is_cut(at: set[int]) -> None:
    """The first frame may share a segment with the 101."""
    parser = ResponseParser()
    responses, rest = [], b""
    for piece in cut(UPGRADE + b"\x81\x02hi", at):
        if parser.upgraded is None:
            responses += parser.feed(piece)
        else:
            rest += piece
    assert [response.status for response in responses] == [101]
    assert (parser.upgraded or b"") + rest == b"\x81\x02hi"


def test_a_response_in_the_making_shows() -> None:
    """Whether an answer was cut off can be told."""
    parser = ResponseParser()
    assert not parser.started
    assert parser.feed(STREAM[:60]) == []
    assert parser.started


@pytest.mark.parametrize("data", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
def test_what_is_not_http_is_told(data: bytes) -> None:
    """As the server's fault."""
    with pytest.raises(BadAnswer, match="not HTTP"):
        ResponseParser().feed(data)


def test_a_body_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is named."""
    monkeypatch.setattr(http_response, "MAX_BODY_BYTES", 4)
    with pytest.raises(BadAnswer, match="longer than 4 bytes"):
        ResponseParser().feed(STREAM)
