"""What the laboratory's processes are started in: the same environment and code, whatever surrounds it."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
from processes import named

from bench.trials.processes import machine, surroundings
from bench.trials.processes.child import Child
from bench.trials.processes.own_server import own_server

ROOT = Path(__file__).parents[2]
FOREIGN = "raise SystemExit('this is foreign code')\n"
DECISIVE = {
    "GUNICORN_CMD_ARGS": "--access-logfile -",
    "GUNICORN_PID": "1",
    "PYTHONPATH": "/nowhere",
    "PYTHONWARNINGS": "error",
    "PYTHONASYNCIODEBUG": "1",
    "LD_PRELOAD": "",
    "MALLOC_ARENA_MAX": "1",
    "GEVENT_RESOLVER": "ares",
    "WIRELAB_DEMO": "1",
    "WEB_CONCURRENCY": "4",
    "HTTP_PROXY": "http://127.0.0.1:9",
}
"""Each would change a child."""


@contextmanager
def child(tmp_path: Path, code: str) -> Iterator[Child]:
    """A Python program as a child."""
    started = Child("program", [sys.executable, "-c", code], errors=tmp_path / "errors", core=None)
    try:
        yield started
    finally:
        started.end()


def foreign(directory: Path, name: str) -> None:
    """A module or package by that name, which ends whoever imports it."""
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FOREIGN)


@pytest.mark.parametrize(
    "names",
    [
        ("queue.py",),
        ("servers/__init__.py", "clients/__init__.py", "bench/__init__.py"),
        ("gunicorn/__init__.py", "json.py", "sitecustomize.py"),
        ("gevent.py", "servers.py"),
    ],
)
def test_the_working_directory_holds_nothing_that_is_imported(
    names: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by the launcher, `wirelab serve`, gunicorn or its worker."""
    for name in names:
        foreign(tmp_path, name)
    monkeypatch.chdir(tmp_path)
    with own_server() as url, urlopen(f"{url}/healthz") as answer:
        assert answer.status == 200


def test_children_get_the_variables_that_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no other, down to the server's worker."""
    for name, value in {**DECISIVE, "LC_TIME": "C"}.items():
        monkeypatch.setenv(name, value)
    surroundings._environment.cache_clear()
    try:
        with child(tmp_path, "import os, json; print(json.dumps(dict(os.environ)))") as program:
            seen = json.loads(program.line(20))
        told = surroundings.recorded()
        before = set(named("gunicorn"))
        with own_server():
            (*_, worker) = set(named("gunicorn")) - before
            served_in = psutil.Process(worker).environ()
    finally:
        surroundings._environment.cache_clear()
    assert not DECISIVE.keys() & seen.keys()
    assert seen["LC_TIME"] == "C" and seen["PYTHONSAFEPATH"] == "1" and seen["PATH"] == os.environ["PATH"]
    ours = {"SERVER_SOFTWARE", "WIRELAB_SERVER_MODEL"}
    assert not (DECISIVE.keys() & served_in.keys())
    assert {name for name in served_in if not name.startswith("WIRELAB_")} - ours <= seen.keys()
    assert set(told["inherited"]) | set(told["set"]) == set(seen) - {"LC_CTYPE"}
    assert told["words"]["LC_TIME"] == "C"
    assert DECISIVE.keys() - set(told["left_out"]) == {"HTTP_PROXY"}
    assert str(Path.home()) not in json.dumps(told)


@pytest.fixture(scope="module")
def another_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code once more, in another place."""
    place = tmp_path_factory.mktemp("another")
    for name in surroundings.PACKAGES:
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    return place


WHERE = """
import sys, tempfile; from pathlib import Path
from bench.trials.processes import surroundings, machine; from bench.trials.processes.child import Child
code = 'import servers, clients, bench; print(servers.__file__, clients.__file__, bench.__file__)'
with tempfile.TemporaryDirectory() as scratch:
    child = Child('program', [sys.executable, '-c', code], errors=Path(scratch, 'errors'), core=None)
    print(surroundings.CODE, *machine.commit(), child.line(20))
    child.end()
