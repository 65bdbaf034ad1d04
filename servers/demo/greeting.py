"""The article's example by Socket.IO from Python: on each connection the server greets everybody.

It stands beside the article's own server (`article.py`), and does what that does: whoever connects at PATH,
by either engine, hears the event `welcome` with GREETING, and so does everybody who is connected already.

Rules:
1. Who is greeted takes a subscriber's place, on the stream STREAM, on which nothing is published.
2. A connection costs a packet for everybody, so in a class it is held against the rate of what a student may
   ask for, and a session is greeted once.
3. Nobody waits for a slow client: packets are queued, and who leaves too many unread is closed.
"""

import json
from typing import Any

from engineio.exceptions import EngineIOError
from flask import Flask
from socketio.exceptions import ConnectionRefusedError as Refusal

from servers.demo.guard import Guard
from servers.engine import Engine
from servers.refusals import Refused
from servers.rules.frames import CloseWith
from servers.rules.greeting import GREETING
from servers.rules.problems import STATUS
from servers.sessions import BaseSession
from servers.socketio import engine_options, serve_engine
from servers.socketio_server import CONNECT, DISCONNECT, SocketIO
from servers.stream import Streams

PATH = "/welcome/socket.io/"
STREAM = "welcome"
PACKET = f'42["welcome",{json.dumps(GREETING)}]'
TOO_MANY_REQUESTS = 429


class Greeter(SocketIO):
    """Greets everybody whenever somebody connects."""

    def __init__(self, streams: Streams, rate: Guard, **engine_options: Any) -> None:
        super().__init__(Engine, streams, **engine_options)
        self._rate = rate

    def receive(self, session: BaseSession, text: str) -> None:
        """A packet of Socket.IO; raises EngineIOError for what is neither a coming nor a going."""
        kind = text[:1]
        if kind == CONNECT:
            was_there = session.has_joined
            self.take_connect(session, text)
            if session.has_joined and not was_there:
                self._greet_everybody()
        elif kind == DISCONNECT:
            session.close(reason=self.reason.CLIENT_DISCONNECT)
        else:
            raise EngineIOError

    def _join(self, sid: str, environ: dict[str, Any], auth: object) -> None:
        session: BaseSession = self.eio.sockets[self.manager.eio_sid_from_sid(sid, "/")]
        try:
            self._rate.refuse_too_fast(session.environ)
            stream = self._streams.to_publish(STREAM)
            session.join(stream, stream.position(None))
        except CloseWith as refused:
            raise Refusal(refused.reason, {"status": TOO_MANY_REQUESTS}) from None
        except Refused as refused:
            raise Refusal(str(refused), {"status": STATUS[type(refused)]}) from None

    def _greet_everybody(self) -> None:
        for session in list(self.eio.sockets.values()):
            if session.has_joined:
                session.tell(PACKET)


def add_routes(app: Flask, streams: Streams, guard: Guard) -> None:
    """`GET` and `POST /welcome/socket.io/?EIO=4&transport=<engine>`"""
    greeter = Greeter(streams, guard, **engine_options(app))
    serve_engine(app, streams, greeter.eio, PATH, "greeting by socket.io")
