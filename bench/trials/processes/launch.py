"""Become another program, pinned to a core, that ends when the harness does.

    python -m bench.trials.processes.launch CORES PRECEDENCE PARENT NAMESPACES COMMAND…

CORES are numbers with commas, or `any`; PARENT is the harness's process id; NAMESPACES are the paths of a
user and a network namespace with a colon between, or `here`. With a PRECEDENCE above 0 the program runs
before all other work on its core, and before programs with a lower PRECEDENCE, if the system allows it
(CAP_SYS_NICE, as root has). This is a program of its own because code between fork and exec is not safe in a
harness that has threads.
"""

from __future__ import annotations

import os
import signal
import sys

from bench.systems.parent import end_with_parent
from bench.trials.network import namespaces


def main(cores: str, precedence: str, parent: str, inside: str, *command: str) -> None:
    """Prepare this process and replace it."""
    if precedence != "0":
        # Before the namespaces: inside them nobody has that right.
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(int(precedence)))
        except (AttributeError, OSError):
            pass
    if inside != "here":
        try:
            namespaces.join(*inside.split(":"))
        except OSError as error:
            sys.exit(f"the network of the link cannot be entered: {error.strerror}")
    # After that: entering a namespace takes the order back.
    end_with_parent(signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit("the harness has already ended")
    if cores != "any":
        os.sched_setaffinity(0, [int(core) for core in cores.split(",")])
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
