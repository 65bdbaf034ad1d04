"""What processes use: CPU, memory, threads, file descriptors, context switches. Linux tells; others do not.

Rules:
- CPU time comes from the processes' own CPU clocks (`clock_getcpuclockid`, POSIX): nanoseconds, with
  the threads that have ended in it. User and system time come from /proc/PID/stat, in ticks of 10 ms that
  the kernel estimates: they are approximate, and kept apart.
- A tree is a process and all its descendants. One that has ended keeps counting with what was last read
  of it, so a sum never falls.
- What a system does not tell is None, never 0.
- Reading PSS makes the kernel walk a process's pages under its lock: only outside the window.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

LINUX = sys.platform.startswith("linux")
PROC = Path("/proc")
TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def cpu_us(pid: int) -> int | None:
    """CPU time of one process so far, in microseconds; None when it is gone or the system cannot tell."""
    if not LINUX:
        return None
    clock = ctypes.c_int()
    if _LIBC.clock_getcpuclockid(ctypes.c_int(pid), ctypes.byref(clock)) != 0:
        return None
    try:
        return time.clock_gettime_ns(clock.value) // 1000
    except OSError:
        return None


def end_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when its parent ends; call it in the child. Linux only."""
    if LINUX:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)


def cores() -> dict[str, dict[str, int]] | None:
    """For each core its busy and total time since boot, in microseconds, from /proc/stat (10 ms ticks)."""
    if not LINUX:
        return None
    found = {}
    for line in _read(PROC / "stat").splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            # user nice system idle iowait irq softirq steal; guest time is part of user already.
            ticks = [int(field) for field in fields[:8]]
            idle = ticks[3] + ticks[4]
            found[name[3:]] = {"busy_us": (sum(ticks) - idle) * TICK_US, "total_us": sum(ticks) * TICK_US}
    return found


def socket_memory_kb() -> int | None:
    """Kernel memory of all TCP sockets of this system, in kB; None where it cannot be read."""
    try:
        lines = _read(PROC / "net" / "sockstat").splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("TCP:"):
            fields = line.split()
            return int(fields[fields.index("mem") + 1]) * PAGE_KB
    return None


def interface_counts(pid: int, interface: str) -> dict[str, int] | None:
    """What went through an interface of the network that a process is in: packets and their bytes (with the
    Ethernet header's 14), received and sent; None where it has no such interface."""
    try:
        lines = _read(PROC / str(pid) / "net" / "dev").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, counts = line.partition(":")
        if name.strip() == interface:
            fields = [int(field) for field in counts.split()]
            return {
                "bytes_received": fields[0],
                "packets_received": fields[1],
                "bytes_sent": fields[8],
                "packets_sent": fields[9],
            }
    return None


def both_clocks_us() -> tuple[int, int]:
    """Realtime and monotonic time of the same moment, in microseconds.

    Tried again where the process lost its core between the two, which would look as if a clock had moved."""
    for _ in range(20):
        before_ns = time.monotonic_ns()
        at_ns = time.time_ns()
        after_ns = time.monotonic_ns()
        if after_ns - before_ns < 50_000:
            break
    return at_ns // 1000, (before_ns + after_ns) // 2000


def waited_us(pid: int) -> int | None:
    """Time for which a process's main thread could run and had no core, in microseconds (schedstat)."""
    try:
        return int(_read(PROC / str(pid) / "schedstat").split()[1]) // 1000
    except (OSError, IndexError, ValueError):
        return None


def lives(pid: int) -> bool:
    """Whether a process is there and has not ended. Linux only."""
    fields = _stat(pid)
    return fields is not None and fields[0] not in "ZX"


class ProcessTree:
    """A process and all its descendants, living and ended."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._cpu_us: dict[int, int] = {}
        self._ticks_us: dict[int, tuple[int, int]] = {}

    def pids(self) -> list[int]:
        """The living processes of the tree, the root first."""
        if not LINUX:
            return [self.pid]
        children: dict[int, list[int]] = {}
        for entry in PROC.iterdir():
            if entry.name.isdigit():
                fields = _stat(int(entry.name))
                if fields and fields[0] != "Z":
                    children.setdefault(int(fields[1]), []).append(int(entry.name))
        living, found = {pid for group in children.values() for pid in group}, []
        waiting = [self.pid]
        while waiting:
            pid = waiting.pop()
            if pid in living:
                found.append(pid)
            waiting.extend(children.get(pid, []))
        return found

    def sample(self, *, pss: bool = False) -> dict[str, Any]:
        """What the tree uses now. Its CPU clocks are read before all the rest, `at_us` and `monotonic_us`
        tell when."""
        pids = self.pids()
        for pid in pids:
            used = cpu_us(pid)
            if used is not None:
                self._cpu_us[pid] = used
        at_us, monotonic_us = both_clocks_us()
        if not LINUX:
            return {"at_us": at_us, "monotonic_us": monotonic_us, "cpu_us": None}
        for pid in pids:
            fields = _stat(pid)
            if fields:
                self._ticks_us[pid] = (int(fields[11]) * TICK_US, int(fields[12]) * TICK_US)
        switches = [_switches(pid) for pid in pids]
        told: dict[str, Any] = {
            "at_us": at_us,
            "monotonic_us": monotonic_us,
            "cpu_us": sum(self._cpu_us.values()),
            "user_us": sum(user for user, _ in self._ticks_us.values()),
            "system_us": sum(system for _, system in self._ticks_us.values()),
            "threads": sum(_count(PROC / str(pid) / "task") for pid in pids),
            "file_descriptors": sum(_count(PROC / str(pid) / "fd") for pid in pids),
            "voluntary_switches": sum(voluntary for voluntary, _ in switches),
            "involuntary_switches": sum(involuntary for _, involuntary in switches),
            "processes": len(pids),
        }
        if pss:
            told["pss_kb"] = pss_kb(pids)
        return told


def pss_kb(pids: list[int]) -> int | None:
    """Proportional set size of several processes together, in kB; None where it cannot be read."""
    total = 0
    for pid in pids:
        try:
            lines = _read(PROC / str(pid) / "smaps_rollup").splitlines()
        except OSError:
            return None
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total if pids else None


def _read(path: Path) -> str:
    with path.open(encoding="ascii", errors="replace") as file:
        return file.read()


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name, which may hold blanks and parentheses itself."""
    try:
        return _read(PROC / str(pid) / "stat").rpartition(")")[2].split()
    except OSError:
        return None


def _count(directory: Path) -> int:
    try:
        return sum(1 for _ in directory.iterdir())
    except OSError:
        return 0


def _switches(pid: int) -> tuple[int, int]:
    """Voluntary and involuntary context switches of all living threads of a process."""
    voluntary = involuntary = 0
    try:
        threads = list((PROC / str(pid) / "task").iterdir())
    except OSError:
        return 0, 0
    for thread in threads:
        try:
            status = _read(thread / "status")
        except OSError:
            continue
        for line in status[-200:].splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                voluntary += int(line.split()[1])
            elif line.startswith("nonvoluntary_ctxt_switches:"):
                involuntary += int(line.split()[1])
    return voluntary, involuntary
