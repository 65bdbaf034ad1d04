"""Sends a server the same frames without pause, in a process of its own: `flooder.py PORT PATH HEX [again]`.

It reads what comes back, and ends with the connection (`again`: begins another) or with its standard input.
"""

import os
import selectors
import socket
import sys

PIECE_BYTES = 4096
HEAD = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def flood(port: int, path: str, frame: bytes) -> None:
    """Until the connection ends."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(HEAD.format(path=path).encode())
    sock.recv(65536)
    piece = memoryview(frame * max(1, PIECE_BYTES // len(frame)))
    sock.setblocking(False)
    at = 0
    with sock, selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
        selector.register(sys.stdin, selectors.EVENT_READ)
        print("flooding", flush=True)
        while True:
            for key, events in selector.select():
                if key.fileobj is not sock:
                    os._exit(0)
                if events & selectors.EVENT_READ and not sock.recv(1 << 20):
                    return
                if events & selectors.EVENT_WRITE:
                    at = (at + sock.send(piece[at:])) % len(piece)


if __name__ == "__main__":
    while True:
        try:
            flood(int(sys.argv[1]), sys.argv[2], bytes.fromhex(sys.argv[3]))
        except ConnectionError:
            pass
        if len(sys.argv) < 5:
            break
