"""Socket.IO's real clients, unchanged: npm's in Node, and python-socketio's. The browser's is in
test_browser_socketio.py."""

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import socketio
from conftest import Server, start_server, stop_server
from raw import publish
from test_browser_socketio import kill
from test_clients import wait_until

from bench.systems.node import packages

FOLLOW = """
import { io } from "socket.io-client";
let after = null;
const auth = (give) => give(after === null ? { stream: "main" } : { stream: "main", after });
const socket = io(process.argv[2], { auth, transports: JSON.parse(process.argv[3]), reconnectionDelay: 100 });
socket.on("batch", (batch) => {
  after = batch.cursor;
  for (const { data } of batch.notifications) console.log(JSON.stringify(data));
});
socket.once("batch", () => console.log('"joined"'));
"""
ENGINES = [["polling", "websocket"], ["polling"], ["websocket"]]
pytestmark = pytest.mark.long


@contextmanager
def in_node(url: str, engines: list[str]) -> Iterator[list[Any]]:
    """npm's client: what it has got, as it grows."""
    if said := packages.missing():
        pytest.skip(said)
    program = packages.folder() / "follow.mjs"
    node = shutil.which("node")
    assert node
    program.write_text(FOLLOW)
    got: list[Any] = []
    with subprocess.Popen(
        [node, program, url, json.dumps(engines)], stdout=subprocess.PIPE, text=True
    ) as run:
        output = run.stdout
        assert output
        reader = threading.Thread(target=lambda: got.extend(json.loads(line) for line in output))
        reader.start()
        try:
            yield got
        finally:
            run.terminate()
            reader.join()
            program.unlink()


@contextmanager
def in_python(url: str, engines: list[str]) -> Iterator[list[Any]]:
    """python-socketio's client. Its auth is a function too."""
    got: list[Any] = []
    after: list[str] = []
    client = socketio.Client(reconnection_delay=1)

    @client.on("batch")
    def batch(told: Any) -> None:
        if not after:
            got.append("joined")
        after[:] = [told["cursor"]]
        got.extend(each["data"] for each in told["notifications"])

    def auth() -> dict[str, str]:
        return {"stream": "main"} | ({"after": after[0]} if after else {})

    client.connect(url, auth=auth, transports=engines)
    try:
        yield got
    finally:
        client.shutdown()


@pytest.mark.parametrize("engines", ENGINES, ids="+".join)
@pytest.mark.parametrize("client", [in_node, in_python])
@pytest.mark.parametrize("model", ["gevent", "gthread", "asyncio", "node"])
def test_gets_everything_and_resumes(
    tmp_path: Path, client: Callable[..., Any], engines: list[str], model: str
) -> None:
    options = ("--server-model", model)
    server: Server = start_server(tmp_path / "server.log", *options)
    try:
        with client(server.url, engines) as got:
            wait_until(lambda: got == ["joined"])
            for number in range(100):
                publish(server, "main", number)
            wait_until(lambda: len(got) == 101)
            port = kill(server)
            assert server.process.stdout
            server.process.stdout.close()
            server = start_server(tmp_path / "server.log", *options, port=port)
            publish(server, "main", "again")
            wait_until(lambda: len(got) == 102)
            assert got == ["joined", *range(100), "again"]
    finally:
        stop_server(server)
