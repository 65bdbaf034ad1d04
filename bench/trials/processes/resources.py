"""What processes use: CPU, memory, threads, file descriptors, context switches. On Linux; elsewhere most of
it is None.

psutil reads the process tree and what it holds. It does not give exact CPU clocks, the context switches of
all threads, the counters of another network, or cores by their number: these are read here.

Rules:
- CPU time comes from the processes' own CPU clocks (`clock_getcpuclockid`, POSIX): nanoseconds, with
  the threads that have ended in it. User and system time (psutil) come in ticks of 10 ms that the kernel
  estimates: they are approximate, and kept apart.
- A tree is a process and all its descendants. One that has ended keeps counting with what was last read
  of it, so a sum never falls.
- What the system does not report is None, never 0.
- Reading PSS makes the kernel walk a process's pages under its lock: only outside the window.
- A sample is taken once a second inside windows, also of 500 threads: reading it must be cheap.
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import psutil

LINUX = sys.platform.startswith("linux")
PROC = Path("/proc")
TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024

OPEN = (psutil.CONN_LISTEN, psutil.CONN_ESTABLISHED, psutil.CONN_NONE)

_SWITCHES = re.compile(rb"\nvoluntary_ctxt_switches:\t(\d+)\nnonvoluntary_ctxt_switches:\t(\d+)")
_LIBC = ctypes.CDLL(None, use_errno=True)


def cpu_us(pid: int) -> int | None:
    """CPU time of one process so far, in microseconds; None if it is gone, or elsewhere than on Linux."""
    if not LINUX:
        return None
    clock = ctypes.c_int()
    if _LIBC.clock_getcpuclockid(ctypes.c_int(pid), ctypes.byref(clock)) != 0:
        return None
    try:
        return time.clock_gettime_ns(clock.value) // 1000
    except OSError:
        return None


def cores() -> dict[str, dict[str, int]] | None:
    """For each core its times since boot, in microseconds, from /proc/stat (10 ms ticks): `busy_us`, with
    whatever ran on it; `irq_us`, the part of that for interrupts; `steal_us`, for which the host had it for
    others, and it was neither busy nor idle; and `total_us`, of everything."""
    if not LINUX:
        return None
    times = {}
    for line in _read(PROC / "stat").splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            # user nice system idle iowait irq softirq steal; guest time is part of user already.
            ticks = [int(field) for field in fields[:8]]
            ticks += [0] * (8 - len(ticks))
            idle, irq, steal = ticks[3] + ticks[4], ticks[5] + ticks[6], ticks[7]
            times[name[3:]] = {
                "busy_us": (sum(ticks) - idle - steal) * TICK_US,
                "irq_us": irq * TICK_US,
                "steal_us": steal * TICK_US,
                "total_us": sum(ticks) * TICK_US,
            }
    return times


def socket_memory_kb() -> int | None:
    """Kernel memory of all TCP sockets of this system, in kB; None if it cannot be read."""
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
    Ethernet header's 14), received and sent; None if it has no such interface."""
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

    They are read again if the process lost its core between them: that would look as if a clock had moved."""
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
    """Whether a process is there and has not ended."""
    try:
        return _runs(psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False


class ProcessTree:
    """A process and all its descendants, living and ended."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._cpu_us: dict[int, int] = {}
        self._estimated_us: dict[int, tuple[int, int]] = {}

    def processes(self) -> list[psutil.Process]:
        """The living processes of the tree, the root first."""
        try:
            root = psutil.Process(self.pid)
            return [process for process in (root, *root.children(recursive=True)) if _runs(process)]
        except psutil.NoSuchProcess:
            return []

    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.pid for process in self.processes()]

    def closing(self) -> int:
        """TCP connections of the tree that one side has ended, or both, and the tree still holds: a server
        reads on after its last answer (RFC 9112, section 9.6). 0 elsewhere than on Linux."""
        return sum(_closing(process) for process in self.processes()) if LINUX else 0

    def sample(self, *, pss: bool = False) -> dict[str, Any]:
        """What the tree uses now. Its CPU clocks are read before all the rest; `at_us` and `monotonic_us` say
        when."""
        processes = self.processes()
        for process in processes:
            used = cpu_us(process.pid)
            if used is not None:
                self._cpu_us[process.pid] = used
        at_us, monotonic_us = both_clocks_us()
        if not LINUX:
            return {"at_us": at_us, "monotonic_us": monotonic_us, "cpu_us": None}
        threads = descriptors = 0
        for process in processes:
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    threads += process.num_threads()
                    descriptors += process.num_fds()
            except psutil.Error:
                continue
            self._estimated_us[process.pid] = (round(times.user * 1e6), round(times.system * 1e6))
        switches = [_switches(process.pid) for process in processes]
        used_now: dict[str, Any] = {
            "at_us": at_us,
            "monotonic_us": monotonic_us,
            "cpu_us": sum(self._cpu_us.values()),
            "user_us": sum(user for user, _ in self._estimated_us.values()),
            "system_us": sum(system for _, system in self._estimated_us.values()),
            "threads": threads,
            "file_descriptors": descriptors,
            "voluntary_switches": sum(voluntary for voluntary, _ in switches),
            "involuntary_switches": sum(involuntary for _, involuntary in switches),
            "processes": len(processes),
        }
        if pss:
            used_now["pss_kb"] = pss_kb([process.pid for process in processes])
        return used_now


def _closing(process: psutil.Process) -> int:
    """The sockets that a process holds, but for those that are open. The kernel lists none that both sides
    have ended."""
    descriptors = PROC / str(process.pid) / "fd"
    try:
        held = {str(entry.readlink()) for entry in descriptors.iterdir()}
        connections = process.net_connections("all")
        open_ = {str((descriptors / str(each.fd)).readlink()) for each in connections if each.status in OPEN}
    except (psutil.Error, PermissionError):
        return 0
    except FileNotFoundError:
        return 1  # One was let go while the others were looked at.
    return len({target for target in held if target.startswith("socket:")} - open_)


def pss_kb(pids: list[int]) -> int | None:
    """Proportional set size of several processes together, in kB; None if it cannot be read."""
    try:
        sizes = [psutil.Process(pid).memory_full_info().pss // 1024 for pid in pids]
    except (psutil.Error, AttributeError):
        return None
    return sum(sizes) if sizes else None


def _runs(process: psutil.Process) -> bool:
    """Whether a process has not ended. A zombie has, though its parent has not waited for it yet."""
    try:
        return process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


def _read(path: Path) -> str:
    with path.open(encoding="ascii", errors="replace") as file:
        return file.read()


def _switches(pid: int) -> tuple[int, int]:
    """Voluntary and involuntary context switches of all living threads of a process. psutil gives those of
    the first thread only. Read without buffers, since this is most of what a sample of many threads costs."""
    voluntary = involuntary = 0
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
    except OSError:
        return 0, 0
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/status", "rb", buffering=0) as file:  # noqa: PTH123
                match = _SWITCHES.search(file.read())
        except OSError:
            continue
        if match:
            voluntary, involuntary = voluntary + int(match[1]), involuntary + int(match[2])
    return voluntary, involuntary
