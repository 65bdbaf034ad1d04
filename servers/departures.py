"""Sees the clients of held polls go, so that polls which nobody waits for give their places up in a second.

Nobody reads the socket of a held poll. One thread watches all of them, by the kernel's word that the peer has
closed the connection or its sending side (EPOLLRDHUP): who will send nothing more counts as gone.

Rules:
1. A poll that is answered soon costs two dictionary entries: only what is held for a whole tick is registered
   with the kernel. So a departure is seen after two ticks at the most.
2. While no poll is held, nobody ticks.
3. Where the system has no epoll, a held poll keeps its place until its wait ends.
"""

import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from servers.stream import Waiter

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

TICK_S = 0.3


def _epoll() -> Any:
    """The system's own: gevent takes it away, since a wait there would stop all greenlets. Here is none."""
    monkey = sys.modules.get("gevent.monkey")
    try:
        return (monkey.get_original("select", "epoll") if monkey else select.epoll)()
    except AttributeError:
        return None


class Departures:
    """Interrupts the waiters of clients that have gone."""

    def __init__(self) -> None:
        self._held: dict[int, Waiter] = {}
        self._fresh: dict[int, Waiter] = {}
        self._registered: set[int] = set()
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._epoll: Any = None
        self._process: int | None = None

    def begin(self) -> None:
        """Start to watch in this process; a process that was forked from one that watches starts anew.

        A worker calls it before it serves: if the first held poll opened the descriptor, the server would
        seem to keep that poll's.
        """
        with self._lock:
            if self._process != os.getpid():
                self._process = os.getpid()
                self._epoll = _epoll()
                if self._epoll is not None:
                    threading.Thread(target=self._run, daemon=True, name="departures").start()

    @contextmanager
    def watching(self, environ: "WSGIEnvironment", waiter: Waiter) -> Iterator[None]:
        """Interrupt this waiter if the request's client goes meanwhile."""
        sock = environ.get("gunicorn.socket")
        if self._process != os.getpid():
            self.begin()
        if sock is None or self._epoll is None:
            yield
            return
        fd = sock.fileno()
        with self._lock:
            self._fresh[fd] = waiter
            if not self._some.is_set():
                self._some.set()
        try:
            yield
        finally:
            with self._lock:
                if self._fresh.pop(fd, None) is None and self._held.pop(fd, None) is not None:
                    self._unregister(fd)

    def _unregister(self, fd: int) -> None:
        if fd in self._registered:
            self._registered.discard(fd)
            try:
                self._epoll.unregister(fd)
            except OSError:
                # It has been closed, and the kernel has forgotten it.
                pass

    def _run(self) -> None:
        while True:
            self._some.wait()
            time.sleep(TICK_S)
            self._look()

    def _look(self) -> None:
        """One tick: register what was there at the last, and interrupt whose clients have gone."""
        with self._lock:
            for fd in self._held.keys() - self._registered:
                try:
                    self._epoll.register(fd, select.EPOLLRDHUP)
                    self._registered.add(fd)
                except OSError:
                    self._held[fd].interrupt()
            self._held |= self._fresh
            self._fresh.clear()
            gone = [self._held[fd] for fd, _ in self._epoll.poll(0) if fd in self._held]
            if not self._held:
                self._some.clear()
        for waiter in gone:
            waiter.interrupt()
