"""A run whose harness was killed: read from its pieces, and put together later."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pytest
from conftest import wirelab
from synthetic_run import cell, change_run, write_run

import bench
from bench.errors import RunDirectoryError
from bench.rundir import pieces
from bench.rundir.folder import Folder, is_written
from bench.rundir.schema import LINES, SCHEMAS
from bench.rundir.writer import finish_later


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A synthetic run of four trials, in pieces."""
    run = write_run(
        tmp_path / "run", [cell("websocket", subscribers=2), cell("short-poll", subscribers=2)], repeats=2
    )
    tables = {name: pieces.read_table(run / f"{name}.parquet") for name in SCHEMAS}
    lines = {name: (run / f"{name}.jsonl").read_text().splitlines(keepends=True) for name in LINES}
    (run / pieces.FOLDER).mkdir()
    for trial in json.loads((run / "run.json").read_text())["trials"]:
        own = {name: table.filter(pc.equal(table["trial"], trial["id"])) for name, table in tables.items()}
        told = {
            name: "".join(line for line in rows if json.loads(line)["trial"] == trial["id"]).encode()
            for name, rows in lines.items()
        }
        pieces.write(run, trial["order"], {name: own[name].cast(SCHEMAS[name]) for name in SCHEMAS}, told)
    for name in (*(f"{table}.parquet" for table in SCHEMAS), *(f"{name}.jsonl" for name in LINES)):
        (run / name).unlink()
    change_run(run, lambda record: record.update(finished_us=None, planned=6))
    return run


def test_a_run_says_the_same_in_pieces_and_put_together(run: Path) -> None:
    """But for the digests of its files."""
    before = bench.load(run)
    assert before.in_pieces
    assert "was not finished: it has 4 of 6 trials" in str(before.unfinished)
    cells, latencies = before.summary.cells, list(before.deliveries["latency_ms"])
    finish_later(bench.load(run))
    after = bench.load(run)
    assert not after.in_pieces
    assert not (run / pieces.FOLDER).exists()
    assert after.unfinished == before.unfinished
    assert after.summary.cells == cells
    assert list(after.deliveries["latency_ms"]) == latencies


def test_what_somebody_writes_is_left_alone(run: Path) -> None:
    """Be it the harness or another who puts it together; the lock goes with whoever held it."""
    folder = Folder(run)
    finish_later(bench.load(run))
    assert bench.load(run).in_pieces
    folder.close()
    finish_later(bench.load(run))
    assert not bench.load(run).in_pieces
    assert not is_written(run)


@pytest.mark.parametrize(
    ("piece", "damage", "says"),
    [
        ("resources.jsonl", lambda path: path.write_bytes(b'{"trial":"\xff"}\n'), "cannot be read"),
        ("resources.jsonl", lambda path: path.write_bytes(b"{\n"), "is not JSON"),
        ("deliveries.parquet", lambda path: path.write_bytes(b"half a piece"), "cannot be read"),
        ("requests.parquet", Path.unlink, "is missing"),
    ],
)
def test_a_damaged_piece_is_told(run: Path, piece: str, damage: Callable[[Path], object], says: str) -> None:
    """In one sentence, by a command that would put the run together too."""
    damage(run / pieces.FOLDER / f"00002.{piece}")
    for command in ("claims", "report"):
        code, told = wirelab(command, run)
        assert code == 2
        assert says in told.splitlines()[-1]
    with pytest.raises(RunDirectoryError, match=says):
        _ = bench.load(run).summary
