"""The noise floor: a server that does nothing but put precomputed bytes on sockets.

It speaks each transport's wire format to our own clients, on plain asyncio protocols. A notification's batch
is encoded once, with its HTTP head and its WebSocket frame around it; whoever waits is written those bytes.
What it costs and how late it is, is the harness, the clients and the kernel; what the real server adds is
read against it.

Rules:
- It is no server to use: requests are trusted, cursors are only compared, and each request is expected to
  come alone except from the publisher. There is one stream, and one epoch, `bare`.
- The log is bounded (`LOG`); it answers a cursor that has left it with 410, which fails the trial.
- Memory: each connection holds one protocol object and no buffer of ours.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections import deque
from urllib.parse import parse_qs, urlsplit

from wsproto.utilities import generate_accept_token

LOG = 10_000
DEFAULT_WAIT_S = 25.0


def http(body: bytes, status: str = "200 OK") -> bytes:
    """An answer, with the head that a real one has at least."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode("ascii") + body


def frame(body: bytes) -> bytes:
    """One unmasked text frame (RFC 6455 §5.2)."""
    if len(body) < 126:
        return bytes((0x81, len(body))) + body
    if len(body) < 65536:
        return b"\x81\x7e" + len(body).to_bytes(2, "big") + body
    return b"\x81\x7f" + len(body).to_bytes(8, "big") + body


def batch(notifications: list[bytes], cursor: int) -> bytes:
    """The JSON of a batch."""
    return b'{"notifications":[' + b",".join(notifications) + b'],"cursor":"bare.%d","missed":0}' % cursor


class Log:
    """The stream, and who waits for what comes next."""

    def __init__(self) -> None:
        self.newest = 0
        self.held: deque[bytes] = deque(maxlen=LOG)
        self.polls: dict[Connection, asyncio.TimerHandle] = {}
        self.websockets: set[Connection] = set()
        self._answers: dict[int, bytes] = {}
        self.empty = http(batch([], 0))

    def publish(self, body: bytes) -> bytes:
        """Add one notification, write it to all who wait, and return the answer to the publisher."""
        told = json.loads(body)
        self.newest += 1
        accepted_us = time.time_ns() // 1000
        notification = {
            "id": self.newest,
            "due_us": told.get("due_us", accepted_us),
            "accepted_us": accepted_us,
            "data": told["data"],
        }
        self.held.append(json.dumps(notification, separators=(",", ":"), ensure_ascii=False).encode())
        self._answers.clear()
        self.empty = http(batch([], self.newest))
        alone = batch([self.held[-1]], self.newest)
        answer, message = http(alone), frame(alone)
        polls, self.polls = self.polls, {}
        for connection, timer in polls.items():
            timer.cancel()
            connection.write(answer)
        for connection in self.websockets:
            connection.write(message)
        return http(b'{"id":%d,"cursor":"bare.%d"}' % (self.newest, self.newest), "201 CREATED")

    def after(self, cursor: int) -> bytes | None:
        """The answer to a poll from a cursor; None if there is nothing yet."""
        if cursor >= self.newest:
            return None
        if self.newest - cursor > len(self.held):
            return http(b'{"title":"that cursor has left the log"}', "410 GONE")
        if cursor not in self._answers:
            first = len(self.held) - (self.newest - cursor)
            notifications = [self.held[index] for index in range(first, len(self.held))]
            self._answers[cursor] = http(batch(notifications, self.newest))
        return self._answers[cursor]


class Connection(asyncio.Protocol):
    """One client: a publisher, a poller or a WebSocket."""

    __slots__ = ("_buffer", "_closes", "_log", "_transport", "_upgraded")

    def __init__(self, log: Log) -> None:
        self._log = log
        self._buffer = b""
        self._closes = False
        self._upgraded = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio sets TCP_NODELAY itself."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._log.websockets.discard(self)
        timer = self._log.polls.pop(self, None)
        if timer is not None:
            timer.cancel()

    def write(self, data: bytes) -> None:
        """Put bytes on the socket, unless it is gone."""
        assert self._transport is not None
        if self._transport.is_closing():
            return
        if self._closes:
            data = data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        self._transport.write(data)
        if self._closes:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Requests; after an upgrade only pongs and closes, which need no answer here."""
        if self._upgraded:
            return
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, rest = self._buffer.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:])
            length = int(headers.get("content-length", 0))
            if len(rest) < length:
                return
            self._buffer = rest[length:]
            self._answer(lines, headers, rest[:length])

    def _answer(self, lines: list[str], headers: dict[str, str], body: bytes) -> None:
        method, target, _ = lines[0].split(" ")
        if method == "POST":
            self.write(self._log.publish(body))
            return
        self._closes = headers.get("connection") == "close"
        parts = urlsplit(target)
        query = parse_qs(parts.query)
        after = query.get("after", [""])[0].rpartition(".")[2]
        if "sec-websocket-key" in headers:
            key = next(
                line.split(": ", 1)[1] for line in lines if line.lower().startswith("sec-websocket-key")
            )
            self._upgrade(key, int(after) if after else self._log.newest)
            return
        answer = self._log.after(int(after)) if after else self._log.empty
        if answer is not None:
            self.write(answer)
        elif parts.path.endswith("/long-poll"):
            wait_s = float(query.get("wait", [DEFAULT_WAIT_S])[0])
            self._log.polls[self] = asyncio.get_running_loop().call_later(wait_s, self._wait_ended)
        else:
            self.write(self._log.empty)

    def _wait_ended(self) -> None:
        del self._log.polls[self]
        self.write(self._log.empty)

    def _upgrade(self, key: str, cursor: int) -> None:
        accept = generate_accept_token(key.encode("ascii"))
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        held = self._log.held
        missing = [held[index] for index in range(len(held) - (self._log.newest - cursor), len(held))]
        self.write(
            head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + frame(batch(missing, self._log.newest))
        )
        self._upgraded = True
        self._log.websockets.add(self)


async def serve(host: str) -> None:
    """Serve on a free port until SIGTERM."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    log = Log()
    server = await loop.create_server(lambda: Connection(log), host, 0, backlog=4096)
    print(f"wirelab: serving on http://{host}:{server.sockets[0].getsockname()[1]} (bare)", flush=True)
    await stop.wait()
    server.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(serve(sys.argv[1])))
