"""Where and with what a run was made: the machine, the versions, the commit. Facts that name no person or
path.

Rules:
- The commit is that of the code that runs, which need not be that of the working directory, whatever
  variables of git's are set. A plain install has no commit; `versions` tells its version.
- The machine is what this process may use of it: its cores are those of its affinity.
"""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from bench.trials.processes import surroundings

PACKAGES = (
    "wirelab",
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
GIT_TIMEOUT_S = 10


def facts() -> dict[str, Any]:
    """Everything below, as run.json keeps it."""
    head, dirty = commit()
    return {
        "machine": describe(),
        "versions": versions(),
        "commit": head,
        "dirty": dirty,
        "environment": surroundings.recorded(),
        "pinning": pinning(),
        "precedence": precedence(),
    }


def describe() -> dict[str, Any]:
    """The machine, as run.json keeps it; what the system does not report is None."""
    return {
        "cpu_model": _cpu_model(),
        "cores": cores(),
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


def cores() -> int | None:
    """How many cores this process may run on, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def commit(code: Path = surroundings.CODE) -> tuple[str | None, bool | None]:
    """The commit that the code in this directory is at, and whether files differ from it; None if it is no
    git checkout of this code."""
    if not (code / ".git").exists():
        return None, None
    try:
        # An install within a checkout of something else is not at that one's commit.
        _git(code, "ls-files", "--error-unmatch", "servers/__init__.py")
        head = _git(code, "rev-parse", "--verify", "HEAD")
        changes = _git(code, "status", "--porcelain", "--untracked-files=normal", "--ignore-submodules=none")
    except (OSError, subprocess.SubprocessError):
        return None, None
    return head, bool(changes)


def _git(code: Path, *words: str) -> str:
    """What git says of the checkout that is at `code`, and of no other. Raises SubprocessError."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    # The checkout may belong to another user.
    told = ["git", "-c", "safe.directory=*", f"--git-dir={code / '.git'}", f"--work-tree={code}", *words]
    done = subprocess.run(
        told,
        cwd=code,
        env=environ | {"GIT_OPTIONAL_LOCKS": "0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=GIT_TIMEOUT_S,
        check=True,
    )
    return done.stdout.strip()


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
