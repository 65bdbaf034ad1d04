"""One TCP connection that knows when bytes arrived and what it put on the wire.

Rules:

1. *When* comes from the kernel: SO_TIMESTAMPNS stamps each segment as it arrives, and a read tells the
   stamp of the last segment that it took from. Messages that are read together therefore share the stamp
   of the last one: a time may be late by as much as the reader fell behind, and is never early. Without a
   stamp, the time at which our code had the bytes is used, and `stamped` is False.
2. *How much* comes from the kernel too: TCP_INFO. Bytes are payload, without TCP and IP headers, and with
   whatever was sent again; segments are everything, SYN, FIN and bare acknowledgements included. Header
   bytes follow from them: 20 (IPv4) or 40 (IPv6) + 20 + options, per segment. Where the system cannot
   tell, the count is None, never 0.
3. Sockets block. Under gevent's monkey-patching they wait as greenlets; nothing here knows of it.
4. One thread or greenlet reads; any other may call `counts` or `shutdown`.
"""

from __future__ import annotations

import atexit
import ipaddress
import socket
import struct
import sys
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

CONNECT_TIMEOUT_S = 10.0
FINISH_TIMEOUT_S = 1.0
"""How long a peer that has said its last may take to end the connection."""
READ_BYTES = 65536
"""Most that one read takes: the most memory that a connection needs on top of an unfinished message."""

# A peer that vanished without a word is noticed by the kernel, which costs a read nothing. The first probe
# comes later than a WebSocket server's pings usually do, so as not to count among the packets measured.
KEEPALIVE_IDLE_S = 60
KEEPALIVE_INTERVAL_S = 10
KEEPALIVE_PROBES = 3

KERNEL_TELLS = sys.platform == "linux"
"""Whether stamps and counts are to be had here at all."""

# asm-generic/socket.h; Python has no name for it. PA-RISC and SPARC have other numbers: there the option
# or its check fails, and handling time is used.
SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("@ll")
_ANCILLARY_BYTES = socket.CMSG_SPACE(TIMESPEC.size)


_stamping: list[socket.socket] = []


def keep_stamping(within_s: float = 2.0) -> None:
    """Have the kernel stamp what arrives as long as this process lives; wait until it does, or `within_s`.

    It begins a moment after the first socket of the machine asks for stamps, on a busy machine a while, and
    ends with the last: what came before would have handling time."""
    if not KERNEL_TELLS or _stamping:
        return
    asks = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        asks.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        asks.bind(("127.0.0.1", 0))
        asks.connect(asks.getsockname())
        asks.settimeout(within_s)
        until_s = time.monotonic() + within_s
        while time.monotonic() < until_s:
            asks.send(b".")
            if asks.recvmsg(1, _ANCILLARY_BYTES)[1]:
                break
            time.sleep(0.005)
    except OSError:
        asks.close()
    else:
        _stamping.append(asks)
        atexit.register(asks.close)


class WireCounts(NamedTuple):
    """What a connection put on the wire and got from it: payload bytes, and segments of every kind."""

    bytes_sent: int
    bytes_received: int
    segments_sent: int
    segments_received: int

    def __add__(self, other: object) -> WireCounts:
        """Add count by count (a tuple would be appended)."""
        if not isinstance(other, WireCounts):
            return NotImplemented
        return WireCounts(*(mine + others for mine, others in zip(self, other, strict=True)))

    def __sub__(self, other: object) -> WireCounts:
        """Subtract count by count: what happened between two readings."""
        if not isinstance(other, WireCounts):
            return NotImplemented
        return WireCounts(*(mine - others for mine, others in zip(self, other, strict=True)))


NOTHING = WireCounts(0, 0, 0, 0)

# struct tcp_info of linux/tcp.h. It only ever grows at its end, and the kernel says how much it filled:
# tcpi_state at 0, tcpi_bytes_received at 128 (Linux 4.1), tcpi_segs_out at 136 and tcpi_segs_in at 140
# (4.2), tcpi_bytes_sent at 200 (4.19).
_RECEIVED_AND_SEGMENTS = struct.Struct("=QII")
_RECEIVED_AT = 128
_SENT = struct.Struct("=Q")
_SENT_AT = 200
_TCP_INFO_BYTES = _SENT_AT + _SENT.size
# States in which the peer's FIN has been received (include/net/tcp_states.h): TIME_WAIT, CLOSE_WAIT,
# LAST_ACK, CLOSING.
_FIN_RECEIVED = frozenset({6, 8, 9, 11})
_ESTABLISHED = 1
_CLOSED = 7


def parse_tcp_info(info: bytes) -> WireCounts | None:
    """Read the counts from a `struct tcp_info`; None if this kernel's is too short to hold them.

    tcpi_bytes_received counts the peer's FIN as one byte, since it follows the sequence numbers; it is
    taken off. tcpi_bytes_sent counts neither SYN nor FIN (tcpi_bytes_acked counts the SYN, so it is not
    used).
    """
    if len(info) < _TCP_INFO_BYTES:
        return None
    bytes_received, segments_sent, segments_received = _RECEIVED_AND_SEGMENTS.unpack_from(info, _RECEIVED_AT)
    (bytes_sent,) = _SENT.unpack_from(info, _SENT_AT)
    if info[0] in _FIN_RECEIVED:
        bytes_received -= 1
    return WireCounts(bytes_sent, bytes_received, segments_sent, segments_received)


