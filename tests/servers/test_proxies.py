"""The server behind nginx and HAProxy, set up as the README says: what is run here is read from there."""

import re
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Server, leave_server, start_server
from raw import READERS, Answer, RawWebSocket, ask, publish, refused_upgrade, stats
from waiting import until

pytestmark = pytest.mark.long

README = (Path(__file__).parents[2] / "README.md").read_text()
START_S = 20.0
NGINX = """
daemon off; worker_processes 1; user root; pid {directory}/pid; error_log {directory}/log;
events {{ worker_connections 512; }}
http {{
access_log off;
client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
uwsgi_temp_path {directory}; scgi_temp_path {directory};
{written}
}}
"""


@dataclass
class Behind:
    """A server, and the same as it is reached through a proxy."""

    server: Server
    proxy: Server


def written(proxy: str, upstream: str, port: int) -> str:
    """What the README says, with the addresses of this test."""
    block = re.search(rf"<!-- proxy: {proxy} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert block
    text = block[1].replace("127.0.0.1:8000", upstream)
    return text.replace("listen 80;", f"listen 127.0.0.1:{port};").replace(
        "bind :80", f"bind 127.0.0.1:{port}"
    )


def command(proxy: str, directory: Path, upstream: str, port: int) -> list[str]:
    path = directory / f"{proxy}.cfg"
    if proxy == "nginx":
        path.write_text(NGINX.format(directory=directory, written=written(proxy, upstream, port)))
        return ["nginx", "-c", str(path)]
    path.write_text(written(proxy, upstream, port))
    return ["haproxy", "-db", "-f", str(path)]


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} is installed; on Debian: apt-get install {request.param}")
    directory = tmp_path_factory.mktemp(request.param)
    options = ["--trusted-proxy", "127.0.0.1", "--allow-host", "lab.example"]
    server = start_server(directory / "server.log", *options)
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    upstream = "%s:%d" % server.address  # noqa: UP031
    with (directory / "proxy.log").open("w") as log:
        process = subprocess.Popen(
            command(request.param, directory, upstream, port), stdout=log, stderr=log, text=True
        )
    try:
        until(lambda: answers(port), START_S)
        yield Behind(server, Server(process, f"http://127.0.0.1:{port}", directory / "proxy.log"))
    finally:
        process.terminate()
        process.wait(START_S)
        leave_server(server)


def answers(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port)).close()
        return True
    return False


@pytest.mark.parametrize("transport", READERS)
def test_every_transport_delivers(behind: Behind, transport: str) -> None:
    with closing(READERS[transport](behind.proxy, transport, transport)) as reader:
        for number in range(20):
            assert publish(behind.proxy, transport, number).status == 201
        got: list[int] = []
        while len(got) < 20:
            got += [each["data"] for each in reader.batch()["notifications"]]
        assert got == list(range(20))


def test_what_is_delivered_is_not_held_back(behind: Behind) -> None:
    """Each before the next is published; and a mebibyte whole, both ways."""
    with closing(RawWebSocket(behind.proxy, "/streams/one/websocket")) as reader:
        reader.message()
        for number in range(5):
            publish(behind.proxy, "one", number)
            assert b'"data":%d}' % number in reader.message()
        assert publish(behind.proxy, "one", "x" * (1 << 20)).status == 201
        assert len(reader.message()) > 1 << 20


def test_pages_of_its_name_are_its_own(behind: Behind) -> None:
    host = "%s:%d" % behind.proxy.address  # noqa: UP031
    own = {"Host": host, "Origin": f"http://{host}"}
    assert refused_upgrade(behind.proxy, "/echo", own | {"Origin": "http://evil.example"}).status == 403
    with closing(socket.create_connection(behind.proxy.address, timeout=START_S)) as page:
        page.sendall(
            f"GET /echo HTTP/1.1\r\nHost: {host}\r\nOrigin: http://{host}\r\nUpgrade: websocket\r\n"
            "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert page.recv(65536).startswith(b"HTTP/1.1 101 ")
    for name, status in [("lab.example", 200), ("evil.example", 421)]:
        assert ask(behind.proxy, "GET", "/healthz", headers={"Host": name}).status == status


def test_a_client_that_leaves_gives_its_place_back(behind: Behind) -> None:
    def held() -> int:
        return int(stats(behind.server, "left")["transports"]["long-poll"]["subscribers"])

    publish(behind.server, "left", 1)
    with closing(socket.create_connection(behind.proxy.address)) as poll:
        host = "%s:%d" % behind.proxy.address  # noqa: UP031
        poll.sendall(f"GET /streams/left/long-poll?wait=60 HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        until(lambda: held() == 1, START_S)
    until(lambda: held() == 0, START_S)


def test_the_end_is_told_through_it(behind: Behind) -> None:
    """Last: the server is gone after it."""
    polled: list[Answer] = []
    poll = threading.Thread(
        target=lambda: polled.append(ask(behind.proxy, "GET", "/streams/end/long-poll?wait=60"))
    )
    with closing(RawWebSocket(behind.proxy, "/streams/end/websocket")) as reader:
        reader.message()
        poll.start()
        until(lambda: stats(behind.server, "end")["transports"]["long-poll"]["subscribers"] == 1, START_S)
        behind.server.process.send_signal(signal.SIGTERM)
        assert reader.close_event().code == 1001
    poll.join()
    assert polled[0].status == 200
    behind.server.process.wait(START_S)
    assert ask(behind.proxy, "GET", "/healthz").status in (502, 503)
