"""What the server model `asyncio` is made of, without sockets; on the wire the contract's tests hold it."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import psutil
import pytest
from conftest import Server
from frames import BINARY, CLOSE, CONTINUATION, PING, TEXT, frame
from raw import RawWebSocket, publish, stats

from servers.asyncio_server import requests
from servers.asyncio_server.bodies import CHUNKS_AT_ONCE, BadChunk, Chunks
from servers.asyncio_server.deadlines import Deadlines
from servers.asyncio_server.fan import Fan
from servers.asyncio_server.messages import Messages, unmasked
from servers.asyncio_server.turns import Turns
from servers.asyncio_server.websocket import MESSAGES
from servers.drafts import parse_draft
from servers.incoming import Incoming
from servers.settings import Settings
from servers.stream import Streams
from servers.unaccepted import Claim, Unaccepted

MIB = 1 << 20
CHUNKED = b'3;a="b"\r\nabc\r\nA\r\n0123456789\r\n1\r\n\n\r\n0\r\nA: x\r\n\r\nbehind'


@pytest.mark.parametrize("size", [1, 2, 3, 7, len(CHUNKED)])
def test_chunks_may_come_in_any_pieces(size: int) -> None:
    chunks, taken, rest, is_whole = Chunks(), [], b"", False
    for at in range(0, len(CHUNKED), size):
        rest += CHUNKED[at : at + size]
        if not is_whole:
            rest, is_whole = chunks.take(rest, taken.append)
    assert (b"".join(taken), rest, is_whole) == (b"abc0123456789\n", b"behind", True)


def test_many_small_chunks_are_taken_in_turns() -> None:
    chunks, taken = Chunks(), []
    rest, is_whole = chunks.take(b"1\r\na\r\n" * CHUNKS_AT_ONCE + b"0\r\n\r\n", taken.append)
    assert (is_whole, chunks.is_waiting) == (False, False)
    while not is_whole:
        rest, is_whole = chunks.take(rest, taken.append)
    assert (b"".join(taken), rest) == (b"a" * CHUNKS_AT_ONCE, b"")


def test_a_line_without_end_is_refused() -> None:
    with pytest.raises(BadChunk, match="chunked"):
        Chunks().take(b"1;" + b"a" * 9000, lambda piece: None)


def messages(max_bytes: int = MIB) -> Messages:
    unaccepted = Unaccepted(64 * MIB)
    return Messages(Incoming(max_bytes, 1.0, Claim(unaccepted)), unaccepted)


SENT = (
    frame(TEXT, "é".encode()[:1], fin=False)
    + frame(PING, b"in between")
    + frame(CONTINUATION, "é".encode()[1:] + b"!")
    + frame(BINARY, bytes(range(256)) * 400)
    + frame(TEXT, b"")
    + frame(CLOSE, b"\x03\xe8bye")
)
READ = [
    (PING, b"in between"),
    (TEXT, "é!"),
    (BINARY, bytes(range(256)) * 400),
    (TEXT, ""),
    (CLOSE, b"\x03\xe8bye"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000, 65_537, len(SENT)])
def test_frames_may_come_in_any_pieces(size: int) -> None:
    reader = messages()
    found = []
    for at in range(0, len(SENT), size):
        reader.add(SENT[at : at + size])
        while (event := reader.next()) is not None:
            if event.opcode != CONTINUATION:
                found.append((event.opcode, event.data))
    assert found == READ
    assert reader.unread == 0


def test_unmasking_is_its_own_inverse() -> None:
    for size in range(20):
        payload = bytes(range(size))
        assert unmasked(unmasked(payload, b"\x01\x80\xff\x00"), b"\x01\x80\xff\x00") == payload


def test_what_repeats_is_read_once() -> None:
    line, fields = b"GET /streams/main/long-poll?after=a.1 HTTP/1.1", b"Host: localhost\r\nA: b\r\n"
    assert requests.read_line(line) is requests.read_line(bytes(bytearray(line)))
    assert requests.read_fields(fields) is requests.read_fields(bytes(bytearray(fields)))
    large = b"A: " + b"b" * 2000 + b"\r\n"
    assert requests.read_fields(large) is not requests.read_fields(large), "it would fill the memory"


class Recorder:
    """Stands in for a WebSocket and for its transport."""

    heartbeat = None
    form = MESSAGES

    def __init__(self, fan: Fan, full_after: int = sys.maxsize) -> None:
        self.fan = fan
        self.full_after = full_after
        self.written: list[bytes] = []

    @property
    def transport(self) -> "Recorder":
        return self

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if len(self.written) >= self.full_after:
            self.fan.leave(self)

    def send_batch(self, batch: Any) -> None:
        self.write(b"".join(batch.chunks()))


def test_all_who_wait_are_written_the_same_bytes_and_who_is_full_leaves() -> None:
    streams, woken = Streams(Settings()), []
    stream = streams.get("main")
    fan = Fan(stream, woken, lambda polls, batch: None)
    quick, other, full = Recorder(fan), Recorder(fan), Recorder(fan, full_after=1)
    for each in (quick, other, full):
        fan.enter(each)
    for number in range(3):
        stream.publish(parse_draft(b'{"data":%d}' % number))
        assert woken == [fan]
        woken.pop().deliver()
    assert [len(each.written) for each in (quick, other, full)] == [3, 3, 1]
    assert all(ours is theirs for ours, theirs in zip(quick.written, other.written, strict=True))
    # Several notifications before a turn ends are one batch.
    for number in range(2):
        stream.publish(parse_draft(b'{"data":%d}' % number))
    woken.pop().deliver()
    assert len(quick.written) == 4
    assert quick.written[-1].count(b'"id":') == 2


def test_polls_end_in_the_order_of_their_time() -> None:
    ended: list[str] = []

    async def wait() -> None:
        def end(poll: str) -> None:
            deadlines.remove(poll, WAITS[poll])
            ended.append(poll)

        deadlines = Deadlines(asyncio.get_running_loop(), end)
        for poll, wait_s in WAITS.items():
            deadlines.add(poll, wait_s)
        deadlines.remove("answered", WAITS["answered"])
        while len(ended) < len(WAITS) - 1:
            await asyncio.sleep(0.01)

    run_apart(wait())
    assert ended == ["soon", "soon too", "later"]


def run_apart(work: Coroutine[Any, Any, None]) -> None:
    """Run it in a thread of its own: in this one a browser's loop may be running."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


