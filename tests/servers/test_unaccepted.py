"""The bound on what has been sent and is not accepted yet: the counter by itself, and WebSockets."""

from collections.abc import Callable
from contextlib import ExitStack, closing

import psutil
import pytest
from conftest import Server
from frames import told
from models import ON_THE_WIRE, serving_process
from raw import RawWebSocket, publish

from servers.settings import Settings
from servers.unaccepted import FREE_BYTES, Claim, Unaccepted, UnacceptedFull

pytestmark = pytest.mark.long

MIB = 1 << 20


def test_who_exceeds_the_bound_is_refused_and_keeps_what_it_had() -> None:
    unaccepted = Unaccepted(1000)
    first, second = Claim(unaccepted), Claim(unaccepted)
    first.hold(FREE_BYTES + 600)
    second.hold(FREE_BYTES + 400)
    with pytest.raises(UnacceptedFull, match=r"1000 bytes \(max_unaccepted_bytes\)"):
        second.hold(FREE_BYTES + 401)
    assert unaccepted.bytes_held == 1000
    first.release()
    second.hold(FREE_BYTES + 1000)
    second.release()
    assert unaccepted.bytes_held == 0


def test_small_ones_are_taken_when_it_is_full() -> None:
    unaccepted = Unaccepted(1000)
    large, small = Claim(unaccepted), Claim(unaccepted)
    large.hold(FREE_BYTES + 1000)
    small.hold(FREE_BYTES)
    small.refuse_length(FREE_BYTES)
    with pytest.raises(UnacceptedFull):
        small.refuse_length(FREE_BYTES + 1)
    assert unaccepted.bytes_held == 1000


def test_what_is_only_announced_takes_no_room() -> None:
    unaccepted = Unaccepted(1000)
    Claim(unaccepted).refuse_length(FREE_BYTES + 1000)
    assert unaccepted.bytes_held == 0


def test_one_body_always_fits() -> None:
    with pytest.raises(ValueError, match="max_unaccepted_bytes must be at least 16777216"):
        Settings(max_unaccepted_bytes=1 << 20)


def worker_of(server: Server) -> psutil.Process:
    return psutil.Process(serving_process(server.process.pid))


def frame(first_byte: int, size: int, payload: bytes) -> bytes:
    """A frame that announces `size` bytes, by a mask that changes nothing, and what is sent of it."""
    length = told(size)
    return bytes([first_byte, 0x80 | length[0]]) + length[1:] + bytes(4) + payload


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_unfinished_messages_of_all_peers_have_one_bound(serve: Callable[..., Server], model: str) -> None:
    server = serve("--server-model", model)
    worker = worker_of(server)
    before = worker.memory_info().rss
    with ExitStack() as stack:
        peers = [stack.enter_context(closing(RawWebSocket(server, "/echo"))) for _ in range(12)]
        told = 0
        for number, peer in enumerate(peers):
            try:
                # Fragments of a message, the last frame unfinished, and as many bytes as one body may take.
                first = 0x01 if number % 2 else 0x02
                peer.socket.sendall(
                    frame(first, 8 * MIB, bytes(8 * MIB)) + frame(0x00, 8 * MIB, bytes(7 * MIB))
                )
            except ConnectionError:
                pass
        for peer in peers[5:]:
            event = peer.close_event()
            assert event.code == 1013
            assert event.reason and "max_unaccepted_bytes" in event.reason
            told += 1
        assert told == 7
        assert worker.memory_info().rss - before < 160 * MIB
        # What is small has room all the same.
        assert publish(server, "main", "x" * 1000).status == 201
        with closing(RawWebSocket(server, "/echo")) as another:
            another.send("y" * 10_000)
            assert another.message() == b"y" * 10_000
    # The room is given back.
    with closing(RawWebSocket(server, "/echo")) as another:
        another.send("z" * (15 * MIB))
        assert len(another.message()) == 15 * MIB


def test_one_unfinished_message_after_another_leaves_nothing_behind(server: Server) -> None:
    worker = worker_of(server)
    for turn in range(12):
        with closing(RawWebSocket(server, "/echo")) as peer:
            peer.socket.sendall(frame(0x01, 15 * MIB, bytes(14 * MIB)))
        if turn == 3:
            before = worker.memory_info().rss
    assert worker.memory_info().rss - before < 60 * MIB


@pytest.mark.parametrize("sent", [b"", b"x", b"x" * 100_000])
@pytest.mark.parametrize("size", [16 * MIB + 1, 1 << 40, (1 << 63) - 1])
def test_a_length_that_is_too_large_is_refused_by_its_header(
    wire_server: Server, size: int, sent: bytes
) -> None:
    with closing(RawWebSocket(wire_server, "/echo")) as peer:
        peer.socket.sendall(frame(0x82, size, sent))
        event = peer.close_event()
        assert event.code == 1009
        assert event.reason and "16777216" in event.reason and "max_notification_bytes" in event.reason


def test_so_is_the_fragment_that_makes_it_too_large(wire_server: Server) -> None:
    with closing(RawWebSocket(wire_server, "/echo")) as peer:
        peer.socket.sendall(frame(0x01, MIB, b"x" * MIB) + frame(0x80, 15 * MIB + 1, b""))
        assert peer.close_event().code == 1009
    with closing(RawWebSocket(wire_server, "/echo")) as peer:
        peer.socket.sendall(frame(0x01, MIB, b"x" * MIB) + frame(0x80, 15 * MIB, b"y" * (15 * MIB)))
        assert len(peer.message()) == 16 * MIB


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_an_unfinished_message_does_not_keep_its_room(serve: Callable[..., Server], model: str) -> None:
    server = serve("--server-model", model, "--request-timeout-s", "0.2", "--ping-interval-s", "0.2")
    with (
        closing(RawWebSocket(server, "/echo")) as large,
        closing(RawWebSocket(server, "/echo")) as small,
        closing(RawWebSocket(server, "/echo")) as slow,
    ):
        slow.socket.sendall(frame(0x01, MIB, b"x" * (MIB // 2)))
        small.socket.sendall(frame(0x81, 1000, b"x"))
        large.socket.sendall(frame(0x02, MIB, b"x" * (2 * FREE_BYTES)))
        event = large.close_event()
        assert event.code == 1008
        assert event.reason and "request_timeout_s" in event.reason
        # One of which much has come may take longer, and one that is small takes nobody's room.
        slow.socket.sendall(b"x" * (MIB // 2) + frame(0x80, 0, b""))
        small.socket.sendall(b"x" * 999)
        assert len(slow.message()) == MIB
        assert small.message() == b"x" * 1000
