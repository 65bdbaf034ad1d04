"""How a worker ends: whatever ends it, its clients are told, and the process is gone in time.

Rules:
1. gunicorn's loops look at `alive`. Whoever sets it to False (a signal, the reloader, a lost master, gunicorn
   itself) starts the goodbye, so no way out of the loop leaves a held poll or a WebSocket behind.
2. A lost master ends the worker as SIGTERM does, and frees the port at once.
3. The kernel ends what is not gone within the graceful timeout: threads that still wait would otherwise keep
   the process, and gunicorn's master, which does the same, may be gone.
"""

import _thread
import os
import signal
import time
from typing import Any

from servers.patience import Patience
from servers.process import GOODBYE_S

HEARTBEAT_S = 1.0
# A master that is there kills the worker itself, and says so.
MASTER_FIRST_S = 0.25


class Ending:
    """Comes before gunicorn's worker class. `streams` is set as soon as the application is loaded."""

    streams: Any = None
    patience: Patience
    _alive = True
    _beaten_s = float("-inf")

    @property
    def alive(self) -> bool:
        """Whether the worker goes on serving."""
        return self._alive

    @alive.setter
    def alive(self, alive: bool) -> None:
        ends = self._alive and not alive
        self._alive = alive
        if ends and self.streams is not None:
            worker: Any = self
            signal.setitimer(signal.ITIMER_REAL, worker.cfg.graceful_timeout + MASTER_FIRST_S)
            self._begin_goodbye()

    def _begin_goodbye(self) -> None:
        # Not here: a signal may have interrupted the holder of a lock that is needed.
        _thread.start_new_thread(self._say_goodbye, ())

    def _say_goodbye(self) -> None:
        self.streams.stop()
        time.sleep(GOODBYE_S)
        self.patience.cut_all()

    def begin(self) -> None:
        """The application is loaded; serve it."""
        worker: Any = self
        self.streams = worker.wsgi.extensions["streams"]
        worker.wsgi.extensions["departures"].begin()

    def take_hang_up(self, *, ends: bool) -> None:
        """Let SIGHUP be the end, or nothing."""
        signal.signal(signal.SIGHUP, self.handle_exit if ends else signal.SIG_IGN)

    def beat(self) -> None:
        """A heartbeat, once a second, by whoever serves: no worker that serves is killed for silence."""
        now_s = time.monotonic()
        if now_s - self._beaten_s >= HEARTBEAT_S:
            self._beaten_s = now_s
            worker: Any = self
            worker.tmp.notify()
            self.patience.cut_late()

    def notify(self) -> None:
        """gunicorn's loops call this as often as they go round."""
        self.beat()
        self.is_parent_alive()

    def is_parent_alive(self) -> bool:
        """Whether the master is there; if it is not, the end begins."""
        worker: Any = self
        if os.getppid() == worker.ppid:
            return True
        if self.alive:
            worker.log.warning("wirelab: the master process has gone; ending")
            self.alive = False
        return False

    def handle_exit(self, signal_number: int, frame: Any) -> None:
        """SIGTERM."""
        self.alive = False

    def handle_quit(self, signal_number: int, frame: Any) -> None:
        """Ctrl-C (INT, or QUIT by way of the master) says goodbye as SIGTERM does."""
        self.handle_exit(signal_number, frame)

    def run(self) -> None:
        """gunicorn's loop; an error in it is an end like any other."""
        worker: Any = super()
        try:
            worker.run()
        finally:
            self.alive = False
