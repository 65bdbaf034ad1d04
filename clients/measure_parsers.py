"""What parsing costs: `python -m clients.measure_parsers` prints CPU µs per message, for each candidate.

A client is part of the measurement, so its parsers were chosen by this. A message is a batch of one
notification with 100 bytes of data, in one piece, as it mostly comes; the figure is the best of ROUNDS,
which is what a noisy machine disturbs least. What the frame or the answer holds is then JSON for Receiver.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import h11
from wsproto.connection import Connection, ConnectionType
from wsproto.frame_protocol import FrameProtocol

from clients.frames import FrameReader
from clients.http_response import ResponseParser
from clients.receiver import Receiver

ROUNDS = 7
MESSAGES = 5000

BATCH = (
    '{"notifications":[{"id":42,"due_us":1763874000123456,"accepted_us":1763874000123501,"data":"'
    + "x" * 100
    + '"}],"cursor":"k3f9.42","missed":0}'
).encode()
FRAME = bytes([0x81, 126]) + len(BATCH).to_bytes(2, "big") + BATCH
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nServer: gunicorn\r\nDate: Mon, 23 Nov 2026 08:00:00 GMT\r\n"
    b"Connection: keep-alive\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BATCH)
) + BATCH


def frame_reader() -> Callable[[], object]:
    """WebSocket: plain frames by our FrameReader, the others by wsproto."""
    frames = FrameReader([])
    return lambda: list(frames.read(FRAME))


def frame_protocol() -> Callable[[], object]:
    """WebSocket: wsproto's frames alone."""
    frames = FrameProtocol(client=True, extensions=[])

    def parse() -> object:
        frames.receive_bytes(FRAME)
        return [frame.payload for frame in frames.received_frames()]

    return parse


def connection() -> Callable[[], object]:
    """WebSocket: wsproto's connection, with its events."""
    events = Connection(ConnectionType.CLIENT)

    def parse() -> object:
        events.receive_data(FRAME)
        return [event.data for event in events.events()]

    return parse


def httptools_parser() -> Callable[[], object]:
    """HTTP: httptools, in our ResponseParser."""
    parser = ResponseParser()
    return lambda: parser.feed(RESPONSE)


def h11_parser() -> Callable[[], object]:
    """HTTP: h11, in pure Python."""
    client = h11.Connection(h11.CLIENT)
    request = h11.Request(method="GET", target="/", headers=[("Host", "h")])

    def parse() -> object:
        client.send(request)
        client.send(h11.EndOfMessage())
        client.receive_data(RESPONSE)
        while not isinstance(client.next_event(), h11.EndOfMessage):
            pass
        client.start_next_cycle()
        return client

    return parse


def receiver() -> Callable[[], object]:
    """What follows: JSON and its checks by msgspec, and our counters."""
    text = BATCH.decode()
    return lambda: Receiver().receive(text)


def json_loads() -> Callable[[], object]:
    """JSON by the standard library, without any checks or counters."""
    text = BATCH.decode()
    return lambda: json.loads(text)


CANDIDATES = {
    "FrameReader": frame_reader,
    "wsproto FrameProtocol": frame_protocol,
    "wsproto Connection": connection,
    "httptools": httptools_parser,
    "h11": h11_parser,
    "Receiver": receiver,
    "json.loads": json_loads,
}


def cpu_us(parse: Callable[[], object], rounds: int, messages: int) -> float:
    """Return the CPU microseconds of one call, in the best of the rounds."""
    best_ns = None
    for _ in range(rounds):
        start_ns = time.process_time_ns()
        for _ in range(messages):
            parse()
        took_ns = time.process_time_ns() - start_ns
        best_ns = took_ns if best_ns is None else min(best_ns, took_ns)
    return (best_ns or 0) / messages / 1000


def main(rounds: int = ROUNDS, messages: int = MESSAGES) -> None:
    """Print the table."""
    for name, make in CANDIDATES.items():
        print(f"{name:22} {cpu_us(make(), rounds, messages):7.2f} µs")


if __name__ == "__main__":
    main()
