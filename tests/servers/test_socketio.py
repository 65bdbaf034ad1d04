"""Socket.IO on both engines: publishing, refusals, upgrades, limits and ends."""

import contextlib
import itertools
import json
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psutil
import pytest
from conftest import Server, start_server, stop_server
from frames import TEXT, frame
from models import STARTED, serving_process
from raw import (
    ENGINE,
    KEY,
    READERS,
    SOCKETIO,
    Answer,
    RawEngineSocket,
    RawPolling,
    RawWebSocket,
    SocketIOReader,
    ask,
    connect_packet,
    publish,
    refused_upgrade,
    stats,
)
from waiting import until

MIB = 1 << 20
MODELS: list[Any] = list(STARTED)
NODE = pytest.param("node", marks=pytest.mark.long)
MODELS += [NODE]
ONE_OF_EACH = ["gevent", "asyncio", NODE]
"""For what is the same code on gevent and gthread."""
ENGINES = {"socketio": RawEngineSocket, "socketio-polling": RawPolling}
NODES_UNKNOWN_SESSION = {"code": 1, "message": "Session ID unknown"}
"""What engine.io says, and python-engineio says in a sentence."""
names = (f"socketio-{number}" for number in itertools.count())


@pytest.fixture
def stream() -> str:
    """A stream that no other test uses."""
    return next(names)


