"""Server-sent events: as a WebSocket in all that theory knows: one transit late, and then in turn.

Latency. One transit: d. An event is written to an open response as a message is to an open WebSocket.
The bill. A delivery while news comes, and a comment every `wait_s` (w) while none does. The comment has no
  answer, so the server reads nothing for it: its cost is measured, not taken from a WebSocket's ping.
"""

from __future__ import annotations

from bench.analysis.theory.bill import Upkeep
from bench.analysis.theory.websocket import WebSocket


class ServerSentEvents(WebSocket):
    """Be told, by HTTP."""

    upkeep = Upkeep("renewal", "wait_s", "sent a comment every")
