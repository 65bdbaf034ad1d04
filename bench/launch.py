"""Become another program, pinned to a core, that ends when the harness does.

    python -m bench.launch CORES PARENT COMMAND…

CORES are numbers with commas, or `any`; PARENT is the harness's process id. A program of its own, since code
between fork and exec is not safe in a harness that has threads.
"""

from __future__ import annotations

import os
import signal
import sys

from bench.resources import end_with_parent


def main(cores: str, parent: str, *command: str) -> None:
    """Prepare this process and replace it."""
    end_with_parent(signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit("the harness has already ended")
    if cores != "any":
        os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
