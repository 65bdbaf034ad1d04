"""Our clients as nchan wants to be asked.

Its messages are our batches, one an answer (`publisher.py`). What differs is how a client says what it has
seen:
- A poll repeats the Last-Modified and Etag of the answer before, as If-Modified-Since and If-None-Match.
- Who joins is told the newest message, of which only the cursor counts: where the stream stands.
- A client that has lost its connection, and has no such names of nchan's for its place (a WebSocket's
  messages carry none, and EventSource is treated alike), reads from the oldest message that is held, and
  passes over what it has seen.
- Nothing new is 304 to a short poll, and 408 to a long poll that was held to its end. For how long it is
  held the server was told when it started.
"""

from __future__ import annotations

from bench.systems.nchan.publisher import empty_batch, id_in
from clients.http_response import Response
from clients.long_poll import LongPollSubscriber
from clients.receiver import parse_batch
from clients.short_poll import ShortPollSubscriber
from clients.sse import SseSubscriber
from clients.subscriber import Subscriber
from clients.websocket import WebSocketSubscriber
from clients.wire import Connection


class NchanSubscriber(Subscriber):
    """What all of them have in common."""

    _place: str = ""
    """The header lines that say which message was the last; empty if nobody knows."""
    _passes_over = False
    """Whether what comes may have been seen."""

    def _target(self, **query: str) -> str:
        self._passes_over = self.receiver.cursor is not None and not self._place
        oldest = "/oldest" if self.receiver.cursor is not None else ""
        return f"/{self.transport}{oldest}?stream={self.stream}"

    def _take(self, batch: bytes | str, connection: Connection) -> int:
        if self.receiver.cursor is None:
            return super()._take(empty_batch(id_in(parse_batch(batch).cursor)), connection)
        if self._passes_over:
            if id_in(parse_batch(batch).cursor) <= id_in(self.receiver.cursor):
                self._given = iter(())
                return 0
            self._passes_over = False
        return super()._take(batch, connection)


class NchanPoll(NchanSubscriber):
    """A client that asks for each message."""

    def _ask(self, request: str, good: int = 200) -> tuple[int, Response]:
        """Ask for the message after the last one."""
        line, _, headers = request.partition("\r\n")
        sent_us, response = super()._ask(f"{line}\r\n{self._place}{headers}", good)
        if response.status == good:
            modified, etag = (response.headers[name].decode("ascii") for name in (b"last-modified", b"etag"))
            self._place = f"If-Modified-Since: {modified}\r\nIf-None-Match: {etag}\r\n"
        elif self.receiver.cursor is None:
            # Nothing was ever published: who joins has missed nothing.
            response = response._replace(body=empty_batch(0))
        return sent_us, response


class NchanShortPollSubscriber(NchanPoll, ShortPollSubscriber):
    """nchan's interval poll. An answer has one message, so with news it asks again at once, until there is
    none: one message a tick would fall behind the stream for good."""

    empty_status = 304
    _may_have_more = False

    def _ask(self, request: str, good: int = 200) -> tuple[int, Response]:
        self._may_have_more = False
        sent_us, response = super()._ask(request, good)
        self._may_have_more = response.status == good
        return sent_us, response

    def _wait_for_tick(self) -> bool:
        return not self._closed.is_set() if self._may_have_more else super()._wait_for_tick()


class NchanLongPollSubscriber(NchanPoll, LongPollSubscriber):
    """nchan's long poll. It joins by an interval poll, which is not held."""

    empty_status = 408

    def _target(self, **query: str) -> str:
        target = super()._target(**query)
        return target if self.receiver.cursor is not None else target.replace(self.transport, "short-poll")


class NchanSseSubscriber(NchanSubscriber, SseSubscriber):
    """nchan's EventSource, which must be asked for by Accept. It does not use the ids of nchan's events: it
    resumes as a WebSocket does."""

    def _ask(self, request: str, good: int = 200) -> tuple[int, Response]:
        if "\r\nAccept:" not in request:
            request = request.replace("\r\n", "\r\nAccept: text/event-stream\r\n", 1)
        return super()._ask(request, good)


class NchanWebSocketSubscriber(NchanSubscriber, WebSocketSubscriber):
    """nchan's WebSocket."""
