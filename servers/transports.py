"""The registry: one line a transport. Each module has TRANSPORT, its name, and add_route."""

from types import ModuleType

from servers import long_poll, short_poll, socketio, socketio_polling, sse, websocket

TRANSPORTS: dict[str, ModuleType] = {
    module.TRANSPORT: module
    for module in (
        short_poll,
        long_poll,
        sse,
        websocket,
        socketio,
        socketio_polling,
    )
}
