"""The server model `asyncio`: the contract on protocols and uvloop, without a framework.

It is what Python can do: one thread, no task, no queue and no coroutine for a client. What is shared is made
once: a batch, the frame and the answer around it, a head that many requests have in common.

- `requests.py` reads heads, `bodies.py` bodies, `messages.py` a WebSocket's frames: no sockets.
- `connection.py` is one HTTP connection, `websocket.py` one WebSocket, `events.py` one event stream: all on
  `writing.py`, and who follows a stream on `following.py`.
- `fan.py` holds who waits at the head of a stream; the publisher's turn writes to all of them.
- `bridge.py` runs an ASGI application for some addresses. That is Socket.IO (`servers/socketio_asgi`), which
  has tasks: it is there so that nothing is missing, and not for its cost.
- `routes.py` answers; `server.py` puts it together; `turns.py` and `deadlines.py` are its clocks.

The rules are those of `servers/rules` and `servers/stream.py`.
"""
