"""RFC 6455, sections 4 to 8, as a table: the rule, what is sent, and what must come back, on both models.

The Autobahn cases (`test_conformance.py`) try many inputs of the usual rules; here are the unusual forms.
"""

import base64
import hashlib

import pytest
from conftest import Server
from frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    Wire,
    close,
    connected,
    frame,
    head,
    masked,
)
from raw import KEY, ask

MAX = 16 << 20
Changed = dict[str, str | list[str] | None]

# Section, rule, fields that differ from a good handshake's, status.
HANDSHAKES: list[tuple[str, str, Changed, int]] = [
    ("4.1.5", "Upgrade in other case", {"Upgrade": "WebSocket"}, 101),
    ("4.2.1.3", "Upgrade is a list", {"Upgrade": "h2c, websocket"}, 101),
    ("4.2.1.3", "Upgrade is a list, the other way round", {"Upgrade": "WEBSOCKET,h2c"}, 101),
    ("4.2.1.3", "Upgrade is repeated", {"Upgrade": ["h2c", "websocket"]}, 101),
    ("4.2.1.3", "Upgrade has empty members", {"Upgrade": " , websocket ,"}, 101),
    ("4.2.1.3", "Upgrade names something else", {"Upgrade": "websocket2"}, 426),
    ("4.2.1.3", "Upgrade has it inside a word", {"Upgrade": "notwebsocket, h2c"}, 426),
    ("4.2.1.3", "no Upgrade", {"Upgrade": None}, 426),
    ("4.2.1.4", "Connection in other case", {"Connection": "UPGRADE"}, 101),
    ("4.2.1.4", "Connection is a list", {"Connection": "keep-alive, Upgrade"}, 101),
    ("4.2.1.4", "Connection is repeated", {"Connection": ["keep-alive", "upgrade"]}, 101),
    ("4.2.1.4", "Connection with tabs and empty members", {"Connection": "\t,keep-alive\t,\tupgrade,,"}, 101),
    ("4.2.1.4", "Connection does not say so", {"Connection": "keep-alive"}, 426),
    ("4.2.1.4", "Connection has it inside a word", {"Connection": "upgrades"}, 426),
    ("4.2.1.4", "no Connection", {"Connection": None}, 426),
    ("4.2.1.2", "no Host", {"Host": None}, 400),
    ("4.2.1.2", "two Hosts", {"Host": ["127.0.0.1", "127.0.0.1"]}, 400),
    ("4.2.1.5", "the key has blanks around", {"Sec-WebSocket-Key": f" \t{KEY}\t "}, 101),
    ("4.2.1.5", "no key", {"Sec-WebSocket-Key": None}, 400),
    ("4.2.1.5", "an empty key", {"Sec-WebSocket-Key": ""}, 400),
    ("4.2.1.5", "15 bytes", {"Sec-WebSocket-Key": base64.b64encode(bytes(15)).decode()}, 400),
    ("4.2.1.5", "17 bytes", {"Sec-WebSocket-Key": base64.b64encode(bytes(17)).decode()}, 400),
    ("4.2.1.5", "no base64", {"Sec-WebSocket-Key": "?GhlIHNhbXBsZSBub25jZQ=="}, 400),
    ("4.2.1.5", "a character too many inside", {"Sec-WebSocket-Key": "dGhlIHNhbXBs!ZSBub25jZQ=="}, 400),
    (
        "4.2.1.5",
        "base64 of URLs",
        {"Sec-WebSocket-Key": base64.urlsafe_b64encode(b"\xff" * 16).decode()},
        400,
    ),
    ("4.2.1.5", "no padding", {"Sec-WebSocket-Key": KEY.rstrip("=")}, 400),
    ("4.2.1.5", "in quotes", {"Sec-WebSocket-Key": f'"{KEY}"'}, 400),
    ("11.3.1", "the key twice", {"Sec-WebSocket-Key": [KEY, KEY]}, 400),
    ("4.2.1.6", "version 12", {"Sec-WebSocket-Version": "12"}, 426),
    ("4.4", "version 14", {"Sec-WebSocket-Version": "14"}, 426),
    ("4.4", "no version", {"Sec-WebSocket-Version": None}, 426),
    ("4.4", "an empty version", {"Sec-WebSocket-Version": ""}, 426),
    ("11.3.5", "version 013 is no number of its grammar", {"Sec-WebSocket-Version": "013"}, 426),
    ("11.3.5", "a list of versions", {"Sec-WebSocket-Version": "13, 8"}, 426),
    ("11.3.5", "the version twice", {"Sec-WebSocket-Version": ["13", "13"]}, 426),
    ("4.2.1.7", "the own Origin", {"Origin": "http://127.0.0.1"}, 101),
    ("4.2.2.1", "a foreign Origin", {"Origin": "http://example.org"}, 403),
    ("4.2.2.1", "the Origin of a sandbox", {"Origin": "null"}, 403),
    ("4.2.1.8", "a subprotocol is not answered", {"Sec-WebSocket-Protocol": "chat, superchat"}, 101),
    (
        "4.2.1.9",
        "an unknown extension is not answered",
        {"Sec-WebSocket-Extensions": 'foo; bar="b\\a-z", x'},
        101,
    ),
    ("9.1", "extensions in two fields", {"Sec-WebSocket-Extensions": ["foo", "bar; baz=2"]}, 101),
    ("9.1", "an extension without a name", {"Sec-WebSocket-Extensions": "foo, ; bar"}, 400),
    ("9.1", "a parameter without a name", {"Sec-WebSocket-Extensions": "foo; =1"}, 400),
    ("9.1", "a parameter without its value", {"Sec-WebSocket-Extensions": "foo; bar="}, 400),
    ("9.1", "a quoted value that is no token", {"Sec-WebSocket-Extensions": 'foo; bar="a b"'}, 400),
    ("9.1", "quotes without end", {"Sec-WebSocket-Extensions": 'foo; bar="a'}, 400),
    ("9.1", "nothing between", {"Sec-WebSocket-Extensions": "foo bar"}, 400),
]