WAITS = {"later": 0.2, "soon": 0.05, "answered": 0.05, "soon too": 0.05}


def test_who_goes_on_later_stands_behind_who_was_there_before() -> None:
    order: list[str] = []

    async def take_turns() -> None:
        turns = Turns(asyncio.get_running_loop())

        def again(name: str, times: int) -> Callable[[], None]:
            def go_on() -> None:
                order.append(name)
                if times > 1:
                    turns.later(again(name, times - 1))

            return go_on

        turns.later(again("a", 3))
        turns.later(again("b", 3))
        while len(order) < 6:
            await asyncio.sleep(0.001)

    run_apart(take_turns())
    assert order == ["a", "b"] * 3


@pytest.mark.long
def test_a_subscriber_takes_ten_kilobytes_at_the_most(serve: Callable[..., Server]) -> None:
    server = serve("--server-model", "asyncio")
    process = psutil.Process(server.process.pid)

    def subscribed(count: int) -> int:
        """Resident bytes with so many more, after what each of them was sent."""
        opened = [RawWebSocket(server, "/streams/main/websocket") for _ in range(count)]
        for client in opened:
            stack.enter_context(closing(client))
        publish(server, "main", "x" * 100)
        for client in opened:
            client.message()
            client.message()
        return process.memory_info().rss

    with ExitStack() as stack:
        before = subscribed(100)
        after = subscribed(400)
        assert stats(server, "main")["transports"]["websocket"]["subscribers"] == 500
    assert (after - before) / 400 < 10_000
