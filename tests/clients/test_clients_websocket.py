"""What only the WebSocket subscriber does: the handshake, frames, pings, close frames."""

import itertools
import struct
import time
import zlib
from collections.abc import Callable

import pytest
from conftest import Server
from fake_server import Peer, batch, fake_server, frame
from hypothesis import given, settings
from hypothesis import strategies as st
from test_clients import following, no_pauses, subscribe, take, wait_until  # noqa: F401 - a fixture among them

from clients import subscriber
from clients.errors import BadAnswer, Refused
from clients.publisher import Publisher

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def close_frame(code: int, reason: str = "") -> bytes:
    return frame(struct.pack("!H", code) + reason.encode(), CLOSE)


def test_the_handshake_has_what_the_rfc_wants_and_no_more() -> None:
    """RFC 6455, 4.1: no extension is offered unless asked for."""
    requests: list[str] = []

    def script(peer: Peer, _: int) -> None:
        requests.append(peer.upgrade())
        peer.send(frame(batch(1)))
        peer.wait_for_end()

    with fake_server(script) as url:
        take(subscribe("websocket", url, after="a.0"), 1)
        take(subscribe("websocket", url, headers="browser"), 1)
        take(subscribe("websocket", url, seed=1, permessage_deflate=True), 1)
    minimal, browser, deflate = (request.splitlines() for request in requests)
    assert minimal[0] == "GET /streams/main/websocket?after=a.0&heartbeat=25 HTTP/1.1"
    names = {line.partition(":")[0] for line in minimal[1:]}
    assert names == {"Host", "Upgrade", "Connection", "Sec-WebSocket-Version", "Sec-WebSocket-Key"}
    assert f"Origin: {url}" in browser
    assert 450 < len(requests[1]) < 900
    offers = [line for line in deflate if line.startswith("Sec-WebSocket-Extensions: permessage-deflate")]
    assert len(offers) == 1
    assert deflate[-1] == offers[0]
    assert minimal[-1] != deflate[-2]  # another seed, another key


@pytest.mark.parametrize(
    ("extra", "accept", "sentence"),
    [
        ("", "bm90IHRoZSBrZXk=", "does not match the key"),
        ("Sec-WebSocket-Extensions: permessage-deflate\r\n", None, "not offered"),
    ],
)
def test_a_wrong_handshake_is_told(extra: str, accept: str | None, sentence: str) -> None:
    """RFC 6455, 4.1: the client must fail the connection."""

    def script(peer: Peer, _: int) -> None:
        peer.upgrade(extra, accept)
        peer.wait_for_end()

    with fake_server(script) as url, pytest.raises(BadAnswer, match=sentence):
        take(subscribe("websocket", url), 1)


def test_the_first_batch_may_share_a_segment_with_the_handshake() -> None:
    """Nothing after the 101 is lost."""

    def script(peer: Peer, _: int) -> None:
        held: list[bytes] = []
        send = peer.send
        peer.send = lambda data, chunk=None: held.append(data)  # type: ignore[method-assign]
        peer.upgrade()
        send(held[0] + frame(batch(1)) + frame(batch(2))[:-3])
        time.sleep(0.05)
        send(frame(batch(2))[-3:])
        peer.wait_for_end()

    with fake_server(script) as url:
        assert [delivery.id for delivery in take(subscribe("websocket", url), 2)] == [1, 2]


FRAGMENTED = batch(1, data="€" * 50)


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(1, len(FRAGMENTED) - 1), min_size=1), st.integers(1, 3))
def test_fragments_and_pings_in_between(at: set[int], chunk: int) -> None:
    """RFC 6455, 5.4: control frames may come between the fragments of a message, cut inside a character."""
    parts = [FRAGMENTED[start:end] for start, end in itertools.pairwise([0, *sorted(at), len(FRAGMENTED)])]
    pongs: list[tuple[int, bytes]] = []

    def script(peer: Peer, _: int) -> None:
        peer.upgrade()
        for number, part in enumerate(parts):
            peer.send(frame(part, 0 if number else TEXT, fin=number == len(parts) - 1), chunk)
            if number == 0:
                peer.send(frame(b"are you there?", PING), chunk)
        pongs.append(peer.read_frame())
        peer.wait_for_end()

    with fake_server(script) as url:
        (delivery,) = take(subscribe("websocket", url), 1)
    assert delivery.data == "€" * 50
    assert pongs == [(PONG, b"are you there?")]


