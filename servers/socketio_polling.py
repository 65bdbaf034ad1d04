"""Socket.IO on Engine.IO's polling: the server of `socketio.py`, at its address. The client chooses."""

from flask import Flask

from servers.rules.engine_io import ON_POLLING
from servers.stream import Streams

TRANSPORT = ON_POLLING


def add_route(app: Flask, streams: Streams) -> None:
    """Nothing to add: /socket.io/ is there, and its sessions on polling are counted by this name."""
