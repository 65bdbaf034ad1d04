"""What a request may ask for in its query: each argument by its values. What is out of range is refused."""

import re

from servers.refusals import BadArgument

DEFAULT_WAIT_S = 25.0
MAX_WAIT_S = 60.0
MAX_HEARTBEAT_S = 60
SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
HEARTBEAT_SECONDS = re.compile(r"[1-9]|[1-5][0-9]|60")


def cursor(values: list[str]) -> str | None:
    """`after`: the cursor that the request asks from; None if it names none and so joins at the head."""
    if len(values) > 1:
        raise BadArgument("Give after only once.")
    return values[0] if values else None


def last_seen(ids: list[str], cursors: list[str]) -> str | None:
    """`Last-Event-ID`, which is what a browser's EventSource saw last, else `after`."""
    if len(ids) > 1:
        raise BadArgument("Give Last-Event-ID only once.")
    return ids[0] if ids else cursor(cursors)


def wait_s(values: list[str]) -> float:
    """`wait`: seconds to hold the request."""
    if not values:
        return DEFAULT_WAIT_S
    if len(values) > 1 or not SECONDS.fullmatch(values[0]):
        raise BadArgument("wait must be one number of seconds, such as 25 or 0.5.")
    seconds = float(values[0])
    if seconds > MAX_WAIT_S:
        raise BadArgument(f"wait must not exceed {MAX_WAIT_S:.0f} seconds.")
    return seconds


def heartbeat_s(values: list[str]) -> int | None:
    """`heartbeat`: the seconds without a batch after which an empty one is asked for, or None."""
    if not values:
        return None
    if len(values) > 1 or not HEARTBEAT_SECONDS.fullmatch(values[0]):
        raise BadArgument(f"heartbeat must be one whole number of seconds, 1 to {MAX_HEARTBEAT_S}.")
    return int(values[0])
