"""The shape of bench/: no circle of imports, small files and rooms, no condition on a transport's name."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from clients import TRANSPORTS

ROOT = Path(__file__).parent.parent
BENCH = ROOT / "bench"
MOST_LINES, MOST_ENTRIES = 300, 14
NAMED_ROOMS = ("systems", "analysis/theory", "analysis/claims", "analysis/literature", "rendering/looks.py")
"""Where a transport may be spelled by its name."""
EXCEPTIONS: dict[str, str] = {}
"""Files and rooms that are larger, each with its reason; three at the most."""


def sources() -> Iterator[Path]:
    """The Python files of bench/."""
    return (path for path in sorted(BENCH.rglob("*.py")) if "__pycache__" not in path.parts)


def graph() -> grimp.ImportGraph:
    """The imports of the checkout, lazy ones too, between files of bench/."""
    return grimp.build_graph("bench", cache_dir=None)


def test_imports_make_no_circle() -> None:
    """Also not those inside functions."""
    imports = graph()
    for module in imports.modules:
        below = imports.find_upstream_modules(module)
        assert module not in below, f"{module} imports itself by way of others"


def test_files_and_rooms_are_small() -> None:
    """Large ones are named above, with a reason."""
    large = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()
    }
    rooms = {path for path in BENCH.rglob("*") if path.is_dir() and path.name != "__pycache__"} | {BENCH}
    full = {
        str(room.relative_to(ROOT)): sum(entry.name != "__pycache__" for entry in room.iterdir())
        for room in rooms
    }
    found = {name: lines for name, lines in large.items() if lines > MOST_LINES}
    found |= {name: entries for name, entries in full.items() if entries > MOST_ENTRIES}
    assert found.keys() == EXCEPTIONS.keys(), found
    assert len(EXCEPTIONS) <= 3


def named_transports(source: str) -> list[int]:
    """The lines of a file's source in which code, rather than a docstring, holds a transport's name."""
    tree = ast.parse(source)
    told = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in TRANSPORTS and id(node) not in told
    ]


def test_nothing_goes_by_a_transports_name() -> None:
    """Where a transport matters, code asks its traits or its theory."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sources()
        if not str(path.relative_to(BENCH)).startswith(NAMED_ROOMS)
        for line in named_transports(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_a_transports_name_in_code_is_found() -> None:
    """The check above can fail."""
    assert named_transports('"""websocket"""\nif name == "websocket":\n    pass\n') == [2]
    assert named_transports('POLLS = {"short-poll", "long-poll"}\n') == [1, 1]


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("bench/scenario/__init__.py", "from bench.trials import runner\n"),
        ("bench/trials/__init__.py", "from bench.analysis import store\n"),
        ("clients/errors.py", "from bench import words\n"),
        ("clients/errors.py", "import gevent\n"),
    ],
)
def test_an_arrow_upwards_breaks_the_linter(room: str, line: str, tmp_path: Path) -> None:
    """`make lint` holds the order of the rooms."""
    tracked = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    copied = subprocess.run(
        [*tracked, "bench", "clients", "servers", "pyproject.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, copied.stdout.split("\0")):
        if name.endswith((".py", ".toml")) and (ROOT / name).is_file():
            target = tmp_path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    lint = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    kept = subprocess.run(lint, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert kept.returncode == 0, kept.stdout
    path = tmp_path / room
    path.write_text(path.read_text(encoding="utf-8") + line, encoding="utf-8")
    broken = subprocess.run(lint, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert broken.returncode == 1
    assert "BROKEN" in broken.stdout
