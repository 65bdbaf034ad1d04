"""Socket.IO on a WebSocket: as a WebSocket in all that theory knows. A batch is a message there too.

Latency. One transit: d.
The bill. A delivery while news comes, and the engine's own ping with its pong every `wait_s` while none does.
  Both are messages, which the server reads as packets: their cost is measured, not taken from a WebSocket's.
"""

from __future__ import annotations

from bench.analysis.theory.websocket import WebSocket


class SocketIo(WebSocket):
    """Be told, in packets."""
