"""Write a file whole or not at all: under another name in its folder first, then renamed.

Rules:
- Whoever opens the file finds the old one or the new one, after any end: a full disk, kill -9, a power cut.
- What was begun and cannot be finished is removed, so that a full disk gets its room back.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` write a file beside `path`, with its suffix, and put it in its place. Raises OSError."""
    beside = path.with_name(f".{path.stem}.new{path.suffix}")
    try:
        write(beside)
        _to_disk(beside)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write these bytes whole or not at all. Raises OSError."""
    write_whole(path, lambda beside: beside.write_bytes(data))


def _to_disk(path: Path) -> None:
    """Before the rename: else a power cut could leave the new name with nothing in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
