"""The request headers of each kind of client. What they weigh is a factor: it is paid with every request.

`minimal` is Host and what the protocol cannot do without. `browser` is what Chrome 143 on Linux sends from
a page of the same origin, in its order: for a poll, those of `fetch()`; for a WebSocket, those of its
handshake, except that permessage-deflate is offered only where a scenario asks for it (a browser always
offers it). Cookies stand for a site with a session and common analytics: 151 bytes.
"""

from __future__ import annotations

from typing import Literal

HeaderSet = Literal["minimal", "browser"]
HEADER_SETS: tuple[HeaderSet, ...] = ("minimal", "browser")
ConnectionUse = Literal["kept", "fresh"]
CONNECTION_USES: tuple[ConnectionUse, ...] = ("kept", "fresh")
"""Whether polls share a kept-alive connection, or each makes its own and asks for its end."""

_USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
)
_COOKIE = (
    "session=3f0c9a6be2d84b57a1c6e0d97f25b8431c7d9e60; "
    "csrftoken=Jq8ZrT2mVxK5nWdB7cYh4LfE9sPgA3uC; "
    "_ga=GA1.1.1183947265.1763874000; theme=dark; lang=en"
)


def event_stream_headers(kind: HeaderSet, host: str) -> str:
    """Return the header lines of an EventSource's request (HTML, section 9.2.2), ended like a poll's."""
    headers = poll_headers(kind, host).replace("Accept: */*\r\n", "Accept: text/event-stream\r\n")
    keeps = "Connection: keep-alive\r\n"
    return headers.replace(keeps, f"{keeps}Pragma: no-cache\r\nCache-Control: no-cache\r\n")


def poll_headers(kind: HeaderSet, host: str, connection: ConnectionUse = "kept") -> str:
    """Return the header lines of a poll, with the empty line that ends them.

    HTTP/1.1 keeps a connection unless told otherwise (RFC 9112, 9.3), so `minimal` says nothing of one that
    is kept; browsers say so all the same.
    """
    lines = [f"Host: {host}"]
    if connection == "fresh":
        lines.append("Connection: close")
    elif kind == "browser":
        lines.append("Connection: keep-alive")
    if kind == "browser":
        lines += [
            'sec-ch-ua-platform: "Linux"',
            f"User-Agent: {_USER_AGENT}",
            'sec-ch-ua: "Chromium";v="143", "Google Chrome";v="143", "Not A(Brand";v="24"',
            "sec-ch-ua-mobile: ?0",
            "Accept: */*",
            "Sec-Fetch-Site: same-origin",
            "Sec-Fetch-Mode: cors",
            "Sec-Fetch-Dest: empty",
            f"Referer: http://{host}/",
            "Accept-Encoding: gzip, deflate, br, zstd",
            "Accept-Language: en-US,en;q=0.9",
            f"Cookie: {_COOKIE}",
        ]
    return "\r\n".join(lines) + "\r\n\r\n"


def engine_post_headers(kind: HeaderSet, host: str, length: int) -> str:
    """Return the header lines of a POST of Engine.IO's polling, ended like those of a poll."""
    headers = poll_headers(kind, host)
    more = f"Content-Length: {length}\r\n"
    if kind == "browser":
        more += f"Content-Type: text/plain;charset=UTF-8\r\nOrigin: http://{host}\r\n"
    return more + headers


def handshake_headers(kind: HeaderSet, host: str, key: str, extensions: str | None) -> str:
    """Return the header lines of a WebSocket handshake (RFC 6455, 4.1), ended like those of a poll."""
    if kind == "browser":
        lines = [
            f"Host: {host}",
            "Connection: Upgrade",
            "Pragma: no-cache",
            "Cache-Control: no-cache",
            f"User-Agent: {_USER_AGENT}",
            "Upgrade: websocket",
            f"Origin: http://{host}",
            "Sec-WebSocket-Version: 13",
            "Accept-Encoding: gzip, deflate, br, zstd",
            "Accept-Language: en-US,en;q=0.9",
            f"Cookie: {_COOKIE}",
            f"Sec-WebSocket-Key: {key}",
        ]
    else:
        lines = [
            f"Host: {host}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
        ]
    if extensions:
        lines.append(f"Sec-WebSocket-Extensions: {extensions}")
    return "\r\n".join(lines) + "\r\n\r\n"
