"""The server model `asgi`: the contract as an ASGI application on gunicorn's asgi worker.

- `application.py` is the application: what all requests share. `routes.py` answers them, `exchange.py` is one
  request as its handler sees it, `following.py` who follows a stream.
- `worker.py` is gunicorn's worker with what ASGI cannot say, `websocket.py` its WebSocket, `parser.py` its
  parser.

Connections, tasks, requests and responses are gunicorn's. What both have to keep alike is shared with the
model `asyncio`: what a head means (`requests.py`), frames (`messages.py`), who waits at a stream's head
(`fan.py`), and the clocks. Socket.IO is `servers/socketio_asgi`, mounted. The rules are those of
`servers/rules` and `servers/stream.py`.

A batch's bytes are made once for all, and so is the frame around them; what gunicorn puts around each answer,
and around each chunk of an event stream, it makes for each client.

ASGI has no word for news. So a client of the application (`scope["extensions"]["wirelab"]`) can be told an
event, which `receive` gives among the others: one task waits for the peer and for the stream.
"""
