"""Packets explained: those of Engine.IO 4 and Socket.IO 5 in a frame or in a poll's body. Pure.

A packet's type, an event's name and what stands between packets is framing; what a packet carries is payload.
"""

from __future__ import annotations

from clients.engine import BATCH, BATCH_END, SEPARATOR
from clients.explain.spans import Span

BETWEEN = SEPARATOR.encode()
EVENT, END = BATCH.encode(), BATCH_END.encode()
TYPES = {
    EVENT: ("event", "A message (4) that is an event (2): its name, then its argument, which is the batch."),
    b"40": ("connect", "A message (4) that connects (0); behind it what is told with it."),
    b"0": ("open", "The engine's first packet: it opens the session. Behind it are the session's terms."),
    b"1": ("close", "The engine's packet that ends the session."),
    b"2": ("ping", "The engine's heartbeat: are you there?"),
    b"3": ("pong", "The answer to the engine's ping."),
    b"4": ("message", "A message of Socket.IO: the digit behind it says of which kind."),
    b"6": ("noop", "Nothing, in an answer that has to say something."),
}


def packet_spans(at: int, body: bytes) -> list[Span]:
    """The packets in `body`, which begins at `at` of its message."""
    spans: list[Span] = []
    for number, packet in enumerate(body.split(BETWEEN)):
        if number:
            spans.append(Span(at, at + 1, "framing", "separator", "0x1e", "Stands between two packets."))
            at += 1
        spans += _packet_spans(at, packet)
        at += len(packet)
    return spans


def _packet_spans(at: int, packet: bytes) -> list[Span]:
    kind = next((kind for kind in TYPES if packet.startswith(kind)), b"")
    end = at + len(packet) - (len(END) if kind == EVENT else 0)
    begin = at + len(kind)
    spans = []
    if kind:
        label, why = TYPES[kind]
        spans.append(Span(at, begin, "framing", label, kind.decode(), why))
    if begin < end:
        shows = packet[len(kind) : end - at].decode("utf-8", "replace")
        spans.append(Span(begin, end, "payload", "body", shows, "What the packet carries."))
    if kind == EVENT:
        spans.append(Span(end, end + len(END), "framing", "end of event", END.decode(), "Ends the event."))
    return spans