def test_close_says_goodbye() -> None:
    """With 1000, masked, though nobody waits for the answer."""
    frames: list[tuple[int, bytes]] = []

    def script(peer: Peer, _: int) -> None:
        peer.upgrade()
        peer.send(frame(batch()))
        frames.append(peer.read_frame())
        assert peer.wait_for_end() == b""

    with fake_server(script) as url:
        follower = subscribe("websocket", url)
        with following(follower):
            wait_until(lambda: follower.joined)
    assert frames == [(CLOSE, struct.pack("!H", 1000))]


def test_close_ends_soon_while_messages_keep_coming() -> None:
    """It does not wait for a pause in them."""

    def script(peer: Peer, _: int) -> None:
        peer.upgrade()
        number = 0
        while True:
            number += 1
            peer.send(frame(batch(number)))

    with fake_server(script) as url:
        follower = subscribe("websocket", url)
        with following(follower) as deliveries:
            wait_until(lambda: len(deliveries) > 100)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013, 4000])
def test_a_close_is_answered_and_the_stream_resumed(code: int, no_pauses: None) -> None:  # noqa: F811
    """A server that leaves, or is full, is found again."""
    echoes: list[tuple[int, bytes]] = []
    requests: list[str] = []

    def script(peer: Peer, number: int) -> None:
        requests.append(peer.upgrade())
        peer.send(frame(batch(number + 1)))
        if number == 0:
            peer.send(close_frame(code, "we are full"))
            echoes.append(peer.read_frame())
        peer.wait_for_end()

    with fake_server(script) as url:
        follower = subscribe("websocket", url)
        assert [delivery.id for delivery in take(follower, 2)] == [1, 2]
    assert echoes == [(CLOSE, struct.pack("!H", code))]
    assert "after=a.1" in requests[1]
    assert follower.last_error == f"the server closed the WebSocket with {code}: we are full"


def test_a_close_without_a_code_is_answered_without_one(no_pauses: None) -> None:  # noqa: F811
    """RFC 6455, 7.1.5: 1005 is never sent."""
    echoes: list[tuple[int, bytes]] = []

    def script(peer: Peer, number: int) -> None:
        peer.upgrade()
        peer.send(frame(batch(number + 1)))
        if number == 0:
            peer.send(frame(b"", CLOSE))
            echoes.append(peer.read_frame())
        peer.wait_for_end()

    with fake_server(script) as url:
        take(subscribe("websocket", url), 2)
    assert echoes == [(CLOSE, b"")]


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009])
def test_a_close_that_blames_us_is_raised(code: int) -> None:
    """To send the same again would end the same."""

    def script(peer: Peer, _: int) -> None:
        peer.upgrade()
        peer.send(close_frame(code, "that was wrong"))
        peer.wait_for_end()

    with fake_server(script) as url, pytest.raises(Refused, match="that was wrong") as raised:
        take(subscribe("websocket", url), 1)
    assert raised.value.status == code


