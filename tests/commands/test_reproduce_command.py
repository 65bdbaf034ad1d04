"""`wirelab reproduce --from`: the table of an earlier run, and wrong usage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from judging import headers
from synthetic_run import cell, change_run, write_run

from bench.cli import main


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `kaazing` with few clients."""
    cells = [
        cell("short-poll", poll_interval_s=0.5, headers="minimal"),
        cell("short-poll", poll_interval_s=1.0, headers="browser"),
        cell("websocket"),
    ]
    where = tmp_path_factory.mktemp("reproduce") / "kaazing"
    return write_run(where, cells, name="reproduce-kaazing", probes=headers(poll=871, frame=2))


def wirelab(*arguments: str | Path) -> int:
    return main(["reproduce", *map(str, arguments)])


def test_an_earlier_run_is_judged_again(
    kept: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is printed within 80 columns, and stands in summary.json; by its own directory, its name, or
    the directory of all."""
    monkeypatch.setenv("COLUMNS", "80")
    assert wirelab("--from", kept) == 0
    printed = capsys.readouterr().out
    assert max(len(line) for line in printed.splitlines() if str(kept) not in line) <= 80
    table = json.loads((kept / "summary.json").read_text())["reproduction"]
    assert f"the published result: {table['verdict']}" in printed
    assert table["statements"][0]["verdict"] == table["statements"][1]["verdict"] == "holds"
    for statement in table["statements"]:
        assert f"→  {statement['verdict']}" in printed
    for again in (("kaazing", "--from", kept), ("kaazing", "--from", kept.parent)):
        assert wirelab(*again) == 0
        assert capsys.readouterr().out == printed


def test_a_run_with_gates_failed_is_not_done(kept: Path, tmp_path: Path) -> None:
    """Exit code 1: its table is printed, and says that little can be told."""
    broken = Path(shutil.copytree(kept, tmp_path / "broken"))
    change_run(broken, lambda run: run["trials"][0].update(valid=False, why=["the clock moved"]))
    assert wirelab("--from", broken) == 1


def test_wrong_usage_is_told_in_a_sentence(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and nothing is measured."""
    other = write_run(tmp_path / "other")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    wrong: tuple[tuple[tuple[str | Path, ...], str], ...] = (
        (("nobody",), "name one of pimentel, rfc6202, bozdag, kaazing, or none for all"),
        (("--from", tmp_path), "holds no run.json"),
        (("--from", other), "reproduces nothing"),
        (("pimentel", "--from", kept), "is of kaazing, not of pimentel"),
        (("--out", tmp_path / "full"), "is not empty"),
    )
    for arguments, says in wrong:
        assert wirelab(*arguments) == 2
        told = capsys.readouterr().err
        assert says in told
        assert len(told.splitlines()) == 1
