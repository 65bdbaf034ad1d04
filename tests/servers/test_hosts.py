"""Under which names a server answers: a page elsewhere whose name leads to 127.0.0.1 gets nothing."""

import socket
from collections.abc import Callable
from http import HTTPStatus

import pytest
from conftest import Server
from models import ON_THE_WIRE
from raw import Answer, ask, refused_upgrade

from servers.settings import Settings

FOREIGN = "evil.example"


def ask_as(server: Server, host: str, path: str = "/healthz", method: str = "GET") -> Answer:
    body = b'{"data":1}' if method == "POST" else None
    return ask(server, method, path, body, {"Host": host, "Content-Type": "application/json"})


def assert_misdirected(answer: Answer) -> None:
    assert (answer.status, answer.headers["Content-Type"]) == (421, "application/problem+json")
    assert "--allow-host" in answer.json["detail"]


def test_a_refusal_has_its_name(wire_server: Server) -> None:
    """In words too: a server that does not know a status calls it anything."""
    lines = {
        421: b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        426: b"GET /streams/main/websocket HTTP/1.1\r\nHost: localhost\r\n\r\n",
    }
    for status, request in lines.items():
        with socket.create_connection(wire_server.address, 30) as connection:
            connection.sendall(request)
            line = connection.makefile("rb").readline().decode()
        assert line.casefold() == f"http/1.1 {status} {HTTPStatus(status).phrase}\r\n".casefold()


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost:1", "localhost.", "a.localhost:8", "127.0.0.1:99999"]
)
@pytest.mark.parametrize("more", ["127.9.9.9", "[::1]:8000", "[::ffff:127.0.0.1]"])
def test_the_machines_own_names_are_answered(wire_server: Server, host: str, more: str) -> None:
    assert ask_as(wire_server, host).status == 200
    assert ask_as(wire_server, more).status == 200


@pytest.mark.parametrize(
    "host",
    [
        FOREIGN,
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "notlocalhost",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "[2001:db8::1]:8000",
        "1.0.0.127",
    ],
)
def test_other_names_are_misdirected(wire_server: Server, host: str) -> None:
    assert_misdirected(ask_as(wire_server, host))


@pytest.mark.parametrize("host", ["", "a b", "u@localhost", "localhost:x", "localhost/", "[::1", "a, b", "é"])
def test_what_is_no_host_is_bad(wire_server: Server, host: str) -> None:
    answer = ask_as(wire_server, host)
    assert (answer.status, "Host" in answer.json["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/streams/main/short-poll"),
        ("GET", "/streams/main/long-poll"),
        ("GET", "/streams/main/sse"),
        ("POST", "/streams/main/notifications"),
        ("GET", "/streams/main/stats"),
        ("POST", "/echo"),
        ("OPTIONS", "/echo"),
        ("GET", "/nothing/here"),
        ("DELETE", "/healthz"),
        ("GET", "//healthz"),
    ],
)
def test_every_route_refuses_a_foreign_name(wire_server: Server, method: str, path: str) -> None:
    assert_misdirected(ask_as(wire_server, FOREIGN, path, method))


@pytest.mark.parametrize("path", ["/streams/main/websocket", "/echo", "/welcome/websocket"])
def test_every_websocket_refuses_a_foreign_name(wire_server: Server, path: str) -> None:
    """Its page's Origin is the same name then, so that check lets it pass."""
    assert_misdirected(refused_upgrade(wire_server, path, {"Host": FOREIGN, "Origin": f"http://{FOREIGN}"}))


@pytest.mark.parametrize("path", ["/", "/demo/state", "/class/summary.json", "/static/race.js"])
def test_the_demos_pages_refuse_a_foreign_name(pages: Server, path: str) -> None:
    assert_misdirected(ask_as(pages, FOREIGN, path))
    assert_misdirected(ask_as(pages, FOREIGN, "/demo/state", "POST"))


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_further_names_are_allowed_by_option(serve: Callable[..., Server], model: str) -> None:
    server = serve("--server-model", model, "--allow-host", "Lab.example", "--allow-host", "[2001:db8::7]")
    for host in ["lab.example", "LAB.EXAMPLE:80", "[2001:DB8::7]:1", "localhost"]:
        assert ask_as(server, host).status == 200, host
    for host in [FOREIGN, "a.lab.example", "2001:db8::7"]:
        assert ask_as(server, host).status in (400, 421), host


def test_the_address_it_is_bound_to_is_one_of_its_names(serve: Callable[..., Server]) -> None:
    server = serve("--host", "127.0.0.3")
    assert ask_as(server, "127.0.0.3").status == 200
    assert_misdirected(ask_as(server, FOREIGN))


def test_who_listens_to_others_is_reached_under_any_name(serve: Callable[..., Server]) -> None:
    """In a class by its address, which the server cannot know in every network."""
    server = serve("--host", "0.0.0.0")
    for host in ["192.168.1.5:8000", "teacher.local", "[fe80::1]"]:
        assert ask_as(server, host).status == 200, host


@pytest.mark.parametrize("host", ["", "a b", "http://lab.example", "a/b", "[::1"])
def test_what_is_allowed_is_a_name(host: str) -> None:
    with pytest.raises(ValueError, match="allow_hosts"):
        Settings(allow_hosts=(host,))