@pytest.mark.parametrize(
    ("sent", "sentence", "code"),
    [
        (frame(b"{}", BINARY), "binary", 1003),
        (frame(b"{}", TEXT, rsv1=True), "protocol", 1002),
        (frame(b"\xff\xfe", TEXT), "protocol", 1007),
        (frame(b"{}", 0), "protocol", 1002),
        (frame(b"", 3), "protocol", 1002),
        (b"\x81\x82abcd{}", "protocol", 1002),
    ],
    ids=["binary", "reserved bit", "not UTF-8", "stray continuation", "unknown opcode", "masked"],
)
def test_a_protocol_error_is_raised_and_told_to_the_server(sent: bytes, sentence: str, code: int) -> None:
    """RFC 6455, 7.1.7: the client fails the connection, and says with which code."""
    frames: list[tuple[int, bytes]] = []

    def script(peer: Peer, _: int) -> None:
        peer.upgrade()
        peer.send(sent)
        frames.append(peer.read_frame())

    with fake_server(script) as url, pytest.raises(BadAnswer, match=sentence):
        take(subscribe("websocket", url), 1)
    assert [(opcode, payload[:2]) for opcode, payload in frames] == [(CLOSE, struct.pack("!H", code))]


def test_a_message_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is named."""
    monkeypatch.setattr("clients.frames.MAX_MESSAGE_LENGTH", 1000)

    def script(peer: Peer, _: int) -> None:
        peer.upgrade()
        peer.send(frame(b"x" * 600, TEXT, fin=False) + frame(b"x" * 600, 0, fin=False))
        peer.wait_for_end()

    with fake_server(script) as url, pytest.raises(BadAnswer, match="more than 1000 characters"):
        take(subscribe("websocket", url), 1)


def test_an_idle_websocket_outlives_the_answer_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is not a loss."""
    monkeypatch.setattr(subscriber, "ANSWER_TIMEOUT_S", 0.1)

    def script(peer: Peer, _: int) -> None:
        peer.upgrade()
        peer.send(frame(batch()))
        time.sleep(0.4)
        peer.send(frame(batch(1)))
        peer.wait_for_end()

    with fake_server(script) as url:
        follower = subscribe("websocket", url)
        take(follower, 1)
    assert follower.reconnects == 0


def test_a_handshake_that_is_never_answered_counts_as_lost(
    no_pauses: None,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the limit of connections, gunicorn leaves a client so."""
    monkeypatch.setattr(subscriber, "ANSWER_TIMEOUT_S", 0.1)

    def script(peer: Peer, number: int) -> None:
        if number:
            peer.upgrade()
            peer.send(frame(batch(1)))
        peer.wait_for_end()

    with fake_server(script) as url:
        follower = subscribe("websocket", url)
        take(follower, 1)
    assert follower.reconnects == 1


def test_deflated_messages_are_read() -> None:
    """RFC 7692, where the scenario asks for it."""

    def script(peer: Peer, _: int) -> None:
        peer.upgrade("Sec-WebSocket-Extensions: permessage-deflate\r\n")
        compressor = zlib.compressobj(wbits=-15)
        for number in (1, 2):
            deflated = compressor.compress(batch(number, data="x" * 1000)) + compressor.flush(
                zlib.Z_SYNC_FLUSH
            )
            peer.send(frame(deflated.removesuffix(b"\x00\x00\xff\xff"), rsv1=True))
        peer.wait_for_end()

    with fake_server(script) as url:
        deliveries = take(subscribe("websocket", url, permessage_deflate=True), 2)
    assert [delivery.data for delivery in deliveries] == ["x" * 1000] * 2


def test_deflate_with_the_real_server(serve: Callable[..., Server]) -> None:
    """Offered and accepted, the same data takes fewer bytes."""
    server = serve("--permessage-deflate")
    received = {}
    for deflate in (False, True):
        follower = subscribe("websocket", server.url, "deflate", permessage_deflate=deflate)
        with following(follower) as deliveries, Publisher(server.url, "deflate") as publisher:
            wait_until(lambda: follower.joined)  # noqa: B023
            publisher.publish("x" * 5000, due_us=1)
            wait_until(lambda: deliveries)
            counts = follower.wire()
            assert counts is not None
            received[deflate] = counts.bytes_received
        assert deliveries[0].data == "x" * 5000
    assert received[True] < received[False] / 5
