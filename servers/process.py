"""What a process that serves has in common, whatever server model it runs."""

import errno
from typing import Any

SPARE_CONNECTIONS = 64
KEEPALIVE_S = 75
# However it ends, it is gone by then; clients see `Connection: close` for the first second of it.
GRACEFUL_S = 3
GOODBYE_S = 1.0
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


def url_of(listener: Any) -> str:
    """Where a listening socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
