"""In CI nothing is skipped: a skip fails the run, wherever in a file it stands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = """
import pytest

def test_by_itself():
    pytest.skip("no browser")

@pytest.mark.skip("no browser")
def test_marked():
    pass

@pytest.mark.parametrize("browser", [])
def test_of_nothing(browser):
    pass

@pytest.mark.xfail(reason="no browser")
def test_expected():
    assert 0
"""
WHOLE = """
import pytest

pytest.skip("no browser", allow_module_level=True)
"""


def run(source: str, folder: Path, ci: str) -> tuple[int, str]:
    """The exit code and the closing line of a run in another folder, with a copy of these tests' conftest.

    A copy, because its processes take turns by its own file: they must not wait for those of this run.
    """
    for name in ("conftest.py", "raw.py"):
        shutil.copy(Path(__file__).with_name(name), folder)
    (folder / "test_one.py").write_text(source)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "test_one.py"],
        cwd=folder,
        env=os.environ | {"CI": ci, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return result.returncode, result.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("source", "in_ci", "elsewhere"),
    [(SKIPS, "1 failed, 1 xfailed, 2 errors", "3 skipped, 1 xfailed"), (WHOLE, "1 error", "1 skipped")],
)
def test_a_skip_fails_in_ci_alone(source: str, in_ci: str, elsewhere: str, tmp_path: Path) -> None:
    code, said = run(source, tmp_path, "true")
    assert code != 0
    assert f" {in_ci} in " in said
    _, said = run(source, tmp_path, "")
    assert f" {elsewhere} in " in said
