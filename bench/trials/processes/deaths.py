"""Which process of a trial has died, and so why the trial ended.

Rules:
- When one dies, others fail because of it: everybody without the relay, a publisher without its server. So
  the death that is told is the one nearest to the cause: the relay's, the server's, then that of a client
  that was killed, then of one that gave up.
- Relay and server never end by themselves. A client that has ended in order has not died.
"""

from __future__ import annotations

from collections.abc import Sequence

from bench.trials.processes import resources
from bench.trials.processes.child import Child


def death(
    relay: Child | None,
    server: Child | None,
    server_pids: Sequence[int],
    clients: Sequence[Child | None],
    *,
    killed: bool = False,
) -> str | None:
    """What ended a trial, in a sentence; None if all live. `server_pids` are the server's processes when it
    was ready. With `killed`, a client that gave up by itself is no reason."""
    for child in (relay, server):
        if child and not child.alive:
            return child.death()
    if server_pids and resources.LINUX and not all(map(resources.lives, server_pids)):
        return "the server lost a worker process"
    died = [child for child in clients if child and not child.alive and child.process.returncode != 0]
    died.sort(key=lambda child: child.process.returncode > 0)
    return died[0].death() if died and not (killed and died[0].process.returncode > 0) else None
