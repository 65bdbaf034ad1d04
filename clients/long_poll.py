"""Long polling: ask, be held until there is news, be answered, and ask again at once (RFC 6202, 2).

The first poll of a client that joins at the head asks not to be held: it only fetches the cursor. If it were
held without a cursor, it would lose what came while a lost connection was being replaced.
"""

from __future__ import annotations

from collections.abc import Iterator

from clients.headers import poll_headers
from clients.subscriber import ANSWER_TIMEOUT_S, Delivery, Subscriber


class LongPollSubscriber(Subscriber):
    """A client that asks to be held for `wait_s`."""

    transport = "long-poll"
    label = "long poll"
    held = True
    factors = ("wait_s", "headers", "connection")

    def _deliveries(self) -> Iterator[Delivery]:
        headers = poll_headers(self.headers, self.endpoint.host_header, self.connection)
        while not self._closed.is_set():
            held_s = 0.0 if self.receiver.cursor is None else self.wait_s
            request = f"GET {self._target(wait=f'{held_s:g}')} HTTP/1.1\r\n{headers}"
            yield from self._poll(request, held_s)

    def _read_timeout_s(self) -> float | None:
        return self.wait_s + ANSWER_TIMEOUT_S