"""


@pytest.mark.parametrize(("how", "variables"), [((), {}), (("-P",), {}), (("-P",), {"PYTHONPATH": ""})])
def test_children_run_the_code_that_the_harness_runs(
    another_copy: Path, how: tuple[str, ...], variables: dict[str, str]
) -> None:
    """From the working directory, from the install, or from PYTHONPATH; the commit is that of the same."""
    variables = {name: str(another_copy) for name in variables}
    asked = [sys.executable, *how, "-c", WHERE]
    done = subprocess.run(
        asked, cwd=another_copy, env=os.environ | variables, capture_output=True, text=True, check=True
    )
    code, commit, _, *imported = done.stdout.split()
    expected = ROOT if how and not variables else another_copy
    assert Path(code) == expected
    assert {Path(file).parents[1] for file in imported} == {expected}
    assert commit == (str(machine.commit()[0]) if expected == ROOT else "None")


def test_a_server_that_is_served_by_hand_is_not_changed_by_the_way(
    another_copy: Path, tmp_path: Path
) -> None:
    """It says what it does not use; it serves no demo that nobody asked for, and logs no access."""
    foreign(tmp_path, "servers/__init__.py")
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "bench.cli", "serve", "--port", "0"],
        cwd=tmp_path,
        env=os.environ | {"GUNICORN_CMD_ARGS": "--access-logfile - --workers 2", "WIRELAB_DEMO": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split()[3]
        with urlopen(f"{url}/healthz") as answer:
            assert answer.status == 200
        with pytest.raises(Exception, match="404"):
            urlopen(f"{url}/demo/state")
    finally:
        process.terminate()
        said, errors = process.communicate(timeout=20)
    assert said == ""
    assert "not used: GUNICORN_CMD_ARGS, WIRELAB_DEMO; " in errors


@pytest.mark.parametrize(
    "write",
    [
        "for n in range(5000): print(f'127.0.0.1 - - GET /{n} 200')",
        "sys.stdout.write('x' * 3_000_000); print()",
        "sys.stdout.buffer.write(b'\\xff\\xfe\\n' * 200_000)",
    ],
)
def test_output_that_nobody_takes_stops_no_child(write: str, tmp_path: Path) -> None:
    """Many lines, one endless line, and bytes that are no text; the newest line can still be had."""
    done = tmp_path / "done"
    code = f"import sys, pathlib\n{write}\nprint('done', flush=True)\n"
    code += f"pathlib.Path({str(done)!r}).touch(); input()"
    with child(tmp_path, code) as program:
        until_s = time.monotonic() + 20
        while not done.exists():
            assert time.monotonic() < until_s
            time.sleep(0.01)
        while program.line(20) != "done\n":
            pass


@pytest.mark.parametrize(
    "variables",
    [
        {"GIT_DIR": "/nowhere"},
        {"GIT_WORK_TREE": "/", "GIT_INDEX_FILE": "/dev/null"},
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.worktree", "GIT_CONFIG_VALUE_0": "/nowhere"},
    ],
)
def test_the_commit_is_that_of_the_code(
    variables: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever variables of git's are set, and wherever it is run."""
    expected = machine.commit()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    assert machine.commit() == expected
    assert expected[0] is not None


def test_an_install_has_a_version_and_no_commit(tmp_path: Path) -> None:
    """Also one within a checkout of something else."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    foreign(tmp_path, "servers/__init__.py")
    assert machine.commit(tmp_path) == (None, None)
    assert machine.versions()["wirelab"]


def test_cores_are_those_that_may_be_used() -> None:
    """Not those that the machine has."""
    code = "from bench.trials.processes import machine; print(machine.describe()['cores'])"
    core = str(min(os.sched_getaffinity(0)))
    done = subprocess.run(
        ["taskset", "--cpu-list", core, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1\n"
