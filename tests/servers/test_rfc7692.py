"""RFC 7692, section 7, as a table: the rule, what is offered or sent, what must come back, on both models."""

import os
import random
import zlib
from collections.abc import Iterator

import pytest
from conftest import Server, start_server, stop_server
from frames import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, Frame, Wire, close, connected, frame, head
from models import DEFLATING
from raw import publish

MIB = 1 << 20
RSV1, RSV2 = 4, 2
NAME = "permessage-deflate"
OFFER: dict[str, str | list[str] | None] = {"Sec-WebSocket-Extensions": NAME}


@pytest.fixture(scope="module", params=DEFLATING)
def deflating(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of each model that compresses."""
    log = tmp_path_factory.mktemp("deflating") / "server.log"
    server = start_server(log, "--server-model", request.param, "--permessage-deflate")
    yield server
    stop_server(server)


# Section, rule, what is offered (a list: several fields), and what is agreed on: None for nothing, an int
# for a refusal.
OFFERS: list[tuple[str, str, str | list[str], str | int | None]] = [
    ("7", "the name alone", NAME, NAME),
    ("7", "after others", f"foo, bar; x=1, {NAME}", NAME),
    ("7", "in a field of its own", ["foo", NAME], NAME),
    ("7", "with empty members around", f" , {NAME} ,", NAME),
    ("7", "another name", "x-webkit-deflate-frame", None),
    ("7.1", "an unknown parameter", f"{NAME}; foo", None),
    ("7.1", "an unknown parameter that begins as a known one", f"{NAME}; server_no_context_takeover2", None),
    ("7.1", "a parameter twice", f"{NAME}; client_max_window_bits; client_max_window_bits=10", None),
    (
        "7.1",
        "the first that can be met",
        f"{NAME}; foo=1, {NAME}; server_max_window_bits=12",
        f"{NAME}; server_max_window_bits=12",
    ),
    (
        "7.1",
        "the client's preference",
        f"{NAME}; server_max_window_bits=9, {NAME}",
        f"{NAME}; server_max_window_bits=9",
    ),
    (
        "7.1.1.1",
        "server_no_context_takeover",
        f"{NAME}; server_no_context_takeover",
        f"{NAME}; server_no_context_takeover",
    ),
    ("7.1.1.1", "with a value", f"{NAME}; server_no_context_takeover=1", None),
    (
        "7.1.1.2",
        "client_no_context_takeover",
        f"{NAME};client_no_context_takeover",
        f"{NAME}; client_no_context_takeover",
    ),
    ("7.1.1.2", "with an empty value in quotes", f'{NAME}; client_no_context_takeover=""', 400),
    (
        "7.1.2.1",
        "the least window that zlib has",
        f"{NAME}; server_max_window_bits=9",
        f"{NAME}; server_max_window_bits=9",
    ),
    ("7.1.2.1", "the largest", f"{NAME}; server_max_window_bits=15", f"{NAME}; server_max_window_bits=15"),
    ("7.1.2.1", "in quotes", f'{NAME} ; server_max_window_bits = "10"', f"{NAME}; server_max_window_bits=10"),
    (
        "7.1.2.1",
        "in quotes, with a backslash",
        f'{NAME}; server_max_window_bits="1\\0"',
        f"{NAME}; server_max_window_bits=10",
    ),
    ("7.1.2.1", "a window of 8 bits cannot be kept to", f"{NAME}; server_max_window_bits=8", None),
    *[
        ("7.1.2.1", f"out of range or no number: {value!r}", f"{NAME}; server_max_window_bits{value}", None)
        for value in (
            "",
            "=7",
            "=16",
            "=0",
            "=08",
            "=010",
            "=-9",
            "=+9",
            "=9.0",
            "=abc",
            "=1e1",
            "=" + "9" * 50,
        )
    ],
    ("7.1.2.2", "client_max_window_bits alone", f"{NAME}; client_max_window_bits", NAME),
    *[
        ("7.1.2.2", f"client_max_window_bits={bits}", f"{NAME}; client_max_window_bits={bits}", NAME)
        for bits in (8, 9, 15)
    ],
    *[
        ("7.1.2.2", f"out of range or no number: {value!r} ", f"{NAME}; client_max_window_bits{value}", None)
        for value in ("=7", "=16", "=0", "=015", "=-1", "=abc")
    ],
    ("7.1.2.2", "no value after the sign", f"{NAME}; client_max_window_bits=", 400),
    (
        "7.1",
        "everything",
        f"{NAME}; client_max_window_bits=10; server_max_window_bits=11; client_no_context_takeover; "
        "server_no_context_takeover",
        f"{NAME}; server_max_window_bits=11; client_no_context_takeover; server_no_context_takeover",
    ),
]


@pytest.mark.parametrize(("section", "rule", "offer", "agreed"), OFFERS, ids=[row[1] for row in OFFERS])
def test_offers(
    deflating: Server, section: str, rule: str, offer: str | list[str], agreed: str | int | None
) -> None:
    wire = Wire(deflating)
    with wire.socket:
        wire.send(head("/echo", {"Sec-WebSocket-Extensions": offer}))
        status, fields = wire.answer_head()
        if isinstance(agreed, int):
            assert status == agreed, (section, rule)
            return
        assert status == 101, (section, rule)
        assert fields.get("sec-websocket-extensions") == agreed
        # Whatever was agreed on, it works: twice, for the window is taken over or not.
        client = Peer(fields.get("sec-websocket-extensions", ""))
        for text in (b"hello " * 20, b"hello " * 20):
            wire.send(client.message(TEXT, text))
            assert client.read(wire) == Frame(TEXT, text)


def test_without_the_option_nothing_is_agreed_on(any_server: Server) -> None:
    wire = Wire(any_server)
    with wire.socket:
        wire.send(head("/echo", OFFER))
        status, fields = wire.answer_head()
        assert (status, fields.get("sec-websocket-extensions")) == (101, None)
        wire.send(frame(TEXT, b"x", rsv=RSV1))
        assert wire.frame().payload[:2] == (1002).to_bytes(2, "big")


class Peer:
    """The client's end of an agreement, by zlib alone."""

    def __init__(self, agreed: str) -> None:
        self.agreed = agreed
        self.deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        bits = int(agreed.partition("server_max_window_bits=")[2][:2].rstrip(";") or 15)
        self.bits = bits
        self.inflate = zlib.decompressobj(-bits)

    def compressed(self, data: bytes) -> bytes:
        whole = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        if "client_no_context_takeover" in self.agreed:
            self.deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        # Empty and just flushed, zlib gives nothing at all (section 7.2.3.6).
        return whole[:-4] or b"\x00"

    def message(self, opcode: int, data: bytes) -> bytes:
        if not self.agreed:
            return frame(opcode, data)
        return frame(opcode, self.compressed(data), rsv=RSV1)

    def read(self, wire: Wire) -> Frame:
        """The next message, inflated; a window that was not agreed on fails."""
        found = wire.frame()
        if not found.rsv1:
            return found
        data = self.inflate.decompress(found.payload + b"\x00\x00\xff\xff")
        assert not self.inflate.unconsumed_tail and not self.inflate.unused_data
        if "server_no_context_takeover" in self.agreed:
            self.inflate = zlib.decompressobj(-self.bits)
        return Frame(found.opcode, data)


HELLO = bytes.fromhex("f248cdc9c90700")
AGAIN = bytes.fromhex("f200110000")
"""The same by what the window holds of it."""
LAST = bytes.fromhex("f348cdc9c9070000")
"""The same in a block that is marked as the last."""
NOISE = random.Random(7).randbytes(3000)
CUT = zlib.compressobj(9, zlib.DEFLATED, -15)
PIECES = CUT.compress(NOISE) + CUT.flush(zlib.Z_SYNC_FLUSH)
PIECES = PIECES[:-4]


def fragments(opcode: int, payload: bytes, *between: bytes) -> bytes:
    """A compressed message in as many fragments as there are gaps, and one; RSV1 is on the first only."""
    count = len(between) + 1
    size = -(-len(payload) // count)
    sent = b""
    for number in range(count):
        part = payload[number * size : (number + 1) * size]
        first = number == 0
        sent += frame(
            opcode if first else CONTINUATION, part, fin=number == count - 1, rsv=RSV1 if first else 0
        )
        if number < count - 1:
            sent += between[number]
    return sent


def closed(code: int) -> Frame:
    return Frame(CLOSE, code.to_bytes(2, "big"))


# Section, rule, bytes sent, frames that come back (inflated); the last closes.
FRAMES: list[tuple[str, str, bytes, list[Frame]]] = [
    *[
        (section, rule, frame(TEXT, sent, rsv=RSV1) + close(1000), [Frame(TEXT, b"Hello"), closed(1000)])
        for section, rule, sent in (
            ("7.2.3.1", "one block", HELLO),
            ("7.2.3.3", "a block that is not compressed", bytes.fromhex("000500faff48656c6c6f00")),
            ("7.2.3.4", "a block marked as the last", LAST),
            ("7.2.3.5", "two blocks", bytes.fromhex("f248050000 00ffffcac9c90700")),
        )
    ],
    (
        "7.2.3.1",
        "in two fragments",
        frame(TEXT, HELLO[:3], fin=False, rsv=RSV1) + frame(CONTINUATION, HELLO[3:]) + close(1000),
        [Frame(TEXT, b"Hello"), closed(1000)],
    ),
    (
        "7.2.3.2",
        "the window is shared",
        frame(TEXT, HELLO, rsv=RSV1) + frame(TEXT, AGAIN, rsv=RSV1) + close(1000),
        [Frame(TEXT, b"Hello"), Frame(TEXT, b"Hello"), closed(1000)],
    ),
    (
        "7.2.3.4",
        "what follows a last block",
        2 * frame(TEXT, LAST, rsv=RSV1) + frame(TEXT, HELLO, rsv=RSV1) + close(1000),
        [Frame(TEXT, b"Hello")] * 3 + [closed(1000)],
    ),
    (
        "7.2.3.4",
        "the window is shared past a last block",
        frame(TEXT, LAST, rsv=RSV1) + frame(TEXT, AGAIN, rsv=RSV1) + close(1000),
        [Frame(TEXT, b"Hello"), Frame(TEXT, b"Hello"), closed(1000)],
    ),
    (
        "7.2.3.6",
        "empty messages",
        2 * frame(TEXT, b"\x00", rsv=RSV1) + frame(BINARY, b"\x00", rsv=RSV1) + close(1000),
        [Frame(TEXT, b""), Frame(TEXT, b""), Frame(BINARY, b""), closed(1000)],
    ),
    (
        "6",
        "not compressed, though it was agreed on",
        frame(TEXT, b"plain") + frame(TEXT, HELLO, rsv=RSV1) + close(1000),
        [Frame(TEXT, b"plain"), Frame(TEXT, b"Hello"), closed(1000)],
    ),
    (
        "6",
        "text with a ping between its fragments",
        fragments(TEXT, HELLO, frame(PING, b"p")) + frame(TEXT, HELLO, rsv=RSV1) + close(1000),
        [Frame(PONG, b"p"), Frame(TEXT, b"Hello"), Frame(TEXT, b"Hello"), closed(1000)],
    ),
    (
        "6",
        "binary with a ping between its fragments",
        fragments(BINARY, PIECES, frame(PING, b"p")) + close(1000),
        [Frame(PONG, b"p"), Frame(BINARY, NOISE), closed(1000)],
    ),
    (
        "6",
        "binary with pings and pongs between seven fragments",
        fragments(
            BINARY, PIECES, *[frame(PING), frame(PONG, b"x"), frame(PING, b"q") + frame(PING, b"r")] * 2
        )
        + close(1000),
        [*[Frame(PONG, b""), Frame(PONG, b"q"), Frame(PONG, b"r")] * 2, Frame(BINARY, NOISE), closed(1000)],
    ),
    (
        "6",
        "plain text with a ping between its fragments",
        frame(TEXT, b"a", fin=False)
        + frame(PING)
        + frame(CONTINUATION, b"b")
        + frame(TEXT, HELLO, rsv=RSV1)
        + close(1000),
        [Frame(PONG, b""), Frame(TEXT, b"ab"), Frame(TEXT, b"Hello"), closed(1000)],
    ),
    ("6", "a close between its fragments", fragments(TEXT, HELLO, close(1000)), [closed(1000)]),
    (
        "6.1",
        "RSV1 on a continuation",
        frame(TEXT, HELLO[:3], fin=False, rsv=RSV1) + frame(CONTINUATION, HELLO[3:], rsv=RSV1),
        [closed(1002)],
    ),
    (
        "6.1",
        "RSV1 on a continuation of plain text",
        frame(TEXT, b"a", fin=False) + frame(CONTINUATION, HELLO, rsv=RSV1),
        [closed(1002)],
    ),
    ("6.1", "RSV1 on a ping", frame(PING, HELLO, rsv=RSV1), [closed(1002)]),
    ("6.1", "RSV1 on a close", frame(CLOSE, b"\x03\xe8", rsv=RSV1), [closed(1002)]),
    (
        "6.1",
        "RSV1 on a ping between fragments",
        fragments(TEXT, HELLO, frame(PING, rsv=RSV1)),
        [closed(1002)],
    ),
    ("6.1", "RSV2", frame(TEXT, HELLO, rsv=RSV1 | RSV2), [closed(1002)]),
    ("7.2.2", "what cannot be inflated", frame(BINARY, b"\xff\xff\xff", rsv=RSV1), [closed(1007)]),
    (
        "7.2.2",
        "a distance before the window",
        frame(BINARY, AGAIN, rsv=RSV1),
        [closed(1007)],
    ),
    (
        "7.2.2",
        "text that is not UTF-8 inflated",
        frame(TEXT, bytes.fromhex("000100feff8000"), rsv=RSV1),
        [closed(1007)],
    ),
]


@pytest.mark.parametrize(("section", "rule", "sent", "expected"), FRAMES, ids=[row[1] for row in FRAMES])
def test_frames(deflating: Server, section: str, rule: str, sent: bytes, expected: list[Frame]) -> None:
    for step in (len(sent), max(1, len(sent) // 40)):
        with connected(deflating, "/echo", OFFER) as wire:
            peer = Peer(NAME)
            for at in range(0, len(sent), step):
                wire.send(sent[at : at + step])
            assert [peer.read(wire) for _ in expected[:-1]] == expected[:-1], (section, rule)
            assert wire.frame().payload[:2] == expected[-1].payload
            assert wire.frames() == []


def test_many_messages_of_all_sizes_take_the_window_over(deflating: Server) -> None:
    sizes = [0, 1, 125, 126, 65535, 65536, 40_000, 0, 0, 32768, 32769, 3]
    with connected(deflating, "/echo", OFFER) as wire:
        peer = Peer(NAME)
        for size in sizes:
            data = (NOISE * (size // len(NOISE) + 1))[:size]
            wire.send(peer.message(BINARY, data))
            assert peer.read(wire) == Frame(BINARY, data)


@pytest.mark.parametrize("size", [16 * MIB + 1, 200 * MIB])
def test_what_becomes_too_large_is_refused(deflating: Server, size: int) -> None:
    """Section 8: a bomb of a thousandth of its size."""
    with connected(deflating, "/echo", OFFER) as wire:
        wire.send(Peer(NAME).message(BINARY, bytes(size)))
        *_, last = wire.frames()
        assert last.payload[:2] == (1009).to_bytes(2, "big")
        assert b"max_notification_bytes" in last.payload


def test_what_cannot_be_compressed_has_all_its_room(deflating: Server) -> None:
    data = os.urandom(16 * MIB)
    with connected(deflating, "/echo", OFFER) as wire:
        peer = Peer(NAME)
        wire.send(peer.message(BINARY, data))
        assert peer.read(wire).payload == data
        wire.send(frame(BINARY, b"", rsv=RSV1, length=b"\x7f" + (17 * MIB).to_bytes(8, "big")))
        assert wire.frame().payload[:2] == (1009).to_bytes(2, "big")


def test_batches_are_compressed_whole(deflating: Server) -> None:
    with connected(deflating, "/streams/deflated/websocket", OFFER) as wire:
        peer = Peer(NAME)
        peer.read(wire)
        for data in ("é" * 10, "x" * 300_000, "é"):
            publish(deflating, "deflated", data)
            assert f'"data":"{data}"'.encode() in peer.read(wire).payload
