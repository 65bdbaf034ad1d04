"""What is refused before it is accepted costs less than what is accepted.

Costs are ratios: of the CPU that refusing takes to what reading a notification of the largest size takes.
"""

import json
import time
import tracemalloc

import pytest

from servers.drafts import MAX_NESTING, parse_draft
from servers.refusals import BadNotification, TooLarge
from servers.settings import MIB

LIMIT = 2 * MIB
LARGEST = '{"data":[' + "[]," * (LIMIT // 3) + "1]}"

DEEP = {
    "arrays": '{"data":' + "[" * 16_000_000,
    "objects": '{"data":' + '{"a":' * 3_300_000,
    "mixed": '{"data":' + '[{"":' * 3_300_000,
    "with spaces": '{"data":' + "[ \n" * 5_300_000,
    "with siblings": '{"data":' + "[[]," * 4_000_000,
    "with brackets in strings": '{"data":' + '["]]]]",' * 2_000_000,
    "far apart": '{"data":' + ("[" + " " * 10_000) * 1_600,
}
LARGE = {
    "shallow arrays": '{"data":[' + "[]," * 5_300_000 + "1]}",
    "objects": '{"data":[' + "{}," * 5_300_000 + "1]}",
    "numbers": '{"data":[' + "1e9," * 4_000_000 + "1]}",
    "quotes": '{"data":[' + '"",' * 5_300_000 + "1]}",
    "only quotes": '{"data":' + '"' * 16_000_000,
    "backslashes": '{"data":"' + "\\\\" * 8_000_000 + '"}',
    "the same member again": '{"data":{' + '"":1,' * 3_300_000 + '"a":1}}',
    "escapes": '{"data":"' + "\\u0041" * 2_700_000 + '"}',
    "a huge number": '{"data":' + "9" * 16_000_000 + "}",
}
ODD = {
    "a float of a million digits": '{"data":1.' + "3" * 1_000_000 + "}",
    "an integer of a million digits": '{"data":' + "9" * 1_000_000 + "}",
    "an exponent of a million digits": '{"data":1e' + "9" * 1_000_000 + "}",
    "1e5 at length": '{"data":1' + "0" * 1_000_000 + "e-999995}",
    "only spaces": '{"data":' + " " * 16_000_000 + "1}",
    "integers as long as may be": '{"data":[' + ("9" * 4300 + ",") * 480 + "1]}",
}


def seconds(text: str | bytes) -> float:
    """The CPU time that it takes to read or refuse this."""
    started = time.thread_time()
    try:
        parse_draft(text, LIMIT)
    except BadNotification:
        pass
    return time.thread_time() - started


@pytest.fixture(scope="module")
def largest_s() -> float:
    return seconds(LARGEST)


@pytest.mark.parametrize("kind", DEEP)
def test_too_deep_is_refused_at_its_level(kind: str, largest_s: float) -> None:
    for text in (DEEP[kind], DEEP[kind].encode()):
        with pytest.raises(BadNotification, match=f"deeper than {MAX_NESTING} levels"):
            parse_draft(text, LIMIT)
    assert seconds(DEEP[kind]) < largest_s


@pytest.mark.parametrize("kind", LARGE)
def test_too_large_is_refused_before_it_is_parsed(kind: str, largest_s: float) -> None:
    for text in (LARGE[kind], LARGE[kind].encode()):
        tracemalloc.start()
        with pytest.raises(TooLarge, match="max_notification_bytes"):
            parse_draft(text, LIMIT)
        assert tracemalloc.get_traced_memory()[1] < MIB
        tracemalloc.stop()
    assert seconds(LARGE[kind]) < largest_s


@pytest.mark.parametrize("kind", ODD)
def test_no_number_and_no_space_is_dear(kind: str, largest_s: float) -> None:
    assert seconds(ODD[kind]) < largest_s


@pytest.mark.parametrize("before", ["", '"' + "x" * 20_000 + '",', "[]," * 5_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_the_hundredth_level_is_accepted_and_the_next_is_not(before: str, opening: str, closing: str) -> None:
    """The body's own braces are the first, and a list with what comes before the second."""

    def nested(levels: int) -> str:
        inner = levels - 2
        return '{"data":[' + before + opening * inner + "1" + closing * inner + "]}"

    assert parse_draft(nested(MAX_NESTING), LIMIT).data
    with pytest.raises(BadNotification, match="nested"):
        parse_draft(nested(MAX_NESTING + 1), LIMIT)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"data": "é" * 900_000}),
        '{"data":"' + "\\u0041" * 2_000_000 + '"}',
        '{"data":"' + "\\/" * 2_000_000 + '"}',
        '{"data":[' + (" \n\t\r" * 3_000_000) + "1]}",
    ],
    ids=["what json.dumps escapes", "escapes", "slashes", "white space"],
)
def test_what_shrinks_is_judged_by_what_is_kept(text: str) -> None:
    """As sent each exceeds the bound by far."""
    assert len(text) > 1.9 * LIMIT
    assert len(parse_draft(text.encode(), LIMIT).data) <= LIMIT


@pytest.mark.parametrize("key", ["1", '""', "null", '"a b"', '"\\u00e9"', '["k"]', '"' + "x" * 65 + '"'])
def test_a_member_key_is_a_key(key: str) -> None:
    with pytest.raises(BadNotification, match="key must be"):
        parse_draft(f'{{"data":1,"key":{key}}}')
    assert parse_draft('{"data":1,"key":"\\u006b"}').key == "k"
