"""The notebooks run as they stand, in fresh kernels, and were committed as such a run leaves them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bench import notebook
from bench.cli import UsageError
from bench.rerun_notebooks import FOLDER, METADATA, NotebookFailed, execute, notebooks

NAMES = [
    "1-what-is-on-the-wire.ipynb",
]
WORDS_IN_TEN_MINUTES = 1500
LINES_OF_A_CELL = 14
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


def test_these_are_the_notebooks() -> None:
    assert [path.name for path in notebooks()] == NAMES
    assert (
        "\nnotebooks: $(READY)\n\t$(BIN)/jupyter lab notebooks\n" in (FOLDER.parent / "Makefile").read_text()
    )


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the notebooks and of what lies beside them, which a run may add to."""
    copy = tmp_path_factory.mktemp("copy") / "notebooks"
    return Path(shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("runs", ".*")))


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(name: str, elsewhere: Path) -> None:
    """From the first cell to the last, with no error and no warning, to the same outputs' kinds."""
    fresh, kept = execute(elsewhere / name), read(name)
    for cell, before in zip(fresh.cells, kept.cells, strict=True):
        kinds = [[sorted(out.get("data", {})) for out in each.get("outputs", [])] for each in (cell, before)]
        assert kinds[0] == kinds[1], cell.id
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
    monkeypatch.setattr(notebook, "display", found)
    return found


def test_a_table_escapes_aligns_and_colours(shown: Shown) -> None:
    notebook.table(
        pd.DataFrame({"transport": ["websocket", "x<y"], "µs": [12345.678, None], "n": [1000, 2]}), code=["n"]
    )
    [table] = shown.seen
    assert "#009E73" in table.data
    assert "x&lt;y" in table.data
    assert ">12,346<" in table.data
    assert ">–<" in table.data
    assert ">1,000<" in table.data
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
    notebook.guessed({"a": 50, "b": None, "c": 10.2, "d": 300}, {"a": 100, "b": 1, "c": 10, "d": 100}, "ms")
    [table] = shown.seen
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row)[-1] for row in table.data.split("<tr>")[2:]]
    assert rows == ["2 times too low", "–", "right", "3 times too high"]


@pytest.mark.parametrize(
    ("toml", "changes", "says"),
    [
        ('name = "a"', {"publish_rate": 3}, "0 lines that set publish_rate"),
        ("seed = 1\nseed = 2", {"seed": 3}, "2 lines that set seed"),
        ("name = 1", {}, "name must be"),
        ("seed = 1", {"seed": "x"}, "name must be"),
    ],
)
def test_a_wrong_scenario_is_refused_before_anything_starts(
    toml: str, changes: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=says):
        notebook.measure(toml, **changes)
    assert list(tmp_path.iterdir()) == []