@pytest.mark.parametrize(
    ("section", "rule", "changed", "status"), HANDSHAKES, ids=[row[1] for row in HANDSHAKES]
)
@pytest.mark.parametrize("path", ["/echo", "/streams/rfc6455/websocket"])
def test_handshakes(
    wire_server: Server, path: str, section: str, rule: str, changed: Changed, status: int
) -> None:
    wire = Wire(wire_server)
    with wire.socket:
        wire.send(head(path, changed))
        found, fields = wire.answer_head()
        assert found == status, (section, rule)
        if status == 101:
            accept = hashlib.sha1((KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
            assert fields["sec-websocket-accept"] == base64.b64encode(accept).decode()
            assert (fields["upgrade"].lower(), fields["connection"].lower()) == ("websocket", "upgrade")
            assert not fields.keys() & {"sec-websocket-protocol", "sec-websocket-extensions"}
        else:
            assert fields["content-type"] == "application/problem+json"
        if status == 426:
            # RFC 9110, sections 7.8 and 15.5.22; RFC 6455, section 4.4.
            assert fields["upgrade"] == "websocket"
            assert "upgrade" in fields["connection"].lower()
            assert fields["sec-websocket-version"] == "13"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/echo", 426),
        ("HEAD", "/streams/rfc6455/websocket", 426),
        ("HEAD", "/welcome/websocket", 426),
        ("POST", "/echo", 200),
        ("POST", "/streams/rfc6455/websocket", 405),
        ("PUT", "/streams/rfc6455/websocket", 405),
        # RFC 9110, section 7.8: a server may go on as if Upgrade were not there.
        ("GET", "/streams/rfc6455/short-poll", 200),
        ("GET", "/healthz", 200),
        ("HEAD", "/healthz", 200),
        ("GET", "/nowhere", 404),
    ],
)
def test_only_get_and_only_a_websockets_path_is_upgraded(
    wire_server: Server, method: str, path: str, status: int
) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    }
    answer = ask(wire_server, method, path, headers=headers)
    assert answer.status == status
    if method == "HEAD":
        assert answer.body == b""


