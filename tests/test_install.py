"""Setting up, as the README says: by make, each target with its own group, and elsewhere by `pip install .`.

Rules:
- Nothing is asked of a registry, except in what is marked as long.
- What was installed is run from an empty folder: no file of the checkout can stand in for one of the wheel.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PACKAGES = ("servers", "clients", "bench")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = {path.stem: path.read_text() for path in (ROOT / "requirements").glob("*.lock")}
IS_FOR = "Programming Language :: Python :: "
SCENARIO = """
name = "small"
question = "Does it run?"
prediction = "It does."
expected_length = "a few seconds"
repeats = 1
minimum_valid_trials = 1

[defaults]
subscribers = 10
publish_rate = 5
window_s = 1.0
settle_s = 0.3

[[cells]]
transport = ["short-poll", "websocket"]
"""
FAKE_PYTHON = """#!/bin/sh
echo "python $*" >> "$LOG"
[ "$2" = venv ] || exit 0
rm -rf .venv && mkdir -p .venv/bin
for program in python wirelab ruff mypy lint-imports jupyter; do
    printf '#!/bin/sh\\necho "%s $*" >> "$LOG"\\n' $program > .venv/bin/$program
    chmod +x .venv/bin/$program
done
"""


def clean_environment() -> dict[str, str]:
    """This environment, without what would let another Python find the checkout, or steer another make."""
    left_out = ("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    return {name: value for name, value in os.environ.items() if name not in left_out}


def run(*words: object, cwd: Path, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def installed(*words: object, cwd: Path, timeout_s: float = 60) -> str:
    """What a command that must succeed prints."""
    result = run(*words, cwd=cwd, timeout_s=timeout_s)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def name_of(requirement: str) -> str:
    [name] = re.findall(r"^[\w.-]+", requirement)
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("group", sorted(LOCKS))
def test_a_lock_has_what_its_group_asks_for(group: str) -> None:
    """With hashes, and with all that the main job needs, in the same versions."""
    pins = re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", LOCKS[group])
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras["build"], *extras.get(group, [])]
    assert {name_of(requirement) for requirement in asked} <= {name for name, _ in pins}
    assert set(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", LOCKS["bench"])) <= set(pins)
    assert len(re.findall(r"(?m)^\S+==.* \\\n    --hash=sha256:", LOCKS[group])) == len(pins)


def test_a_target_installs_only_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Makefile", "pyproject.toml", "requirements"):
        copied = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copied(ROOT / name, tmp_path / name)
    log, python = tmp_path / "log", tmp_path / "python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    monkeypatch.setenv("LOG", str(log))
    groups = ["bench", "test", "lint", "notebooks"]

    def made(target: str) -> list[str]:
        """The steps that it took to be ready: an environment from nothing, and the locks of which groups."""
        log.write_text("")
        installed("make", target, f"PYTHON={python}", cwd=tmp_path)
        return re.findall(r"--clear|\w+\.lock", log.read_text())

    assert made("bench") == ["--clear", "bench.lock"]
    assert made("demo") == []
    assert made("test") == ["test.lock"]
    assert made("lint") == ["lint.lock"]
    assert made("notebooks") == ["notebooks.lock"]
    assert [made(target) for target in groups] == [[], [], [], []]
    for changed in ["pyproject.toml", *(f"requirements/{group}.lock" for group in groups)]:
        os.utime(tmp_path / changed)
        assert made("test") == ["--clear", "bench.lock", "test.lock"], changed
        assert made("bench") == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder]
    installed(sys.executable, "-m", "pip", "wheel", *options, ROOT, cwd=folder)
    [built] = folder.glob("wirelab-*.whl")
    return built


def test_the_wheel_has_every_file_of_the_packages(wheel: Path) -> None:
    """Scenarios, templates, pages and the rest; nothing of the tests."""
    tracked = installed("git", "-C", ROOT, "ls-files", "-z", "--", *PACKAGES, cwd=ROOT).split("\0")[:-1]
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in tracked if (ROOT / name).exists()} - set(names) == set()
    folders = {name.split("/")[0] for name in names}
    assert folders == {*PACKAGES, f"wirelab-{PROJECT['version']}.dist-info"}


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of a fresh environment with the wheel in it, and this one's packages behind it."""
    environment = tmp_path_factory.mktemp("elsewhere") / "venv"
    installed(sys.executable, "-m", "venv", "--without-pip", environment, cwd=wheel.parent)
    python = environment / "bin/python"
    options = ["--quiet", "--no-deps", "--no-index"]
    installed(sys.executable, "-m", "pip", "--python", python, "install", *options, wheel, cwd=wheel.parent)
    [site] = environment.glob("lib/python*/site-packages")
    shared = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    # Paths alone: an editable install's own .pth is not read from there.
    (site / "shared.pth").write_text("\n".join(shared) + "\n")
    found = installed(python, "-c", "import bench; print(bench.__file__)", cwd=wheel.parent)
    assert Path(found.strip()).is_relative_to(site)
    return python.parent


