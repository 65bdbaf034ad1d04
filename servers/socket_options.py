"""What the listening socket is told, and accepted ones inherit. What a system does not have is left out.

- TCP_USER_TIMEOUT: a peer that takes nothing for so long is cut, also one that keeps its window shut: a
  timeout of the socket's own would cut idle readers too. Linux only.
- TCP_NODELAY: an answer leaves at once.
- SO_KEEPALIVE: a peer that has gone without a word is found where nothing is sent either: a held poll, a
  request half sent. TCP_KEEPIDLE is TCP_KEEPALIVE on macOS.
"""

import socket

KEEPALIVE_AFTER_S = 60
KEEPALIVE_EVERY_S = 15
KEEPALIVE_PROBES = 4


def set_options(listener: socket.socket, send_timeout_s: float) -> None:
    """Set those above that this system has."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {
        "TCP_NODELAY": 1,
        "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE": KEEPALIVE_AFTER_S,
        "TCP_KEEPINTVL": KEEPALIVE_EVERY_S,
        "TCP_KEEPCNT": KEEPALIVE_PROBES,
        "TCP_USER_TIMEOUT": round(send_timeout_s * 1000),
    }.items():
        option = getattr(socket, name, None)
        if option is not None:
            listener.setsockopt(socket.IPPROTO_TCP, option, value)
