"""Where the article's stack decides by itself, and differs from our servers: it is not asked these cases.

Rules:
- A case is named by its test and by a part of its parameters; all of a test's by an empty part. The reason
  says what it does instead. servers/node/README.md tells the same to who chooses between servers.
- No rule of the contract (names, cursors, bodies, close codes, limits of the logs) is to be found here.
"""

import pytest

PARSER = "Node's parser decides what is HTTP"
FRAMES = (
    "ws reads a length that is not written in the fewest bytes, and asks for what such a length announces"
)
UPGRADE = "Node takes a request with Upgrade off its HTTP connection, which ends with the answer"
CHUNK = "Node serves all requests that one read of 64 KiB brings before it looks at another connection"
HEAD = "Node bounds a head in all (32 KiB), not its fields, and a large chunked head in its own way"
IDLE = "an empty line before a request is nothing yet: the connection is idle"

NODE: list[tuple[str, str, str]] = [
    ("test_the_table", "2.3 a higher minor version", PARSER),
    ("test_the_table", "3 two spaces", PARSER),
    ("test_the_table", "3.1 an unknown method", PARSER),
    ("test_the_table", "3.2.1 an encoded letter", "express compares a route as it was sent"),
    ("test_the_table", "6.2 a body that is too large", PARSER),
    ("test_the_table", "7.1.1 extensions", PARSER),
    ("test_the_table", "9.3 Close in other letters", PARSER),
    ("test_the_table", "9.3 close in the name of another field", PARSER),
    ("test_the_table", "9.3 HTTP/1.0 with both", PARSER),
    ("test_the_table", "10.1.1 100-continue in HTTP/1.0", PARSER),
    ("test_head_is_get_without_the_body", "Upgrade: websocket", UPGRADE),
    ("test_frames", " in 16 bits", FRAMES),
    ("test_frames", " in 64 bits", FRAMES),
    ("test_frames", "the length's highest bit", FRAMES),
    ("test_frames", "all bits of the length", FRAMES),
    ("test_frames", "a fragment that cannot be saved any more", FRAMES),
    ("test_frames_in_pieces", "length 126 in 64 bits", FRAMES),
    ("test_who_pipelines_without_pause_takes_turns", "", CHUNK),
    ("test_heads_are_bounded_in_fields_and_in_all", "", HEAD),
    ("test_what_is_half_sent_is_cut_and_told", "", IDLE),
]


def is_left_out(item: pytest.Item) -> bool:
    """Whether this case is one of those, with the article's stack as the server."""
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return False
    if "node" not in item.callspec.params.values() and "node" not in item.callspec.id.split("-"):
        return False
    return any(item.originalname == test and part in item.callspec.id for test, part, _ in NODE)
