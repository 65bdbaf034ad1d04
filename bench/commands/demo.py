"""`wirelab demo`: the pages for a class, on this machine or for everybody in its network.

Rules:
- Without `--lan` only this machine can reach it. With it, the teacher's link bears a random token, made anew
  at each start and printed here only.
- Addresses are found without sending anything. What else a network may need is told in words: no setting
  of the machine is touched.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import json
import os
import secrets
import socket
import struct
import subprocess
import sys

from bench.commands.numbers import between
from servers import models, serve

SIOCGIFADDR = 0x8915
SIOCGIFFLAGS = 0x8913
IFF_UP, IFF_LOOPBACK = 0x1, 0x8
ANY_ADDRESS = "192.0.2.1"
"""An address of nobody (RFC 5737): asking which way leads there sends nothing."""
MOST_STUDENTS = 200

ARTICLE = [sys.executable, "-m", "bench.systems.node.article"]
"""What becomes the article's own server, when the page asks for it (`servers/demo/article.py`)."""
WITH_PAGES = [name for name, model in models.SERVER_MODELS.items() if model.has_pages]
HELP_REACHING = """\
Can they reach it? Open the join address on one phone before the lesson.
If the page does not come:
  - is the phone in the same network as this machine (the same Wi-Fi, not mobile data)?
  - does a firewall here block the port? Allow incoming TCP port {port} for the lesson.
  - many school and guest networks isolate clients, so that no device sees another. Then open a hotspot on
    this machine or a phone and let the class join that, or plug in a router of your own; nobody needs the
    internet."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The demo's own options."""
    parser.add_argument(
        "--lan", action="store_true", help="let everybody in this network join, and print how"
    )
    parser.add_argument(
        "--port", type=serve.port_number, default=8000, help="0 takes a free one (default %(default)s)"
    )
    parser.add_argument(
        "--server-model",
        choices=WITH_PAGES,
        default="gevent",
        help=models.help_text(WITH_PAGES),
    )
    parser.add_argument(
        "--students",
        type=between(0, MOST_STUDENTS, int),
        default=0,
        metavar="N",
        help=f"add simulated students, {MOST_STUDENTS} at the most: a rehearsal (default none)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    host = "0.0.0.0" if args.lan else "127.0.0.1"
    served = ["--host", host, "--port", str(args.port), "--server-model", args.server_model]

    def listening(port: int) -> dict[str, str]:
        environ = {"WIRELAB_DEMO": "1", "WIRELAB_ARTICLE": json.dumps(ARTICLE)}
        token = None
        if args.lan:
            token = secrets.token_urlsafe(16)
            environ |= _announce(port, token)
        if args.students:
            _rehearse(args.students, port, token)
        return environ

    return serve.run(parser.parse_args(served), listening)


def _announce(port: int, token: str) -> dict[str, str]:
    """Print how to join, and return the settings of LAN mode."""
    addresses = lan_addresses()
    environ = {"WIRELAB_DEMO_LAN": "1", "WIRELAB_TEACHER_TOKEN": token}
    teacher = f"/teacher?token={token}"
    if addresses:
        join_url = f"http://{addresses[0]}:{port}/class"
        environ["WIRELAB_JOIN_URL"] = join_url
        print(f"Students join at  {join_url}\n")
        print(_qr(join_url))
        for other in addresses[1:]:
            print(f"This machine is also at http://{other}:{port}/class")
        print(HELP_REACHING.format(port=port))
    else:
        print("No network was found that students could join; connect this machine to one and start again.")
    print(f"\nYou are the teacher with this link, on this machine: http://127.0.0.1:{port}{teacher}")
    if addresses:
        print(f"  on another machine: http://{addresses[0]}:{port}{teacher}")
    print("  Keep it to yourself: who has it changes things for everybody. Open it, then project.\n")
    return environ


def _qr(url: str) -> str:
    import segno

    text = io.StringIO()
    segno.make(url, micro=False).terminal(text, compact=True, border=2)
    return text.getvalue()


def _rehearse(students: int, port: int, token: str | None) -> None:
    """Start the simulated students, a process of their own that ends with the server."""
    from bench.trials.processes import surroundings

    environ = surroundings.environment() | ({"WIRELAB_TEACHER_TOKEN": token} if token else {})
    command = [
        sys.executable,
        "-m",
        "clients.students",
        f"http://127.0.0.1:{port}",
        str(students),
        str(os.getpid()),
    ]
    subprocess.Popen(command, cwd=surroundings.CODE, env=environ, stdin=subprocess.DEVNULL)
    print(f"{students} simulated students are joining: they subscribe, report and draw a little.")


def lan_addresses() -> list[str]:
    """This machine's IPv4 addresses that others may reach, the likeliest first."""
    found: list[str] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((ANY_ADDRESS, 9))
            found.append(probe.getsockname()[0])
        except OSError:
            pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                flags = struct.unpack("H", fcntl.ioctl(asked, SIOCGIFFLAGS, request)[16:18])[0]
                address = socket.inet_ntoa(fcntl.ioctl(asked, SIOCGIFADDR, request)[20:24])
            except OSError:
                continue
            if flags & IFF_UP and not flags & IFF_LOOPBACK and address not in found:
                found.append(address)
    return found
