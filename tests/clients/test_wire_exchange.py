"""The explanation of bytes: it covers each once, says what the parsers say, and adds up to what was sent."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from conftest import Server
from hypothesis import given
from hypothesis import strategies as st
from models import WITH_PAGES
from raw import ask
from wsproto.frame_protocol import CloseReason, FrameProtocol

from clients import TRANSPORTS
from clients.errors import BadAnswer, ConnectionLost, Refused
from clients.explain.exchange import Exchange, exchange, printed, printed_as_data, status
from clients.explain.spans import (
    PARTS,
    Answer,
    Span,
    frame_spans,
    parse_frame,
    request_spans,
    unmask,
    work_out_accept,
)
from clients.frames import frame_bounds
from clients.headers import HEADER_SETS, HeaderSet
from servers.addresses import Addresses
from servers.demo.guard import Guard
from servers.rules.frames import CloseWith

GET = b"GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n"
KNOWN = ("short-poll", "long-poll", "sse", "websocket", "socketio", "socketio-polling")


def covers(data: bytes, spans: list[Span]) -> bool:
    """Whether the spans cover each byte exactly once, in order."""
    ends = [0, *(span.end for span in spans)]
    return [span.start for span in spans] == ends[:-1] and ends[-1] == len(data)


def answered(data: bytes, request: bytes = GET, at_once: int = 1 << 20) -> Answer:
    """The answer, fed so many bytes at a time."""
    answer = Answer(request)
    for at in range(0, len(data), at_once):
        answer.feed(data[at : at + at_once])
    return answer


# --- the arithmetic ---


def test_the_rfcs_own_key_and_accept() -> None:
    """RFC 6455, section 1.3: its key, the digest's bytes and the accept value."""
    worked_out = work_out_accept("dGhlIHNhbXBsZSBub25jZQ==")
    assert bytes.fromhex(worked_out.nonce_hex) == b"the sample nonce"
    assert worked_out.joined == "dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    assert worked_out.sha1_hex == "b3 7a 4f 2c c0 62 4f 16 90 f6 46 06 cf 38 59 45 b2 be c4 ea"
    assert worked_out.accept == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_key_that_is_no_base64_has_no_bytes() -> None:
    assert work_out_accept("not base64!").nonce_hex == ""


# --- frames ---


@pytest.mark.parametrize(
    ("data", "payload", "labels"),
    [
        ("81 05 48 65 6c 6c 6f", b"Hello", ["FIN, RSV, opcode", "MASK, length", "payload"]),
        (
            "81 85 37 fa 21 3d 7f 9f 4d 51 58",
            b"Hello",
            ["FIN, RSV, opcode", "MASK, length", "masking key", "payload"],
        ),
        ("89 05 48 65 6c 6c 6f", b"Hello", ["FIN, RSV, opcode", "MASK, length", "payload"]),
        (
            "82 7e 01 00" + " 00" * 256,
            bytes(256),
            ["FIN, RSV, opcode", "MASK, length", "extended length", "payload"],
        ),
        ("88 00", b"", ["FIN, RSV, opcode", "MASK, length"]),
    ],
)
def test_the_rfcs_own_frames(data: str, payload: bytes, labels: list[str]) -> None:
    """RFC 6455, section 5.7, and a close frame without a code."""
    frame = bytes.fromhex(data)
    spans = frame_spans(frame)
    assert parse_frame(frame)[1] == payload
    assert [span.label for span in spans] == labels
    assert covers(frame, spans)


@given(
    st.binary(max_size=300) | st.sampled_from([b"x" * size for size in (125, 126, 65535, 65536)]),
    st.booleans(),
)
def test_any_frame_is_covered_and_unmasked(payload: bytes, from_client: bool) -> None:
    """As wsproto writes it, whichever side writes."""
    frame = FrameProtocol(client=from_client, extensions=[]).send_data(payload)
    spans = frame_spans(frame)
    assert covers(frame, spans)
    assert parse_frame(frame)[1] == payload
    assert sum(span.end - span.start for span in spans if span.part == "payload") == len(payload)
    bits = "".join(bits.bits for span in spans[:2] for bits in span.bits)
    assert int(bits, 2).to_bytes(2, "big") == frame[:2]
    if from_client:
        key = next(frame[span.start : span.end] for span in spans if span.label == "masking key")
        assert unmask(frame[len(frame) - len(payload) :], key) == payload
    for cut in range(min(len(frame), 2)):
        assert frame_bounds(frame[:cut]) is None
    assert frame_bounds(b"before" + frame + b"more", 6) == (6 + len(frame) - len(payload), 6 + len(frame))


