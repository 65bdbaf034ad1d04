"""Socket.IO's real clients, unchanged: npm's in Node, in Chromium and in Firefox, and python-socketio's. Each
gets every notification and every greeting, from Node's server and from ours. (The client that our own pages
have is in test_browser_socketio.py.)

The browsers are Debian's, driven from Node by WebDriver BiDi (tests/npm); nothing downloads a browser.
"""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import socketio
from conftest import BROWSERS, Server, start_server, stop_server
from models import MODELS, OTHERS
from raw import publish
from test_browser_socketio import kill
from test_clients import wait_until

from bench.systems.node import packages

NPM = Path(__file__).parents[1] / "npm"
PROGRAMS = {"chrome": BROWSERS, "firefox": ("firefox-esr", "firefox")}
DEBIANS = {"chrome": "chromium", "firefox": "firefox-esr"}
ENGINES = [["polling", "websocket"], ["polling"], ["websocket"]]
GREETING = "web Socket Works"
END_S = 30.0
pytestmark = pytest.mark.long


class Wanted(NamedTuple):
    """What a client asks for. `page` is where a browser's page is that asks it."""

    url: str
    engines: list[str]
    path: str = "/socket.io/"
    stream: str | None = None
    page: str = "/healthz"


@contextmanager
def in_npm(where: str, wanted: Wanted) -> Iterator[list[Any]]:
    """npm's client: what it has got, as it grows."""
    if said := packages.missing():
        pytest.skip(said)
    program = ""
    if where in PROGRAMS:
        found = next(filter(None, map(shutil.which, PROGRAMS[where])), None)
        if found is None:
            pytest.skip(f"{where} is not installed; on Debian: apt-get install {DEBIANS[where]}")
        program = found
        install_driver()
    got: list[Any] = []
    with subprocess.Popen(
        ["node", NPM / "follow.cjs", where, program, json.dumps(wanted._asdict())],
        env=os.environ | {"NODE_PATH": str(packages.folder() / "node_modules")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdin
        assert run.stdout
        output = run.stdout
        reader = threading.Thread(target=lambda: got.extend(json.loads(line) for line in output))
        reader.start()
        try:
            yield got
        finally:
            run.stdin.close()
            try:
                run.wait(END_S)
            except subprocess.TimeoutExpired:
                # It ends its browser then.
                run.terminate()
            reader.join()


def install_driver() -> None:
    """puppeteer-core, as the lock has it."""
    lock, installed = NPM / "package-lock.json", NPM / "node_modules" / ".package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime:
        return
    done = subprocess.run(["npm", "ci"], cwd=NPM, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"npm ci in tests/npm failed: {done.stderr.strip().splitlines()[:1]}")


@contextmanager
def in_python(wanted: Wanted) -> Iterator[list[Any]]:
    """python-socketio's client. Its auth is a function too."""
    got: list[Any] = []
    after: list[str] = []
    client = socketio.Client(reconnection_delay=1)

    @client.on("batch")
    def batch(told: Any) -> None:
        if not after:
            got.append("joined")
        if told["missed"] != 0:
            got.append({"missed": told["missed"]})
        after[:] = [told["cursor"]]
        got.extend(each["data"] for each in told["notifications"])

    @client.on("welcome")
    def welcome(sentence: str) -> None:
        got.append(sentence)

    def auth() -> dict[str, str]:
        return {"stream": wanted.stream or ""} | ({"after": after[0]} if after else {})

    client.connect(wanted.url, auth=auth, transports=wanted.engines, socketio_path=wanted.path)
    try:
        yield got
    finally:
        client.shutdown()


CLIENTS = {
    "node": partial(in_npm, "node"),
    "chromium": partial(in_npm, "chrome"),
    "firefox": partial(in_npm, "firefox"),
    "python": in_python,
}
Client = Callable[[Wanted], Any]
each_client = pytest.mark.parametrize("client", CLIENTS.values(), ids=CLIENTS)


@pytest.mark.parametrize("engines", ENGINES, ids="+".join)
@each_client
@pytest.mark.parametrize("model", [*MODELS, *OTHERS])
def test_gets_everything_and_resumes(tmp_path: Path, client: Client, engines: list[str], model: str) -> None:
    """Killed and restarted, the server has lost its log: the client is told so, and goes on."""
    options = ("--server-model", model)
    server: Server = start_server(tmp_path / "server.log", *options)
    try:
        with client(Wanted(server.url, engines, stream="main")) as got:
            wait_until(lambda: got == ["joined"])
            for number in range(100):
                publish(server, "main", number)
            wait_until(lambda: len(got) == 101)
            port = kill(server)
            assert server.process.stdout
            server.process.stdout.close()
            server = start_server(tmp_path / "server.log", *options, port=port)
            publish(server, "main", "again")
            wait_until(lambda: "again" in got)
            assert got == ["joined", *range(100), {"missed": None}, "again"]
    finally:
        stop_server(server)


class Greeter:
    """A server that greets everybody at each connection: the article's own, or our demo."""

    def __init__(self, name: str, tmp_path: Path) -> None:
        self._name = name
        self._log = tmp_path / "server.log"
        self._start(0)

    def _start(self, port: int) -> None:
        if self._name != "article":
            self._server = start_server(self._log, "--server-model", self._name, command="demo", port=port)
            self.url = self._server.url
            return
        if said := packages.missing():
            pytest.skip(said)
        process = subprocess.Popen(
            ["node", packages.SERVER / "article" / "server.cjs"],
            env=os.environ | {"PORT": str(port), "NODE_PATH": str(packages.folder() / "node_modules")},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        self.url = f"http://127.0.0.1:{process.stdout.readline().split()[-1]}"
        self._server = Server(process, self.url, self._log)

    def restart(self) -> None:
        """Kill it, and have another at its address."""
        port = kill(self._server)
        assert self._server.process.stdout
        self._server.process.stdout.close()
        self._start(port)

    def stop(self) -> None:
        stop_server(self._server)

    def wanted(self, engines: list[str]) -> Wanted:
        if self._name == "article":
            return Wanted(self.url, engines, page="/socket.io/socket.io.js")
        return Wanted(self.url, engines, path="/welcome/socket.io/")


@each_client
@pytest.mark.parametrize("name", ["article", "gevent", "gthread"])
def test_everybody_is_greeted_at_each_connection(tmp_path: Path, client: Client, name: str) -> None:
    """As in the article: who has connected hears it again when another does, and after a restart."""
    greeter = Greeter(name, tmp_path)
    try:
        with client(greeter.wanted(ENGINES[0])) as got:
            wait_until(lambda: got == [GREETING])
            for number, engines in enumerate(ENGINES, 2):
                with in_npm("node", greeter.wanted(engines)) as other:
                    wait_until(lambda: other == [GREETING])
                    wait_until(lambda: got == [GREETING] * number)  # noqa: B023
            greeter.restart()
            wait_until(lambda: got == [GREETING] * 5)
    finally:
        greeter.stop()
