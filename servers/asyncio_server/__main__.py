"""`python -m servers.asyncio_server <descriptor of the listening socket>`: what `wirelab serve` becomes.

Settings and what SIGHUP means come from the same environment variables as gunicorn's configuration reads.
"""

import asyncio
import gc
import os
import resource
import signal
import socket
import sys

import uvloop

from servers.asyncio_server.server import Server
from servers.descriptors import within_limit
from servers.process import GARBAGE_COLLECTION_THRESHOLDS, SPARE_CONNECTIONS, url_of
from servers.settings import from_environ
from servers.socket_options import set_options

# gunicorn knows these, and nothing of it is meant here; by default they would end the process.
NO_MEANING = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)


async def main(listener: socket.socket) -> None:
    """Serve on this socket until told to end."""
    settings, too_few = within_limit(from_environ())
    if too_few:
        print(f"wirelab: {too_few}", file=sys.stderr, flush=True)
    loop = asyncio.get_running_loop()
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_CONNECTIONS
    most_connections = min(2 * settings.max_subscribers + SPARE_CONNECTIONS, room)
    server = Server(settings, loop, most_connections)
    loop.set_exception_handler(server.on_exception)
    for number in NO_MEANING:
        signal.signal(number, signal.SIG_IGN)
    set_options(listener, settings.send_timeout_s)
    await server.begin(listener)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        loop.add_signal_handler(number, server.stop)
    if os.environ.get("WIRELAB_HANGUP") == "end":
        loop.add_signal_handler(signal.SIGHUP, server.stop)
    else:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    print(f"wirelab: serving on {url_of(listener)} (asyncio)", flush=True)
    await server.ended()


if __name__ == "__main__":
    gc.set_threshold(*GARBAGE_COLLECTION_THRESHOLDS)
    uvloop.run(main(socket.socket(fileno=int(sys.argv[1]))))
