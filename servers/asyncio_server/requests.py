"""Requests' heads (RFC 9112, sections 2 to 6), whole ones: strict, and each part that repeats read once.

Rules:
1. What is not HTTP/1 by the letter is refused: requests that two readers could take for different ones
   (section 11.2) are not guessed at.
2. Clients send the same fields again and again, and all who wait at a cursor ask with the same line: what was
   read of either is remembered by its bytes.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from servers.rules.bodies import SHORT_BYTES
from servers.rules.handshake import members, wants_websocket
from servers.rules.heads import LINE_TOO_LARGE, MAX_FIELD_BYTES, MAX_FIELDS, TOO_LARGE
from servers.rules.hosts import Hosts, absolute_host
from servers.rules.problems import Problem

LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Z]+) ([\x21-\x7e]+) HTTP/1\.([0-9])")
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
NOT_IN_A_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")
SINGLE = ("host", "content-length")
REMEMBERED = 4096
REMEMBERED_BYTES = 1024
# More is too large for whoever takes a body.
MOST_DIGITS = 18


class BadHead(Exception):
    """The request cannot be read, and nothing behind it can be found."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Line(NamedTuple):
    """A request's first line."""

    method: str
    target: str
    path: str
    arguments: dict[str, list[str]]
    minor: int
    """Of the version: HTTP/1.minor."""


class Fields(NamedTuple):
    """A request's fields, by their names in lower case; what is sent twice is one list."""

    named: dict[str, str]
    length: int
    """0 if there is no body, or if it is chunked."""
    is_chunked: bool
    expects_continue: bool
    options: frozenset[str]
    """The members of Connection."""
    asks_for_websocket: bool
    """If its method is GET."""


def read_line(line: bytes) -> Line:
    """Raises BadHead."""
    return _line_once(line) if len(line) <= REMEMBERED_BYTES else _read_line(line)


def read_fields(block: bytes) -> Fields:
    """Lines that each end with CRLF. Raises BadHead."""
    return _fields_once(block) if len(block) <= REMEMBERED_BYTES else _read_fields(block)


def _read_line(line: bytes) -> Line:
    if len(line) > MAX_FIELD_BYTES:
        raise BadHead(414, LINE_TOO_LARGE)
    match = LINE.fullmatch(line)
    if not match:
        raise BadHead(400, "The first line is not that of a request of HTTP/1.1 (RFC 9112, section 3).")
    method, target = match[1].decode(), match[2].decode()
    if target[0] == "/":
        path, _, query = target.partition("?")
    elif ABSOLUTE.match(target):
        try:
            parts = urlsplit(target)
        except ValueError:
            raise BadHead(400, "The target is no URI (RFC 9112, section 3.2.2).") from None
        path, query = parts.path or "/", parts.query
    elif target == "*" and method == "OPTIONS":
        path = query = ""
    else:
        raise BadHead(400, "The target is no path and no URI of HTTP (RFC 9112, section 3.2).")
    arguments = parse_qs(query, keep_blank_values=True) if query else {}
    return Line(method, target, unquote(path), arguments, int(match[3]))


def _read_fields(block: bytes) -> Fields:
    lines = block.split(b"\r\n")
    if len(lines) - 1 > MAX_FIELDS:
        raise BadHead(431, TOO_LARGE)
    return _understood(read_field(line) for line in lines[:-1])


def fields_of(pairs: tuple[tuple[bytes, bytes], ...], size: int) -> Fields:
    """The same of fields that somebody else has read, names in lower case, `size` bytes. Raises BadHead."""
    return _pairs_once(pairs) if size <= REMEMBERED_BYTES else _read_pairs(pairs)


