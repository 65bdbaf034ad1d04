"""The notebooks run as they stand, in fresh kernels, and were committed as such a run leaves them."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import nbformat
import pandas as pd
import pytest
import synthetic_run
from made_costs import measured, model_of
from matplotlib.figure import Figure

import bench
from bench import notebook
from bench.analysis import store
from bench.analysis.store import Run
from bench.errors import UsageError
from bench.notebook import rerun, showing
from bench.notebook.rerun import FOLDER, METADATA, NotebookFailed, execute, notebooks
from bench.rundir.schema import FILES

NAMES = [
    "1-what-is-on-the-wire.ipynb",
    "2-how-late-is-it-and-why.ipynb",
    "3-the-servers-bill.ipynb",
    "4-a-million-users.ipynb",
    "5-your-own-experiment.ipynb",
]
MEASURES = NAMES[-1]
"""On a machine that is busy otherwise its trials may not be valid, and then there is no figure of them."""
WORDS_IN_TEN_MINUTES = 1500
LINES_OF_A_CELL = 16
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])/(home|root|tmp|usr|var|opt|mnt|Users|work)/")


def read(name: str) -> Any:
    return nbformat.read(FOLDER / name, as_version=4)


def texts(node: Any) -> str:
    """All that a notebook's outputs say, without pictures."""
    said = []
    for cell in node.cells:
        for output in cell.get("outputs", []):
            shown = output.get("data", {})
            said += [output.get("text", ""), *(shown[kind] for kind in shown if kind.startswith("text/"))]
    return "\n".join(said)


def kinds(cell: Any) -> list[list[str]]:
    """What each output of a cell is made of."""
    return [sorted(output.get("data", {})) for output in cell.get("outputs", [])]


def test_these_are_the_notebooks() -> None:
    assert [path.name for path in notebooks()] == NAMES
    makefile = (FOLDER.parent / "Makefile").read_text()
    assert "\nnotebooks: .venv/ready-notebooks\n\t$(BIN)/jupyter lab notebooks\n" in makefile


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the notebooks and of what lies beside them, which a run may add to."""
    copy = tmp_path_factory.mktemp("copy") / "notebooks"
    return Path(shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("runs", ".*")))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name == MEASURES else name for name in NAMES]
)
def test_it_runs(name: str, elsewhere: Path) -> None:
    """From the first cell to the last, with no error and no warning, to outputs of the same kinds."""
    fresh, kept = execute(elsewhere / name), read(name)
    for cell, before in zip(fresh.cells, kept.cells, strict=True):
        assert kinds(cell) == kinds(before) or name == MEASURES, cell.id
    assert not ABSOLUTE_PATH.search(texts(fresh))


@pytest.mark.parametrize("name", NAMES)
def test_it_was_committed_as_a_whole_run(name: str) -> None:
    """Every cell in its order, once; outputs are there; nothing tells where or when it was run."""
    node = read(name)
    code = [cell for cell in node.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert sum(bool(cell.outputs) for cell in code) >= 5
    assert not ABSOLUTE_PATH.search(texts(node))
    assert node.metadata == METADATA
    assert all(cell.metadata == {} for cell in node.cells)
    assert all(re.fullmatch(r"[a-z][a-z0-9-]+", cell.id) for cell in node.cells)


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_read_in_ten_minutes(name: str) -> None:
    """One title, which is its file's; questions before answers, which are folded; little code in a cell."""
    node = read(name)
    prose = "\n\n".join(cell.source for cell in node.cells if cell.cell_type == "markdown")
    headings = re.findall(r"(?m)^(#+) (.+)$", prose)
    assert [len(level) for level, _ in headings] == [1] + [2] * (len(headings) - 1)
    words = re.sub(r"[^a-z0-9 ]", "", headings[0][1].lower().replace("’", "")).split()
    assert "-".join(words) == Path(name).stem
    assert len(prose.split()) <= WORDS_IN_TEN_MINUTES
    assert prose.count("**Predict.**") >= 2
    assert prose.count("<details><summary>") == prose.count("\n</details>") >= 3
    lengths = [cell.source.count("\n") + 1 for cell in node.cells if cell.cell_type == "code"]
    assert max(lengths) <= LINES_OF_A_CELL
    for cell in node.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                assert output.metadata["image/png"]["alt"], cell.id


