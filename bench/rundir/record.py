"""Read what a run says in JSON: run.json, and the rows of its JSON lines.

Rules:
- Whatever the file is and whatever stands in it: it is read, or refused in one sentence
  (`RunDirectoryError`).
- Texts come out printable (`bench.words.printable`): nobody downstream meets a control character.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from bench.errors import RunDirectoryError
from bench.rundir.form import wrong
from bench.rundir.migrate import migrate
from bench.rundir.schema import SCHEMA
from bench.scenario.files import Unreadable, read_text
from bench.scenario.settings import SETTINGS
from bench.words import one_line, printable

MOST_BYTES = 1 << 28
"""Of a run.json; one of thousands of trials has some ten million."""


def read_record(path: Path) -> dict[str, Any]:
    """The run.json of a run directory, as the newest schema has it. Raises `RunDirectoryError`."""
    try:
        there = stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        there = False
    except (OSError, ValueError) as error:
        raise RunDirectoryError(f"{path} cannot be read ({short(error)}): give a run directory") from None
    source = path / "run.json"
    if not there or not os.path.lexists(source):
        what = "holds" if there else "is not a directory and holds"
        raise RunDirectoryError(
            f"{path} {what} no run.json: give a run directory, as `wirelab bench` writes it"
        )
    try:
        run: Any = clean(json.loads(read_text(source, MOST_BYTES)))
    except Unreadable as error:
        raise RunDirectoryError(f"{source} {error}; the run did not end, or was damaged") from None
    except (ValueError, RecursionError) as error:
        raise RunDirectoryError(
            f"{source} cannot be read ({short(error)}): the run did not end, or was damaged"
        ) from error
    if not isinstance(run, dict) or type(run.get("schema")) is not int or run["schema"] < 1:
        raise RunDirectoryError(f"{source} names no schema version: it was not written by wirelab")
    if run["schema"] > SCHEMA:
        raise RunDirectoryError(
            f"{source} has schema {short(run['schema'])}, and this wirelab reads up to {SCHEMA}: use a "
            "newer wirelab"
        )
    trials = run.get("trials")
    if not isinstance(trials, list) or not all(isinstance(trial, dict) and "id" in trial for trial in trials):
        raise RunDirectoryError(f"{source} has no list of trials with ids: it was not written by wirelab")
    try:
        run = migrate(run)
        for trial in run["trials"]:
            if missing := [name for name in (*SETTINGS, "unreported") if name not in trial]:
                raise RunDirectoryError(
                    f"{source}: trial {trial['id']} does not name {missing[0]}: it was not written by wirelab"
                )
        found = wrong(run)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        found = f"{type(error).__name__}: {short(error)}"
    if found:
        raise RunDirectoryError(f"{source} is not as wirelab writes it ({found}): it was damaged or changed")
    return cast("dict[str, Any]", run)


def clean(value: Any) -> Any:
    """What was read as JSON, its texts printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(key): clean(inner) for key, inner in value.items()}
    return [clean(inner) for inner in value] if isinstance(value, list) else value


def rows_of(path: Path, lines: Iterator[str]) -> list[dict[str, Any]]:
    """JSON lines as rows."""
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = clean(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise RunDirectoryError(
                f"{path}, line {number}, is not JSON ({short(error)}): mend or delete that line"
            ) from error
        if not isinstance(row, dict):
            raise RunDirectoryError(f"{path}, line {number}, is no JSON object: mend or delete that line")
        rows.append(row)
    return rows


def short(error: object) -> str:
    """An error in one line, without the many lines that some libraries add."""
    try:
        return one_line(str(getattr(error, "strerror", None) or error))
    except ValueError:
        # An integer of thousands of digits.
        return "a number beyond all bounds"
