"""What an emulated link really does, measured from both ends before a trial uses it.

    python -m bench.trials.network.link_check server MOST  answers: UDP comes back as it was, TCP is accepted
    python -m bench.trials.network.link_check client MOST  asks, and tells one JSON line

The client tells `round_trip_ms` and `connect_ms` (medians; null if nothing came back), `lost_percent` of
`round_trips` datagrams. It sends all of them on a schedule and waits for none (a lossy link would hold it
up), and gives the last one `PATIENCE_S`; connections are made one beside the other.
"""

from __future__ import annotations

import json
import selectors
import socket
import statistics
import struct
import sys
import threading
import time

from bench.trials.network.network import SERVER_ADDRESS

PORT = 7
ROUND_TRIPS = 200
EVERY_S = 0.003
CONNECTS = 10
PATIENCE_S = 1.0
CONNECT_TIMEOUT_S = 10.0
_DATAGRAM = struct.Struct("=IQ")


def server() -> None:
    """Answer until the harness ends us."""
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connections = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    for opened in (datagrams, connections):
        opened.bind((SERVER_ADDRESS, PORT))
    connections.listen(CONNECTS)
    print(json.dumps({"event": "ready"}), flush=True)
    selector = selectors.DefaultSelector()
    selector.register(datagrams, selectors.EVENT_READ)
    selector.register(connections, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is datagrams:
                data, sender = datagrams.recvfrom(_DATAGRAM.size)
                datagrams.sendto(data, sender)
            else:
                connections.accept()[0].close()


def round_trips_ms(most_s: float) -> list[float]:
    """How long each datagram took that came back, where none should take longer than `most_s`."""
    found: list[float] = []
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.connect((SERVER_ADDRESS, PORT))
    opened.settimeout(most_s + PATIENCE_S)

    def collect() -> None:
        while len(found) < ROUND_TRIPS:
            try:
                _, sent_ns = _DATAGRAM.unpack(opened.recv(_DATAGRAM.size))
            except TimeoutError:
                return
            found.append((time.monotonic_ns() - sent_ns) / 1e6)

    reader = threading.Thread(target=collect)
    reader.start()
    for number in range(ROUND_TRIPS):
        opened.send(_DATAGRAM.pack(number, time.monotonic_ns()))
        time.sleep(EVERY_S)
    reader.join()
    return found


def connects_ms() -> list[float]:
    """How long each connection took that was made."""
    found: list[float] = []

    def connect() -> None:
        begun_ns = time.monotonic_ns()
        try:
            socket.create_connection((SERVER_ADDRESS, PORT), CONNECT_TIMEOUT_S).close()
        except OSError:
            return
        found.append((time.monotonic_ns() - begun_ns) / 1e6)

    threads = [threading.Thread(target=connect) for _ in range(CONNECTS)]
    for thread in threads:
        thread.start()
        time.sleep(EVERY_S)
    for thread in threads:
        thread.join()
    return found


def client(most_s: float) -> None:
    """Measure and tell."""
    trips, connects = round_trips_ms(most_s), connects_ms()
    told = {
        "round_trip_ms": statistics.median(trips) if trips else None,
        "connect_ms": statistics.median(connects) if connects else None,
        "lost_percent": 100 * (1 - len(trips) / ROUND_TRIPS),
        "round_trips": ROUND_TRIPS,
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    client(float(sys.argv[2])) if sys.argv[1] == "client" else server()