def written(folder: Path, source: str) -> Path:
    """A notebook of one cell."""
    path = folder / "one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), path)
    return path


@pytest.mark.parametrize("source", ["1 / 0", "import warnings; warnings.warn('so')"])
def test_an_error_or_a_warning_is_not_kept(source: str, tmp_path: Path) -> None:
    with pytest.raises(NotebookFailed, match=r"one\.ipynb"):
        execute(written(tmp_path, source))


class Shown:
    """What a notebook would show."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, what: Any) -> None:
        self.seen.append(what)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    found = Shown()
    monkeypatch.setattr(showing, "display", found)
    return found


def test_a_table_escapes_aligns_and_colours(shown: Shown) -> None:
    rows = {"transport": ["WebSocket", "x<y"], "µs": [12345.678, None], "n": [1000, 2], "is": ["{1,2}", "`"]}
    notebook.table(pd.DataFrame(rows), code=["is"])
    [table] = shown.seen
    assert "#009E73" in table.data
    assert "x&lt;y" in table.data
    assert ">12,346<" in table.data
    assert ">–<" in table.data
    assert ">1,000<" in table.data
    assert ">{1,<wbr>2}<" in table.data
    assert "<style" not in table.data


def test_a_figure_is_shown_small_and_with_words(shown: Shown) -> None:
    figure = Figure()
    figure.subplots().plot([1, 2])
    notebook.show(figure, "A line.")
    picture, words = shown.seen
    assert picture.data.startswith(b"\x89PNG")
    assert picture.alt == "A line."
    assert words.data == "*A line.*"
    notebook.show(None, "Not measured.")
    assert shown.seen[2].data == "*Not measured.*"


def test_a_guess_is_held_against_what_was_found(shown: Shown) -> None:
    guesses, found = (
        {"a": 50, "b": None, "c": 10.2, "d": 300, "e": -5},
        {"a": 100, "b": 1, "c": 10, "d": 100, "e": 10},
    )
    notebook.guessed(guesses, found, "ms")
    [table] = shown.seen
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row)[-1] for row in table.data.split("<tr>")[2:]]
    assert rows == ["2 times too low", "–", "right", "3 times too high", "–"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run without a run: the usual three cells, and another rate of one."""
    cells = [*synthetic_run.QUICK, synthetic_run.cell("websocket", publish_rate=9.0)]
    return bench.load(synthetic_run.write_run(tmp_path_factory.mktemp("made"), cells))


def test_a_figure_is_drawn_of_some_cells(run: Run, shown: Shown) -> None:
    assert len(notebook.only(run.summary, publish_rate=4.0).cells) == 3
    notebook.draw("latency", run, publish_rate=9.0)
    assert "9 notifications/s" in shown.seen[0].alt
    notebook.draw("delay", run)
    assert len(shown.seen) == 3


def test_what_was_found_is_of_one_cell_a_transport(run: Run) -> None:
    found = notebook.found(run, "latency_ms_p50", publish_rate=4.0)
    assert list(found) == ["short poll", "long poll", "WebSocket"]
    assert found["short poll"] > found["WebSocket"] > 0
    with pytest.raises(UsageError, match="several cells of WebSocket"):
        notebook.found(run, "latency_ms_p50")


def test_a_table_of_metrics_tells_the_cells_apart(run: Run) -> None:
    frame = notebook.metrics(run, "latency_ms_p50", "server_threads")
    assert list(frame) == ["transport", "publish_rate", "latency, p50 (ms)", "server threads"]
    assert list(frame["publish_rate"]) == [9.0, 4.0, 4.0, 4.0]
    assert list(frame["transport"]) == ["websocket", "short-poll", "long-poll", "websocket"]


