"""RFC 9112, sections 2 to 9, and what RFC 9110 says of it, as a table: what is sent and what must come back.

Each case has a connection of its own, where `AGAIN` is sent behind it: its answer shows whether the
connection was kept and whether the next request was found where it begins.
"""

import socket
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

import pytest
from conftest import Server
from raw import refused_upgrade

TIMEOUT_S = 20.0
AGAIN = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
KEPT = "kept"
CLOSED = "closed"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /echo HTTP/1.1\r\nHost: localhost\r\n"


@dataclass(frozen=True)
class Case:
    """One rule, in one form."""

    section: str
    form: str
    sent: bytes
    statuses: tuple[int, ...] = (200,)
    """Any of these is right."""
    then: str = KEPT
    has: bytes = b""
    """What the answer holds."""


def ok(section: str, form: str, sent: bytes, then: str = KEPT, has: bytes = b"") -> Case:
    return Case(section, form, sent, (200,), then, has)


def bad(section: str, form: str, sent: bytes, *statuses: int) -> Case:
    """Refused, and nothing behind it is taken for a request."""
    return Case(section, form, sent, statuses or (400,), CLOSED, b"application/problem+json")


def to(target: bytes, method: bytes = b"GET") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % (method, target)


def encoded(coding: bytes, body: bytes = b"0\r\n\r\n") -> bytes:
    return POST + b"Transfer-Encoding: %b\r\n\r\n%b" % (coding, body)


def sized(length: bytes, body: bytes = b"abc") -> bytes:
    return POST + b"Content-Length: %b\r\n\r\n%b" % (length, body)


def asks(connection: bytes, version: bytes = b"1.1") -> bytes:
    return GET.replace(b"1.1", version) + b"Connection: %b\r\n\r\n" % connection


def chunked(body: bytes, more: bytes = b"") -> bytes:
    return POST + b"Transfer-Encoding: chunked\r\n" + more + b"\r\n" + body


