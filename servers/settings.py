"""Every limit of the server, in one place.

`wirelab serve` makes one option of each field; a plain gunicorn reads the same names from the
environment, `WIRELAB_MAX_SUBSCRIBERS` for `max_subscribers` and so on. Each limit is named in the
answer that it causes.
"""

import dataclasses
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from servers.addresses import networks
from servers.names import host_of

MIB = 1 << 20
PONG_PATIENCE_S = 1.0
"""A WebSocket is closed at the next ping if earlier pings have gone unanswered for so long."""


def _setting(default: Any, meaning: str, least: float) -> Any:
    return field(default=default, metadata={"meaning": meaning, "least": least})


@dataclass(frozen=True)
class Settings:
    """The server's limits; raises ValueError, naming the setting, where one is out of range."""

    max_subscribers: int = _setting(
        2000, "open WebSockets, event streams, sessions of Socket.IO and held long polls together", 1
    )
    max_subscribers_per_address: int = _setting(
        300, "of them for one address, but loopback and trusted proxies", 1
    )
    max_streams: int = _setting(1000, "streams; the longest unused makes way, if nobody reads it", 1)
    max_notifications: int = _setting(10_000, "notifications that a stream keeps", 1)
    max_notification_bytes: int = _setting(2 * MIB, "bytes of one notification, as encoded", 256)
    max_log_bytes: int = _setting(256 * MIB, "bytes of all streams' notifications together", 256)
    max_unaccepted_bytes: int = _setting(
        64 * MIB, "bytes that all peers have sent and that are not accepted yet", 256
    )
    send_timeout_s: float = _setting(10.0, "seconds a peer may take nothing before it is cut", 0.1)
    ping_interval_s: float = _setting(
        25.0, "seconds between pings of WebSockets and Socket.IO, or comments on event streams", 0.1
    )
    request_timeout_s: float = _setting(20.0, "seconds a request's head, or its body, may take to come", 0.1)
    allow_hosts: tuple[str, ...] = field(
        default=(), metadata={"meaning": "further name to answer under on loopback: a proxy's (repeatable)"}
    )
    allow_origins: tuple[str, ...] = field(
        default=(),
        metadata={"meaning": "foreign origin whose pages may open WebSockets or use Socket.IO (repeatable)"},
    )
    trusted_proxy: tuple[str, ...] = field(
        default=(),
        metadata={"meaning": "address or network of a proxy whose X-Forwarded-For is believed (repeatable)"},
    )
    permessage_deflate: bool = field(
        default=False, metadata={"meaning": "accept WebSocket compression where a client offers it"}
    )

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            least = item.metadata.get("least")
            value = getattr(self, item.name)
            if least is not None and not (math.isfinite(value) and value >= least):
                raise ValueError(f"{item.name} must be at least {least}, not {value}")
        for host in self.allow_hosts:
            if host_of(host) is None:
                raise ValueError(f"allow_hosts: {host!r} is not a host's name or address")
        try:
            networks(self.trusted_proxy)
        except ValueError as error:
            raise ValueError(f"trusted_proxy: {error}") from None
        if self.max_notification_bytes > self.max_log_bytes:
            raise ValueError("max_notification_bytes must not exceed max_log_bytes")
        if self.max_unaccepted_bytes < self.max_body_bytes:
            raise ValueError(
                f"max_unaccepted_bytes must be at least {self.max_body_bytes}, which one body may take "
                "(8 times max_notification_bytes)"
            )

    @property
    def max_body_bytes(self) -> int:
        """Bytes of one request body or WebSocket message.

        JSON's \\u-escapes take six bytes for one; with eight, 16 MiB can be echoed, which is the
        largest message of the Autobahn suite.
        """
        return 8 * self.max_notification_bytes

    @property
    def body_limit(self) -> str:
        """Which setting `max_body_bytes` comes from, for who has exceeded it."""
        return f"max_notification_bytes is {self.max_notification_bytes}"


def to_environ(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, the inverse of `from_environ`."""
    environ = {}
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        text = " ".join(value) if isinstance(value, tuple) else str(int(value) if value is True else value)
        environ[f"WIRELAB_{item.name.upper()}"] = text
    return environ


def from_environ(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from `WIRELAB_…` variables; what is not named keeps its default.

    Raises ValueError, naming the variable, where a value cannot be read.
    """
    values: dict[str, Any] = {}
    for item in dataclasses.fields(Settings):
        name = f"WIRELAB_{item.name.upper()}"
        text = environ.get(name)
        if text is None:
            continue
        try:
            if isinstance(item.default, tuple):
                values[item.name] = tuple(text.split())
            elif isinstance(item.default, bool):
                values[item.name] = {"1": True, "0": False, "True": True, "False": False}[text]
            else:
                values[item.name] = (int if isinstance(item.default, int) else float)(text)
        except (KeyError, ValueError):
            raise ValueError(f"{name}={text!r} cannot be read as {type(item.default).__name__}") from None
    return Settings(**values)
