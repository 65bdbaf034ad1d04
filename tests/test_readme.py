"""The README is followed to the letter: its commands run, its tables are whole, its recipe works."""

import dataclasses
import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Server, Visits, start_server, stop_server
from playwright.sync_api import expect

from bench.analysis import literature
from bench.analysis.claims import CLAIMS
from bench.rendering.looks import LOOKS
from bench.scenario.links import PROFILES
from bench.scenario.parse import SHIPPED, load, parse
from clients import TRANSPORTS
from servers.demo.pages import PAGES
from servers.settings import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BIN = Path(sys.executable).parent


def files() -> dict[str, str]:
    """The files that the README shows whole."""
    found = re.findall(r"<!-- file: (\S+) -->\n *```\w+\n(.*?)\n *```", README, re.DOTALL)
    return {name: textwrap.dedent(text) + "\n" for name, text in found}


def commands(words: str) -> list[str]:
    """The README's indented commands that hold these words, without their comments; no shown output."""
    unfenced = re.sub(r"^ *```.*?^ *```$", "", README, flags=re.DOTALL | re.MULTILINE)
    lines = [line.strip() for line in unfenced.splitlines() if line.startswith("    ")]
    return [line.split(" #")[0].strip() for line in lines if re.search(rf"\b{words}( |$)", line)]


def run(command: str, cwd: Path, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a README command in another folder, with this environment's programs."""
    words = [
        str(BIN / word.removeprefix(".venv/bin/")) if word.startswith(".venv") else word
        for word in shlex.split(command)
    ]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=timeout_s, check=False)


def test_the_two_commands_are_targets_that_need_nothing_else() -> None:
    assert commands("make")[:2] == ["make bench", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    needed = {"bench": "bench", "test": "test", "test-long": "test", "lint": "lint", "demo": "bench"}
    for target, group in (needed | {"notebooks": "notebooks"}).items():
        assert f"\n{target}: .venv/ready-{group}\n" in makefile
        assert re.search(rf"\bmake {target}(`| |$)", README, re.MULTILINE)


def test_every_scenario_claim_and_option_is_documented() -> None:
    for path in SHIPPED.glob("*.toml"):
        row = next(line for line in README.splitlines() if line.startswith(f"| `{path.stem}` |"))
        assert row.endswith(f"| {load(path.stem).expected_length.removeprefix('about ').split(',')[0]} |")
    for claim in CLAIMS:
        assert f"| {claim.id} |" in README
        decided = next(line for line in README.splitlines() if line.startswith(f"| {claim.id} |"))
        assert [name for name in claim.decided_by if f"`{name}`" not in decided] == []
    by_hand = README.split("## By hand")[1].split("\n## ")[0]
    locustfile = (ROOT / "bench/locustfile.py").read_text()
    for option in {"--system", *re.findall(r'^ +add\(\n? *"(\w+)"', locustfile, re.MULTILINE)}:
        assert f"| `--{option.removeprefix('--').replace('_', '-')}` |" in by_hand
    for client in TRANSPORTS.values():
        assert f"`{client.__name__.replace('Subscriber', 'User')}`" in by_hand
    for item in dataclasses.fields(Settings):
        option = "--" + item.name.replace("_", "-")
        assert f"`{option}`" in README or f"`{option.removesuffix('s')}`" in README


def test_the_scenario_runs_and_its_directory_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(files()["mine.toml"])
    [bench] = commands("wirelab bench mine.toml")
    [claims] = commands("wirelab claims")
    [report] = commands("wirelab report")
    result = run(bench, tmp_path, 110)
    assert result.returncode in (0, 1), result.stderr
    summary = json.loads((tmp_path / "mine" / "summary.json").read_text())
    assert len(summary["cells"]) == 4
    assert "low-latency" in run(claims, tmp_path).stdout
    (tmp_path / "mine" / "report.html").unlink()
    assert run(report, tmp_path).returncode == 0
    assert (tmp_path / "mine" / "report.html").exists()


def test_capacity_takes_the_other_transports_too() -> None:
    """Each in the place of the one that waits as it does."""
    text = (SHIPPED / "capacity.toml").read_text()
    for name, like in {"sse": "websocket", "socketio": "websocket", "socketio-polling": "long-poll"}.items():
        scenario = parse(text.replace(f'"{like}"', f'"{name}"'))
        assert {cell.transport for cell in scenario.cells} >= {name}


def test_the_links_it_shows_are_links() -> None:
    """Its table has every profile with its delay, and its example parses."""
    for name, profile in PROFILES.items():
        row = next(line for line in README.splitlines() if line.startswith(f"| `{name}` | "))
        assert f"| {profile.link.one_way_ms:g} ms |" in row
    [shown] = re.findall(r"```toml\n(\[links.*?)```", README, re.DOTALL)
    head, cells = files()["mine.toml"].split("[defaults]")[0], files()["mine.toml"].split("[[cells]]")[0]
    assert head in cells
    links, groups = shown.split("[[cells]]", 1)
    groups = f"[[cells]]{groups}".replace("[[cells]]", '[[cells]]\ntransport = "websocket"')
    found = parse(cells.replace("[defaults]", f"{links}\n[defaults]") + groups)
    assert [link.link for link in found.links] == [*PROFILES, "train", *["constant"] * 3]


def test_the_literature_it_names_is_what_reproduce_knows() -> None:
    section = README.split("## Held against the literature")[1].split("\n## ")[0]
    rows = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
    assert rows == list(literature.REPRODUCTIONS)


def test_by_hand(serve: Callable[..., Server], tmp_path: Path) -> None:
    server = serve()

    def here(command: str) -> str:
        return command.replace("http://127.0.0.1:8000", server.url)

    [publish, _] = commands("wirelab publish")
    [locust, _] = commands("bin/locust")
    publishing = subprocess.Popen(
        [str(BIN / "wirelab"), *shlex.split(here(publish))[1:]], stdout=subprocess.DEVNULL
    )
    try:
        [curl] = commands("curl")
        url = shlex.split(here(curl))[1]
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert json.loads(answer.read())["notifications"]
        command = (
            here(locust)
            .replace("bench/locustfile.py", str(ROOT / "bench/locustfile.py"))
            .replace("15s", "4s")
        )
        result = run(command, tmp_path)
        assert result.returncode == 0, result.stderr
        assert re.search(r"NOTIFY +websocket +\d\d", result.stdout + result.stderr)
    finally:
        publishing.send_signal(signal.SIGINT)
        publishing.wait(20)


def copy_with(root: Path, *folders: str) -> None:
    """Make a copy of the repository, with the files of the README that go into these folders."""
    for package in ["servers", "clients", "bench"]:
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in files().items():
        if name.startswith(folders):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text)


