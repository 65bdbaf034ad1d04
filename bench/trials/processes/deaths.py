"""Which process of a trial has died, and so why the trial ended.

Rules:
- When one dies, others fail because of it: everybody without the relay, a publisher without its server. So
  the death that is told is the one nearest to the cause: the relay's, the server's, then that of a client
  that was killed, then of one that gave up.
- Relay and server never end by themselves. A client that has ended in order has not died.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.trials.processes import resources
from bench.trials.processes.child import LOOK_S, Child, ChildFailed

DEATH_SEEN_S = 1.0


@dataclass(frozen=True)
class Processes:
    """The processes of a trial, as far as they were started."""

    relay: Child | None
    server: Child | None
    server_pids: Sequence[int]
    """The server's processes when it was ready."""
    clients: Sequence[Child | None]

    def death(self, *, killed: bool = False) -> str | None:
        """What ended the trial, in a sentence; None if all live. With `killed`, a client that gave up by
        itself is no reason."""
        for child in (self.relay, self.server):
            if child and not child.alive:
                return child.death()
        if self.server_pids and resources.LINUX and not all(map(resources.lives, self.server_pids)):
            return "the server lost a worker process"
        died = [child for child in self.clients if child and not child.alive and child.process.returncode]
        died.sort(key=lambda child: child.process.returncode > 0)
        return died[0].death() if died and not (killed and died[0].process.returncode > 0) else None

    def cause(self, failure: ChildFailed) -> str:
        """What ended the trial in which this was seen. A client may see a reset before the death behind it,
        so that is awaited."""
        until_s = time.monotonic() + DEATH_SEEN_S
        while self.server and time.monotonic() < until_s:
            if died := self.death(killed=True):
                return died
            time.sleep(LOOK_S)
        return self.death() or str(failure)
