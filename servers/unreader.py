"""gunicorn's source of a connection's bytes, which waits as `patience.py` says."""

import socket
from typing import Any

from gunicorn.http.unreader import SocketUnreader

from servers.patience import CONTINUE, SAYING_NOTHING, Patience, Phase, RequestTimeout
from servers.turns import Turn


class PatientUnreader(SocketUnreader):  # type: ignore[misc]
    """Tells `Patience` when it waits, and takes turns."""

    def __init__(self, sock: Any, patience: Patience) -> None:
        super().__init__(sock)
        # gevent's socket would wait for data; the socket below it answers at once.
        self._below = getattr(sock, "_sock", sock)
        self._patience = patience
        self.turn = Turn()
        self.phase = Phase.NEW
        self.waited_since_s: float | None = None
        self.received = 0
        self.ended = False
        self.owes_continue = False
        """The peer holds its body back until it is asked for (RFC 9110, section 10.1.1)."""
        self.refusal: str | None = None

    def begin(self, phase: Phase) -> None:
        """What comes from now on belongs to this phase."""
        if self.waited_since_s is not None:
            self._patience.forget(self)
            self.waited_since_s = None
        self.phase = phase
        self.received = 0

    def chunk(self, size_hint: int | None = None) -> bytes:
        size = self.mxchunk
        if size_hint and size_hint > size:
            size = min(size_hint, self.max_body_chunk)
        try:
            received: bytes = self._below.recv(size, socket.MSG_DONTWAIT)
        except BlockingIOError:
            if self.owes_continue:
                self.owes_continue = False
                self.sock.sendall(CONTINUE)
            self._patience.wait_for(self)
            received = self.sock.recv(size)
            self.turn.waited()
        else:
            self.turn.worked()
        if self.refusal is not None:
            raise RequestTimeout(self.refusal)
        self.received += len(received)
        self.ended = not received
        return received

    def refuse(self, sentence: str) -> None:
        """End the wait: whoever reads finds the end of the input, and here the reason."""
        if self.phase in SAYING_NOTHING:
            how = socket.SHUT_RDWR
        else:
            self.refusal = sentence
            how = socket.SHUT_RD
        try:
            self._below.shutdown(how)
        except OSError:
            pass
