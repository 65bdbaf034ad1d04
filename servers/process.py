"""What a process that serves has in common, whatever server model it runs."""

import errno
from typing import Any

SPARE_CONNECTIONS = 64
KEEPALIVE_S = 75
# However it ends, it is gone by then; clients see `Connection: close` for the first second of it.
GRACEFUL_S = 3
GOODBYE_S = 1.0
LINGER_S = 2.0
"""So long a peer may take to read the last that it was told, and to close."""
BACKLOG = 4096
HANG_UPS = ("reload", "end", "stay")
"""What SIGHUP means, by `WIRELAB_HANGUP`."""
# The interpreter's default looks through all that thousands of waiting clients hold after every few requests,
# a tenth of the CPU; what the collector is for, cycles, are few.
GARBAGE_COLLECTION_THRESHOLDS = (20_000, 20, 20)
# What a peer that has gone, or that was cut, makes of a read or a write.
GONE = {
    errno.EBADF,
    errno.ECONNABORTED,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.ENOTCONN,
    errno.EPIPE,
    errno.ETIMEDOUT,
}


def url_of(sock: Any) -> str:
    """Where a socket is reached that listens, or the one that a connection came in by."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
