"""Socket.IO polling: several packets in one answer, and a connection that is lost among them."""

import re

import pytest
from fake_server import OPENING, Peer, batch, fake_server, http, wrapped
from test_clients import no_pauses, subscribe, take  # noqa: F401 - a fixture among them

TRANSPORT = "socketio-polling"
SEPARATOR = b"\x1e"


def packet(*ids: int) -> bytes:
    """A batch as an event."""
    return wrapped(TRANSPORT, batch(*ids)).partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("after", [b"2", b"1", b"41"], ids=["a ping", "the engine's close", "a disconnect"])
def test_what_came_with_the_end_is_given(after: bytes, no_pauses: None) -> None:  # noqa: F811
    """The session is lost once the answer is read: while its ping is answered, or by the packet behind."""
    asked: list[str] = []

    def script(peer: Peer, number: int) -> None:
        asked.append(peer.begin(TRANSPORT))
        if number == 0:
            peer.send(http(SEPARATOR.join((packet(1, 2), after))))
            return
        peer.send(http(packet(3)))
        peer.wait_for_end()

    with fake_server(script) as url:
        follower = subscribe(TRANSPORT, url)
        assert [delivery.id for delivery in take(follower, 3)] == [1, 2, 3]
    assert "after=a.2" in asked[-1]
    assert follower.receiver.lost == 0


@pytest.mark.parametrize("last", range(4))
def test_any_answer_may_be_the_last_on_its_connection(last: int) -> None:
    """As a server's are that stops: what the session asks next goes over another connection."""
    answers = [OPENING, b"OK", b'40{"sid":"s"}', packet(7)]
    asked: list[str] = []

    def script(peer: Peer, _: int) -> None:
        while request := peer.read_request():
            if length := re.search(r"Content-Length: (\d+)", request):
                peer.read_exactly(int(length[1]))
            asked.append(request.split(" ", 1)[0])
            number = len(asked) - 1
            if number >= len(answers):
                peer.wait_for_end()
                return
            headers = ["Connection: close"] if number == last else []
            peer.send(http(answers[number], "200 OK", *headers))
            if number == last:
                return

    with fake_server(script) as url:
        follower = subscribe(TRANSPORT, url)
        (delivery,) = take(follower, 1)
    assert delivery.id == 7
    assert asked[:4] == ["GET", "POST", "GET", "GET"]
