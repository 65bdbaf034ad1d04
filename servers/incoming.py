"""The message that is coming in on a WebSocket, until it is whole.

Rules:
1. Its parts are kept as bytes in one piece: a million fragments of one byte take a megabyte, and a text in
   which one character is rare takes what was sent.
2. A message that is too large is refused by the header of the frame that makes it so (RFC 6455, section 5.2),
   before that frame is read. What a compressed frame will take is known when it is inflated.
3. A large one has as long to come as a request's body (`patience.py`): it takes room that others need. The
   time counts from the first ping that finds it half, and is looked at with each.
4. What is kept counts among all that is not accepted yet (`unaccepted.py`), until the message was handled.
"""

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from servers.patience import BODY_BYTES_PER_S
from servers.refusals import TooLarge
from servers.unaccepted import FREE_BYTES, Claim

UTF8_BYTES = 4


class Incoming:
    """What has come of a message. Raises TooLarge or UnacceptedFull where there can be no more of it."""

    def __init__(self, max_bytes: int, timeout_s: float, claim: Claim) -> None:
        self._max_bytes = max_bytes
        self.timeout_s = timeout_s
        self._seen_s: float | None = None
        self._limit = "8 times max_notification_bytes"
        self._claim = claim
        self._kept = bytearray()

    def lower(self, max_bytes: int, limit: str) -> None:
        """Take messages of so many bytes at the most; `limit` says why."""
        self._max_bytes, self._limit = max_bytes, limit

    @property
    def room(self) -> int:
        """How many bytes may follow."""
        return self._max_bytes - len(self._kept)

    def expect(self, size: int) -> None:
        """A frame's header announces so many bytes."""
        if size > self.room:
            self.refuse()
        self._claim.refuse_length(len(self._kept) + size)

    def refuse(self) -> None:
        raise TooLarge(f"A message may take {self._max_bytes} bytes at the most ({self._limit}).")

    def add(self, data: str | bytes, is_last: bool, is_text: bool) -> str | bytes | None:
        """Take a part. Returns the message if it is the last; it counts as held until `handled`."""
        if is_last and not self._kept:
            if len(data) * UTF8_BYTES > self._max_bytes and len(_encoded(data)) > self._max_bytes:
                self.refuse()
            self._claim.hold(len(data))
            return data
        self._kept += _encoded(data)
        if self.room < 0:
            self.refuse()
        self._claim.hold(len(self._kept))
        if not is_last:
            return None
        kept, self._kept, self._seen_s = self._kept, bytearray(), None
        return kept.decode() if is_text else bytes(kept)

    def is_late(self, now_s: float) -> bool:
        """Whether a large message has taken too long, by the caller's clock and since his first look."""
        size = len(self._kept)
        if size <= FREE_BYTES:
            return False
        if self._seen_s is None:
            self._seen_s = now_s
        return now_s - self._seen_s > self.timeout_s + size / BODY_BYTES_PER_S

    def handled(self) -> None:
        """The message that was whole is no longer held."""
        self._claim.release()

    def clear(self) -> None:
        """The connection ends: nothing waits for the garbage collector."""
        self._kept = bytearray()
        self._claim.release()


def _encoded(data: str | bytes) -> bytes:
    return data.encode() if isinstance(data, str) else data


class LengthGate(Extension):  # type: ignore[misc]
    """Stands among wsproto's extensions, since they are told of each frame's header before its payload."""

    name = "length-gate"

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming
        self._compressed = False

    def enabled(self) -> bool:
        return True

    def offer(self) -> bool:
        return False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        if not opcode.iscontrol():
            if opcode is not Opcode.CONTINUATION:
                self._compressed = rsv.rsv1
            # What cannot be compressed becomes longer by a header each 64 KiB, and those go again.
            shrinks = payload_length // 1000 + 64 if self._compressed else 0
            self._incoming.expect(max(0, payload_length - shrinks))
        return RsvBits(False, False, False)
