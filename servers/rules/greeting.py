"""The article's own example: on connection, the server greets."""

GREETING = "web Socket Works"
PATH = "/welcome/websocket"
ASK = f"GET {PATH} is a WebSocket; ask with Upgrade: websocket."
