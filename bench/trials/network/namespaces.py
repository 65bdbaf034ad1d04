"""Private namespaces of a process, as any user may have them: a user namespace, and network namespaces in it.

Rules: the process that makes or joins a user namespace must have a single thread (user_namespaces(7)); being
mapped to root there gives it the right to make network namespaces, and none outside. Linux alone has them.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

_LIBC = ctypes.CDLL(None, use_errno=True)


def make_user_namespace() -> None:
    """Enter a new user namespace as its root. Raises OSError if the system does not allow it."""
    user, group = os.geteuid(), os.getegid()
    _unshare(CLONE_NEWUSER, "user")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")


def make_network_namespace() -> int:
    """Enter a new network namespace and return it as an open file. Raises OSError."""
    _unshare(CLONE_NEWNET, "network")
    return network_namespace()


def network_namespace() -> int:
    """The network namespace that we are in, as an open file."""
    return os.open("/proc/self/ns/net", os.O_RDONLY)


def join_network(namespace: int) -> None:
    """Enter a network namespace, given as an open file. Raises OSError."""
    _join(namespace, CLONE_NEWNET)


def join(user: str, network: str) -> None:
    """Enter a user namespace and a network namespace in it, given as paths in /proc. Raises OSError."""
    opened = [os.open(path, os.O_RDONLY) for path in (user, network)]
    for namespace, kind in zip(opened, (CLONE_NEWUSER, CLONE_NEWNET), strict=True):
        _join(namespace, kind)
        os.close(namespace)


def _join(namespace: int, kind: int) -> None:
    if _LIBC.setns(namespace, kind) != 0:
        raise OSError(ctypes.get_errno(), f"cannot enter a namespace: {os.strerror(ctypes.get_errno())}")


def _unshare(kind: int, name: str) -> None:
    if _LIBC.unshare(kind) != 0:
        raise OSError(
            ctypes.get_errno(), f"a private {name} namespace is refused: {os.strerror(ctypes.get_errno())}"
        )
