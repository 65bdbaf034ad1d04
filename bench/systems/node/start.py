"""Starts the server of `servers/node`: `python -m bench.systems.node.start --port 0 …` becomes Node.

It listens before Node runs, as `wirelab serve` does before gunicorn runs: Node cannot set TCP_USER_TIMEOUT,
by which the kernel cuts a peer that takes nothing, and accepted sockets inherit it from this one. All other
options are those of `servers/node/settings.js`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys

from bench.systems.node import packages
from servers.serve import listen, port_number
from servers.settings import Settings
from servers.socket_options import set_options


def main(words: list[str]) -> int:
    """Become the server. Returns 2 if it cannot be started, else not at all."""
    parser = argparse.ArgumentParser(prog="wirelab node", description=__doc__, allow_abbrev=False)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=port_number, default=8000, help="0 takes a free one")
    parser.add_argument("--send-timeout-s", type=float, default=Settings.send_timeout_s)
    given, others = parser.parse_known_args(words)
    said = packages.missing()
    node = shutil.which("node")
    if said or node is None:
        print(f"wirelab node: {said}", file=sys.stderr)
        return 2
    try:
        listener = listen(given.host, given.port)
    except OSError as error:
        print(
            f"wirelab node: cannot serve on {given.host} port {given.port}: {error.strerror}",
            file=sys.stderr,
        )
        return 2
    set_options(listener, given.send_timeout_s)
    os.set_inheritable(listener.fileno(), True)
    environ = os.environ | {"WIRELAB_NODE_PACKAGES": str(packages.folder()), "NODE_ENV": "production"}
    # What would change the server beside its options.
    environ.pop("NODE_OPTIONS", None)
    server = str(packages.SERVER / "server.js")
    command = [node, server, "--host", given.host, "--listen-fd", str(listener.fileno()), *others]
    return os.execve(node, command, environ)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
