"""Server-sent events: ask once, and be sent an event whenever there is news (WHATWG HTML, section 9.2).

The answer is HTTP whose body never ends, so it is read as the polls' answers are; in it are events
(clients.event_stream), and each holds a batch.

A peer that vanished without a word is silent as one without news is. So the client asks for a heartbeat, as a
WebSocket's does; a comment counts as a sign of life too. A measured subscriber asks for none.
"""

from __future__ import annotations

from collections.abc import Iterator

from clients.errors import BadAnswer, ConnectionLost
from clients.event_stream import EventStreamReader
from clients.headers import event_stream_headers
from clients.http_response import Response
from clients.subscriber import Delivery, Request, Subscriber
from clients.wire import Connection

MEDIA_TYPE = b"text/event-stream"


class SseSubscriber(Subscriber):
    """A client that keeps one response open."""

    transport = "sse"
    label = "SSE"
    asks_again = False
    held = True
    factors = ("wait_s", "headers")
    _streamed_status = 200

    def _deliveries(self) -> Iterator[Delivery]:
        connection = self._open()
        events = EventStreamReader()
        try:
            while True:
                for event in events.feed(self._parser.take_streamed()):
                    if event.type == "message":
                        self._take(event.data, connection)
                        yield from self._given
                if self._parser.stream_ended:
                    raise _ended(events)
                data = self._receive(connection)
                if not data or self._closed.is_set():
                    raise _ended(events)
                self._parser.feed(data)
        except OSError as error:
            raise ConnectionLost(f"the connection was lost: {error}") from None

    def _open(self) -> Connection:
        """Ask for the events; return the connection on which they come."""
        headers = event_stream_headers(self.headers, self.endpoint.host_header)
        target = self._target(**self._heartbeat_query())
        sent_us, response = self._ask(f"GET {target} HTTP/1.1\r\n{headers}")
        connection = self._connection
        assert connection is not None
        if self.on_request is not None:
            self.on_request(Request(sent_us, connection.received_us, connection.handled_us, 0, 200))
        _check_media_type(response)
        connection.wait_at_most(self._patience_s())
        return connection


def _ended(events: EventStreamReader) -> ConnectionLost:
    """The stream's end, which should not come, and how long it asks to wait before the next."""
    retry_after_s = None if events.retry_ms is None else events.retry_ms / 1000
    return ConnectionLost("the server ended the event stream", retry_after_s)


def _check_media_type(response: Response) -> None:
    """Check that the answer is an event stream, as browsers do; raises BadAnswer."""
    given = response.headers.get(b"content-type", b"")
    if given.partition(b";")[0].strip().lower() != MEDIA_TYPE:
        raise BadAnswer(f"the answer is no event stream but {given.decode('latin-1') or 'of no type'}")
