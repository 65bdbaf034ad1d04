"""Events from the bytes of an event stream, however they are cut: pure (WHATWG HTML, section 9.2.6).

Rules:

1. A line ends with CR, LF or CRLF. One byte order mark at the beginning is not part of the stream.
2. An empty line ends an event. One without a `data` line is none, but its `id` counts for those that follow.
3. A line that begins with a colon is a comment. Of a value, one leading space is left out. Fields with other
   names mean nothing, nor does an `id` that holds NUL, nor a `retry` that is not digits.
4. What is not UTF-8 is replaced (U+FFFD).
5. What has come of an event is bounded by MAX_EVENT_BYTES; more raises BadAnswer.
"""

from __future__ import annotations

import codecs
from typing import NamedTuple

from clients.errors import BadAnswer

MAX_EVENT_BYTES = 64 * 2**20


class Event(NamedTuple):
    """One event, and the last id that the stream has told up to it."""

    type: str
    data: str
    last_id: str


class EventStreamReader:
    """The events of one stream."""

    def __init__(self) -> None:
        """Expect the stream's first bytes."""
        self.retry_ms: float | None = None
        """How long the stream asks to wait before its client comes back; None if it does not say."""
        self.last_id = ""
        self._begun = False
        self._after_cr = False
        self._rest: list[bytes] = []
        self._rest_bytes = 0
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._type = b""

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes and return the events that they complete; raises BadAnswer."""
        events: list[Event] = []
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        self._rest.append(data)
        self._rest_bytes += len(data)
        if self._rest_bytes + self._data_bytes > MAX_EVENT_BYTES:
            raise BadAnswer(f"an event is longer than {MAX_EVENT_BYTES} bytes")
        if b"\n" not in data and b"\r" not in data:
            return events
        text = b"".join(self._rest)
        if not self._begun:
            self._begun = True
            text = text.removeprefix(codecs.BOM_UTF8)
        # The line is over: if this CR belongs to a CRLF, the LF is passed over when it comes.
        self._after_cr = text.endswith(b"\r")
        lines = text.splitlines()
        rest = b"" if text.endswith((b"\r", b"\n")) else lines.pop()
        self._rest, self._rest_bytes = [rest], len(rest)
        for line in lines:
            self._take(line, events)
        return events

    def _take(self, line: bytes, events: list[Event]) -> None:
        """One line, without its end."""
        if not line:
            self._dispatch(events)
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_bytes += len(value) + 1
        elif name == b"event":
            self._type = value
        elif name == b"id" and b"\0" not in value:
            self.last_id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self.retry_ms = float(value)

    def _dispatch(self, events: list[Event]) -> None:
        if self._data:
            data = b"\n".join(self._data).decode("utf-8", "replace")
            events.append(Event(self._type.decode("utf-8", "replace") or "message", data, self.last_id))
        self._data, self._data_bytes, self._type = [], 0, b""
