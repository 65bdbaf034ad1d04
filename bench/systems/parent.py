"""Ending with the parent: what a process asks of the kernel when its parent might be killed."""

from __future__ import annotations

import ctypes
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent(signal_number: int) -> None:
    """Have the kernel send this process a signal when its parent ends; call it in the child. Linux only."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
