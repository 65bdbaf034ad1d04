"""`wirelab serve`: gunicorn with wirelab's configuration, or the server that runs without gunicorn.

It binds an address of one's choice itself, so that port 0 can be named when it is known and a taken port is
told in one sentence, and then becomes what serves (`models.py`): there is one way to serve.

Rules:
- What is served is set by the options alone. Variables by which gunicorn, or the application in it, would be
  changed without a word are taken out of its environment (`NOT_FOR_GUNICORN`), and it is said which.
- The code that is served is the one that this file belongs to, whatever the working directory holds: Python's
  safe path is on, and gunicorn, which adds its working directory to the places to import from, has ours.
"""

import argparse
import dataclasses
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from servers.models import SERVER_MODELS, help_text, refuse
from servers.names import host_of
from servers.process import BACKLOG
from servers.settings import Settings, to_environ

CODE = Path(__file__).absolute().parents[1]
NOT_FOR_GUNICORN = re.compile(
    r"(GUNICORN_|WIRELAB_|LISTEN_).*|WEB_CONCURRENCY|SENDFILE|FORWARDED_ALLOW_IPS|PORT"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One option for each setting; see `settings.py`."""
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default %(default)s)")
    parser.add_argument(
        "--port", type=port_number, default=8000, help="0 takes a free one (default %(default)s)"
    )
    parser.add_argument(
        "--server-model",
        choices=list(SERVER_MODELS),
        default="gevent",
        help=help_text(list(SERVER_MODELS)),
    )
    for item in dataclasses.fields(Settings):
        meaning = item.metadata["meaning"]
        option = "--" + item.name.removesuffix("s").replace("_", "-")
        if isinstance(item.default, tuple):
            parser.add_argument(option, dest=item.name, action="append", default=[], help=meaning)
        elif isinstance(item.default, bool):
            parser.add_argument(option, dest=item.name, action="store_true", help=meaning)
        else:
            option = "--" + item.name.replace("_", "-")
            kind = int if isinstance(item.default, int) else float
            parser.add_argument(
                option, type=kind, default=item.default, help=f"{meaning} (default %(default)s)"
            )


def port_number(text: str) -> int:
    """An option's value as a port; argparse tells the error."""
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port < 1 << 16:
        raise argparse.ArgumentTypeError(f"a port is 0 to 65535, not {text}")
    return port


def run(arguments: argparse.Namespace, listening: Callable[[int], dict[str, str]] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C. Returns 2 where the arguments cannot be served, else not at all.

    `listening` is called with the port once it is ours, and gives what to add to the environment.
    """
    try:
        given: dict[str, Any] = {}
        for item in dataclasses.fields(Settings):
            value = getattr(arguments, item.name)
            given[item.name] = tuple(value) if isinstance(value, list) else value
        # What it is bound by is one of its names.
        own_name = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
        if host_of(own_name):
            given["allow_hosts"] += (own_name,)
        settings = Settings(**given)
        refuse(arguments.server_model, settings)
        listener = listen(arguments.host, arguments.port)
    except ValueError as error:
        print(f"wirelab serve: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"wirelab serve: cannot serve on {arguments.host} port {arguments.port}: {error.strerror}; "
            "choose another with --host or --port (0 takes a free one)",
            file=sys.stderr,
        )
        return 2
    os.set_inheritable(listener.fileno(), True)
    environ = _environ() | to_environ(settings) | {"WIRELAB_SERVER_MODEL": arguments.server_model}
    # `nohup` has the signal ignored, and means that the server stays.
    stays = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    environ["WIRELAB_HANGUP"] = "stay" if stays else "end"
    if listening:
        environ |= listening(listener.getsockname()[1])
    os.chdir(CODE)
    sys.stdout.flush()
    command = [sys.executable, "-m", *_module(arguments.server_model, listener.fileno())]
    return os.execve(sys.executable, command, environ)


def _module(server_model: str, descriptor: int) -> list[str]:
    """What serves on an inherited socket, and its arguments."""
    if SERVER_MODELS[server_model].worker_class is None:
        return ["servers.asyncio_server", str(descriptor)]
    return ["gunicorn", "-c", "python:servers.gunicorn_conf", "--bind", f"fd://{descriptor}"]


def _environ() -> dict[str, str]:
    """Our environment, without what would change the server beside its options."""
    left_out = sorted(filter(NOT_FOR_GUNICORN.fullmatch, os.environ))
    if left_out:
        print(
            f"wirelab serve: not used: {', '.join(left_out)}; give options of wirelab's, or start gunicorn "
            "yourself with -c python:servers.gunicorn_conf",
            file=sys.stderr,
            flush=True,
        )
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    # PWD: by this name gunicorn looks for the directory among the places to import from.
    return kept | {"PYTHONSAFEPATH": "1", "PWD": str(CODE)}


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens, with nothing set on it yet; raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen(BACKLOG)
    return listener
