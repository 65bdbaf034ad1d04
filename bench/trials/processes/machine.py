"""Where and with what a run was made: the machine, the versions, the commit. Facts that name no person or
path."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

PACKAGES = (
    "flask",
    "flask-sock",
    "simple-websocket",
    "gunicorn",
    "gevent",
    "locust",
    "wsproto",
    "httptools",
    "msgspec",
)


def facts() -> dict[str, Any]:
    """Everything below, as run.json keeps it."""
    head, dirty = commit()
    return {
        "machine": describe(),
        "versions": versions(),
        "commit": head,
        "dirty": dirty,
        "pinning": pinning(),
        "precedence": precedence(),
    }


def describe() -> dict[str, Any]:
    """The machine, as run.json keeps it; what the system does not report is None."""
    return {
        "cpu_model": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_kb": psutil.virtual_memory().total // 1024,
        "kernel": platform.release(),
        "system": platform.system(),
    }


def versions() -> dict[str, str | None]:
    """Python's version and those of the packages that are part of the measurement."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def commit() -> tuple[str | None, bool | None]:
    """The commit that this code is at, and whether files differ from it; None outside a git checkout."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None, None
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, timeout=10, check=True
        )
        status = subprocess.run(
            ["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None, None
    return head.stdout.strip(), bool(status.stdout.strip())


def pinning() -> dict[str, list[int]] | None:
    """One core for the server and another for the load; None if there are not two or they cannot be
    chosen."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    return {"server": [allowed[0]], "generator": [allowed[1]]} if len(allowed) > 1 else None


def precedence() -> bool:
    """Whether the publisher and the relay may run before whatever else wants their core
    (`bench.trials.processes.launch`)."""
    if not hasattr(os, "sched_setscheduler"):
        return False
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        return False
    os.sched_setscheduler(0, *before)
    return True


def _cpu_model() -> str | None:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or None
