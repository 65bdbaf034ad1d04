"""Bodies are whole or refused, never cut, and have a bound in total: on every route that takes one."""

import http.client
import itertools
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import Server, start_server, stop_server
from models import STARTED, WITH_PAGES, serving_process
from raw import Answer, RawWebSocket, ask, publish, stats

from servers.unaccepted import FREE_BYTES

MIB = 1 << 20
KIB = 1 << 10
SMALL_BODY = 128 * KIB
SMALL = {
    "WIRELAB_MAX_NOTIFICATION_BYTES": str(SMALL_BODY // 8),
    "WIRELAB_MAX_UNACCEPTED_BYTES": str(MIB),
}
names = (f"bodies-{number}" for number in itertools.count())


@pytest.fixture(scope="module", params=WITH_PAGES)
def small_demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A demo whose limits are reached with little, by a server of each model that has pages."""
    log = tmp_path_factory.mktemp("small") / "server.log"
    given = {"WIRELAB_DEMO": "1", "WIRELAB_SERVER_MODEL": request.param}
    line = [sys.executable, "-m", "gunicorn", "-c", "python:servers.gunicorn_conf", "--bind", "127.0.0.1:0"]
    with log.open("a") as stderr:
        process = subprocess.Popen(
            line, stdout=subprocess.PIPE, stderr=stderr, text=True, env=os.environ | given | SMALL
        )
    assert process.stdout
    started = Server(process, process.stdout.readline().split()[3], log)
    yield started
    stop_server(started)


@pytest.fixture(scope="module", params=STARTED)
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of each model with the same limits."""
    log = tmp_path_factory.mktemp("small") / "server.log"
    limits = ["--max-notification-bytes", str(SMALL_BODY // 8), "--max-unaccepted-bytes", str(MIB)]
    started = start_server(log, "--server-model", request.param, *limits)
    yield started
    stop_server(started)


@pytest.fixture
def stream() -> str:
    return next(names)


def head(path: str, *fields: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *fields, "", ""]
    return "\r\n".join(lines).encode()


def chunked(server: Server, path: str, parts: Iterable[bytes]) -> Answer:
    """POST in chunks; the answer is read also where the server stops reading before the end."""
    with closing(socket.create_connection(server.address, timeout=20)) as connection:
        connection.sendall(head(path, "Transfer-Encoding: chunked"))
        try:
            for part in parts:
                connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
            connection.sendall(b"0\r\n\r\n")
        except OSError:
            pass
        return answer_on(connection)


def answer_on(connection: socket.socket) -> Answer:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return Answer(response.status, response.headers, response.read())


def assert_too_large(answer: Answer, words: str) -> None:
    assert (answer.status, answer.headers["Content-Type"]) == (413, "application/problem+json")
    assert words in answer.json["detail"]


def test_a_chunked_echo_beyond_the_limit_is_refused_and_not_cut(any_server: Server) -> None:
    assert_too_large(chunked(any_server, "/echo", [b"x" * MIB] * 20), "max_notification_bytes")
    whole = chunked(any_server, "/echo", [b"%7d|" % number * (MIB // 8) for number in range(16)])
    assert (whole.status, len(whole.body)) == (200, 16 * MIB)
    assert whole.body == b"".join(b"%7d|" % number * (MIB // 8) for number in range(16))


def test_what_lies_beyond_the_limit_is_not_overlooked(small: Server, stream: str) -> None:
    path = f"/streams/{stream}/notifications"
    filled = b'{"data":1}' + b" " * (SMALL_BODY - 10)
    assert_too_large(chunked(small, path, [filled, b"rubbish"]), "max_notification_bytes")
    assert_too_large(chunked(small, path, [filled, b" "]), "max_notification_bytes")
    assert stats(small, stream)["newest_id"] is None
    assert chunked(small, path, [filled]).status == 201
    assert chunked(small, path, [filled[at : at + 1000] for at in range(0, SMALL_BODY, 1000)]).status == 201


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/demo/watch", 16 * KIB),
        ("/demo/state", 16 * KIB),
        ("/class/report", 4 * KIB),
        ("/class/prediction", 16 * KIB),
    ],
)
def test_every_route_of_the_demo_refuses_one_byte_more(small_demo: Server, path: str, most: int) -> None:
    refuses_one_byte_more(small_demo, path, most)


def test_the_echo_refuses_one_byte_more(small: Server) -> None:
    refuses_one_byte_more(small, "/echo", SMALL_BODY)


def refuses_one_byte_more(small: Server, path: str, most: int) -> None:
    filled = b"{}" + b" " * (most - 2)
    at_most = [chunked(small, path, [filled]), ask(small, "POST", path, filled, json_type())]
    assert {answer.status for answer in at_most} <= {200, 400}
    for answer in [
        chunked(small, path, [filled, b"x"]),
        chunked(small, path, [filled, b" " * MIB] * 3),
        ask(small, "POST", path, filled + b"x", json_type()),
        ask(small, "POST", path, filled * 20, json_type()),
    ]:
        assert_too_large(answer, str(most))


def json_type() -> dict[str, str]:
    return {"Content-Type": "application/json"}


@pytest.mark.parametrize("path", ["/echo", "/streams/short/notifications"])
@pytest.mark.parametrize("size", [20, 16_000, 16_384])
def test_a_body_of_which_a_part_is_missing_is_refused(small: Server, path: str, size: int) -> None:
    for field, sent in [(f"Content-Length: {size}", b"{}"), ("Transfer-Encoding: chunked", b"5\r\n{}")]:
        with closing(socket.create_connection(small.address, timeout=10)) as connection:
            connection.sendall(head(path, field) + sent)
            connection.shutdown(socket.SHUT_WR)
            answer = answer_on(connection)
        assert (answer.status, "ended" in answer.json["detail"]) == (400, True)


def test_a_refusal_arrives_while_the_peer_still_sends(any_server: Server) -> None:
    """By its length: nothing of the 17 MiB is read before."""
    answer = ask(any_server, "POST", "/echo", b"x" * (17 * MIB))
    assert_too_large(answer, "max_notification_bytes")
    for path, status in [("/nowhere", 404), ("/streams/x/notifications", 415), ("/healthz", 405)]:
        answer = ask(any_server, "POST", path, b"x" * (2 * MIB))
        assert (answer.status, answer.headers["Connection"]) == (status, "close")


def unfinished(server: Server, path: str, sent: int, length: int | None) -> socket.socket:
    connection = socket.create_connection(server.address, timeout=20)
    how = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    body = b"x" * sent
    connection.sendall(head(path, how) + (b"%x\r\n%b\r\n" % (sent, body) if length is None else body))
    return connection


@pytest.mark.parametrize("length", [SMALL_BODY, None])
def test_all_bodies_on_their_way_have_a_bound(small: Server, stream: str, length: int | None) -> None:
    path = f"/streams/{stream}/notifications"
    sent = SMALL_BODY - 8 * KIB
    opened = [unfinished(small, path, sent, length) for _ in range(20)]
    try:
        most = MIB // (sent - FREE_BYTES)
        deadline = time.monotonic() + 10
        while len(opened) - len(select.select(opened, [], [], 0.1)[0]) > most:
            assert time.monotonic() < deadline, "more are held than there is room for"
            time.sleep(0.05)
        while (refused := ask(small, "POST", "/echo", b"x" * SMALL_BODY)).status == 200:
            # Those that came together have refused each other before the room was full.
            assert time.monotonic() < deadline, "there is still room for another"
            opened.append(unfinished(small, path, sent, length))
            time.sleep(0.05)
        assert (refused.status, "max_unaccepted_bytes" in refused.json["detail"]) == (503, True)
        assert refused.headers["Retry-After"]
        assert publish(small, stream, "what is small has room").status == 201
        answered, _, _ = select.select(opened, [], [], 0.1)
        assert all(connection.recv(12) == b"HTTP/1.1 503" for connection in answered)
        assert 5 <= len(opened) - len(answered) <= most
    finally:
        for connection in opened:
            connection.close()
    deadline = time.monotonic() + 10
    while ask(small, "POST", "/echo", b"x" * SMALL_BODY).status != 200:
        assert time.monotonic() < deadline, "what they held was not given back"
        time.sleep(0.05)


def test_who_only_says_that_much_will_come_takes_no_room(small: Server, stream: str) -> None:
    opened = [unfinished(small, f"/streams/{stream}/notifications", 100, SMALL_BODY) for _ in range(40)]
    time.sleep(0.2)
    assert ask(small, "POST", "/echo", b"x" * SMALL_BODY).status == 200
    for connection in opened:
        connection.close()


@pytest.mark.parametrize("model", STARTED)
def test_unfinished_bodies_do_not_fill_the_memory(serve: Callable[..., Server], model: str) -> None:
    server = serve("--server-model", model, "--max-unaccepted-bytes", str(16 * MIB))
    worker = serving_process(server.process.pid)

    def resident_mib() -> float:
        return int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * 4096 / MIB

    ask(server, "POST", "/echo", b"x" * (4 * MIB))
    before_mib = resident_mib()
    opened: list[socket.socket] = []
    for number in range(40):
        try:
            opened.append(unfinished(server, "/echo", 4 * MIB, 5 * MIB if number % 2 else None))
        except OSError:
            pass
    assert resident_mib() - before_mib < 60, "all of them together would be 160 MiB"
    for connection in opened:
        connection.close()


def test_answers_that_nobody_takes_count_too(small: Server) -> None:
    """An echo is held until its peer has taken it."""
    opened = []
    for _ in range(12):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(small.address)
        opened.append(connection)
    refusals = 0
    for connection in opened:
        connection.sendall(head("/echo", f"Content-Length: {SMALL_BODY}") + b"x" * SMALL_BODY)
    for connection in opened:
        connection.settimeout(10)
        answer = answer_on(connection)
        refusals += answer.status == 503
        assert answer.status == 503 or len(answer.body) == SMALL_BODY
        connection.close()
    assert refusals < 12


@pytest.mark.parametrize("model", WITH_PAGES)
def test_a_students_publish_is_refused_before_it_is_read(demo: Callable[..., Server], model: str) -> None:
    server = demo("--lan", "--server-model", model)
    path = "/streams/chat/notifications"
    with closing(socket.create_connection(server.address, timeout=10)) as connection:
        connection.sendall(head(path, f"Content-Length: {MIB}") + b"{")
        assert_too_large(answer_on(connection), "8192")
    assert_too_large(chunked(server, path, itertools.repeat(b" " * 1000, 1000)), "8192")
    assert_too_large(ask(server, "POST", path, b" " * 8193, json_type()), "8192")
    assert chunked(server, path, [b'{"data":1}', b" " * 8182]).status == 201
    with closing(RawWebSocket(server, "/streams/chat/websocket")) as student:
        student.message()
        student.socket.sendall(b"\x01\xfe" + (8193).to_bytes(2, "big") + bytes(4) + b" " * 8193)
        assert student.close_event().code == 1009
