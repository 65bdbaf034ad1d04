"""Socket.IO on Engine.IO's WebSocket: a handshake, then packets in text messages (clients.engine)."""

from __future__ import annotations

from clients.engine import PING, PONG, EngineSubscriber
from clients.frames import FrameReader
from clients.websocket import WebSocketSubscriber
from clients.wire import Connection


class SocketIoSubscriber(EngineSubscriber, WebSocketSubscriber):
    """A client of Socket.IO that keeps one WebSocket open."""

    transport = "socketio"
    label = "Socket.IO"
    factors = EngineSubscriber.factors
    engine = "websocket"
    _opened = False

    def _handshake(self) -> tuple[Connection, FrameReader, bytes]:
        self._opened = False
        self._expect_opening()
        return super()._handshake()

    def _told_by(self, message: str, connection: Connection, frames: FrameReader) -> None:
        if not self._opened:
            self._begin(message, connection)
            self._opened = True
            connection.send(frames.protocol.send_data(self._connect_packet(), fin=True))
        elif message == PING:
            connection.send(frames.protocol.send_data(PONG, fin=True))
        else:
            self._told(message, connection)