def test_the_cost_model_is_shown_with_its_check_and_multiplied() -> None:
    """Costs as they were made (50 µs a ping, 25 a delivery), and nothing for what has no model."""
    costs = model_of(measured())
    assert costs is not None
    machine = {"machine": {"memory_kb": 4_000_000}}
    planned_for = cast(Run, SimpleNamespace(summary=SimpleNamespace(costs=costs), run=machine))
    models = notebook.models(planned_for)
    assert len(models) == len(costs.series)
    assert set(models["error there"]) <= {"+0%", "-0%"}
    assert notebook.cost_of(planned_for, "websocket", "renewal") == pytest.approx(50)
    assert notebook.cost_of(planned_for, "websocket", "renewal", "gthread") is None
    loads = notebook.points(planned_for, "websocket", "delivery")["deliveries a second"]
    assert list(loads) == sorted(loads)
    plans = notebook.planned(planned_for, users=1_000_000, rate=0.1).set_index("transport")
    assert plans.loc["WebSocket", "cores"] == pytest.approx(0.1 * 25 + 50 / 25)
    assert "ports" in plans.loc["WebSocket", "one process ends at"]


def test_what_has_no_costs_is_refused_with_the_reason(run: Run) -> None:
    assert notebook.models(run).empty
    plans = notebook.planned(run, users=1_000_000, rate=0.1)
    assert all(why.startswith("not planned: ") for why in plans["one process ends at"])


SCENARIO = """
name = "mine"
question = "Which?"
prediction = "That one."
expected_length = "a second"
repeats = 1
minimum_valid_trials = 1

[[cells]]
transport = ["short-poll", "websocket"]
subscribers = 20
publish_rate = 4
one_way_ms = 30
"""


def test_theory_foretells_a_scenario_from_another_run(run: Run) -> None:
    """Half an interval and a transit; a transit and half the fan-out."""
    foretold = notebook.foretold(SCENARIO, run)
    assert foretold["short poll"] == pytest.approx(530, abs=5)
    assert foretold["WebSocket"] == pytest.approx(30, abs=5)
    with pytest.raises(UsageError, match="no cell of short-poll on gthread"):
        notebook.foretold(f'{SCENARIO}server_model = "gthread"', run)


def test_the_reference_is_a_run_of_the_committed_scenario() -> None:
    """And its analysis is the present one: what the notebooks show is what their commands would."""
    record = bench.load(FOLDER / "reference").run
    committed = (FOLDER / "reference.toml").read_text(encoding="utf-8")
    assert tomllib.loads(record["scenario"]["toml"]) == tomllib.loads(committed)
    summary = json.loads((FOLDER / "reference" / "summary.json").read_text(encoding="utf-8"))
    assert summary["analysis"] == store.ANALYSIS_VERSION


def test_a_scenario_with_two_cells_of_a_transport_is_not_foretold(run: Run) -> None:
    """One answer would stand for both."""
    with pytest.raises(UsageError, match="several cells of"):
        notebook.foretold(SCENARIO.replace("one_way_ms = 30", "one_way_ms = [30, 40]"), run)


def test_a_run_becomes_the_reference(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all that was measured, and nothing else; the analysis finds the same in it."""
    target = tmp_path / "reference"
    monkeypatch.setattr(rerun, "REFERENCE", target)
    (run.directory / "report.html").touch()
    rerun.keep(run.directory)
    assert sorted(path.name for path in target.iterdir()) == sorted(FILES)
    kept = bench.load(target).summary
    assert msgspec.structs.replace(kept, inputs=run.summary.inputs) == run.summary
    rerun.keep(target)
    assert bench.load(target).summary == kept
    with pytest.raises(UsageError, match=r"holds no run\.json"):
        rerun.keep(tmp_path)


@pytest.mark.parametrize(
    ("toml", "changes", "says"),
    [
        ('name = "a"', {"publish_rate": 3}, "0 lines that set publish_rate"),
        ("seed = 1\nseed = 2", {"seed": 3}, "2 lines that set seed"),
        ("name = 1", {}, "name must be"),
        (SCENARIO, {"publish_rate": -1}, "publish_rate must be a number"),
        (SCENARIO, {"transport": ["short-poll", "post"]}, "transport must be one of"),
    ],
)
def test_a_wrong_scenario_is_refused_before_anything_starts(
    toml: str, changes: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=says):
        notebook.measure(toml, **changes)
    assert list(tmp_path.iterdir()) == []