def test_the_unmasking_is_shown_and_right() -> None:
    """Each line: byte XOR key byte = plain byte."""
    [*_, payload] = frame_spans(bytes.fromhex("81 85 37 fa 21 3d 7f 9f 4d 51 58"))
    assert payload.work == (
        "7f XOR 37 = 48 = H",
        "9f XOR fa = 65 = e",
        "4d XOR 21 = 6c = l",
        "51 XOR 3d = 6c = l",
        "58 XOR 37 = 6f = o",
    )


def test_a_close_frame_tells_code_and_reason() -> None:
    """Masked too: the reason's arithmetic begins where the code's key byte left off."""
    frame = FrameProtocol(client=True, extensions=[]).close(CloseReason.GOING_AWAY, "bye")
    *_, code, reason = frame_spans(frame)
    assert (code.shows, reason.shows) == ("1001", "bye")
    assert reason.work[0].endswith("= b")


@pytest.mark.parametrize("data", ["81 05 48 65", "81 01 41 00", "83 01 41", "c1 01 41", "81 02 c3 28"])
def test_what_is_not_one_frame_is_refused(data: str) -> None:
    """Cut, followed by more, an unknown opcode, a reserved bit, not UTF-8."""
    with pytest.raises(ValueError, match="frame"):
        frame_spans(bytes.fromhex(data))


# --- HTTP ---