def measure(root: Path, scenario: str) -> dict[str, Any]:
    """The summary of a scenario that was run in a copy of the repository, in its directory `run`."""
    (root / "own.toml").write_text(scenario)
    result = subprocess.run(
        [sys.executable, "-m", "bench.cli", "bench", "own.toml", "--out", "run"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert result.returncode in (0, 1), result.stderr
    summary: dict[str, Any] = json.loads((root / "run" / "summary.json").read_text())
    return summary


def follow_recipe(root: Path) -> None:
    """Add the README's transport to a copy of the repository: its files, and its two registry lines."""
    copy_with(root, "servers/", "clients/")
    add_line(root / "servers/transports.py", "        websocket,\n", "        brief_poll,\n")
    add_line(
        root / "servers/transports.py",
        "from servers import ",
        "from servers import brief_poll, ",
        instead=True,
    )
    entry = '    "websocket": WebSocketSubscriber,\n'
    add_line(root / "clients/__init__.py", entry, '    "brief-poll": BriefPollSubscriber,\n')
    first = "from clients.long_poll"
    imported = "from clients.brief_poll import BriefPollSubscriber\n"
    add_line(root / "clients/__init__.py", first, imported + first, instead=True)


def test_the_recipe_adds_a_transport(tmp_path: Path) -> None:
    """And it is measured like the others."""
    follow_recipe(tmp_path)
    scenario = files()["mine.toml"].replace('"websocket"', '"brief-poll"').replace("[100, 10000]", "100")
    summary = measure(tmp_path, scenario)
    # Of the trial: on a busy machine a gate may fail, and the cell then has none.
    [trial] = [trial for trial in summary["trials"] if "brief-poll" in trial["id"]]
    assert trial["figures"]["deliveries"] > 0
    assert trial["figures"]["latency_ms_p50"] > 0
    assert "brief-poll" in (tmp_path / "run" / "report.html").read_text()


def test_the_recipe_adds_a_system(tmp_path: Path) -> None:
    """And it is measured beside ours, by the same clients."""
    copy_with(tmp_path, "bench/systems/")
    registry = tmp_path / "bench/systems/registry.py"
    add_line(registry, "        OURS,\n", "        Toy(),\n")
    first = "from bench.systems.wirelab"
    add_line(registry, first, f"from bench.systems.toy.system import Toy\n{first}", instead=True)
    transports, factors = '["long-poll", "websocket"]', '"short-poll"\nsystem = ["wirelab", "toy"]'
    scenario = files()["mine.toml"].replace(transports, factors).replace("[100, 10000]", "100")
    summary = measure(tmp_path, scenario)
    assert {cell["system"]: cell["server_model"] for cell in summary["cells"]} == {
        "wirelab": "gevent",
        "toy": None,
    }
    for trial in summary["trials"]:
        assert trial["figures"]["deliveries"] > 0
        assert trial["figures"]["latency_ms_p50"] > 0
        assert trial["conservation"]["holds"]
    report = (tmp_path / "run" / "report.html").read_text()
    assert "short poll, toy" in report


def test_the_recipe_adds_it_to_the_pages(
    tmp_path: Path, visit: Visits, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a change to any of them: a lane of the race that delivers, and an exchange on the wire page."""
    follow_recipe(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    server = start_server(tmp_path / "server.log", command="demo")
    try:
        race = visit(server.url)
        received = race.locator('[data-transport="brief-poll"] [data-metric="notifications"]')
        expect(received).not_to_have_text("0")
        wire = visit(f"{server.url}/wire#brief-poll")
        expect(wire.locator('#steps[data-transport="brief-poll"] .step')).to_have_count(6)
        for page in (race, wire):
            page.context.close()
    finally:
        stop_server(server)


def test_every_page_is_documented() -> None:
    section = README.split("## In the classroom")[1].split("\n## ")[0]
    rows = " ".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(.+?)`", rows)) == {page.path for page in PAGES}
    [lan, students] = commands("wirelab demo")
    assert {word for command in (lan, students) for word in command.split() if word.startswith("--")} <= set(
        run(".venv/bin/wirelab demo --help", ROOT).stdout.replace(",", " ").split()
    )


def test_the_lesson_plan_names_what_is_on_the_pages() -> None:
    """Each *italic* is a page, a transport or a control, word for word; each link's page is there."""
    plan = (ROOT / "docs/lesson-plan.md").read_text()
    templates = " ".join(path.read_text() for path in (ROOT / "servers/demo/templates").glob("*.html"))
    known = {page.name for page in PAGES} | {look.label for look in LOOKS.values()}
    for name in re.findall(r"(?<!\*)\*([^*]+)\*(?!\*)", plan):
        assert name in known or re.search(rf">{re.escape(name)}\b|>{re.escape(name)}<", templates), name


def test_the_wire_is_explained() -> None:
    [wire] = commands("wirelab wire")
    result = run(wire, ROOT)
    assert result.returncode == 0, result.stderr
    assert "masking key" in result.stdout


def add_line(path: Path, beside: str, line: str, instead: bool = False) -> None:
    text = path.read_text()
    assert text.count(beside) == 1, f"{beside!r} in {path.name}"
    path.write_text(text.replace(beside, line if instead else beside + line))


def test_the_script_of_its_pictures_knows_todays_code() -> None:
    """Everything that it takes from the laboratory is there."""
    assert {"race", "wire", "whiteboard"} <= runpy.run_path(str(ROOT / "docs/screenshots.py")).keys()


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("name", sorted(files()))
def test_code_is_shown_as_the_formatter_leaves_it(name: str, tmp_path: Path) -> None:
    if not name.endswith(".py"):
        return
    path = tmp_path / "shown.py"
    path.write_text(files()[name])
    result = subprocess.run(
        [BIN / "ruff", "format", "--check", "--config", ROOT / "pyproject.toml", path],
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0