def check_bench(programs: Path, folder: Path) -> None:
    """It lists its scenarios, runs one of two cells, and writes a report."""
    assert {"bench", "demo"} <= set(re.findall(r"\w+", installed(programs / "wirelab", "--help", cwd=folder)))
    assert "quick" in run(programs / "wirelab", "bench", "no-such-scenario", cwd=folder).stderr
    (folder / "small.toml").write_text(SCENARIO)
    result = run(programs / "wirelab", "bench", "small.toml", "--out", "run", cwd=folder, timeout_s=110)
    # On a busy machine a gate may fail; the report is there all the same.
    assert result.returncode in (0, 1), result.stdout + result.stderr
    assert "2/2" in result.stderr
    assert "websocket" in (folder / "run/report.html").read_text()


@pytest.mark.long
def test_an_installed_wheel_measures(elsewhere: Path, tmp_path: Path) -> None:
    check_bench(elsewhere, tmp_path)


@pytest.fixture
def demo(elsewhere: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a demo that the wheel serves."""
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [elsewhere / "wirelab", "demo", "--port", "0"],
            cwd=tmp_path,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout
    printed = next((line for line in process.stdout if line.startswith("wirelab: serving on ")), "")
    try:
        assert printed, (tmp_path / "log").read_text()
        yield printed.split()[3]
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def test_an_installed_wheel_shows_its_pages(demo: str) -> None:
    """Each page that the first one leads to, and each file that a page or one of its modules asks for."""
    waiting, seen = [demo], set[str]()
    while waiting:
        url = waiting.pop()
        if url in seen or not url.startswith(demo):
            continue
        seen.add(url)
        with urllib.request.urlopen(url, timeout=20) as answer:
            kind, text = answer.headers.get_content_type(), answer.read().decode(errors="replace")
        found = re.findall(r'(?:src|href)="([^"#]+)"', text) if kind == "text/html" else []
        found += (
            re.findall(r'(?m)^(?:import|export) .*?from "(.+?)"', text) if kind.endswith("javascript") else []
        )
        waiting += [urljoin(url, address).split("#")[0] for address in found]
    assert {f"{demo}/wire", f"{demo}/chat", f"{demo}/class"} <= seen
    assert {Path(url).suffix for url in seen} >= {".js", ".css"}


def pythons() -> dict[str, Path]:
    """Each Python that the classifiers name and this machine has: on PATH, or among pyenv's."""
    found = {}
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for version in [text.removeprefix(IS_FOR) for text in PROJECT["classifiers"] if f"{IS_FOR}3." in text]:
        name = f"python{version}"
        on_path = [Path(folder, name) for folder in os.environ["PATH"].split(os.pathsep)]
        for path in [*on_path, *root.glob(f"versions/{version}.*/bin/{name}")]:
            # One of pyenv's that is not chosen stands on PATH too, and fails.
            if path.exists() and run(path, "-c", "import ensurepip, venv", cwd=ROOT).returncode == 0:
                found[version] = path
                break
    return found


def test_the_classifiers_are_the_pythons_that_the_readme_names() -> None:
    named = [text.removeprefix(IS_FOR) for text in PROJECT["classifiers"] if f"{IS_FOR}3." in text]
    assert PROJECT["requires-python"] == f">={named[0]}"
    assert f"Python {', '.join(named[:-1])} or {named[-1]}" in " ".join(README.split())
    assert "    pip install .\n" in README


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_lock_and_the_wheel_work_on_every_python(wheel: Path, tmp_path: Path) -> None:
    """For real: from the registry, by the lock's hashes. The running one is proven by `make` already."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = pythons()
    for version in sorted(found.keys() - {running}) or [running]:
        folder = tmp_path / version
        folder.mkdir()
        installed(found[version], "-m", "venv", folder / "venv", cwd=folder, timeout_s=120)
        python = folder / "venv/bin/python"
        install = [python, "-m", "pip", "install", "--quiet", "--no-deps"]
        lock = ROOT / "requirements/bench.lock"
        installed(*install, "--require-hashes", "-r", lock, cwd=folder, timeout_s=300)
        installed(*install, "--no-index", wheel, cwd=folder)
        installed(python, "-m", "pip", "check", cwd=folder)
        check_bench(python.parent, folder)