@pytest.fixture(scope="module", params=MODELS)
def any_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of each model that has both transports."""
    started = start_server(
        tmp_path_factory.mktemp(request.param) / "server.log", "--server-model", request.param
    )
    yield started
    stop_server(started)


@pytest.fixture(autouse=True)
def no_traceback(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "any_server" in request.fixturenames:
        assert not has_traceback(request.getfixturevalue("any_server"))


def has_traceback(server: Server) -> bool:
    """Whether a server in Python or on Node has told of an error that it did not foresee."""
    said = server.log.read_text()
    return "Traceback" in said or "\n    at " in said


def subscribers(server: Server, stream: str) -> dict[str, int]:
    """How many subscribers each transport of Socket.IO has."""
    transports = stats(server, stream)["transports"]
    return {name: transports[name]["subscribers"] for name in SOCKETIO}


def open_reader(server: Server, stream: str, transport: str) -> SocketIOReader:
    reader = READERS[transport](server, stream, transport)
    assert isinstance(reader, SocketIOReader)
    return reader


def refusal(server: Server, transport: str, packet: str) -> str:
    """The sentence of the connect_error that this CONNECT is answered with."""
    with closing(ENGINES[transport](server)) as raw:
        raw.post(packet)
        [answer] = raw.poll()
        assert answer.startswith(b"44"), answer
        return str(json.loads(answer[2:])["message"])


@pytest.mark.parametrize("transport", SOCKETIO)
class TestBothEngines:
    """What holds on polling and on a WebSocket alike."""

    def test_publishing_is_acknowledged(self, any_server: Server, stream: str, transport: str) -> None:
        with closing(open_reader(any_server, stream, transport)) as reader:
            epoch = reader.joined["cursor"].split(".")[0]
            answer = reader.publish('{"data":{"up":[1.0,12345678901234567890,"é"]},"due_us":5}', 7)
            assert answer == {"id": 1, "cursor": f"{epoch}.1"}
            body = reader.raw_batch()
            assert '{"up":[1.0,12345678901234567890,"é"]}'.encode() in body, "numbers stay as they were sent"
            assert json.loads(body)["notifications"][0]["due_us"] == 5
            assert reader.publish('{"data":1,"key":"k"}') == reader.publish('{"data":1,"key":"k"}')

    @pytest.mark.parametrize(
        ("argument", "words"),
        [
            ('{"data":[1e400]}', "infinite"),
            ('{"data":NaN}', "NaN"),
            ('{"data":"\\ud800"}', "surrogate"),
            ('{"datum":1}', '"data"'),
            ('{"data":1},2', "not JSON"),
            ('{"data":1,"due_us":-1}', "due_us"),
            ('{"data":' + "[" * 101 + "]" * 101 + "}", "nested"),
            ('{"data":"' + "x" * (3 * MIB) + '"}', "max_notification_bytes"),
        ],
        ids=range(8),
    )
    def test_a_bad_notification_is_a_problem(
        self, any_server: Server, stream: str, transport: str, argument: str, words: str
    ) -> None:
        with closing(open_reader(any_server, stream, transport)) as reader:
            answer = reader.publish(argument)
            assert list(answer) == ["problem"]
            assert words in answer["problem"]
            assert reader.publish('{"data":"good"}')["id"] == 1, "the session goes on"

    def test_other_events_are_a_problem(self, any_server: Server, stream: str, transport: str) -> None:
        with closing(open_reader(any_server, stream, transport)) as reader:
            for packet in ['425["other",1]', '451-5["publish",{"data":{"_placeholder":true,"num":0}}]']:
                reader.raw.post(packet)
                answer = reader.other()
                assert answer.startswith(b'435[{"problem":')
                assert b"publish" in answer

    @pytest.mark.parametrize("after", ["", "x", "a.01", "a" * 17 + ".1"])
    def test_a_bad_cursor_is_a_connect_error(
        self, any_server: Server, stream: str, transport: str, after: str
    ) -> None:
        assert "after is not a cursor" in refusal(any_server, transport, connect_packet(stream, after))

    def test_what_else_is_a_connect_error(self, any_server: Server, stream: str, transport: str) -> None:
        epoch = publish(any_server, stream, 1).json["cursor"].split(".")[0]
        for auth, words in [
            ({"stream": stream, "after": f"{epoch}.2"}, "beyond the head"),
            ({"stream": "UPPER"}, "name"),
            ({"stream": 5}, "auth"),
            ({"stream": stream, "after": 5}, "auth"),
            ({"stream": stream, "from": 5}, "auth"),
            ({}, "auth"),
            ([], "auth"),
        ]:
            assert words in refusal(any_server, transport, "40" + json.dumps(auth))
        assert "auth" in refusal(any_server, transport, "40")

    @pytest.mark.parametrize(
        "packet", ["", "9", "x", "42", "4", "40{", "4x", "40/other,{", "2", "40" + "[" * 9000]
    )
    def test_what_is_no_packet_ends_the_session(
        self, any_server: Server, stream: str, transport: str, packet: str
    ) -> None:
        with closing(open_reader(any_server, stream, transport)) as reader:
            if isinstance(reader.raw, RawPolling):
                assert reader.raw.post(packet).status == 400
                said = reader.raw.ask(reader.raw.polls).json
                assert said in (f"Invalid session {reader.raw.opening['sid']}", NODES_UNKNOWN_SESSION)
            else:
                reader.raw.post(packet)
                assert reader.raw.websocket.close_event().code == 1002
            until(lambda: subscribers(any_server, stream)[transport] == 0)

    def test_who_has_joined_and_connects_again_gets_nothing_twice(
        self, any_server: Server, stream: str, transport: str
    ) -> None:
        with closing(open_reader(any_server, stream, transport)) as reader:
            publish(any_server, stream, 1)
            assert reader.batch()["notifications"][0]["data"] == 1
            for packet in (connect_packet(stream), connect_packet(stream, "otherlife.0"), "40/other,{}"):
                reader.raw.post(packet)
                assert reader.other().startswith(b"44")
            publish(any_server, stream, 2)
            assert [each["data"] for each in reader.batch()["notifications"]] == [2]
            told = stats(any_server, stream)["transports"][transport]
            assert told["subscribers"] == 1
            assert told["notifications"] == 2
            reader.raw.post("41")
            until(lambda: subscribers(any_server, stream)[transport] == 0)

    def test_leaving_frees_the_place(self, any_server: Server, stream: str, transport: str) -> None:
        reader = open_reader(any_server, stream, transport)
        assert subscribers(any_server, stream)[transport] == 1
        reader.raw.post("41")
        until(lambda: subscribers(any_server, stream)[transport] == 0)
        reader.close()

    @pytest.mark.long
    @pytest.mark.parametrize("model", MODELS)
    def test_limits_of_subscribers(self, serve: Callable[..., Server], transport: str, model: str) -> None:
        server = serve("--server-model", model, "--max-subscribers", "2")
        readers = [open_reader(server, "main", transport) for _ in range(2)]
        time.sleep(0.2)
        assert subscribers(server, "main")[transport] == 2, "also between its polls"
        for _ in range(100):
            assert "max_subscribers" in refusal(server, transport, connect_packet("main"))
        idle = [ENGINES[transport](server) for _ in range(60)]
        assert ask(server, "GET", "/healthz").status == 200
        publish(server, "main", 1)
        for reader in readers:
            assert reader.batch()["notifications"][0]["data"] == 1
            reader.raw.post("41")
            reader.close()
        until(lambda: subscribers(server, "main")[transport] == 0, 20)
        open_reader(server, "main", transport).close()
        for raw in idle:
            raw.close()

    @pytest.mark.long
    @pytest.mark.parametrize("model", MODELS)
    def test_who_does_not_answer_pings_has_gone(
        self, serve: Callable[..., Server], transport: str, model: str
    ) -> None:
        server = serve("--server-model", model, "--ping-interval-s", "0.3")
        silent, alive = open_reader(server, "main", transport), open_reader(server, "main", transport)
        assert alive.raw.opening["pingInterval"] == 300
        ended = threading.Event()

        def read() -> None:
            while not ended.is_set():
                alive.read()

        reading = threading.Thread(target=read)
        reading.start()
        until(lambda: subscribers(server, "main")[transport] == 1, 20)
        time.sleep(1)
        assert subscribers(server, "main")[transport] == 1
        ended.set()
        reading.join()
        silent.close()
        alive.close()

    @pytest.mark.long
    @pytest.mark.parametrize("model", MODELS)
    def test_stopping_ends_sessions(self, serve: Callable[..., Server], transport: str, model: str) -> None:
        server = serve("--server-model", model)
        reader = open_reader(server, "main", transport)
        unjoined = ENGINES[transport](server)
        answers: list[Answer] = []
        raw = reader.raw
        if isinstance(raw, RawPolling):
            held = threading.Thread(target=lambda: answers.append(raw.ask(raw.polls)))
            held.start()
            time.sleep(0.3)
        started_s = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        if isinstance(raw, RawPolling):
            held.join()
            assert (answers[0].status, answers[0].body) == (200, b"6")
            assert answers[0].headers["Connection"] == "close"
        else:
            assert raw.websocket.close_event().code == 1001
        assert time.monotonic() - started_s < 3
        assert server.process.wait(15) == 0
        assert not has_traceback(server)
        reader.close()
        unjoined.close()


class TestPolling:
    """What only polling has."""

    def test_one_poll_brings_packets_together(self, any_server: Server, stream: str) -> None:
        with closing(RawPolling(any_server)) as raw:
            raw.post(connect_packet(stream))
            connected, first = raw.poll()
            assert connected.startswith(b'40{"sid":')
            assert first.startswith(b'42["batch",{"notifications":[],')
            raw.post('421["publish",{"data":1}]', '422["publish",{"data":2}]')
            *acknowledged, batch = raw.poll()
            assert [packet[:4] for packet in acknowledged] == [b"431[", b"432["]
            assert [each["data"] for each in json.loads(batch[2:])[1]["notifications"]] == [1, 2]

    def test_a_poll_that_the_browser_repeats_ends_the_session(self, any_server: Server, stream: str) -> None:
        """Its connection ended before the answer came, which went past the client: that would be a hole."""
        with closing(RawPolling(any_server)) as raw:
            raw.post(connect_packet(stream))
            path = raw.path
            for stamp in ("a1", "a2"):
                raw.path = f"{path}&t={stamp}"
                publish(any_server, stream, stamp)
                assert stamp.encode() in raw.poll()[-1]
            publish(any_server, stream, "more")
            assert raw.ask(raw.polls).status == 400
            raw.path = path
            assert raw.ask(raw.polls).status == 400, "the session has ended"
            assert subscribers(any_server, stream)["socketio-polling"] == 0

    def test_a_publisher_may_send_many_packets_at_once(self, any_server: Server, stream: str) -> None:
        with closing(open_reader(any_server, stream, "socketio-polling")) as reader:
            assert isinstance(reader.raw, RawPolling)
            assert (
                reader.raw.post(*(f'42["publish",{{"data":{number}}}]' for number in range(1000))).status
                == 200
            )
            ids: list[int] = []
            while len(ids) < 1000:
                ids += [each["id"] for each in reader.batch()["notifications"]]
            assert ids == list(range(1, 1001))
            assert reader.raw.post(*["6"] * 10_001).status == 400

    def test_a_client_that_leaves_its_poll_has_gone(self, any_server: Server, stream: str) -> None:
        reader = open_reader(any_server, stream, "socketio-polling")
        assert isinstance(reader.raw, RawPolling)
        reader.raw.polls.request("GET", reader.raw.path)
        time.sleep(0.2)
        reader.raw.polls.close()
        until(lambda: subscribers(any_server, stream)["socketio-polling"] == 0, 5)
        reader.close()

    def test_two_polls_at_once_end_the_session(self, any_server: Server, stream: str) -> None:
        with closing(open_reader(any_server, stream, "socketio-polling")) as reader:
            assert isinstance(reader.raw, RawPolling)
            reader.raw.polls.request("GET", reader.raw.path)
            time.sleep(0.3)
            assert reader.raw.ask(reader.raw.posts).status == 400
            until(lambda: subscribers(any_server, stream)["socketio-polling"] == 0)

    @pytest.mark.parametrize("model", ONE_OF_EACH)
    def test_bodies_are_bounded_as_all_are(self, serve: Callable[..., Server], model: str) -> None:
        server = serve("--server-model", model, "--max-notification-bytes", "1000")
        with closing(open_reader(server, "main", "socketio-polling")) as reader:
            assert isinstance(reader.raw, RawPolling)
            assert reader.raw.opening["maxPayload"] == 8000
            answer = reader.raw.post("4" + "x" * 8000)
            assert answer.status == 413
            assert "max_notification_bytes" in answer.json["detail"]

    def test_bad_requests_have_the_engines_form(self, any_server: Server) -> None:
        for query, words, nodes in [
            ("EIO=3&transport=polling", "unsupported version", "Unsupported protocol version"),
            ("EIO=4&transport=carrier", "Invalid transport", "Transport unknown"),
            ("EIO=4&transport=websocket", "Invalid transport", "Bad request"),
            ("EIO=4&transport=polling&sid=unknown", "Invalid session", "Session ID unknown"),
            ("EIO=4&transport=polling&j=0", "JSONP", "JSONP is not served"),
        ]:
            answer = ask(any_server, "GET", f"/socket.io/?{query}")
            assert answer.status == 400
            said = answer.json
            assert said["message"] == nodes if isinstance(said, dict) else words in said
        assert ask(any_server, "POST", "/socket.io/?EIO=4&transport=polling&sid=unknown", b"x").status == 400
        assert ask(any_server, "HEAD", f"{ENGINE}polling").status == 405

    @pytest.mark.long
    @pytest.mark.parametrize("model", MODELS)
    def test_who_joins_no_stream_is_ended(self, serve: Callable[..., Server], model: str) -> None:
        server = serve("--server-model", model)
        with closing(RawPolling(server)) as raw:
            began_s = time.monotonic()
            while raw.post("41").status == 200:
                # Leaving what was not joined gains no time.
                assert time.monotonic() - began_s < 15
                time.sleep(0.5)
            assert time.monotonic() - began_s > 9

    def test_nothing_is_compressed(self, any_server: Server, stream: str) -> None:
        publish(any_server, stream, "x" * 10_000)
        with closing(RawPolling(any_server)) as raw:
            raw.post(connect_packet(stream, "otherlife.0"))
            raw.polls.request("GET", raw.path, headers={"Accept-Encoding": "gzip, deflate"})
            response = raw.polls.getresponse()
            assert response.headers["Content-Encoding"] is None
            assert b"x" * 10_000 in response.read()


class TestUpgrade:
    """From polling to a WebSocket."""

    def upgraded(self, server: Server, reader: SocketIOReader) -> RawWebSocket:
        assert isinstance(reader.raw, RawPolling)
        websocket = RawWebSocket(server, f"{ENGINE}websocket&sid={reader.raw.opening['sid']}")
        websocket.send("2probe")
        assert websocket.message() == b"3probe"
        return websocket

    def test_a_session_moves(self, any_server: Server, stream: str) -> None:
        reader = open_reader(any_server, stream, "socketio-polling")
        raw = reader.raw
        assert isinstance(raw, RawPolling)
        held: list[list[bytes]] = []
        poll = threading.Thread(target=lambda: held.append(raw.poll()))
        poll.start()
        time.sleep(0.2)
        websocket = self.upgraded(any_server, reader)
        poll.join()
        assert held == [[b"6"]]
        assert subscribers(any_server, stream) == {"socketio": 0, "socketio-polling": 1}
        publish(any_server, stream, "meanwhile")
        websocket.send("5")
        assert b'"meanwhile"' in websocket.message()
        assert subscribers(any_server, stream) == {"socketio": 1, "socketio-polling": 0}
        websocket.send('420["publish",{"data":"up"}]')
        messages = {websocket.message()[:3] for _ in range(2)}
        assert messages == {b"430", b"42["}
        assert raw.ask(raw.polls).status == 400
        websocket.close()
        until(lambda: subscribers(any_server, stream) == {"socketio": 0, "socketio-polling": 0})
        reader.close()

    def test_a_failed_probe_leaves_the_session_on_polling(self, any_server: Server, stream: str) -> None:
        with closing(open_reader(any_server, stream, "socketio-polling")) as reader:
            sid = reader.raw.opening["sid"]
            self.upgraded(any_server, reader).close()
            time.sleep(0.5)
            with closing(self.upgraded(any_server, reader)) as second:
                assert refused_upgrade(any_server, f"{ENGINE}websocket&sid={sid}").status == 503
                second.send("4nonsense")
                assert second.close_event().code == 1002
            publish(any_server, stream, 1)
            assert reader.batch()["notifications"][0]["data"] == 1


@pytest.mark.parametrize("model", ONE_OF_EACH)
def test_origins_and_hosts(serve: Callable[..., Server], model: str) -> None:
    server = serve("--server-model", model, "--allow-origin", "http://allowed.example")
    host, port = server.address
    for origin, status in [
        ("http://allowed.example", 200),
        (f"http://{host}:{port}", 200),
        ("http://other.example", 403),
        ("null", 403),
    ]:
        answer = ask(server, "GET", f"{ENGINE}polling", headers={"Origin": origin})
        assert answer.status == status
        allowed = "http://allowed.example" if "allowed" in origin else None
        assert answer.headers["Access-Control-Allow-Origin"] == allowed
    assert refused_upgrade(server, f"{ENGINE}websocket", {"Origin": "http://other.example"}).status == 403
    assert refused_upgrade(server, f"{ENGINE}websocket", {"Sec-WebSocket-Key": "short"}).status == 400
    assert ask(server, "GET", f"{ENGINE}polling", headers={"Host": "foreign.example"}).status == 421


@pytest.mark.parametrize("transport", SOCKETIO)
@pytest.mark.parametrize("model", ONE_OF_EACH)
def test_stalled_readers_hold_no_copies_and_delay_nobody(
    serve: Callable[..., Server], model: str, transport: str
) -> None:
    server = serve("--server-model", model, "--send-timeout-s", "1.5")
    stalled = open_reader(server, "main", transport)
    other = open_reader(server, "main", transport)
    for number in range(24):
        assert publish(server, "main", chr(97 + number) * MIB).status == 201
        assert other.batch()["notifications"][0]["data"][0] == chr(97 + number)
    if isinstance(stalled.raw, RawPolling):
        stalled.raw.polls.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.raw.polls.request("GET", stalled.raw.path)
    until(lambda: subscribers(server, "main")[transport] == 1, 20)
    assert not has_traceback(server)
    stalled.close()
    other.close()


@pytest.mark.long
@pytest.mark.parametrize("model", STARTED)
def test_stalled_sessions_hold_no_batch_of_their_own(serve: Callable[..., Server], model: str) -> None:
    """Forty of them, two at each of twenty cursors, before a log of 40 MiB. (socket.io takes no bytes in
    pieces, so on Node each holds its own.)"""
    server = serve("--server-model", model)
    for _ in range(40):
        publish(server, "main", "x" * (MIB - 100))
    epoch = stats(server, "main")["epoch"]
    worker = psutil.Process(serving_process(server.process.pid))
    before_mib = worker.memory_info().rss / MIB
    stalled: list[RawWebSocket | RawPolling] = []
    for number in range(20):
        websocket = RawWebSocket(server, f"{ENGINE}websocket", receive_buffer=4096)
        websocket.message()
        websocket.send(connect_packet("main", f"{epoch}.{number}"))
        polling = RawPolling(server)
        polling.post(connect_packet("main", f"{epoch}.{number}"))
        polling.polls.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        polling.polls.request("GET", polling.path)
        stalled += [websocket, polling]
    time.sleep(0.5)
    assert ask(server, "GET", "/healthz").status == 200
    assert worker.memory_info().rss / MIB - before_mib < 80, "a batch each would be 320 MiB"
    for session in stalled:
        session.close()


def test_rude_clients_leave_no_traceback_and_no_subscriber(any_server: Server, stream: str) -> None:
    """They reset their connections in the middle of everything, having joined."""
    host = "Host: localhost\r\n"
    upgrade = (
        f"{host}Upgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
    joining = frame(TEXT, connect_packet(stream).encode())
    opening = f"GET {ENGINE}websocket HTTP/1.1\r\n{upgrade}".encode()
    sessions = []

    def rude(beginning: bytes, pause_s: float) -> None:
        with closing(socket.create_connection(any_server.address)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(beginning)
            time.sleep(pause_s)
        publish(any_server, stream, "x" * 100_000)

    for pause_s in (0, 0.05):
        for beginning in (opening, opening + joining, opening + joining * 2, opening + joining[:9]):
            rude(beginning, pause_s)
        for beginning in (
            "GET {path} HTTP/1.1\r\n{host}\r\n",
            "GET {path} HTTP/1.1\r\n{host}\r\n" * 2,
            "POST {path} HTTP/1.1\r\n{host}Content-Length: 9\r\n\r\n42[",
            'POST {path} HTTP/1.1\r\n{host}Content-Length: 25\r\n\r\n42["publish",{{"data":"x"}}]',
            "GET {websocket} HTTP/1.1\r\n{upgrade}",
        ):
            raw = RawPolling(any_server)
            raw.post(connect_packet(stream))
            websocket = raw.path.replace("=polling", "=websocket")
            words = {"path": raw.path, "host": host, "upgrade": upgrade, "websocket": websocket}
            rude(beginning.format(**words).encode(), pause_s)
            sessions.append(raw)
    for raw in sessions:
        raw.post("41")
        raw.close()
    until(lambda: subscribers(any_server, stream) == {"socketio": 0, "socketio-polling": 0})


@pytest.mark.parametrize("transport", SOCKETIO)
def test_a_flooding_client_slows_nobody(any_server: Server, stream: str, transport: str) -> None:
    flooder = open_reader(any_server, f"{stream}-flood", transport)
    ended = threading.Event()
    packet = '42["publish",{"data":"' + "x" * 100 + '"}]'

    def flood() -> None:
        with contextlib.suppress(OSError):
            while not ended.is_set():
                flooder.raw.post(*[packet] * 200)

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        with closing(open_reader(any_server, stream, transport)) as reader:
            waits_s = []
            for number in range(20):
                started_s = time.monotonic()
                assert publish(any_server, stream, number).status == 201
                assert reader.batch()["notifications"][0]["data"] == number
                waits_s.append(time.monotonic() - started_s)
        assert sorted(waits_s)[10] < 1.0, waits_s
    finally:
        ended.set()
        flooder.close()
        thread.join()
