"""Event streams as HTML, section 9.2.6, reads them, however they are written and wherever they are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients import event_stream
from clients.errors import BadAnswer
from clients.event_stream import Event, EventStreamReader

STREAMS: dict[str, tuple[bytes, list[Event]]] = {
    "ours": (b"id: a.1\ndata: {}\n\n", [Event("message", "{}", "a.1")]),
    "lines end with CR": (b"data: x\r\rdata: y\r\r", [Event("message", "x", ""), Event("message", "y", "")]),
    "lines end with CRLF": (b"id: 7\r\ndata: x\r\n\r\n", [Event("message", "x", "7")]),
    "lines end in all ways": (
        b"id: 1\rdata: x\ndata: y\r\n\rdata: z\n\n",
        [Event("message", "x\ny", "1"), Event("message", "z", "1")],
    ),
    "a byte order mark": (b"\xef\xbb\xbfdata: x\n\n", [Event("message", "x", "")]),
    "a second mark is no mark": (
        b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\ndata: y\n\n",
        [Event("message", "y", "")],
    ),
    "several data lines": (b"data: a\ndata\ndata:b\ndata:  c\n\n", [Event("message", "a\n\nb\n c", "")]),
    "no data, no event": (b"id: 3\n\n: nothing\n\nevent: x\n\ndata: y\n\n", [Event("message", "y", "3")]),
    "empty data is data": (b"data\n\ndata:\n\n", [Event("message", "", ""), Event("message", "", "")]),
    "comments": (b":\n\n: hello\n:data: no\ndata: x\n:\n\n", [Event("message", "x", "")]),
    "a type": (b"event: note\ndata: x\n\ndata: y\n\n", [Event("note", "x", ""), Event("message", "y", "")]),
    "an id stays, until it is taken back": (
        b"id: 1\ndata: x\n\ndata: y\n\nid\ndata: z\n\n",
        [Event("message", "x", "1"), Event("message", "y", "1"), Event("message", "z", "")],
    ),
    "an id with NUL is none": (b"id: 1\nid: 2\0\ndata: x\n\n", [Event("message", "x", "1")]),
    "unknown fields": (b"Data: no\ndata : no\nfoo\nretry: x\ndata: x\n\n", [Event("message", "x", "")]),
    "a colon in the value": (b"data: a: b:c\n\n", [Event("message", "a: b:c", "")]),
    "not UTF-8": (b"data: \xff\xc3\xa9\n\n", [Event("message", "\ufffdé", "")]),
    "separators that end no line": (
        "data: a\u2028b\x0bc\x85\x1ed\n\n".encode(),
        [Event("message", "a\u2028b\x0bc\x85\x1ed", "")],
    ),
    "an event that has not ended": (b"data: x\n\ndata: y\n", [Event("message", "x", "")]),
}


@pytest.mark.parametrize("name", STREAMS)
def test_is_read(name: str) -> None:
    """Whole, byte by byte, and cut once at each place."""
    data, events = STREAMS[name]
    assert EventStreamReader().feed(data) == events
    reader = EventStreamReader()
    assert [event for byte in data for event in reader.feed(bytes([byte]))] == events
    for cut in range(len(data) + 1):
        reader = EventStreamReader()
        assert reader.feed(data[:cut]) + reader.feed(data[cut:]) == events


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"data: x", b"id:1", b":", b"\xc3", b"\xa9"])), st.data()
)
def test_cuts_change_nothing(parts: list[bytes], draw: st.DataObject) -> None:
    stream = b"".join(parts)
    whole = EventStreamReader().feed(stream)
    reader, read, at = EventStreamReader(), [], 0
    while at < len(stream):
        size = draw.draw(st.integers(1, len(stream) - at))
        read += reader.feed(stream[at : at + size])
        at += size
    assert read == whole


def test_an_event_ends_with_the_cr_of_its_empty_line() -> None:
    """It does not wait for the next byte, which might be an LF."""
    reader = EventStreamReader()
    assert reader.feed(b"data: x\r\n\r") == [Event("message", "x", "")]
    assert reader.feed(b"\n") == []
    assert reader.feed(b"data: y\n\n") == [Event("message", "y", "")]


def test_retry_is_kept() -> None:
    reader = EventStreamReader()
    assert reader.retry_ms is None
    reader.feed(b"retry: 1500\nretry: 1.5\nretry: -1\nretry\n\n")
    assert reader.retry_ms == 1500
    reader.feed(b"retry: " + b"9" * 5000 + b"\n")
    assert reader.retry_ms == float("inf"), "Python reads no int of so many digits"


@pytest.mark.parametrize("piece", [b"x" * 64, b"data: " + b"x" * 58, b"data: x\n" * 8])
def test_an_event_is_bounded(monkeypatch: pytest.MonkeyPatch, piece: bytes) -> None:
    monkeypatch.setattr(event_stream, "MAX_EVENT_BYTES", 1000)
    reader = EventStreamReader()
    for _ in range(20):
        assert len(reader.feed(b"data: " + b"x" * 900 + b"\n\n")) == 1
    with pytest.raises(BadAnswer, match="longer than 1000 bytes"):
        for _ in range(1000):
            reader.feed(piece)