def _read_pairs(pairs: tuple[tuple[bytes, bytes], ...]) -> Fields:
    return _understood((name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs)


def _understood(pairs: Iterable[tuple[str, str]]) -> Fields:
    named: dict[str, str] = {}
    for name, value in pairs:
        if name not in named:
            named[name] = value
        elif name in SINGLE:
            raise BadHead(400, f"{name.title()} is given twice (RFC 9112, sections 3.2 and 6.3).")
        else:
            named[name] += f",{value}"
    length, is_chunked = _framing(named)
    expected = named.get("expect")
    if expected is not None and expected.lower() != "100-continue":
        raise BadHead(417, "100-continue is all that may be expected here (RFC 9110, section 10.1.1).")
    connection = named.get("connection", "")
    return Fields(
        named,
        length,
        is_chunked,
        expected is not None,
        frozenset(members(connection)),
        wants_websocket("GET", named.get("upgrade", ""), connection),
    )


_line_once = lru_cache(maxsize=REMEMBERED)(_read_line)
_fields_once = lru_cache(maxsize=REMEMBERED)(_read_fields)
_pairs_once = lru_cache(maxsize=REMEMBERED)(_read_pairs)


def read_field(line: bytes) -> tuple[str, str]:
    """A field's name in lower case, and its value (section 5). Raises BadHead."""
    if len(line) > MAX_FIELD_BYTES:
        raise BadHead(431, TOO_LARGE)
    name, colon, value = line.partition(b":")
    value = value.strip(b" \t")
    if not colon or not TOKEN.fullmatch(name) or NOT_IN_A_VALUE.search(value):
        raise BadHead(400, "A field is not a name, a colon and a value (RFC 9112, section 5).")
    return name.decode().lower(), value.decode("latin-1")


def _framing(named: dict[str, str]) -> tuple[int, bool]:
    """A body's length, or that it is chunked (section 6)."""
    codings = named.get("transfer-encoding")
    told = named.get("content-length")
    if codings is None:
        if told is None:
            return 0, False
        if not (told.isascii() and told.isdigit()):
            raise BadHead(400, "Content-Length is no number (RFC 9112, section 6.3).")
        digits = told.lstrip("0")
        return (int(digits or "0") if len(digits) <= MOST_DIGITS else 10**MOST_DIGITS), False
    if told is not None:
        raise BadHead(400, "Transfer-Encoding and Content-Length do not go together (RFC 9112, section 6.1).")
    given = members(codings)
    if given == ["chunked"]:
        return 0, True
    if given.count("chunked") > 1:
        raise BadHead(400, "A body is chunked once at the most (RFC 9112, section 6.1).")
    raise BadHead(501, "chunked is the only transfer coding that is undone here (RFC 9112, section 6.1).")


class Request:
    """One request, but for its body."""

    __slots__ = ("asks_for", "closes", "fields", "handler", "host", "is_plain", "is_read", "line", "name")

    def __init__(self, line: Line, fields: Fields) -> None:
        self.line = line
        self.fields = fields
        if line.minor == 0 and fields.is_chunked:
            raise BadHead(400, "HTTP/1.0 knows no Transfer-Encoding (RFC 9112, section 6.1).")
        options = fields.options
        # Section 9.3: `close` counts wherever it stands in the list.
        self.closes = "close" in options or (line.minor == 0 and "keep-alive" not in options)
        self.host = fields.named.get("host")
        self.name = ""
        """The stream's, where the route has one."""
        self.is_read = False
        """Whether somebody reads its body."""
        self.is_plain = line.method == "GET" and not self.closes and not self.has_body
        """Whether its answer is like all others': kept alive, with a body, and nothing to be read before."""
        self.handler: Any = None
        """Who answers all plain requests of these bytes."""
        self.asks_for: Any = None
        """What that one has read from its arguments."""

    @property
    def has_body(self) -> bool:
        return self.fields.length > 0 or self.fields.is_chunked

    @property
    def expects_continue(self) -> bool:
        """Whether the peer holds its body back until it is asked for."""
        return self.fields.expects_continue and self.line.minor > 0 and self.has_body

    @property
    def leaves_body(self) -> bool:
        """Whether the connection has to end for a body that nobody has read."""
        if not self.has_body or self.is_read:
            return False
        return self.fields.is_chunked or self.fields.length > SHORT_BYTES or self.expects_continue

    def field(self, name: str) -> str | None:
        """A field's value by its name in lower case; Host is that of an absolute target."""
        return self.host if name == "host" else self.fields.named.get(name)


def misdirected(request: Request, hosts: Hosts, bound: str) -> Problem | None:
    """What is wrong with a request's target and host; `bound` is the address that the server listens on."""
    line = request.line
    target = line.target
    if target[0] != "/" and target != "*":
        host = absolute_host(target)
        if isinstance(host, Problem):
            return host
        if request.host is not None:
            request.host = host
    return hosts.refusal(target, line.path, request.host, line.minor > 0, bound)
