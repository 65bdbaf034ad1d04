"""One value of a scenario's file, checked against the type of the field that it is for.

Rules:
- The field's annotation alone says what is allowed. msgspec checks it, and the sentence about a wrong value
  is made from the same annotation: the key, what is allowed there, what was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect

from bench.errors import ScenarioError
from bench.words import one_line

MOST_LETTERS = 100
"""Of a wrong value that is told."""


def checked(key: str, kind: Any, value: Any, where: str = "") -> Any:
    """The value as `kind`, the annotation of its field, keeps it; None if the file has none. Raises
    ScenarioError."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.ValidationError, OverflowError):
        named = f"{where}: {key}" if where else key
        given = "" if value is None else f", not {shown(value)}"
        raise ScenarioError(f"{named} must be {_allowed(inspect.type_info(kind))}{given}") from None


def one_of(key: str, allowed: Mapping[str, Any] | tuple[str, ...], value: Any, where: str) -> str:
    """The value, if it is one of these names. Raises ScenarioError."""
    if not isinstance(value, str) or value not in allowed:
        raise ScenarioError(f"{where}: {key} must be one of {', '.join(allowed)}, not {shown(value)}")
    return value


def refuse_unknown(table: Mapping[str, Any], known: set[str], where: str) -> None:
    """Raise ScenarioError if the table has a key that is not known."""
    unknown = sorted(set(table) - known)
    if unknown:
        raise ScenarioError(
            f"{where}: there is no key {shown(unknown[0])}: known are {', '.join(sorted(known))}"
        )


def _allowed(kind: inspect.Type) -> str:
    """What a type allows, in words."""
    match kind:
        case inspect.Metadata(type=inner):
            return _allowed(inner)
        case inspect.UnionType(types=(inner, inspect.NoneType())):
            return _allowed(inner)
        case inspect.LiteralType(values=values):
            return f"one of {', '.join(map(str, values))}"
        case inspect.VarTupleType(item_type=inspect.LiteralType(values=values)):
            return f"a list of any of {', '.join(map(str, values))}"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case inspect.FloatType(ge=low, le=high):
            return f"a number from {low:g} to {high:g}"
    return "a text that is not empty"


def shown(value: Any) -> str:
    """A value as a sentence may tell it: in one line, and no longer than a line, whatever it is."""
    try:
        text = str(value) if isinstance(value, Exception) else repr(value)
    except (ValueError, RecursionError):
        return "a number of thousands of digits, or something nested as deep"
    return one_line(text, MOST_LETTERS)
