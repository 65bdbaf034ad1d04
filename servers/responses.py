"""How gunicorn writes: a response in one write, and its own errors as problem details.

gunicorn writes headers and body apart. With TCP_NODELAY that is two system calls and two segments for
each poll, where a WebSocket message takes one: what is tuned for one transport is tuned for all.
"""

import time
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from gunicorn import util
from gunicorn.http import wsgi

from servers.connection import send_whole
from servers.rules.problems import MEDIA_TYPE, SERVER_FAILED, Problem
from servers.stream import JOINED_BYTES


class OneWriteResponse(wsgi.Response):  # type: ignore[misc]
    """Keeps the headers back until the first of the body, and closes where the application says so."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.headers_sent = False
        self._head = b""

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        # Who holds a body back that nobody asked for may send it or not: the next request is not to be found.
        if ("Connection", "close") in headers or self.req.unreader.owes_continue:
            self.force_close()
        super().process_headers(headers)

    def send_headers(self) -> None:
        if not self.headers_sent:
            lines = self.default_headers()
            lines.extend([f"{name}: {value}\r\n" for name, value in self.headers])
            lines.append("\r\n")
            self._head = "".join(lines).encode("latin-1")
            self.headers_sent = True

    def default_headers(self) -> list[str]:
        connection = "close" if self.should_close() else "keep-alive"
        if self.upgrade:
            connection = f"Upgrade, {connection}"
        lines = [
            # RFC 9110, section 6.2: our own version, whatever minor version asks.
            f"HTTP/1.1 {self.status}\r\n"
            f"Server: {self.version}\r\nDate: {_http_date(int(time.time()))}\r\nConnection: {connection}\r\n"
        ]
        if self.chunked:
            lines.append("Transfer-Encoding: chunked\r\n")
        return lines

    def _emit_body(self, data: bytes) -> None:
        head, self._head = self._head, b""
        if self.chunked:
            data = b"%X\r\n%b\r\n" % (len(data), data)
        if head and len(data) > JOINED_BYTES:
            # A copy would cost more than the segment that it saves.
            send_whole(self.sock, head)
            head = b""
        send_whole(self.sock, head + data if head else data)

    def close(self) -> None:
        self.send_headers()
        if self._head or self.chunked:
            head, self._head = self._head, b""
            send_whole(self.sock, head + (b"0\r\n\r\n" if self.chunked else b""))


@lru_cache(maxsize=1)
def _http_date(unix_s: int) -> str:
    """The Date header, put into words once a second."""
    return str(util.http_date(unix_s))


def write_at_once() -> None:
    """Make gunicorn answer with `OneWriteResponse`; its workers have no setting for that.

    `wsgi.errors` is the same for all requests, so it need not be made for each.
    """
    wsgi.Response = OneWriteResponse
    wsgi.WSGIErrorsWrapper = lru_cache(maxsize=1)(wsgi.WSGIErrorsWrapper)


def explain_errors() -> None:
    """Make gunicorn's answers to what is not HTTP problem details too."""
    util.write_error = write_problem


def write_problem(sock: Any, status: int, reason: str, message: str) -> None:
    """Stands in for gunicorn's function of the same arguments, which writes HTML."""
    body = Problem(status, message.strip("'") or SERVER_FAILED).body()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nConnection: close\r\n"
        f"Content-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(sock, head.encode("latin-1") + body)
