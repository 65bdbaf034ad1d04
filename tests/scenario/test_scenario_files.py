"""Scenario files of every kind: each is read, or refused in one sentence that names what is wrong."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.errors import ScenarioError
from bench.scenario.parse import load, parse, shipped

WHOLE = """name = "tiny"
question = "How late – in µs?"
prediction = "p"
expected_length = "s"
[[cells]]
transport = "websocket"
subscribers = 10
publish_rate = 20
"""


def refused(act: Callable[[], Any]) -> str:
    """The sentence of the refusal: one line, and not a page of it."""
    with pytest.raises(ScenarioError) as caught:
        act()
    told = str(caught.value)
    assert "\n" not in told
    assert len(told) < 800
    return told


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf_8_is_read_with_a_mark_and_without(tmp_path: Path, encoding: str) -> None:
    """Some editors begin a file with a byte order mark."""
    path = tmp_path / "mine.toml"
    path.write_text(WHOLE, encoding=encoding, newline="\r\n")
    assert load(str(path)).question == "How late – in µs?"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (WHOLE.encode("utf-16"), "is in UTF-16: save it as UTF-8"),
        (WHOLE.encode("utf-16-be"), "is in UTF-16 or UTF-32: save it as UTF-8"),
        (WHOLE.encode("utf-32"), "is in UTF-32: save it as UTF-8"),
        (WHOLE.replace("–", "-").encode("latin-1"), "is not UTF-8 (byte 0xb5 in line 2): save it as UTF-8"),
        (WHOLE.encode("cp1252"), "is not UTF-8 (byte 0x96 in line 2): save it as UTF-8"),
        (b"a = 1\n" * 200_000, "is larger than 1,048,576 bytes"),
        (b"\x1f\x8b\x08\x00rest", "is in UTF-16 or UTF-32"),
        (b"a = \x01", "this is not TOML"),
    ],
)
def test_another_encoding_is_named(tmp_path: Path, data: bytes, says: str) -> None:
    """And so is a file that is no scenario at all."""
    path = tmp_path / "mine.toml"
    path.write_bytes(data)
    assert says in refused(lambda: load(str(path)))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    """A directory, a pipe that nobody writes, a device that never ends, a link to itself, a long name."""
    (tmp_path / "directory.toml").mkdir()
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "device.toml").symlink_to("/dev/zero")
    for name in ("directory", "pipe", "device"):
        assert "is not a regular file" in refused(lambda name=name: load(str(tmp_path / f"{name}.toml")))
    (tmp_path / "loop.toml").symlink_to(tmp_path / "loop.toml")
    assert "cannot be read (Too many levels" in refused(lambda: load(str(tmp_path / "loop.toml")))
    for missing in ("missing.toml", "x" * 5000 + ".toml", "\udcff.toml"):
        assert ", ".join(shipped()) in " ".join(refused(lambda missing=missing: load(missing)[:1]).split())


NUMBERS = ("1e400", "-1e400", "nan", "1" + "0" * 30, "-1" + "0" * 30, "1" + "0" * 5000, "0x" + "f" * 20_000)


@pytest.mark.parametrize("number", NUMBERS, ids=[number[:9] for number in NUMBERS])
def test_numbers_beyond_all_bounds_are_refused_by_name(number: str) -> None:
    """In every factor, in a list too, and at the top level."""
    too_long = len(number) == 5001
    for key in ("subscribers", "publish_rate", "payload_bytes", "poll_interval_s", "wait_s", "window_s"):
        for value in (number, f"[1, {number}]"):
            lines = [line for line in WHOLE.splitlines() if not line.startswith(f"{key} =")]
            told = refused(
                lambda lines=lines, key=key, value=value: parse("\n".join([*lines, f"{key} = {value}"]))
            )
            assert ("this is not TOML" if too_long else f"{key} must be") in told
    for key in ("seed", "repeats", "p99_budget_ms"):
        told = refused(lambda key=key: parse(f"{key} = {number}\n{WHOLE}"))
        assert ("this is not TOML" if too_long else f"{key} must be") in told


@pytest.mark.parametrize(
    "deep",
    ["a = " + "[" * 100_000, "a = " + "{a=" * 3000 + "1" + "}" * 3000, "a = " + "[" * 9000 + "]" * 9000],
)
def test_what_is_nested_too_deep_is_refused(deep: str) -> None:
    """Lists and tables."""
    assert "nested deeper than a scenario can be" in refused(lambda: parse(deep))


@pytest.mark.parametrize(
    "lists",
    [
        {"payload_bytes": 3000, "window_s": 3000},
        {"poll_interval_s": 5000, "settle_s": 5},
        dict.fromkeys(("payload_bytes", "window_s", "settle_s", "wait_s", "poll_interval_s"), 1000),
    ],
)
def test_a_grid_that_is_too_large_is_refused_before_it_is_built(lists: dict[str, int]) -> None:
    """At once, whatever its size; lists in [defaults] and in several groups count together."""
    begun_s = time.process_time()
    group = "".join(f"{key} = {[1] * length}\n" for key, length in lists.items())
    assert "combinations, and 20,000 is the most" in refused(lambda: parse(WHOLE + group))
    defaults = WHOLE.replace("[[cells]]", f"[defaults]\n{group}[[cells]]")
    assert "combinations" in refused(lambda: parse(defaults))
    assert time.process_time() - begun_s < 5
    cells = WHOLE[WHOLE.index("[[cells]]") :] + f"poll_interval_s = {[1] * 9000}\n"
    assert "27,000 combinations" in refused(
        lambda: parse(WHOLE.split("[[cells]]", maxsplit=1)[0] + 3 * cells)
    )
