"""Socket.IO as an ASGI application, for every server model on asyncio.

- `application.py` is the application: it takes requests and gives them to python-engineio.
- `engine.py` is python-engineio's asyncio server with our sessions, `session.py` one of these.
- `requests.py` is what ASGI says of a request and of a WebSocket; `bodies.py` reads a body.

The rules are those of `servers/sessions.py` and `servers/socketio_server.py`.
"""
