"""The frame reader: whatever wsproto alone would read from the same bytes, it reads, however they are cut."""

import itertools

import pytest
from fake_server import frame
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, Opcode, ParseFailed

from clients.frames import FrameReader, frame_bounds

TEXT, PING, PONG = 1, 9, 10

Read = list[str | tuple[Opcode, bytes | tuple[int, str]]]

texts = st.one_of(st.text(max_size=200), st.sampled_from(["x" * 125, "x" * 126, "€" * 42, "x" * 65536]))


def fragmented(text: str, cuts: list[int]) -> bytes:
    """A message of several frames, with a ping between each."""
    data = text.encode()
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    frames = [
        frame(data[start:end], 0 if number else TEXT, fin=number == len(cuts))
        for number, (start, end) in enumerate(itertools.pairwise(bounds))
    ]
    return frame(b"in between", PING).join(frames)


pieces = st.one_of(
    texts.map(lambda text: frame(text.encode())),
    st.builds(fragmented, texts, st.lists(st.integers(0, 1 << 16), min_size=1, max_size=3)),
    st.binary(max_size=125).map(lambda data: frame(data, PING)),
    st.binary(max_size=125).map(lambda data: frame(data, PONG)),
    # What a server must not send, or perhaps not: bytes of any kind, and text that is no UTF-8.
    st.binary(min_size=1, max_size=20),
    st.binary(max_size=200).map(frame),
    st.just(b"\x81\x7e\x00\x05short"),
)


def read_by_wsproto(data: bytes) -> tuple[Read, CloseReason | None]:
    """What is whole in `data`, until the protocol is broken, and the code to close with then."""
    protocol = FrameProtocol(client=True, extensions=[])
    protocol.receive_bytes(data)
    read: Read = []
    text = ""
    try:
        for found in protocol.received_frames():
            if found.opcode.iscontrol():
                read.append((found.opcode, found.payload))
            elif found.opcode is Opcode.BINARY:
                return read, CloseReason.UNSUPPORTED_DATA
            else:
                text += found.payload
                if found.message_finished:
                    read.append(text)
                    text = ""
    except ParseFailed as error:
        return read, error.code
    return read, None


def read_by_us(parts: list[bytes]) -> tuple[Read, CloseReason | None]:
    """The same, by the reader, from bytes that come in parts."""
    reader = FrameReader([])
    read: Read = []
    try:
        for part in parts:
            for found in reader.read(part):
                read.append((found.opcode, found.payload) if isinstance(found, Frame) else found)
    except ParseFailed as error:
        return read, error.code
    return read, None


@settings(max_examples=300, deadline=None)
@given(st.lists(pieces, max_size=6), st.lists(st.integers(0, 1 << 17), max_size=6))
def test_it_reads_what_wsproto_reads(sent: list[bytes], cuts: list[int]) -> None:
    """Messages, control frames and errors, in order; only an error may wait until its header is whole."""
    data = b"".join(sent)
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    parts = [data[start:end] for start, end in itertools.pairwise(bounds)]
    read, error = read_by_us(parts)
    # A header that is not whole is held back from wsproto: complete it, so that both see the same.
    expected, expected_error = read_by_wsproto(data)
    assert read == expected
    assert error == expected_error or (error is None and read_by_us([*parts, bytes(14)])[1] == expected_error)


def test_plain_frames_are_not_given_to_wsproto(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is what makes them cheap; a pong that nobody asked for is."""
    given_to_wsproto: list[bytes] = []
    receive_bytes = FrameProtocol.receive_bytes

    def spy(protocol: FrameProtocol, data: bytes) -> None:
        given_to_wsproto.append(data)
        receive_bytes(protocol, data)

    monkeypatch.setattr(FrameProtocol, "receive_bytes", spy)
    pong, ping = frame(b"!", PONG), frame(b"?", PING)
    parts = [frame(b"one") + pong + frame(b"x" * 126)[:1], frame(b"x" * 126)[1:] + frame(b"") + ping]
    read = ["one", (Opcode.PONG, b"!"), "x" * 126, "", (Opcode.PING, b"?")]
    assert read_by_us(parts) == (read, None)
    assert given_to_wsproto == [pong]


@pytest.mark.parametrize(
    ("header", "bounds"),
    [
        ("81", None),
        ("81 05", (2, 7)),
        ("81 85", (6, 11)),
        ("81 7e 01", None),
        ("81 7e 01 00", (4, 260)),
        ("81 fe 01 00", (8, 264)),
        ("81 7f 00 00 00 00 00 01 00", None),
        ("81 7f 00 00 00 00 00 01 00 00", (10, 65546)),
    ],
)
def test_a_frames_bounds(header: str, bounds: tuple[int, int] | None) -> None:
    """RFC 6455, 5.2: three forms of a length, and a mask or none."""
    assert frame_bounds(bytes.fromhex(header)) == bounds
    shifted = None if bounds is None else (bounds[0] + 3, bounds[1] + 3)
    assert frame_bounds(b"abc" + bytes.fromhex(header), 3) == shifted
