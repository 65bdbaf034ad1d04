"""Socket.IO polling: several packets in one answer, and a connection that is lost among them."""

import pytest
from fake_server import Peer, batch, fake_server, http, wrapped
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