def test_a_request_is_covered() -> None:
    request = b"POST /x HTTP/1.1\r\nHost: h\r\nX-Odd:   spaced  \r\nContent-Length: 2\r\n\r\nhi"
    spans = request_spans(request)
    assert covers(request, spans)
    assert [span.label for span in spans] == [
        "method", "target", "version", "Host", "X-Odd", "Content-Length", "end of head", "body",
    ]  # fmt: skip
    assert all(span.why for span in spans)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("/streams/wire/sse", "Without a cursor the client joins"),
        ("/streams/wire/long-poll?after=k.1", "The cursor after `after=`"),
        ("/socket.io/?EIO=4&transport=polling", "The stream and the cursor come in a packet"),
    ],
)
def test_a_target_is_told_where_the_cursor_is(target: str, says: str) -> None:
    spans = request_spans(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    assert says in next(span.why for span in spans if span.label == "target")


ANSWERS = {
    "sized": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "without a reason": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi",
    "an empty reason": b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nhi",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3;x=y\r\nyou\r\n0\r\n\r\n",
    "no body": b"HTTP/1.1 204 No Content\r\n\r\n",
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_an_answer_is_covered_however_it_comes(name: str, at_once: int) -> None:
    """One byte at a time, a few, and all at once."""
    answer = answered(ANSWERS[name], at_once=at_once)
    assert answer.ended
    assert answer.data == ANSWERS[name]
    assert covers(answer.data, answer.spans())
    assert answer.body == {"chunked": b"hiyou", "no body": b""}.get(name, b"hi")


def test_an_unfinished_chunked_answer_is_covered() -> None:
    """Cut anywhere in its body: what has come is explained."""
    whole = ANSWERS["chunked"]
    for size in range(whole.index(b"\r\n\r\n") + 4, len(whole)):
        answer = answered(whole[:size])
        assert covers(whole[:size], answer.spans())


@pytest.mark.parametrize("at_once", [1, 1000])
def test_what_follows_101_is_not_http(at_once: int) -> None:
    """It is handed over, and is no part of the answer."""
    request = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    answer = Answer(request)
    rest = b""
    for at in range(0, len(head) + 3, at_once):
        piece = (head + b"\x81\x01A")[at : at + at_once]
        if answer.ended:
            rest += piece
        else:
            answer.feed(piece)
    assert answer.data == head
    assert answer.rest + rest == b"\x81\x01A"
    assert covers(head, answer.spans())


@pytest.mark.parametrize("data", [b"SSH-2.0\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_what_is_not_http_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not HTTP"):
        answered(data)
    with pytest.raises(ValueError, match="request"):
        request_spans(data)


# --- whole exchanges ---


@contextmanager
def counting(server: Server) -> Iterator[tuple[str, dict[str, int]]]:
    """A TCP relay before the server that counts each direction's bytes by itself."""
    counts = {"client": 0, "server": 0}
    lock = threading.Lock()
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def relay(source: socket.socket, target: socket.socket, side: str) -> None:
        while data := source.recv(65536):
            with lock:
                counts[side] += len(data)
            target.sendall(data)
        try:
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(server.address)
            for side, source, target in (("client", near, far), ("server", far, near)):
                threads.append(threading.Thread(target=relay, args=(source, target, side)))
                threads[-1].start()
            sockets.extend([near, far])

    sockets: list[socket.socket] = []
    accepting = threading.Thread(target=serve)
    accepting.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", counts
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for thread in threads:
            thread.join(10)
        for each in sockets:
            each.close()


@pytest.mark.parametrize("headers", HEADER_SETS)
@pytest.mark.parametrize("transport", KNOWN)
def test_sums_are_what_was_on_the_wire(any_server: Server, transport: str, headers: HeaderSet) -> None:
    """Counted by a relay between client and server, on both server models; every span list is whole."""
    with counting(any_server) as (url, counts):
        found = exchange(url, transport, headers)
    assert {side: sum(parts.values()) for side, parts in found.totals().items()} == counts
    for step in found.steps:
        assert covers(step.data, step.spans)
        assert sum(step.parts.values()) == len(step.data)
        assert all(span.why for span in step.spans)
    check_data(found.as_data())


def check_data(data: dict[str, object]) -> None:
    """Running totals rise to the whole, phases add up to it, and it can be told as JSON."""
    found = json.loads(json.dumps(data))
    assert found["steps"][-1]["totals"] == found["totals"]
    for side in ("client", "server"):
        for part in PARTS:
            phases = sum(phase[side][part] for phase in found["phases"].values())
            assert phases == found["totals"][side][part]
    for step in found["steps"]:
        assert len(bytes.fromhex(step["hex"])) == step["bytes"] == step["spans"][-1]["end"]


def test_a_websocket_exchange_verifies_and_decodes(any_server: Server) -> None:
    """Key and accept as they stand in the bytes; the frames' payloads; two bytes of header where short."""
    found = exchange(any_server.url, "websocket")
    request, answer, first, up, down, goodbye, farewell = (step.data for step in found.steps)
    assert found.accept is not None
    assert f"Sec-WebSocket-Key: {found.accept.key}\r\n".encode() in request
    assert f"Sec-WebSocket-Accept: {found.accept.accept}\r\n".encode() in answer
    assert found.accept_received == found.accept.accept
    assert found.steps[2].parts["framing"] == 2
    assert json.loads(parse_frame(first)[1])["notifications"] == []
    assert json.loads(parse_frame(up)[1]) == {"data": "hello"}
    assert json.loads(parse_frame(down)[1])["notifications"][0]["data"] == "hello"
    assert parse_frame(goodbye)[1] == parse_frame(farewell)[1] == (1000).to_bytes(2, "big")


@pytest.mark.parametrize("transport", KNOWN)
def test_what_is_delivered_is_the_batch_and_the_rest_is_its_price(server: Server, transport: str) -> None:
    """By every transport the payload is the same JSON: else one would look cheaper than another."""
    step = [step for step in exchange(server.url, transport).steps if step.phase == "deliver"][-1]
    payload = b"".join(step.data[span.start : span.end] for span in step.spans if span.part == "payload")
    assert json.loads(payload)["notifications"][0]["data"] == "hello"


def test_what_socket_io_adds_is_framing(server: Server) -> None:
    """A packet's type, an event's name and what stands between packets, masked or not."""
    found = exchange(server.url, "socketio")
    assert found.accept is not None
    assert found.accept.accept == found.accept_received
    connect = next(step for step in found.steps if step.title == "Join the stream")
    kind, carried = connect.spans[-2:]
    assert (kind.part, kind.shows, carried.shows) == ("framing", "40", '{"stream":"wire"}')
    assert unmask(
        connect.data[carried.start : carried.end], connect.data[2:6][2:] + connect.data[2:6][:2]
    ) == (carried.shows.encode())
    joined = next(step for step in exchange(server.url, "socketio-polling").steps if step.title == "Joined")
    parts = [(span.part, span.label) for span in joined.spans if span.part != "head"]
    assert parts == [
        ("framing", "connect"), ("payload", "body"), ("framing", "separator"),
        ("framing", "event"), ("payload", "body"), ("framing", "end of event"),
    ]  # fmt: skip


@pytest.mark.parametrize("transport", ["short-poll", "long-poll"])
def test_a_poll_pays_heads_for_what_a_frame_carries(server: Server, transport: str) -> None:
    """Delivering the same notification: two heads, or a few bytes of framing."""
    polled, framed = (exchange(server.url, name).totals("deliver") for name in (transport, "websocket"))
    assert polled["client"]["head"] > 40 < polled["server"]["head"]
    assert framed["client"] == {"head": 0, "framing": 0, "payload": 0}
    assert framed["server"]["head"] == 0
    assert 2 <= framed["server"]["framing"] <= 4


def test_a_long_poll_is_held_while_somebody_publishes(server: Server) -> None:
    """Its answer comes after the publication, to a request from before it."""
    steps = exchange(server.url, "long-poll").steps
    phases = [(step.phase, step.sender) for step in steps]
    assert phases[2:] == [
        ("deliver", "client"), ("publish", "client"), ("publish", "server"), ("deliver", "server"),
    ]  # fmt: skip
    assert steps[5].at_ms - steps[2].at_ms > 200


def test_the_articles_handshake_is_refused_and_why(any_server: Server) -> None:
    """Its five lines; a 4xx; both headers that lack, with the RFC's place; 101 once they are there."""
    found = printed(any_server.url)
    lines = found["printed"].steps[0].data.decode().split("\r\n")
    assert lines[0].startswith("GET ws://")
    assert [line.partition(":")[0] for line in lines[1:5]] == ["Origin", "Connection", "Host", "Upgrade"]
    assert lines[5:] == ["", ""]
    assert 400 <= status(found["printed"]) < 500
    assert status(found["completed"]) == 101
    told = printed_as_data(found)
    assert [missing["header"] for missing in told["missing"]] == [
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
    ]
    for missing in told["missing"]:
        assert "RFC 6455, section 4.2.1" in missing["server"]
        assert missing["header"] in found["completed"].steps[0].data.decode()


# --- transports that are not known, and servers that fail ---


@contextmanager
def scripted(answers: dict[bytes, bytes]) -> Iterator[str]:
    """A server that gives each method's requests one answer and keeps the connection open."""
    listener = socket.create_server(("127.0.0.1", 0))
    posted = threading.Event()
    open_: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            method = data.split(b" ")[0]
            connection.sendall(answers[method])
            if method == b"POST":
                posted.set()
            elif b"LATER" in answers and posted.wait(10):
                connection.sendall(answers[b"LATER"])

    def accept(threads: ThreadPoolExecutor) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            open_.append(connection)
            threads.submit(serve, connection)

    with ThreadPoolExecutor(8) as threads:
        threads.submit(accept, threads)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            for connection in open_:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                connection.close()


def steps_of(found: Exchange) -> list[tuple[str, str]]:
    return [(step.phase, step.sender) for step in found.steps]


def test_an_unknown_poll_is_shown_as_plain_http(server: Server) -> None:
    """Whatever answers with a batch is asked again with its cursor, here short poll by another name."""
    batch = b'{"notifications":[],"cursor":"a.0","missed":0}'
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(batch), batch)
    with scripted({b"GET": answer, b"POST": b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"}) as url:
        found = exchange(url, "brief-poll")
    assert steps_of(found) == [
        ("join", "client"), ("join", "server"), ("publish", "client"), ("publish", "server"),
        ("deliver", "client"), ("deliver", "server"),
    ]  # fmt: skip
    assert b"/brief-poll?after=a.0 " in found.steps[4].data
    assert "plain HTTP" in found.notes[0]
    [_, answer_step] = exchange(server.url, "nothing-like-it").steps
    assert answer_step.data.startswith(b"HTTP/1.1 404")
    assert covers(answer_step.data, answer_step.spans)


def test_a_streaming_transport_shows_what_came() -> None:
    """Chunks that come after the publication are in the answer, which does not end."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n: hi\n\r\n"
    created = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"
    with scripted({b"GET": head, b"POST": created, b"LATER": b"8\r\ndata: 1\n\r\n"}) as url:
        found = exchange(url, "carrier-pigeon")
    assert found.steps[-1].data == head + b"8\r\ndata: 1\n\r\n"
    assert found.steps[-1].parts["payload"] == 5 + 8
    assert "does not end" in found.notes[1]


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


@pytest.mark.parametrize(
    ("transport", "answer", "error"),
    [
        ("short-poll", OK + b"{}", BadAnswer),
        ("short-poll", b"SSH-2.0\r\n\r\n", BadAnswer),
        ("short-poll", b"HTTP/1.1 503 Full\r\nContent-Length: 0\r\n\r\n", Refused),
        ("websocket", OK + b"{}", Refused),
        (
            "websocket",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            BadAnswer,
        ),
    ],
)
def test_a_server_that_fails_is_told(transport: str, answer: bytes, error: type[Exception]) -> None:
    """No batch, no HTTP, full, no upgrade, the wrong accept value."""
    with scripted({b"GET": answer}) as url, pytest.raises(error):
        exchange(url, transport)


def test_no_server_is_told() -> None:
    with pytest.raises(ConnectionLost):
        exchange("http://127.0.0.1:9", "short-poll")


# --- the command ---


def wire(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.cli", "wire", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_fits_80_columns_and_is_plain(server: Server) -> None:
    """No colour where there is no terminal; the arithmetic, the bits, the price and the refusal are there."""
    for transport in KNOWN:
        browser = wire(transport, "--url", server.url, "--headers", "browser")
        assert max(len(line) for line in browser.stdout.splitlines()) <= 80
    result = wire("websocket", "--url", server.url)
    assert result.returncode == 0, result.stderr
    assert max(len(line) for line in result.stdout.splitlines()) <= 80
    assert "\x1b" not in result.stdout
    for told in (
        "(the same)", "masking key", " XOR ", "FIN: the message ends", "2 framing", "Refused with 426",
        "section 4.2.1", "answered 101",
    ):  # fmt: skip
        assert told in result.stdout, told


def test_the_command_starts_a_server_of_its_own_and_tells_json() -> None:
    result = wire("long-poll", "--headers", "browser", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["transport"] == "long-poll"
    assert set(found["delivered"]) == set(TRANSPORTS)
    assert found["as_printed"] is None
    check_data(found)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["carrier-pigeon"], 2, "short-poll, long-poll, sse, websocket"),
        (["websocket", "--url", "ftp://x"], 2, "http://HOST:PORT"),
        (["websocket", "--url", "http://127.0.0.1:9"], 1, "refused"),
    ],
)
def test_the_command_says_what_to_mend(arguments: list[str], code: int, told: str) -> None:
    result = wire(*arguments)
    assert result.returncode == code
    assert told in result.stderr
    assert "Traceback" not in result.stderr


# --- the page's data ---


@pytest.fixture(params=WITH_PAGES)
def classroom(request: pytest.FixtureRequest, demo: Callable[..., Server]) -> Server:
    """A server with the pages, in LAN mode: the strictest."""
    return demo("--lan", "--server-model", request.param)


def test_the_server_performs_exchanges_with_itself(classroom: Server) -> None:
    """Every transport, both header sets, and the printed handshake; what is unknown is refused by name."""
    for transport in KNOWN:
        for headers in HEADER_SETS:
            answer = ask(classroom, "GET", f"/wire/{transport}.json?headers={headers}")
            assert answer.status == 200, answer.body
            assert answer.json["transport"] == transport
            check_data(answer.json)
    assert ask(classroom, "GET", "/wire/as-printed.json").json["status"] == {"printed": 426, "completed": 101}
    assert ask(classroom, "GET", "/wire/fax.json").status == 404
    assert ask(classroom, "GET", "/wire/websocket.json?headers=many").status == 400


def test_a_class_that_looks_at_once_is_shown_one_exchange(classroom: Server) -> None:
    """Thirty at a time: one exchange, for all of them."""
    with ThreadPoolExecutor(30) as threads:
        answers = list(threads.map(lambda _: ask(classroom, "GET", "/wire/websocket.json"), range(30)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1


def test_a_foreign_host_header_leads_nowhere(classroom: Server) -> None:
    """The exchange goes where the request came in, whatever the request says."""
    answer = ask(classroom, "GET", "/wire/short-poll.json", headers={"Host": "192.0.2.1:9"})
    assert answer.status == 200
    first = bytes.fromhex(answer.json["steps"][0]["hex"]).decode()
    assert f"Host: 127.0.0.1:{classroom.address[1]}\r\n" in first


def test_only_this_machine_may_publish_what_the_page_shows() -> None:
    """In LAN mode: a peer with the address that it connected to; a student's publication is refused."""
    guard = Guard("secret", Addresses(()).client)
    with socket.create_server(("127.0.0.1", 0)) as own:
        here = {"gunicorn.socket": own, "REMOTE_ADDR": "127.0.0.1"}
        student = {"gunicorn.socket": own, "REMOTE_ADDR": "192.0.2.7"}
        guard.refuse_publish("wire", b'{"data":"hello"}', here)
        for stream, environ in (("wire", student), ("race", here)):
            with pytest.raises(CloseWith):
                guard.refuse_publish(stream, b'{"data":"hello"}', environ)
