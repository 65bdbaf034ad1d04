"""Runs nginx with nchan on a free port, and says where it is:

    python -m bench.systems.nchan.server HOST MAX_SUBSCRIBERS PING_INTERVAL_S DIRECTORY

It needs no root: everything that nginx writes goes to DIRECTORY, and its errors to stderr.

Rules:
- The port is bound here and handed to nginx, as an nginx that replaces itself does it (the variable NGINX):
  so nobody can take the port in between.
- An empty batch is the first message of the stream `main`, so that who joins is told where the stream stands.
- nginx ends with this process, and this process with nginx. Whatever becomes of either, no worker is left:
  one that loses nginx's master is given to this process, which ends it; if this process is killed outright,
  the kernel has the master end its worker.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from bench.systems.nchan import program
from bench.systems.nchan.publisher import prime
from bench.systems.parent import adopt_orphans, end_with_parent

TEMPLATE = Path(__file__).with_name("nginx.conf")
STREAM = "main"
SPARE_DESCRIPTORS = 128
BACKLOG = 4096
START_S = 20.0
STOP_S = 3.0
LOOK_S = 0.02


def configuration(address: str, max_subscribers: int, ping_interval_s: float, directory: Path) -> str:
    """The template, filled in."""
    # As many connections again for short polls, which stay open beside.
    connections = 2 * max_subscribers
    return TEMPLATE.read_text(encoding="utf-8") % {
        # What root starts would serve as another user, who may not write in the directory.
        "user": "user root;" if os.geteuid() == 0 else "",
        "module": program.module(),
        "directory": directory,
        "address": address,
        "connections": connections,
        "descriptors": connections + SPARE_DESCRIPTORS,
        # nchan knows whole seconds.
        "wait_s": max(1, round(ping_interval_s)),
    }


def start(
    host: str, max_subscribers: int, ping_interval_s: float, directory: Path
) -> tuple[subprocess.Popen[bytes], str]:
    """Start nginx. Returns its master, and the address that it serves on."""
    with socket.create_server((host, 0), backlog=BACKLOG) as listener:
        address = f"{host}:{listener.getsockname()[1]}"
        written = directory / "nginx.conf"
        written.write_text(configuration(address, max_subscribers, ping_interval_s, directory), "utf-8")
        master = subprocess.Popen(
            [str(program.nginx()), "-c", str(written), "-p", str(directory), "-e", "stderr"],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            env=os.environ | {"NGINX": f"{listener.fileno()};"},
            pass_fds=[listener.fileno()],
            # There is no other thread here that could be in the way.
            preexec_fn=lambda: end_with_parent(signal.SIGTERM),  # noqa: PLW1509
        )
    return master, address


def wait_until_ready(master: subprocess.Popen[bytes], url: str) -> None:
    """Wait until it serves, and prime the stream. Exits if it does not."""
    until_s = time.monotonic() + START_S
    while master.poll() is None and time.monotonic() < until_s:
        try:
            return prime(url, STREAM)
        except OSError:
            time.sleep(LOOK_S)
    sys.exit("nginx did not start" if master.poll() is None else f"nginx exited with {master.returncode}")


def end(master: subprocess.Popen[bytes]) -> None:
    """End the master, which ends its worker, and what is left of either."""
    master.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        master.wait(STOP_S)
    for left in psutil.Process().children(recursive=True):
        # A worker may end between the two.
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()


def main(words: list[str]) -> int:
    """Serve until SIGTERM, Ctrl-C, or nginx's end. Returns 2 if it cannot be started."""
    parser = argparse.ArgumentParser(prog="python -m bench.systems.nchan.server", allow_abbrev=False)
    parser.add_argument("host", metavar="HOST")
    parser.add_argument("max_subscribers", metavar="MAX_SUBSCRIBERS", type=int)
    parser.add_argument("ping_interval_s", metavar="PING_INTERVAL_S", type=float)
    parser.add_argument(
        "directory", metavar="DIRECTORY", type=Path, help="where nginx writes; it must be there"
    )
    given = parser.parse_args(words)
    if said := program.missing():
        print(f"nchan: {said}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(0))
    adopt_orphans()
    try:
        master, address = start(given.host, given.max_subscribers, given.ping_interval_s, given.directory)
    except OSError as error:
        print(
            f"nchan: cannot start on {given.host} in {given.directory}: {error.strerror}; give an address of "
            "this machine, and a directory that can be written",
            file=sys.stderr,
        )
        return 2
    try:
        wait_until_ready(master, f"http://{address}")
        print(f"serving on http://{address} (nginx with nchan)", flush=True)
        return master.wait() or 1
    finally:
        end(master)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
