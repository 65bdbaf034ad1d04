"""Socket.IO on Engine.IO's polling: a GET is held until there are packets, and what we say goes by POST.

One connection serves for both: what is said, the answer to a ping above all, is said between two polls.
(Browsers have another for it.) An answer that was lost is lost for the session too, so after a lost
connection there is a new session, from our cursor.
"""

from __future__ import annotations

from collections.abc import Iterator

from clients.engine import NOOP, PING, PONG, SEPARATOR, EngineSubscriber
from clients.errors import BadAnswer, ConnectionLost, Refused
from clients.headers import engine_post_headers, poll_headers
from clients.subscriber import Delivery, Request
from clients.wire import Connection


class SocketIoPollingSubscriber(EngineSubscriber):
    """A client of Socket.IO that polls."""

    transport = "socketio-polling"
    label = "Socket.IO polling"
    engine = "polling"

    def _deliveries(self) -> Iterator[Delivery]:
        self._expect_opening()
        headers = poll_headers(self.headers, self.endpoint.host_header)
        packets, connection = self._request(f"GET {self._target()} HTTP/1.1\r\n{headers}")
        opening = self._begin(packets[0], connection)
        target = self._target(sid=opening.sid)
        self._say(target, self._connect_packet())
        request = f"GET {target} HTTP/1.1\r\n{headers}"
        while not self._closed.is_set():
            packets, connection = self._request(request, in_session=True)
            yield from self._given
            if PING in packets:
                self._say(target, PONG)
            if packets == [NOOP]:
                # Nobody was waited for; the next poll finds out why.
                self._back_off()

    def _say(self, target: str, packet: str) -> None:
        headers = engine_post_headers(self.headers, self.endpoint.host_header, len(packet))
        self._request(f"POST {target} HTTP/1.1\r\n{headers}{packet}", in_session=True)

    def _request(self, request: str, in_session: bool = False) -> tuple[list[str], Connection]:
        """Ask, and take what the answer's packets deliver to `_given`; raises as `_ask` and `_told` do.

        Returns the packets, and the connection that they came on.
        """
        try:
            sent_us, response = self._ask(request)
        except Refused as refused:
            if in_session and refused.status == 400:
                raise ConnectionLost(f"the session has ended: {refused.detail}") from None
            raise
        connection = self._connection
        assert connection is not None
        received_us, handled_us = connection.received_us, connection.handled_us
        try:
            packets = response.body.decode().split(SEPARATOR)
        except UnicodeDecodeError:
            raise BadAnswer("the answer is not UTF-8") from None
        given: list[Delivery] = []
        if request.startswith("GET"):
            try:
                for packet in packets:
                    if self._told(packet, connection):
                        given += self._given
            finally:
                self._given = iter(given)
        if not given:
            self.empty_responses += 1
        if self.on_request is not None:
            self.on_request(Request(sent_us, received_us, handled_us, len(given), response.status))
        if not response.keep_alive:
            self._drop()
        return packets, connection

    def _read_timeout_s(self) -> float | None:
        return self._session_patience_s
