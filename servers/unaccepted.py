"""The bound on all that peers have sent and that is not accepted yet: parts of messages, bodies half read.

Each of these is bounded by itself, but thousands of peers may send one at a time. So whatever keeps a peer's
bytes while it waits for more of them, or while it works on them, says here how many it keeps:

    claim = Claim(unaccepted)
    claim.hold(len(body))     # again whenever there is more; raises UnacceptedFull
    claim.release()

Rules:
1. The first `FREE_BYTES` of each peer are not counted, so small messages and bodies are taken when the rest
   is full; there are no more of them than connections.
2. Who would exceed the bound is refused, and nobody else. What it held is given back when its claim ends.
3. Where a length is announced, `refuse_length` refuses what cannot fit before any of it is read. Nothing is
   set aside for it: what was not sent takes no room.
"""

import threading

from servers.refusals import Refused

FREE_BYTES = 16 * 1024


class UnacceptedFull(Refused):
    """There is no room for more of what has not been accepted yet."""


class Claim:
    """What one peer's unaccepted bytes take."""

    def __init__(self, owner: "Unaccepted") -> None:
        self._owner = owner
        self.counted = 0

    def hold(self, size: int) -> None:
        """Keep `size` bytes altogether, no longer what was said before; raises UnacceptedFull."""
        counted = size - FREE_BYTES if size > FREE_BYTES else 0
        if counted != self.counted:
            self._owner.change(self, counted)

    def refuse_length(self, size: int) -> None:
        """Raises UnacceptedFull if `size` bytes altogether would not fit now."""
        self._owner.refuse_growth(size - FREE_BYTES - self.counted)

    def release(self) -> None:
        """Nothing is kept any more."""
        self.hold(0)


class Unaccepted:
    """The bytes that all peers of one server have sent and that are not accepted yet."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes_held = 0
        self._lock = threading.Lock()

    def change(self, claim: Claim, counted: int) -> None:
        """Let a claim count for so many bytes; raises UnacceptedFull and leaves it as it was."""
        with self._lock:
            growth = counted - claim.counted
            self.refuse_growth(growth)
            self.bytes_held += growth
            claim.counted = counted

    def refuse_growth(self, growth: int) -> None:
        """Raises UnacceptedFull if so many bytes more are too many."""
        if growth > 0 and self.bytes_held + growth > self.max_bytes:
            raise UnacceptedFull(
                f"All that has been sent and is not accepted yet may take {self.max_bytes} bytes "
                "(max_unaccepted_bytes); try again later."
            )
