"""Processes as tests see them: which ones the harness has started, and whether any is left. Linux."""

import contextlib
import os
import time

import psutil

from bench.trials.processes.resources import ProcessTree, lives


def descendants(pid: int | None = None) -> dict[int, str]:
    """Every living descendant of a process (ours, unless told), with its command line."""
    root = os.getpid() if pid is None else pid
    found = {}
    for child in ProcessTree(root).processes():
        with contextlib.suppress(psutil.Error):
            if child.pid != root:
                found[child.pid] = " ".join(child.cmdline())
    return found


def without_browser() -> dict[int, str]:
    """Our living descendants but Chromium's, which starts helpers whenever it likes."""
    return {
        child: command for child, command in descendants().items() if "chrom" not in command.split(" ")[0]
    }


def named(part: str, pid: int | None = None) -> list[int]:
    """The descendants whose command line has `part` in it, oldest first."""
    return sorted(child for child, command in descendants(pid).items() if part in command)


def all_gone(pids: list[int], within_s: float = 5.0) -> bool:
    """Whether all of them end in time."""
    until_s = time.monotonic() + within_s
    while any(lives(pid) for pid in pids):
        if time.monotonic() > until_s:
            return False
        time.sleep(0.05)
    return True
