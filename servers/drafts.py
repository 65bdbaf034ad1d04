"""What a publisher sends, before it is accepted: read from JSON, checked, and encoded once for every reader.

Rules:
1. What cannot be encoded for every reader is refused: NaN, Infinity (also as 1e400), lone surrogates,
   nesting deeper than `MAX_NESTING`.
2. Refusing costs less than accepting. Depth is looked for in the first `PREFIX` characters, then the size is
   looked at, and only then is the JSON parsed; the parser itself gives up on what is nested deeper still.
3. White space and escapes may make JSON up to eight times as long as what is kept, so the size is judged by
   the least that the text can become. Members that are given twice, and digits beyond those that a float can
   hold, are not searched for: they count in full.
"""

import json
import re
from typing import Any, NamedTuple

from servers.refusals import BadNotification, TooLarge

MAX_NESTING = 100
MAX_DUE_US = 1 << 53
ENVELOPE_BYTES = 1024
PREFIX = 8 * 1024

KEY = re.compile(r"[!-~]{1,64}")
KEY_RULE = "1 to 64 visible ASCII characters (0x21 to 0x7E)"
MEMBERS = ("data", "due_us", "key")
# A string without end runs to the text's end, or each quote in it would be looked at as a beginning.
BRACKET_OR_STRING = re.compile(r'[\[{\]}]|"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
SHRINKING = (("\\u", 5), ("\\/", 1), (" ", 1), ("\t", 1), ("\r", 1), ("\n", 1))
"""What may take less room as encoded, and how many characters less at the most."""


class Draft(NamedTuple):
    """A notification before it is accepted: its data, encoded, and when it was due, if said.

    `source_length` is that of the JSON it came in: 1e15 takes four characters there and eighteen encoded.
    `key` names this one act of publishing: sent again, it adds nothing.
    """

    data: bytes
    due_us: int | None
    source_length: int
    key: str | None = None


def parse_draft(body: bytes | str, max_bytes: int | None = None) -> Draft:
    """Read `{"data":…,"due_us":…,"key":…}`, JSON in UTF-8; all but `data` may be left out.

    Raises BadNotification if it is not that, and TooLarge if it takes more than `max_bytes` however it is
    encoded.
    """
    prefix = body[:PREFIX] if isinstance(body, str) else body[:PREFIX].decode("latin-1")
    if prefix.count("[") + prefix.count("{") > MAX_NESTING:
        _refuse_deep_text(prefix)
    if max_bytes is not None:
        _refuse_large_text(body, max_bytes)
    try:
        text = body if isinstance(body, str) else body.decode()
    except UnicodeDecodeError:
        raise BadNotification("The body is not UTF-8; send JSON in UTF-8.") from None
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise _nested_too_deep() from None
    except ValueError as error:
        raise BadNotification(f"The body is not JSON: {error}.") from None
    if not isinstance(value, dict) or "data" not in value:
        raise BadNotification('The body must be a JSON object with a "data" member.')
    unknown = sorted(value.keys() - set(MEMBERS))
    if unknown:
        raise BadNotification(
            f"Unknown member {unknown[0][:40]!a}; a notification has only {', '.join(MEMBERS)}."
        )
    due_us = value.get("due_us")
    if "due_us" in value and (type(due_us) is not int or not 0 <= due_us < MAX_DUE_US):
        raise BadNotification("due_us must be an integer, 0 <= due_us < 2^53, in microseconds of Unix time.")
    key = value.get("key")
    if "key" in value and not is_key(key):
        raise BadNotification(f"key must be a string of {KEY_RULE}.")
    if text.count("[") + text.count("{") > MAX_NESTING:
        _refuse_deep_value(value)
    try:
        data = json.dumps(value["data"], ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return Draft(data.encode(), due_us, len(body), key)
    except UnicodeEncodeError:
        raise BadNotification("The data holds a lone surrogate, which UTF-8 cannot encode.") from None
    except ValueError:
        raise BadNotification("A number in the data is too large: it would be read as infinite.") from None


def is_key(key: Any) -> bool:
    """Whether this may name an act of publishing."""
    return isinstance(key, str) and KEY.fullmatch(key) is not None


def _refuse_constant(name: str) -> Any:
    raise BadNotification(f"The body is not JSON: {name} is not a JSON number.")


def _nested_too_deep() -> BadNotification:
    return BadNotification(f"The JSON is nested deeper than {MAX_NESTING} levels; flatten it.")


def _refuse_deep_text(text: str) -> None:
    """Raises BadNotification at the first bracket, outside strings, that opens a level too many."""
    depth = 0
    for token in BRACKET_OR_STRING.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth > MAX_NESTING:
                raise _nested_too_deep()
        elif token[0] in "]}":
            depth -= 1


def _refuse_deep_value(value: Any) -> None:
    """The same for what has been parsed: level by level, which is cheaper than the parsing was."""
    level = [value]
    for _ in range(MAX_NESTING):
        level = [
            child
            for parent in level
            for child in (parent.values() if type(parent) is dict else parent)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    raise _nested_too_deep()


def _refuse_large_text(body: bytes | str, max_bytes: int) -> None:
    """Raises TooLarge if the notification exceeds `max_bytes` even where all that can shrink does.

    Half of `max_bytes` always fits as it was sent (`Stream.publish`), and the envelope is allowed for.
    """
    least = len(body) - ENVELOPE_BYTES
    if least <= max_bytes:
        return
    for text, saved in SHRINKING:
        count = body.count(text) if isinstance(body, str) else body.count(text.encode())
        least -= saved * count
    if least > max_bytes:
        raise TooLarge(
            f"The notification takes {least} bytes at the least, white space and escapes apart; "
            f"max_notification_bytes is {max_bytes}."
        )
