"""The directory of a run that is being written: found again where it was moved to, and locked.

Rules:
- The lock ends with the process that holds it, however that ends. So a reader of a run that was not finished
  knows whether it is still being written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from pathlib import Path


class Folder:
    """A directory that is found again where it was moved to, and locked as long as it is open."""

    def __init__(self, path: Path) -> None:
        self._given = path
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        with contextlib.suppress(OSError):
            # Some network file systems have no locks.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._descriptor = descriptor
        self.close = weakref.finalize(self, os.close, descriptor)

    @property
    def path(self) -> Path:
        """As it was given, while it is there; else where the kernel knows it to be (Linux)."""
        if not self.close.alive:
            return self._given
        try:
            if not os.path.samestat(self._given.stat(), os.fstat(self._descriptor)):
                self._given = self._moved()
        except OSError:
            self._given = self._moved()
        return self._given

    def _moved(self) -> Path:
        with contextlib.suppress(OSError):
            found = Path(f"/proc/self/fd/{self._descriptor}").readlink()
            if found.is_dir():
                return found
        return self._given


def is_written(directory: Path) -> bool:
    """Whether somebody still writes this run: who does holds its lock."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