class Endpoint(NamedTuple):
    """Where a URL leads: plain HTTP only."""

    host: str
    port: int
    host_header: str
    """The host as the URL has it: what goes into Host, Origin and Referer."""
    path: str
    """What goes before /streams/…; empty unless the lab is mounted below a path."""

    @classmethod
    def of(cls, url: str) -> Endpoint:
        """Parse `url`; raises ValueError."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"{url!r} is no address of a server here: give it as http://HOST:PORT")
        if not parts.netloc.isascii() or not parts.path.isascii() or set(url) & set(" \r\n\t"):
            raise ValueError(f"{url!r} has characters that a URL must escape")
        try:
            parts.hostname.encode("idna")
        except UnicodeError:
            raise ValueError(f"{url!r} names no host: a label of it is empty or too long") from None
        if parts.port == 0:
            raise ValueError(f"{url!r} names port 0, on which nobody can listen")
        return cls(parts.hostname, parts.port or 80, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"))

    def resolve(self) -> list[tuple[socket.AddressFamily, tuple[Any, ...]]]:
        """Return the addresses to try, in order; raises OSError. A numeric one costs no look-up."""
        try:
            numeric = ipaddress.ip_address(self.host)
        except ValueError:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            return [(family, address) for family, _, _, _, address in found]
        family = socket.AF_INET if numeric.version == 4 else socket.AF_INET6
        return [(family, (self.host, self.port))]


class Connection:
    """A TCP connection: blocking writes, and reads that tell when the bytes arrived."""

    def __init__(self, family: socket.AddressFamily = socket.AF_INET) -> None:
        """Make the socket, so that `shutdown` can end even the attempt to connect."""
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if KERNEL_TELLS:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
            # What keep-alive is for silence, this is for data that nobody acknowledges.
            self._socket.setsockopt(
                socket.IPPROTO_TCP,
                socket.TCP_USER_TIMEOUT,
                1000 * (KEEPALIVE_IDLE_S + KEEPALIVE_INTERVAL_S * KEEPALIVE_PROBES),
            )
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            except OSError:
                pass
        self._recvmsg = self._socket.recvmsg
        self.received_us = 0
        """When the bytes of the last read arrived, in microseconds of Unix time: the kernel's stamp."""
        self.handled_us = 0
        """When our code had them, on the same clock."""
        self.stamped = False
        """Whether the last read brought a stamp; if not, its `received_us` is handling time."""
        self._finished = False

    def connect(self, address: tuple[Any, ...], read_timeout_s: float | None = None) -> None:
        """Connect within CONNECT_TIMEOUT_S; raises OSError. Later reads wait up to `read_timeout_s`."""
        self._socket.settimeout(CONNECT_TIMEOUT_S)
        self._socket.connect(address)
        self._socket.settimeout(read_timeout_s)

    def wait_at_most(self, seconds: float | None) -> None:
        """Let later reads raise TimeoutError after so long without a byte; None lets them wait without end.

        Then only the keep-alive notices a peer that is gone.
        """
        self._socket.settimeout(seconds)

    def has_arrived(self) -> bool:
        """Whether bytes, or the end, are there to be read now; raises OSError for a lost connection."""
        waits_s = self._socket.gettimeout()
        self._socket.settimeout(0)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        finally:
            self._socket.settimeout(waits_s)
        return True

    def send(self, data: bytes | bytearray) -> None:
        """Write all of it; raises OSError."""
        self._socket.sendall(data)

    def receive(self) -> bytes:
        """Wait for bytes and return them, b"" at the end; raises OSError. Sets the two times."""
        data, ancillary, _, _ = self._recvmsg(READ_BYTES, _ANCILLARY_BYTES)
        self.handled_us = time.time_ns() // 1000
        if ancillary:
            seconds, nanoseconds = TIMESPEC.unpack(ancillary[0][2])
            self.received_us = seconds * 1_000_000 + nanoseconds // 1000
            self.stamped = True
        else:
            self.received_us = self.handled_us
            self.stamped = False
        return data

    def counts(self) -> WireCounts | None:
        """Return the counts so far; None if TCP_INFO is not to be had, or after `close`."""
        if not KERNEL_TELLS:
            return None
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_BYTES)
        except OSError:
            return None
        counts = parse_tcp_info(info)
        if counts is not None and self._finished and info[0] == _CLOSED:
            # A closed socket no longer tells whether it had the peer's FIN; this one had.
            return counts._replace(bytes_received=counts.bytes_received - 1)
        return counts

    def ended(self) -> bool:
        """Whether the peer is known to have ended the connection; always False if nobody can tell."""
        if not KERNEL_TELLS:
            return False
        return self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _ESTABLISHED

    def finish(self) -> None:
        """Wait for the peer's end, FINISH_TIMEOUT_S at the most, then send ours; raises OSError. What still
        comes is not kept.

        The acknowledgement of our end comes a round trip later: who wants it counted closes only then.
        """
        self._socket.settimeout(FINISH_TIMEOUT_S)
        while self._socket.recv(READ_BYTES):
            pass
        self._finished = True
        self._socket.shutdown(socket.SHUT_WR)

    def shutdown(self) -> None:
        """Wake whoever connects or reads: it finds the end of the stream. Writing still works."""
        try:
            self._socket.shutdown(socket.SHUT_RD)
        except OSError:
            pass  # not connected (any more): there is nobody to wake

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()
