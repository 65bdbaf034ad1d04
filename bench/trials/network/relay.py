"""The relay of an emulated link, a process of its own: it makes the namespaces, and forwards between them.

It is told the link in one JSON line on stdin, answers {"event":"ready"}, and then on {"do":"report"} with
what it did since the last one: {"event":"report", "forwarded", "lost", "overflowed", "unread",
"late_ms_p50", "late_ms_p99", "late_ms_max", "stalls_ms"}. When stdin ends, the harness is gone: this process
ends too.

Two hosts with one interface each, `eth0`, are joined by veth pairs to this one, which has no address: it
reads whole frames from one pair (AF_PACKET) and writes them to the other.

Rules:
- A frame is due `one_way_ms` (and its jitter) after the kernel's stamp of its arrival, so a relay that
  reads late does not delay by that; what it sends late is its lateness, measured for each frame. The stamp is
  of the time of day, which may be set: it tells a frame's age, and the frame waits by the monotonic clock.
- Frames keep their order in each direction. With a bandwidth, each leaves after those before it have been
  sent.
- Everything is bounded: `QUEUED_MOST` frames wait in each direction, and beyond they are dropped and
  counted as `overflowed`; what the kernel dropped because it was not read in time is `unread`. Lateness is
  kept in buckets of `BUCKET_US`.
- Segmentation offloads are off, so that a frame is a packet, and checksums are computed by the sender,
  since no hardware will. Neighbours are set by hand: no ARP is lost on a lossy link.
- It takes precedence as the publisher does, and before it, since its packets pass here (see
  `bench.trials.processes.launch`).

veth(4), packet(7), user_namespaces(7), network_namespaces(7); the emulator's model is netem's (Hemminger
2005, Network Emulation with NetEm).
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import json
import os
import random
import select
import socket
import struct
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from bench.scenario.links import Link
from bench.trials.network import namespaces
from bench.trials.network.network import CLIENT_ADDRESS, FIRST_NAMESPACE_FD, SERVER_ADDRESS, SIDES
from bench.trials.processes.child import say
from bench.trials.processes.heartbeat import Heartbeat
from clients.wire import SO_TIMESTAMPNS, TIMESPEC

QUEUED_MOST = 20_000
BUCKET_US = 10
BUCKETS = 10_000
"""Lateness beyond their reach counts in the last one; the largest is kept exactly."""
FRAMES_A_TURN = 64
"""Frames read from one side before what is due is sent."""
FRAME_BYTES = 65_536

PR_SET_TIMERSLACK = 29
SOL_PACKET = 263
PACKET_STATISTICS = 6
ETH_P_IP = 0x0800
SIOCETHTOOL = 0x8946
OFFLOADS = (0x17, 0x1F, 0x24, 0x2C)
"""ETHTOOL_STXCSUM, STSO, SGSO and SGRO (linux/ethtool.h)."""
_LIBC = ctypes.CDLL(None, use_errno=True)


class Direction:
    """Frames from one interface to the other."""

    def __init__(self, source: socket.socket, target: socket.socket, link: Link, seed: int) -> None:
        self.source, self._target = source, target
        self._random = random.Random(seed)
        self._delay_ns = round(link.one_way_ms * 1e6)
        self._jitter_ns = link.jitter_ms * 1e6
        self._loss = link.loss_percent / 100
        self._ns_a_byte = 8000 / link.bandwidth_mbit if link.bandwidth_mbit else 0.0
        self._idle_from_ns = 0
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._newest_ns = 0
        self.forwarded = self.lost = self.overflowed = 0

    def read(self) -> None:
        """Take what has arrived, up to FRAMES_A_TURN frames, and set when each is due."""
        receive, chance = self.source.recvmsg, self._random
        for _ in range(FRAMES_A_TURN):
            try:
                frame, ancillary, _, _ = receive(FRAME_BYTES, 64, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if self._loss and chance.random() < self._loss:
                self.lost += 1
                continue
            if len(self._waiting) >= QUEUED_MOST:
                self.overflowed += 1
                continue
            seconds, nanoseconds = TIMESPEC.unpack(ancillary[0][2])
            age_ns = time.time_ns() - seconds * 1_000_000_000 - nanoseconds
            due_ns = time.monotonic_ns() - max(0, age_ns)
            if self._ns_a_byte:
                due_ns = max(due_ns, self._idle_from_ns) + round(len(frame) * self._ns_a_byte)
                self._idle_from_ns = due_ns
            due_ns += self._delay_ns
            if self._jitter_ns:
                due_ns += round(chance.uniform(-self._jitter_ns, self._jitter_ns))
            self._newest_ns = due_ns = max(due_ns, self._newest_ns)
            self._waiting.append((due_ns, frame))

    def send(self, late_us: list[int]) -> int | None:
        """Send what is due and note how late. Returns when the next frame is due (monotonic ns), if one
        waits."""
        waiting = self._waiting
        while waiting:
            due_ns, frame = waiting[0]
            late_ns = time.monotonic_ns() - due_ns
            if late_ns < 0:
                return due_ns
            waiting.popleft()
            self._target.send(frame)
            self.forwarded += 1
            late_us.append(late_ns // 1000)
        return None

    def unread(self) -> int:
        """Frames that the kernel dropped since this was last asked, because nobody read them in time."""
        told = self.source.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8)
        return int(struct.unpack("=II", told)[1])


class Lateness:
    """How late frames were sent, in buckets."""

    def __init__(self) -> None:
        self._counts = [0] * (BUCKETS + 1)
        self._most_us = 0

    def add(self, late_us: list[int]) -> None:
        """Count them."""
        for late in late_us:
            self._counts[min(late // BUCKET_US, BUCKETS)] += 1
            self._most_us = max(self._most_us, late)

    def percentile_ms(self, percent: float) -> float | None:
        """The upper edge of the bucket that holds it; None if nothing was sent."""
        total, seen = sum(self._counts), 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= total * percent / 100:
                return (bucket + 1) * BUCKET_US / 1000
        return None

    def most_ms(self) -> float | None:
        """The largest; None if nothing was sent."""
        return self._most_us / 1000 if any(self._counts) else None


class Relay:
    """Both directions, and what is told of them."""

    def __init__(self, link: Link, seed: int) -> None:
        server, client = (_packet_socket(f"to-{side}") for side in SIDES)
        self._directions = (Direction(server, client, link, seed), Direction(client, server, link, seed + 1))
        self._lateness = Lateness()
        self._heartbeat = Heartbeat()
        self._heartbeat.watch(time.monotonic())

    def run(self) -> None:
        """Forward until stdin ends."""
        directions, stdin = self._directions, sys.stdin.fileno()
        by_socket = {direction.source: direction for direction in directions}
        watched: list[socket.socket | int] = [*by_socket, stdin]
        late_us: list[int] = []
        while True:
            due = [at for direction in directions if (at := direction.send(late_us)) is not None]
            if late_us:
                self._lateness.add(late_us)
                late_us.clear()
            timeout_s = max(0.0, (min(due) - time.monotonic_ns()) / 1e9) if due else None
            for ready in select.select(watched, (), (), timeout_s)[0]:
                if isinstance(ready, socket.socket):
                    by_socket[ready].read()
                elif sys.stdin.readline():
                    say(self._report())
                else:
                    return

    def _report(self) -> dict[str, Any]:
        told: dict[str, Any] = {"event": "report"}
        for name in ("forwarded", "lost", "overflowed"):
            told[name] = sum(getattr(direction, name) for direction in self._directions)
            for direction in self._directions:
                setattr(direction, name, 0)
        told["unread"] = sum(direction.unread() for direction in self._directions)
        told["late_ms_p50"] = self._lateness.percentile_ms(50)
        told["late_ms_p99"] = self._lateness.percentile_ms(99)
        told["late_ms_max"] = self._lateness.most_ms()
        self._lateness = Lateness()
        told["stalls_ms"] = self._heartbeat.tell()
        self._heartbeat.watch(time.monotonic())
        return told


def connect(sides: dict[str, int]) -> None:
    """Join both sides to this namespace by a veth pair each, and give them addresses that know each other."""
    here = namespaces.network_namespace()
    _without_ipv6()
    with IPRoute() as routes:
        for side, namespace in sides.items():
            peer = {"ifname": "eth0", "net_ns_fd": namespace}
            routes.link("add", ifname=f"to-{side}", kind="veth", peer=peer)
            _up(routes, f"to-{side}")
    addresses = {"server": SERVER_ADDRESS, "client": CLIENT_ADDRESS}
    hardware = {}
    for side, namespace in sides.items():
        namespaces.join_network(namespace)
        _without_ipv6()
        with IPRoute() as routes:
            index = routes.link_lookup(ifname="eth0")[0]
            hardware[side] = routes.get_links(index)[0].get_attr("IFLA_ADDRESS")
            routes.addr("add", index=index, address=addresses[side], prefixlen=24)
            _up(routes, "lo")
            _up(routes, "eth0")
    for side, other in zip(SIDES, reversed(SIDES), strict=True):
        namespaces.join_network(sides[side])
        with IPRoute() as routes:
            index = routes.link_lookup(ifname="eth0")[0]
            routes.neigh(
                "add", dst=addresses[other], lladdr=hardware[other], ifindex=index, state="permanent"
            )
    namespaces.join_network(here)


def _without_ipv6() -> None:
    """Nothing but what is measured passes the link: no neighbour discovery."""
    path = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
    if path.exists():
        path.write_text("1", encoding="ascii")


def _up(routes: IPRoute, name: str) -> None:
    """Without offloads, and up."""
    with socket.socket() as control:
        for offload in OFFLOADS if name != "lo" else ():
            value = ctypes.create_string_buffer(struct.pack("=II", offload, 0))
            request = struct.pack("16sP", name.encode("ascii"), ctypes.addressof(value))
            fcntl.ioctl(control, SIOCETHTOOL, request)
    routes.link("set", index=routes.link_lookup(ifname=name)[0], state="up")


def _packet_socket(interface: str) -> socket.socket:
    """Whole IPv4 frames of one interface, with the kernel's stamps."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    # As much as the system allows; it cuts what is more.
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
    opened.bind((interface, ETH_P_IP))
    return opened


def main() -> int:
    """Make the link and relay until the harness is gone."""
    told = json.loads(sys.stdin.readline())
    seed = told.pop("seed")
    _LIBC.prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    try:
        namespaces.make_user_namespace()
        sides = {side: namespaces.make_network_namespace() for side in SIDES}
        namespaces.make_network_namespace()
        connect(sides)
    except OSError as error:
        sys.exit(error.strerror)
    # Where `bench.trials.processes.launch` looks for them.
    for number, namespace in enumerate(sides.values()):
        os.dup2(namespace, FIRST_NAMESPACE_FD + number)
    relay = Relay(Link(**told), seed)
    gc.disable()
    say({"event": "ready"})
    relay.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
