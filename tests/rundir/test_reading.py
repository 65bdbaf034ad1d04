"""Opening run directories: whole, moved, missing, newer, and damaged ones."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_run import change, change_run, write_run

import bench
from bench.errors import RunDirectoryError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def test_a_run_has_frames_of_everything(whole: Path) -> None:
    """Each frame has a row for each thing it is named after."""
    opened = bench.load(str(whole))
    assert len(opened.trials) == 9
    assert set(opened.deliveries.columns) >= {"trial", "subscriber", "id", "latency_ms", "in_window"}
    assert len(opened.deliveries) == opened.deliveries.groupby(["trial", "subscriber", "id"]).ngroups
    assert set(opened.requests["trial"]) <= set(opened.trials["id"])
    assert len(opened.subscribers) == 9 * 20
    assert opened.published["written_us"].notna().all()
    assert "server.cpu_us" in opened.resources.columns
    assert list(opened.errors.columns) == ["trial", "subscriber", "at_us", "error"]
    assert len(opened.cells) == 3
    assert (opened.cells["latency_ms_p50_low"] <= opened.cells["latency_ms_p50"]).all()
    assert len(opened.claims) == 11
    assert opened.run["schema"] == 3
    assert opened.summary.valid


def test_a_trial_frame_holds_the_figures_found_for_it(whole: Path) -> None:
    """A notebook can group trials by setting and look at their own figures."""
    trials = bench.load(whole).trials
    medians = trials.groupby("transport")["latency_ms_p50"].median()
    assert medians["short-poll"] > medians["long-poll"] > medians["websocket"]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (shutil.rmtree, "not a directory"),
        (lambda run: (run / "run.json").unlink(), "no run.json"),
        (lambda run: (run / "run.json").write_text("{"), "did not end, or was damaged"),
        (lambda run: (run / "run.json").write_text("[]"), "names no schema"),
        (lambda run: change_run(run, lambda record: record.update(schema=4)), "use a newer wirelab"),
        (lambda run: change_run(run, lambda record: record.update(trials=[{}])), "list of trials with ids"),
        (lambda run: change_run(run, lambda record: record["trials"][0].pop("system")), "not name system"),
        (lambda run: (run / "deliveries.parquet").unlink(), "copy the whole run directory"),
        (lambda run: (run / "deliveries.parquet").write_bytes(b"PAR1"), "cannot be read"),
        (lambda run: change(run, "deliveries", edit=lambda frame: frame.drop(columns="due_us")), "'due_us'"),
        (lambda run: (run / "resources.jsonl").write_text("{}\n{\n"), "line 2"),
    ],
)
def test_what_is_wrong_with_a_directory_is_told(run: Path, broken: object, says: str) -> None:
    """One sentence that says what to mend, whichever file it is."""
    broken(run)  # type: ignore[operator]
    with pytest.raises(RunDirectoryError, match=says):
        _ = bench.load(run).summary


def test_the_command_tells_it_in_one_line_and_exits_2(run: Path) -> None:
    """Not a traceback."""
    change_run(run, lambda record: record.update(schema=99))
    asked = [sys.executable, "-m", "bench.cli", "claims", str(run)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "use a newer wirelab" in done.stderr
    assert "Traceback" not in done.stderr


def test_opening_a_run_is_what_imports_pandas() -> None:
    """`import bench` stays light, for the command line's sake."""
    code = "import sys, bench; sys.exit('pandas' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_stale_summary_is_not_believed(run: Path) -> None:
    """summary.json counts only beside the files it was made from."""
    from bench.analysis import store

    store.analyse(run)
    summary = json.loads((run / "summary.json").read_text())
    summary["claims"][0]["why"] = "forged"
    (run / "summary.json").write_text(json.dumps(summary))
    assert store.load(run).summary.claims[0].why == "forged"
    change_run(run, lambda record: record.update(id="another"))
    assert store.load(run).summary.claims[0].why != "forged"
    for damaged in ("{", "[]", '{"analysis": "no", "inputs": 1}'):
        (run / "summary.json").write_text(damaged)
        assert store.load(run).summary.run == "another"


def test_a_summary_of_another_form_is_refused_in_a_sentence(run: Path) -> None:
    """One that belongs to these files, says its digests, and yet was not written by this wirelab."""
    from bench.analysis import store

    store.analyse(run)
    whole = json.loads((run / "summary.json").read_text())
    for wrong, told in (
        ({"claims": [{**whole["claims"][0], "verdict": "forged"}]}, r"claims\[0\]\.verdict"),
        ({"costs": 3}, r"costs"),
        ({"winner": "us"}, r"winner"),
    ):
        (run / "summary.json").write_text(json.dumps({**whole, **wrong}))
        with pytest.raises(RunDirectoryError, match=rf"summary\.json is not as .*{told}.*: delete it"):
            _ = store.load(run).summary
    store.analyse(run)
    assert store.load(run).summary.claims[0].verdict == whole["claims"][0]["verdict"]
