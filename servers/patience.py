"""How long the server waits for a peer, and for how many.

Rules:
1. A request's head has `request_timeout_s` to arrive, and so has its body, which gets longer the more of it
   has come (`BODY_BYTES_PER_S`). What is late is cut and answered 408.
2. A connection between two requests may be silent for `keepalive_s`, a new one for `request_timeout_s`. It is
   closed without a word: nothing was asked.
3. There is room for whoever comes: past `most_connections` the one that is waited for longest is cut,
   half-sent requests before connections that only were kept alive. Past `most_bodies` it is the longest
   half-sent body: on threads each takes one.
4. Only who waits is kept here, so a request that comes in one piece costs nothing.

The tables are ordered by how long is waited, and each of their operations is atomic.
"""

import time
from collections import OrderedDict
from enum import Enum
from typing import Protocol

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
BODY_BYTES_PER_S = 64 * 1024
AND_LONGER = f"and a second for each {BODY_BYTES_PER_S >> 10} KiB that came (request_timeout_s)"


class RequestTimeout(Exception):
    """A request has not come whole in time; the sentence tells the limit."""


class Phase(Enum):
    """What a connection is waited for."""

    NEW = "its first byte"
    IDLE = "its next request"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    END = "the peer's end"


SAYING_NOTHING = (Phase.NEW, Phase.IDLE, Phase.END)


class Waited(Protocol):
    """A connection that is waited for."""

    phase: Phase
    waited_since_s: float | None
    received: int

    def refuse(self, sentence: str) -> None:
        """End the wait, and tell the peer why if it had sent anything."""


class Patience:
    """The rules above, for one worker."""

    def __init__(
        self,
        request_timeout_s: float,
        keepalive_s: float,
        most_connections: int,
        most_bodies: int,
    ) -> None:
        self.request_timeout_s = request_timeout_s
        self.keepalive_s = keepalive_s
        self.most_connections = most_connections
        self.most_bodies = most_bodies
        self._idle: OrderedDict[Waited, None] = OrderedDict()
        self._heads: OrderedDict[Waited, None] = OrderedDict()
        self._bodies: OrderedDict[Waited, None] = OrderedDict()
        self._ends: OrderedDict[Waited, None] = OrderedDict()
        self._tables = {
            Phase.NEW: self._heads,
            Phase.HEAD: self._heads,
            Phase.BODY: self._bodies,
            Phase.END: self._ends,
            Phase.IDLE: self._idle,
        }

    def wait_for(self, connection: Waited) -> None:
        """This connection has nothing to read; note since when. While it drips, its place stays."""
        if connection.waited_since_s is None:
            connection.waited_since_s = time.monotonic()
            self._tables[connection.phase][connection] = None
            if len(self._bodies) > self.most_bodies:
                self._cut_first(self._bodies)

    def forget(self, connection: Waited) -> None:
        """What was waited for is there, or the connection has gone."""
        self._tables[connection.phase].pop(connection, None)

    def make_room(self, connections: int) -> None:
        """Cut the one that is waited for longest, if others need its place."""
        if connections > self.most_connections:
            self.cut_longest()

    def cut_longest(self) -> bool:
        """Whether there was anybody to cut."""
        tables = (self._ends, self._heads, self._bodies, self._idle)
        return any(self._cut_first(table) for table in tables)

    def _cut_first(self, table: OrderedDict[Waited, None]) -> bool:
        try:
            connection, _ = table.popitem(last=False)
        except KeyError:
            return False
        connection.refuse("This request had come half, and others needed its place; send it whole.")
        return True

    def cut_late(self) -> None:
        """Cut whoever has been waited for too long; called about once a second."""
        now_s = time.monotonic()
        sentence = f"The request had not come whole after {self.request_timeout_s:g} s {AND_LONGER}."
        for table in (self._idle, self._heads, self._bodies):
            for connection in list(table):
                if now_s - (connection.waited_since_s or now_s) > self._limit_s(connection):
                    table.pop(connection, None)
                    connection.refuse(sentence)
                elif connection.phase is Phase.IDLE:
                    break

    def _limit_s(self, connection: Waited) -> float:
        if connection.phase is Phase.IDLE:
            return self.keepalive_s
        return self.request_timeout_s + connection.received / BODY_BYTES_PER_S

    def cut_all(self) -> None:
        """The server stops: nobody is waited for any more."""
        for table in (self._ends, self._idle, self._heads, self._bodies):
            for connection in list(table):
                table.pop(connection, None)
                connection.refuse("The server stops; the request had not come whole.")
