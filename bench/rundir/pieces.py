"""The pieces of a run: the files of each finished trial, until they are joined to the run's own.

    pieces/00003.deliveries.parquet    and the other tables, of the trial whose `order` is 3
    pieces/00003.resources.jsonl       and its errors

Rules:
- run.json names the trials that are in the run. It is replaced after a trial's pieces are there, so each
  trial that it names has all of them; a piece of any other trial is a leftover, and nobody reads it.
- A run is joined when it ends. One whose harness was killed is read from its pieces, and can be joined
  later.
- Earlier versions wrote resources.jsonl and errors.jsonl as the trials ended: what no piece holds of a trial
  is taken from there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bench.rundir.schema import LINES, SCHEMAS
from bench.rundir.whole import write_bytes, write_whole

FOLDER = "pieces"


class MissingPiece(Exception):
    """A trial that run.json names has no such piece."""


def write(directory: Path, order: int, tables: dict[str, pa.Table], lines: dict[str, bytes]) -> None:
    """Write all pieces of one trial. Raises OSError; what is there of them by then is a leftover."""
    for name, table in tables.items():
        write_whole(_table_path(directory, order, name), partial(_write_table, table))
    for name, data in lines.items():
        write_bytes(_lines_path(directory, order, name), data)


def names(trials: list[dict[str, Any]]) -> list[str]:
    """The names of all pieces of these trials, within the run's directory."""
    here = Path()
    found = [_table_path(here, trial["order"], name) for trial in trials for name in SCHEMAS]
    found += [_lines_path(here, trial["order"], name) for trial in trials for name in LINES]
    return [path.as_posix() for path in found]


def tables(directory: Path, trials: list[dict[str, Any]], name: str) -> Iterator[pa.Table]:
    """One table of each of these trials. Raises MissingPiece, OSError or a pyarrow error."""
    for trial in trials:
        path = _table_path(directory, trial["order"], name)
        if not path.is_file():
            raise MissingPiece(f"of trial {trial['id']} {path.relative_to(directory)} is missing")
        yield read_table(path, SCHEMAS[name])


def lines(directory: Path, trials: list[dict[str, Any]], name: str) -> Iterator[str]:
    """The JSON lines of these trials, each with its end. Raises OSError or UnicodeDecodeError."""
    whole = _by_trial(directory / f"{name}.jsonl")
    for trial in trials:
        path = _lines_path(directory, trial["order"], name)
        if path.is_file():
            yield from _lines_of(path)
        else:
            yield from whole.get(str(trial["id"]), [])


def join(directory: Path, trials: list[dict[str, Any]]) -> None:
    """Write the run's own files from the pieces of these trials. Raises MissingPiece, OSError, a pyarrow
    error or UnicodeDecodeError."""
    for name, schema in SCHEMAS.items():

        def write_table(beside: Path, name: str = name, schema: pa.Schema = schema) -> None:
            with (
                beside.open("wb") as file,
                pq.ParquetWriter(file, schema, compression="zstd") as writer,
            ):
                for table in tables(directory, trials, name):
                    writer.write_table(table)

        write_whole(directory / f"{name}.parquet", write_table)
    for name in LINES:
        joined = "".join(lines(directory, trials, name))
        write_bytes(directory / f"{name}.jsonl", joined.encode("utf-8"))


def read_table(path: Path, schema: pa.Schema | None = None) -> pa.Table:
    """A Parquet file; pyarrow by itself opens no path whose bytes are no UTF-8. Raises OSError or a pyarrow
    error."""
    with path.open("rb") as file:
        return pq.read_table(file, schema=schema)


def _write_table(table: pa.Table, path: Path) -> None:
    with path.open("wb") as file:
        pq.write_table(table, file)


def _table_path(directory: Path, order: int, name: str) -> Path:
    return directory / FOLDER / f"{order:05}.{name}.parquet"


def _lines_path(directory: Path, order: int, name: str) -> Path:
    return directory / FOLDER / f"{order:05}.{name}.jsonl"


def _by_trial(path: Path) -> dict[str, list[str]]:
    """The lines of a file by their trial. The last may have been cut, and is left out then."""
    if not path.is_file():
        return {}
    found: dict[str, list[str]] = {}
    for line in _lines_of(path):
        try:
            found.setdefault(str(json.loads(line)["trial"]), []).append(line)
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _lines_of(path: Path) -> list[str]:
    """A text may hold line ends of Unicode's that are none of JSON lines, so only "\n" ends one."""
    return [line + "\n" for line in path.read_text(encoding="utf-8").split("\n") if line]
