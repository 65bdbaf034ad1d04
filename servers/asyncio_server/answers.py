"""Answers as bytes, in one piece for one write.

An answer is a start, which changes with the second and with what becomes of the connection, and a rest, which
all who ask for the same have in common.
"""

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from servers.rules.problems import MEDIA_TYPE, Problem
from servers.stream import Batch


class Starts:
    """The first lines of answers, put into words once a second."""

    def __init__(self) -> None:
        self._second = 0
        self._known: dict[tuple[int, str], bytes] = {}

    def start(self, status: int, connection: str) -> bytes:
        """The status line, Date and Connection."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._known.clear()
        known = self._known.get((status, connection))
        if known is None:
            known = self._known[status, connection] = (
                f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
                f"Date: {formatdate(second, usegmt=True)}\r\nConnection: {connection}\r\n"
            ).encode()
        return known


def rest(fields: dict[str, str], body: bytes) -> bytes:
    """The fields and the body."""
    return head(fields, len(body)) + body


def head(fields: dict[str, str], size: int | None) -> bytes:
    """The fields, for a body of so many bytes; None: its length is not known, or there is none."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    if size is None:
        return f"{lines}\r\n".encode("latin-1")
    return b"%bContent-Length: %d\r\n\r\n" % (lines.encode("latin-1"), size)


def batch_head(size: int) -> bytes:
    """What goes before a batch, after the start."""
    return b"Content-Type: application/json\r\nContent-Length: %d\r\nCache-Control: no-store\r\n\r\n" % size


def batch_rest(batch: Batch) -> bytes:
    """A small batch, with what goes before it."""
    return batch_head(batch.size) + batch.body


@lru_cache(maxsize=256)
def problem_rest(problem: Problem) -> tuple[str | None, bytes]:
    """What Connection is told by a problem itself, and the rest of its answer."""
    fields = {"Content-Type": MEDIA_TYPE} | problem.fields()
    connection = fields.pop("Connection", None)
    return connection, rest(fields, problem.body())