def test_http_1_0_is_not_upgraded(wire_server: Server) -> None:
    wire = Wire(wire_server)
    with wire.socket:
        wire.send(head("/echo", line="GET /echo HTTP/1.0"))
        assert wire.answer_head()[0] == 400


def echoed(text: bytes) -> Frame:
    return Frame(TEXT, text)


def closed(code: int) -> Frame:
    """What a close frame must begin with; the reason is free."""
    return Frame(CLOSE, code.to_bytes(2, "big"))


HELLO = frame(TEXT, b"hello")
EURO = "€𝄞".encode()

# Section, rule, bytes sent after the handshake, frames that come back; the last closes the connection.
FRAMES: list[tuple[str, str, bytes, list[Frame]]] = [
    ("5.1", "unmasked text", b"\x81\x05hello", [closed(1002)]),
    ("5.1", "unmasked ping", b"\x89\x00", [closed(1002)]),
    ("5.1", "unmasked close", b"\x88\x02\x03\xe8", [closed(1002)]),
    ("5.1", "unmasked after masked", HELLO + b"\x81\x01x", [echoed(b"hello"), closed(1002)]),
    *[("5.2", f"reserved bits {rsv:03b}", frame(TEXT, b"x", rsv=rsv), [closed(1002)]) for rsv in range(1, 8)],
    ("5.2", "a reserved bit on a ping", frame(PING, rsv=4), [closed(1002)]),
    ("5.2", "a reserved bit on a close", frame(CLOSE, rsv=1), [closed(1002)]),
    (
        "5.2",
        "a reserved bit on a continuation",
        frame(TEXT, b"x", fin=False) + frame(CONTINUATION, rsv=4),
        [closed(1002)],
    ),
    *[
        ("5.2", f"opcode {each}", frame(each, b"x"), [closed(1002)])
        for each in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    ],
    *[
        (
            "5.2",
            f"length {size}",
            frame(BINARY, bytes(size)) + close(1000),
            [Frame(BINARY, bytes(size)), closed(1000)],
        )
        for size in (0, 1, 125, 126, 127, 65535, 65536)
    ],
    *[
        (
            "5.2",
            f"length {size} in 16 bits",
            frame(TEXT, b"x" * size, length=b"\x7e\x00%c" % size),
            [closed(1002)],
        )
        for size in (0, 1, 125)
    ],
    *[
        (
            "5.2",
            f"length {size} in 64 bits",
            frame(TEXT, b"x" * size, length=b"\x7f" + size.to_bytes(8, "big")),
            [closed(1002)],
        )
        for size in (0, 125, 126, 65535)
    ],
    ("5.2", "the length's highest bit", frame(TEXT, b"x", length=b"\x7f\x80" + bytes(7)), [closed(1002)]),
    ("5.2", "all bits of the length", frame(TEXT, b"x", length=b"\x7f" + b"\xff" * 8), [closed(1002)]),
    ("5.2", "2^63 - 1 bytes", frame(TEXT, b"x", length=b"\x7f\x7f" + b"\xff" * 7), [closed(1009)]),
    ("5.3", "a mask of zeros", b"\x81\x82\x00\x00\x00\x00hi" + close(1000), [echoed(b"hi"), closed(1000)]),
    (
        "5.3",
        "a mask that makes the payload another's close",
        b"\x81\x84"
        + MAX.to_bytes(4, "big")
        + masked(b"\x88\x00\x88\x00".hex().encode()[:4], MAX.to_bytes(4, "big"))
        + close(1000),
        [echoed(b"8800"), closed(1000)],
    ),
    (
        "5.4",
        "fragments, empty ones among them",
        frame(TEXT, fin=False)
        + frame(CONTINUATION, b"he", fin=False)
        + frame(CONTINUATION, fin=False)
        + frame(CONTINUATION, b"llo")
        + close(1000),
        [echoed(b"hello"), closed(1000)],
    ),
    (
        "5.4",
        "a message of empty fragments",
        frame(BINARY, fin=False) + frame(CONTINUATION) + close(1000),
        [Frame(BINARY, b""), closed(1000)],
    ),
    (
        "5.4",
        "a ping and a pong between fragments",
        frame(TEXT, b"hel", fin=False)
        + frame(PING, b"p")
        + frame(PONG, b"q")
        + frame(CONTINUATION, b"lo")
        + close(1000),
        [Frame(PONG, b"p"), echoed(b"hello"), closed(1000)],
    ),
    ("5.4", "a close between fragments", frame(TEXT, b"hel", fin=False) + close(1000), [closed(1000)]),
    ("5.4", "a continuation of nothing", frame(CONTINUATION, b"x"), [closed(1002)]),
    ("5.4", "a continuation of nothing that goes on", frame(CONTINUATION, b"x", fin=False), [closed(1002)]),
    (
        "5.4",
        "a continuation after the end",
        HELLO + frame(CONTINUATION, b"x"),
        [echoed(b"hello"), closed(1002)],
    ),
    *[
        (
            "5.4",
            f"a message within one, {opcode} in {other}",
            frame(other, b"x", fin=False) + frame(opcode, b"y"),
            [closed(1002)],
        )
        for opcode in (TEXT, BINARY)
        for other in (TEXT, BINARY)
    ],
    *[
        ("5.5", f"control {each} in fragments", frame(each, fin=False), [closed(1002)])
        for each in (CLOSE, PING, PONG)
    ],
    *[
        ("5.5", f"control {each} of 126 bytes", frame(each, bytes(126)), [closed(1002)])
        for each in (CLOSE, PING, PONG)
    ],
    ("5.5", "a control frame's length in 64 bits", frame(PING, length=b"\x7f" + bytes(8)), [closed(1002)]),
    ("5.5.1", "close without a code", close(), [Frame(CLOSE, b"")]),
    ("5.5.1", "close of one byte", frame(CLOSE, b"\x03"), [closed(1002)]),
    ("5.5.1", "a reason of 123 bytes", close(1000, b"r" * 123), [closed(1000)]),
    ("5.5.1", "a reason that is not UTF-8", close(1000, b"\xff"), [closed(1007)]),
    ("5.5.1", "a reason that is cut in a character", close(1000, EURO[:2]), [closed(1007)]),
    ("5.5.1", "a reason of surrogates", close(1000, b"\xed\xa0\x80"), [closed(1007)]),
    ("5.5.1", "what follows a close is not looked at", close(1000) + HELLO + b"\xff\xff", [closed(1000)]),
    ("5.5.1", "two closes are answered once", close(1000) + close(1001), [closed(1000)]),
    ("5.5.2", "an empty ping", frame(PING) + close(1000), [Frame(PONG, b""), closed(1000)]),
    (
        "5.5.2",
        "125 bytes of anything",
        frame(PING, b"\xff\x00" * 62 + b"\x80") + close(1000),
        [Frame(PONG, b"\xff\x00" * 62 + b"\x80"), closed(1000)],
    ),
    (
        "5.5.3",
        "a pong that nobody asked for",
        frame(PONG, b"x") + HELLO + close(1000),
        [echoed(b"hello"), closed(1000)],
    ),
    (
        "5.6",
        "binary that is not UTF-8",
        frame(BINARY, b"\xff\xfe") + close(1000),
        [Frame(BINARY, b"\xff\xfe"), closed(1000)],
    ),
    (
        "5.7",
        "the RFC's own example",
        bytes.fromhex("818537fa213d7f9f4d5158") + close(1000),
        [echoed(b"Hello"), closed(1000)],
    ),
    *[
        ("7.4", f"code {code} is answered alike", close(code, b"bye"), [closed(code)])
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    ],
    *[
        ("7.4", f"code {code} is none", close(code, b"bye"), [closed(1002)])
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    ],
    *[
        ("8.1", f"not UTF-8: {text.hex()}", frame(TEXT, text), [closed(1007)])
        for text in (
            b"\x80",
            b"\xc0\xaf",
            b"\xc3",
            b"\xe0\x80\x80",
            b"\xed\xa0\x80",
            b"\xed\xb0\x80",
            b"\xef\xbf",
            b"\xf0\x80\x80\x80",
            b"\xf4\x90\x80\x80",
            b"\xf8\x88\x80\x80\x80",
            b"ok\xff",
            b"\xce\xba\xe1\xbd\xb9\xcf\x83\xf4",
        )
    ],
    *[
        (
            "8.1",
            f"a character in two fragments, after {at} bytes",
            frame(TEXT, EURO[:at], fin=False) + frame(CONTINUATION, EURO[at:]) + close(1000),
            [echoed(EURO), closed(1000)],
        )
        for at in range(len(EURO) + 1)
    ],
    (
        "8.1",
        "a character in three, with a ping inside",
        frame(TEXT, b"\xf0", fin=False)
        + frame(CONTINUATION, b"\x9d\x84", fin=False)
        + frame(PING)
        + frame(CONTINUATION, b"\x9e")
        + close(1000),
        [Frame(PONG, b""), echoed("𝄞".encode()), closed(1000)],
    ),
    (
        "8.1",
        "wrong across two fragments",
        frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION, b"\x28"),
        [closed(1007)],
    ),
    ("8.1", "a fragment that cannot be saved any more", frame(TEXT, b"\xf4\x90", fin=False), [closed(1007)]),
    (
        "8.1",
        "the last fragment ends inside",
        frame(TEXT, b"\xe2", fin=False) + frame(CONTINUATION, b"\x82"),
        [closed(1007)],
    ),
    (
        "8.1",
        "a text in two frames is not two texts",
        frame(TEXT, b"\xe2", fin=False) + frame(TEXT, b"\x82\xac"),
        [closed(1002)],
    ),
]


