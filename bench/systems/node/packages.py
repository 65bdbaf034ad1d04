"""Where Node and the packages of `servers/node` are, and how they get there.

Rules:
- The packages are what the lock says, installed by `npm ci`: beside the server's files or, if that folder
  cannot be written (an installed wheel), in a cache folder whose name is the lock's hash.
- They are installed at the first need. Several processes may come at once: one installs, the others wait.
  What was installed is used only if it is whole and of this lock.
- Whatever is missing is told in half a sentence that says what to do.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import servers

SERVER = Path(servers.__file__).parent / "node"
LEAST_MAJOR = 18
INSTALL_S = 300.0
PACKAGES = ("express", "ws", "socket.io")
FILES = ("package.json", "package-lock.json", ".npmrc")
INSTALLED = "installed-from"
"""In node_modules: the hash of the lock that it was installed from."""


def missing() -> str | None:
    """Why the server cannot be started here, in half a sentence; None if it can. Installs the packages."""
    said = missing_node()
    if said:
        return said
    try:
        folder()
    except NotInstalled as error:
        return str(error)
    return None


def missing_node() -> str | None:
    """Why Node itself cannot be used; None if it can."""
    said = node_version()
    if said is None:
        path = shutil.which("node")
        why = f"{path} does not run, or is not Node" if path else "Node is not installed"
        return f"{why}; it takes Node {LEAST_MAJOR} or later (Debian: apt install nodejs npm)"
    if int(said.split(".")[0]) < LEAST_MAJOR:
        return f"Node is {said}; it takes Node {LEAST_MAJOR} or later"
    return None


class NotInstalled(Exception):
    """The packages are not there and cannot be installed; the text says what to do."""


@lru_cache(maxsize=1)
def node_version() -> str | None:
    """Node's version, such as 20.1.2; None if there is none that runs."""
    path = shutil.which("node")
    if path is None:
        return None
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.fullmatch(r"v(\d+\.\d+\.\d+)\S*\s*", said.stdout)
    return found[1] if found else None


def versions() -> str | None:
    """Node's version, and those of the packages that serve; None without Node."""
    node = node_version()
    if node is None:
        return None
    lock = json.loads((SERVER / "package-lock.json").read_text())["packages"]
    packages = [f"{name} {lock[f'node_modules/{name}']['version']}" for name in PACKAGES]
    return ", ".join([f"Node {node}", *packages])


def lock_hash() -> str:
    """What the folder of installed packages is known by."""
    return hashlib.sha256((SERVER / "package-lock.json").read_bytes()).hexdigest()[:16]


def folder() -> Path:
    """The folder that has `node_modules`, installed if need be; raises NotInstalled."""
    beside = SERVER
    if _is_whole(beside):
        return beside
    if not os.access(beside, os.W_OK):
        beside = cache() / f"node-{lock_hash()}"
        if _is_whole(beside):
            return beside
    try:
        beside.mkdir(parents=True, exist_ok=True)
        with (beside / ".installing").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not _is_whole(beside):
                _install(beside)
    except OSError as error:
        raise NotInstalled(f"its packages cannot be installed in {beside}: {error.strerror}") from None
    return beside


def cache() -> Path:
    """Where a user's programs keep what they can get again (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wirelab"


def _is_whole(place: Path) -> bool:
    try:
        return (place / "node_modules" / INSTALLED).read_text() == lock_hash()
    except OSError:
        return False


def _install(place: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise NotInstalled("its packages are not installed and npm is missing (Debian: apt install npm)")
    if place != SERVER:
        for name in FILES:
            shutil.copyfile(SERVER / name, place / name)
    by_hand = f"run `npm ci` in {place} and see what it says"
    try:
        done = subprocess.run(
            [npm, "ci"], cwd=place, capture_output=True, text=True, check=False, timeout=INSTALL_S
        )
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"npm has not installed its packages in {INSTALL_S:.0f} s; {by_hand}") from None
    if done.returncode != 0:
        said = next((line for line in done.stderr.splitlines() if line.strip()), "npm failed")
        raise NotInstalled(f"its packages could not be installed ({said.strip()}); {by_hand}")
    (place / "node_modules" / INSTALLED).write_text(lock_hash())