CASES = [
    ok("2.2", "an empty line before the request", b"\r\n" + GET + b"\r\n"),
    bad("2.2", "bare LF after the request line", b"GET /healthz HTTP/1.1\nHost: localhost\r\n\r\n"),
    bad("2.2", "bare LF after a field", b"GET /healthz HTTP/1.1\r\nHost: localhost\nA: b\r\n\r\n"),
    bad("2.2", "bare LF at the end", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\n"),
    bad("2.2", "bare CR in a field", GET + b"A: b\rc\r\n\r\n"),
    bad("2.2", "white space before the first field", b"GET /healthz HTTP/1.1\r\n Host: localhost\r\n\r\n"),
    bad("2.2", "not HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 60 + b"\r\n\r\n"),
    ok("2.3", "a higher minor version", GET.replace(b"1.1", b"1.9") + b"\r\n", has=b"HTTP/1.1 200"),
    bad("2.3", "a major version that is not spoken", GET.replace(b"1.1", b"2.0") + b"\r\n", 400, 505),
    bad("2.3", "an old major version", GET.replace(b"1.1", b"0.9") + b"\r\n", 400, 505),
    bad("2.3", "a version in lower case", GET.replace(b"HTTP", b"http") + b"\r\n"),
    bad("2.3", "a version of two digits", GET.replace(b"1.1", b"1.10") + b"\r\n"),
    bad("2.3", "no version", b"GET /healthz\r\nHost: localhost\r\n\r\n"),
    bad("3", "two spaces", b"GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    bad("3", "a space in the target", b"GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    bad("3", "a control character in the target", to(b"/\x01")),
    bad("3.1", "a method in lower case", b"get /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, 501),
    Case("3.1", "an unknown method", to(b"/healthz", b"BREW"), (405, 501), has=b"Allow: "),
    Case("3.1", "a method of another route", to(b"/healthz", b"DELETE"), (405,), has=b"Allow: "),
    ok("3.1", "OPTIONS", to(b"/healthz", b"OPTIONS"), has=b"Allow: "),
    Case("3.2", "no Host", b"GET /healthz HTTP/1.1\r\n\r\n", (400,)),
    bad("3.2", "two Hosts", GET + b"Host: evil.example\r\n\r\n"),
    bad("3.2", "the same Host twice", GET + b"hOST: localhost\r\n\r\n"),
    Case("3.2", "a list of Hosts", b"GET /healthz HTTP/1.1\r\nHost: localhost, a\r\n\r\n", (400,)),
    Case("3.2", "an empty Host", b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", (400,)),
    ok("3.2", "no Host in HTTP/1.0", b"GET /healthz HTTP/1.0\r\n\r\n", CLOSED),
    ok("3.2.1", "an encoded letter", to(b"/%68ealthz")),
    ok("3.2.1", "an empty query", to(b"/healthz?")),
    Case("3.2.1", "a fragment", to(b"/healthz#a"), (400,)),
    Case("3.2.1", "two slashes inside", to(b"/streams//main/stats"), (404,)),
    Case("3.2.1", "two slashes in front", to(b"//healthz"), (404,)),
    Case("3.2.1", "a slash behind", to(b"/healthz/"), (404,)),
    Case("3.2.1", "an encoded slash", to(b"/streams%2Fmain"), (404,)),
    Case("3.2.1", "dots", to(b"/streams/../healthz"), (404,)),
    ok("3.2.2", "an absolute target", to(b"http://localhost/healthz")),
    ok("3.2.2", "in upper case", to(b"HTTP://LOCALHOST:80/healthz")),
    ok(
        "3.2.2",
        "another Host, which is ignored",
        to(b"http://localhost/healthz").replace(b": localhost", b": a.b"),
    ),
    Case("3.2.2", "a foreign target", to(b"http://a.b/healthz"), (421,)),
    Case("3.2.2", "another scheme", to(b"https://localhost/"), (400, 421)),
    Case("3.2.2", "a user", to(b"http://u@localhost/"), (400,)),
    Case("3.2.2", "no Host beside it", b"GET http://localhost/healthz HTTP/1.1\r\n\r\n", (400,)),
    bad("3.2.3", "an authority", to(b"localhost:80")),
    Case(
        "3.2.3",
        "CONNECT",
        b"CONNECT a.b:80 HTTP/1.1\r\nHost: a.b:80\r\n\r\n",
        (400, 404, 405, 421, 501),
        CLOSED,
    ),
    Case("3.2.4", "an asterisk", to(b"*", b"OPTIONS"), (200, 204), has=b"Allow: "),
    bad("3.2.4", "an asterisk with GET", to(b"*")),
    bad("5", "a field without a colon", GET + b"nonsense\r\n\r\n"),
    bad("5", "a field without a name", GET + b": x\r\n\r\n"),
    bad("5", "a name that is no token", GET + b"a(b): x\r\n\r\n"),
    bad("5.1", "a space before the colon", GET + b"A : b\r\n\r\n"),
    bad("5.1", "a space before Content-Length's colon", POST + b"Content-Length : 3\r\n\r\nabc"),
    ok("5.1", "white space around a value", GET + b"A:\t b \t\r\n\r\n"),
    ok("5.1", "an empty value", GET + b"A:\r\n\r\n"),
    ok("5.1", "bytes beyond ASCII in a value", GET + b"A: \xe9\xff\r\n\r\n"),
    bad("5.1", "NUL in a value", GET + b"A: b\x00c\r\n\r\n"),
    bad("5.2", "a folded field", GET + b"A: b\r\n c\r\n\r\n"),
    bad("5.2", "a folded Transfer-Encoding", POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    ok("6.1", "Chunked in other letters", POST + b"transfer-ENCODING: Chunked\r\n\r\n0\r\n\r\n"),
    bad("6.1", "chunked twice", encoded(b"chunked, chunked")),
    bad("6.1", "chunked in two fields", chunked(b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\n")),
    bad("6.1", "an unknown coding", encoded(b"xchunked"), 501, 400),
    bad("6.1", "a coding that is not undone", encoded(b"gzip, chunked"), 501),
    bad(
        "6.1",
        "a coding in a field of its own",
        chunked(b"0\r\n\r\n", b"Transfer-Encoding: deflate\r\n"),
        501,
        400,
    ),
    bad(
        "6.1",
        "chunked is not the last",
        encoded(b"chunked, gzip"),
        400,
        501,
    ),
    bad("6.1", "identity", encoded(b"identity", b""), 400, 501),
    bad("6.1", "with Content-Length", chunked(b"0\r\n\r\n", b"Content-Length: 3\r\n")),
    bad(
        "6.1",
        "Content-Length first",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    bad("6.1", "in HTTP/1.0", chunked(b"0\r\n\r\n").replace(b"1.1", b"1.0")),
    ok("6.2", "a length", sized(b"3"), has=b"abc"),
    ok("6.2", "a length with zeros", sized(b"0003"), has=b"abc"),
    ok("6.2", "a body that is not wanted", GET + b"Content-Length: 3\r\n\r\nabc"),
    Case(
        "6.2",
        "a body that is too large",
        sized(b"99999999999999999999", b""),
        (413,),
        CLOSED,
    ),
    bad("6.2", "two lengths", POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    bad("6.2", "the same length twice", POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    bad("6.2", "a list of lengths", sized(b"3, 3")),
    bad("6.2", "a sign", sized(b"+3")),
    bad("6.2", "less than nothing", sized(b"-3")),
    bad("6.2", "hexadecimal", sized(b"0x3")),
    bad("6.2", "a digit beyond ASCII", POST + b"Content-Length: \xb2\r\n\r\nabc"),
    bad("6.2", "an empty length", POST + b"Content-Length:\r\n\r\nabc"),
    bad(
        "6.2",
        "more digits than a number may have",
        POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        400,
        413,
    ),
    ok("6.3", "no length is no body", POST + b"\r\n"),
    ok("7.1", "chunks", chunked(b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), has=b"abc"),
    ok(
        "7.1",
        "sizes in other letters, with zeros",
        chunked(b"000B\r\nabcdefghijk\r\n00\r\n\r\n"),
        has=b"abcdefghijk",
    ),
    ok(
        "7.1",
        "chunks that are not wanted",
        GET + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        "either",
    ),
    bad("7.1", "a size that is none", chunked(b"g\r\na\r\n0\r\n\r\n")),
    bad("7.1", "a size with 0x", chunked(b"0x1\r\na\r\n0\r\n\r\n")),
    bad("7.1", "a size with a sign", chunked(b"+1\r\na\r\n0\r\n\r\n")),
    bad("7.1", "no size", chunked(b"\r\na\r\n0\r\n\r\n")),
    bad("7.1", "white space before a size", chunked(b" 1\r\na\r\n0\r\n\r\n")),
    bad("7.1", "white space behind a size", chunked(b"1 \r\na\r\n0\r\n\r\n")),
    bad("7.1", "bare LF behind a size", chunked(b"1\na\r\n0\r\n\r\n")),
    bad("7.1", "a chunk that is longer than said", chunked(b"1\r\nab\r\n0\r\n\r\n")),
    bad("7.1", "bare LF behind a chunk", chunked(b"1\r\na\n0\r\n\r\n")),
    bad("7.1", "a size beyond all bounds", chunked(b"f" * 17 + b"\r\na\r\n0\r\n\r\n"), 400, 413),
    ok("7.1.1", "extensions", chunked(b'1;a=b ; c = "d;\\"e";f\r\na\r\n0;g\r\n\r\n'), has=b"a"),
    bad("7.1.1", "an extension that is none", chunked(b"1;a=b c\r\na\r\n0\r\n\r\n")),
    bad("7.1.1", "bare CR in an extension", chunked(b"1;a\rb\r\na\r\n0\r\n\r\n")),
    bad("7.1.1", "an extension without end", chunked(b"1;" + b"a" * 40_000 + b"\r\na\r\n0\r\n\r\n")),
    ok("7.1.2", "trailers", chunked(b"1\r\na\r\n0\r\nA: b\r\nC: d\r\n\r\n"), has=b"a"),
    bad("7.1.2", "a trailer that frames", chunked(b"1\r\na\r\n0\r\nContent-Length: 5\r\n\r\n")),
    bad("7.1.2", "a trailer with bare LF", chunked(b"1\r\na\r\n0\r\nA: b\n\r\n\r\n")),
    ok("9.3", "nothing is said", GET + b"\r\n"),
    ok("9.3", "close", asks(b"close"), CLOSED, b"Connection: close"),
    ok("9.3", "Close in other letters", GET + b"connection:  CLOSE\t\r\n\r\n", CLOSED, b"Connection: close"),
    ok("9.3", "close in a list", asks(b"a, close"), CLOSED, b"Connection: close"),
    ok("9.3", "close first in a list", GET + b"Connection: close ,\tkeep-alive\r\n\r\n", CLOSED),
    ok(
        "9.3", "close in a second field", GET + b"Connection: keep-alive\r\nConnection: close\r\n\r\n", CLOSED
    ),
    ok("9.3", "close in part of a word", asks(b"closed, x-close")),
    ok("9.3", "close in the name of another field", GET + b"Proxy-Connection: close\r\n\r\n"),
    ok("9.3", "HTTP/1.0", GET.replace(b"1.1", b"1.0") + b"\r\n", CLOSED, b"Connection: close"),
    ok("9.3", "HTTP/1.0 that goes on", asks(b"a, Keep-Alive", b"1.0")),
    ok(
        "9.3",
        "HTTP/1.0 with both",
        asks(b"keep-alive, close", b"1.0"),
        CLOSED,
    ),
    ok("9.6", "what follows close is not served", asks(b"close") + GET + b"\r\n", CLOSED),
    ok(
        "10.1.1",
        "100-continue in HTTP/1.0",
        POST.replace(b"1.1", b"1.0") + b"Expect: 100-continue\r\n\r\n",
        CLOSED,
    ),
    bad("10.1.1", "another expectation", GET + b"Expect: x\r\n\r\n", 417),
]


def answers(received: bytes, methods: Iterable[str] = ()) -> list[tuple[int, bytes, bytes]]:
    """The status, head and body of each answer; those to HEAD have none."""
    asked = list(methods)
    found = []
    while received:
        head, end, received = received.partition(b"\r\n\r\n")
        assert end, head
        lines = head.split(b"\r\n")
        version, status = lines[0].split(b" ")[:2]
        assert version == b"HTTP/1.1", lines[0]
        fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])
        }
        assert b"transfer-encoding" not in fields
        length = int(fields.get(b"content-length", b"0"))
        if asked and asked.pop(0) == "HEAD":
            length = 0
        found.append((int(status), head, received[:length]))
        received = received[length:]
    return found


def exchange(server: Server, sent: bytes) -> bytes:
    """All that comes back until the server closes."""
    received = b""
    with closing(socket.create_connection(server.address, timeout=TIMEOUT_S)) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(65536):
            received += piece
    return received


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.section} {case.form}")
def test_the_table(wire_server: Server, case: Case) -> None:
    came = answers(exchange(wire_server, case.sent + AGAIN))
    status, head, body = came[0]
    assert status in case.statuses, head
    assert case.has in head + b"\r\n" + body
    if status >= 400:
        assert b"application/problem+json" in head
    if case.then != "either":
        assert [each[0] for each in came[1:]] == ([200] if case.then == KEPT else []), came
    assert b"Traceback" not in wire_server.log.read_bytes()


GET_ROUTES = [
    "/streams/main/short-poll",
    "/streams/main/long-poll?wait=0",
    "/streams/main/websocket",
    "/streams/main/stats",
    "/echo",
    "/welcome/websocket",
    "/healthz",
    "/nothing/here",
]


@pytest.mark.parametrize("path", GET_ROUTES)
@pytest.mark.parametrize("more", [b"", b"Upgrade: websocket\r\nConnection: Upgrade\r\n"])
def test_head_is_get_without_the_body(wire_server: Server, path: str, more: bytes) -> None:
    """RFC 9110, section 9.3.2; also where GET would be upgraded."""
    exchange(wire_server, b"GET /streams/main/short-poll HTTP/1.1\r\nHost: localhost\r\n\r\n")
    rest = b" %b HTTP/1.1\r\nHost: localhost\r\n" % path.encode()
    sent = b"HEAD" + rest + more + b"\r\n" + b"GET" + rest + b"\r\n" + AGAIN
    head, get, again = answers(exchange(wire_server, sent), ["HEAD", "GET", "GET"])
    assert (head[0], head[2]) == (get[0], b"")
    assert again[0] == 200

    def fields(answer: bytes) -> set[bytes]:
        return {line for line in answer.split(b"\r\n")[1:] if not line.startswith(b"Date:")}

    assert fields(head[1]) == fields(get[1])


@pytest.mark.parametrize("path", ["/streams/main/sse", *GET_ROUTES])
def test_other_methods_are_told_which_there_are(wire_server: Server, path: str) -> None:
    for method in (b"PUT", b"PATCH", b"PROPFIND"):
        sent = b"%b %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % (method, path.partition("?")[0].encode())
        [(status, head, _), again] = answers(exchange(wire_server, sent + AGAIN))
        assert again[0] == 200
        if status != 404:
            assert (status, b"Allow: " in head) == (405, True)


def test_pipelined_requests_are_answered_in_their_order(wire_server: Server) -> None:
    """RFC 9112, section 9.3.2."""
    sent = b"".join(
        POST + b"Content-Length: 3\r\n\r\n%03d" % number
        if number % 2
        else chunked(b"3\r\n%03d\r\n0\r\n\r\n" % number)
        for number in range(100)
    )
    came = answers(exchange(wire_server, sent + AGAIN))
    assert [body for _, _, body in came] == [*(b"%03d" % number for number in range(100)), b"ok\n"]


@pytest.mark.parametrize("expects", [b"100-continue", b"100-Continue"])
def test_a_body_is_asked_for_when_it_is_wanted(wire_server: Server, expects: bytes) -> None:
    """RFC 9110, section 10.1.1."""
    with closing(socket.create_connection(wire_server.address, timeout=TIMEOUT_S)) as connection:
        connection.sendall(POST + b"Content-Length: 3\r\nExpect: %b\r\n\r\n" % expects)
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc" + AGAIN)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert [body for _, _, body in answers(received)] == [b"abc", b"ok\n"]


@pytest.mark.parametrize(
    ("target", "length", "status"),
    [
        (b"/echo", 1 << 30, 413),
        (b"/streams/main/notifications", 3, 415),
        (b"/nothing", 3, 404),
    ],
)
def test_a_body_that_is_refused_by_its_head_is_not_asked_for(
    wire_server: Server, target: bytes, length: int, status: int
) -> None:
    sent = b"POST %b HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    [(answered, head, _)] = answers(exchange(wire_server, sent % (target, length)))
    assert (answered, b"Connection: close" in head) == (status, True)


@pytest.mark.parametrize("query", ["after=a.1&after=a.1", "wait=1&wait=1", "wait=0&after=a.1&after="])
def test_what_is_asked_twice_is_refused(wire_server: Server, query: str) -> None:
    [(status, head, _)] = answers(
        exchange(wire_server, b"GET /streams/main/long-poll?%b HTTP/1.0\r\n\r\n" % query.encode())
    )
    assert (status, b"application/problem+json" in head) == (400, True)


@pytest.mark.parametrize("name", ["%6Dain", "m%61in", "%6d%61%69%6e"])
def test_encoded_letters_name_the_same_stream(wire_server: Server, name: str) -> None:
    sent = b"GET /streams/%b/short-poll HTTP/1.0\r\n\r\n"
    [plain] = answers(exchange(wire_server, sent % b"main"))
    [encoded] = answers(exchange(wire_server, sent % name.encode()))
    assert plain[2] == encoded[2]


@pytest.mark.parametrize("name", ["%00", "%ff", "%zz", "a%20b", "%41", "a%2fb", "%E2%82%AC", "x" * 65])
def test_names_that_are_none_stay_so_encoded(wire_server: Server, name: str) -> None:
    [(status, _, _)] = answers(
        exchange(wire_server, b"GET /streams/%b/short-poll HTTP/1.0\r\n\r\n" % name.encode())
    )
    assert status in (400, 404)


def test_an_upgrade_where_there_is_none_is_answered_as_it_is(wire_server: Server) -> None:
    """RFC 9110, section 7.8."""
    assert refused_upgrade(wire_server, "/healthz").status == 200


@pytest.mark.parametrize("before", [b"", GET + b"\r\n", sized(b"3")])
def test_what_is_no_request_is_told_so_whatever_came_before(wire_server: Server, before: bytes) -> None:
    came = answers(exchange(wire_server, before + b"nonsense\r\n\r\n" + AGAIN))
    assert [status for status, _, _ in came] == [200] * bool(before) + [400]