def check(wire: Wire, expected: list[Frame]) -> None:
    """These frames come, and the connection ends."""
    *found, last = wire.frames()
    assert found == expected[:-1]
    assert last.opcode == CLOSE
    assert last.payload[:2] == expected[-1].payload
    last.payload[2:].decode()


@pytest.mark.parametrize(("section", "rule", "sent", "expected"), FRAMES, ids=[row[1] for row in FRAMES])
def test_frames(wire_server: Server, section: str, rule: str, sent: bytes, expected: list[Frame]) -> None:
    with connected(wire_server, "/echo") as wire:
        wire.send(sent)
        check(wire, expected)


@pytest.mark.parametrize("row", range(0, len(FRAMES), 9), ids=lambda row: FRAMES[row][1])
def test_frames_in_pieces(wire_server: Server, row: int) -> None:
    """A segment's bounds mean nothing (section 5.4 has fragments, TCP has not)."""
    _, _, sent, expected = FRAMES[row]
    with connected(wire_server, "/echo") as wire:
        for at in range(0, len(sent), max(1, len(sent) // 50)):
            wire.send(sent[at : at + max(1, len(sent) // 50)])
        check(wire, expected)


@pytest.mark.parametrize("sent", [frame(PING, b"1") + frame(PING, b"2"), frame(PING, b"1") + HELLO])
def test_nothing_is_answered_after_the_close(wire_server: Server, sent: bytes) -> None:
    """Section 5.5.1: after a close frame no more data are sent."""
    with connected(wire_server, "/echo") as wire:
        wire.send(close(1000) + sent)
        check(wire, [closed(1000)])


@pytest.mark.parametrize("early", [HELLO, HELLO + frame(TEXT, b"two", fin=False), HELLO[:3]])
def test_what_comes_with_the_handshake_is_not_lost(wire_server: Server, early: bytes) -> None:
    """Section 4.1 has clients wait. Who does not is served, or refused, but never half heard."""
    rest = (HELLO + frame(TEXT, b"two", fin=False))[len(early) :] if len(early) != len(HELLO) else b""
    wire = Wire(wire_server)
    with wire.socket:
        wire.send(head("/echo") + early)
        assert wire.answer_head()[0] == 101
        wire.send(rest)
        assert wire.frame() == echoed(b"hello")
        wire.send(close(1000))
        check(wire, [closed(1000)])
