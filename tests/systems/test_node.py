"""The article's stack as a system: how it is installed and started, and what it does its own way."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Server
from raw import ask, stats
from running import HEAD

from bench.commands.bench import perform
from bench.scenario.parse import parse
from bench.systems.node import packages
from bench.systems.node.system import Node
from bench.systems.system import Options

LOCK = json.loads((packages.SERVER / "package-lock.json").read_text())
NPM = """#!/bin/sh
echo "$*" >> {log}
{does}
"""
INSTALLS = "mkdir node_modules"
FAILS = "echo 'npm error code E404' >&2; exit 1"
SCENARIO = f"""{HEAD}
[defaults]
system = "node"
subscribers = 10
publish_rate = 10
window_s = 1.0
settle_s = 0.3

[[cells]]
transport = ["long-poll", "websocket", "socketio", "socketio-polling"]
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Path]]:
    """Put a program of this name and text on the PATH, before all others."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    packages.node_version.cache_clear()

    def put(name: str, text: str) -> Path:
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
        return folder / name

    yield put
    packages.node_version.cache_clear()


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server whose own folder cannot be written; returns where its packages go instead."""
    server = tmp_path / "server"
    server.mkdir()
    for name in packages.FILES:
        shutil.copyfile(packages.SERVER / name, server / name)
    monkeypatch.setattr(packages, "SERVER", server)
    monkeypatch.setattr(packages.os, "access", lambda path, mode: path != server)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "wirelab" / f"node-{packages.lock_hash()}"


def test_the_lock_names_each_package_by_version_and_hash_and_by_no_host() -> None:
    """`npm ci` needs no more, and asks whichever registry npm is set up with."""
    own, *others = LOCK["packages"].values()
    for version in [*own["dependencies"].values(), *own["devDependencies"].values()]:
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert len(others) > 60
    assert all(each["integrity"].startswith("sha512-") and "resolved" not in each for each in others)


def test_without_node_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, programs: Callable[[str, str], Path], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Node().missing() == (
        "Node is not installed; it takes Node 18 or later (Debian: apt install nodejs npm)"
    )
    assert Node().version() is None


@pytest.mark.parametrize("text", ["no program", "#!/bin/sh\nexit 3\n", "#!/bin/sh\necho hello\n"])
def test_a_node_that_does_not_run_is_told(programs: Callable[[str, str], Path], text: str) -> None:
    """Made for another processor, broken, or another program of that name."""
    path = programs("node", text)
    assert str(Node().missing()).startswith(f"{path} does not run, or is not Node; it takes Node 18 or later")


@pytest.mark.parametrize(("version", "told"), [("v16.20.2", "Node is 16.20.2"), ("v18.0.0", None)])
def test_an_old_node_is_told(
    programs: Callable[[str, str], Path], cached: Path, tmp_path: Path, version: str, told: str | None
) -> None:
    programs("node", f"#!/bin/sh\necho {version}\n")
    programs("npm", NPM.format(log=tmp_path / "log", does=INSTALLS))
    said = Node().missing()
    assert said == (f"{told}; it takes Node 18 or later" if told else None)


def test_packages_go_into_the_cache_if_the_servers_folder_cannot_be_written(
    programs: Callable[[str, str], Path], cached: Path, tmp_path: Path
) -> None:
    """Once: what is whole is found again, what was left half is made anew."""
    programs("node", "#!/bin/sh\necho v20.1.2\n")
    programs("npm", NPM.format(log=tmp_path / "log", does=f"{INSTALLS} -p"))
    assert [Node().missing(), Node().missing()] == [None, None]
    assert packages.folder() == cached
    assert (tmp_path / "log").read_text() == "ci\n"
    assert {path.name for path in cached.iterdir()} >= {"node_modules", *packages.FILES}
    (cached / "node_modules" / packages.INSTALLED).unlink()
    assert packages.folder() == cached
    assert (tmp_path / "log").read_text() == "ci\nci\n"


def test_what_npm_says_is_told_with_what_to_do(
    programs: Callable[[str, str], Path], cached: Path, tmp_path: Path
) -> None:
    programs("node", "#!/bin/sh\necho v20.1.2\n")
    programs("npm", NPM.format(log=tmp_path / "log", does=FAILS))
    assert Node().missing() == (
        "its packages could not be installed (npm error code E404); "
        f"run `npm ci` in {cached} and see what it says"
    )


def test_it_is_started_with_what_a_trial_asks() -> None:
    options = Options(host="10.0.0.1", max_subscribers=700, ping_interval_s=5.0, permessage_deflate=True)
    _, *command = Node().command(options, Path())
    assert command == [
        *["-m", "bench.systems.node.start", "--host", "10.0.0.1", "--port", "0"],
        *["--max-subscribers", "700", "--ping-interval-s", "5.0"],
        *["--max-subscribers-per-address", "700", "--permessage-deflate"],
    ]


@pytest.fixture
def node(serve: Callable[..., Server]) -> Server:
    return serve("--server-model", "node")


KEPT = [
    ("[1.0, 12345678901234567890, 1e2, -0, 0.10]", "[1.0,12345678901234567890,1e2,-0,0.10]"),
    (r'{"é" : "\u00e9\/\u0000\n\ud83d\ude00"}', '{"é":"é/\\u0000\\n😀"}'),
    ('{"a":1, "a":2}', '{"a":1,"a":2}'),
    (" [ ] ", "[]"),
]


@pytest.mark.long
def test_data_keeps_its_text_but_for_white_space_and_escapes(node: Server) -> None:
    """What our servers in Python write differently (servers/node/README.md) is read as the same."""
    for sent, _ in KEPT:
        body = f'{{"data":{sent}}}'.encode()
        headers = {"Content-Type": "application/json"}
        assert ask(node, "POST", "/streams/main/notifications", body, headers).status == 201
    answer = ask(node, "GET", "/streams/main/short-poll?after=otherlife.0").body.decode()
    assert re.findall(r'"data":(.*?)}(?:,{"id"|\],"cursor)', answer) == [kept for _, kept in KEPT]


@pytest.mark.long
def test_bad_options_are_told(node: Server) -> None:
    for words, told in [
        (["--max-streams", "none"], "max_streams must be a number, at least 1, not none"),
        (["--max-log-bytes", "1000"], "max_notification_bytes must not exceed max_log_bytes"),
        (["--nonsense"], "--nonsense"),
        (["--port", node.url.rsplit(":", 1)[1]], "Address already in use"),
    ]:
        command = [*Node().command(Options(), Path())[:3], *words]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (result.returncode, told in result.stderr, "    at " in result.stderr) == (2, True, False)


@pytest.mark.long
def test_a_head_is_bounded_in_all(node: Server) -> None:
    """Not by the number and length of its fields, as ours (servers/node/README.md)."""
    answer = ask(node, "GET", "/healthz", headers={f"X-{number}": "x" * 300 for number in range(110)})
    assert (answer.status, "32768 bytes" in answer.json["detail"]) == (431, True)


@pytest.mark.long
def test_a_run_measures_it(tmp_path: Path, node: Server) -> None:
    """Whether a trial is valid is the machine's to say."""
    assert stats(node, "main")["epoch"] is None
    path, _ = perform(parse(SCENARIO), tmp_path / "run", "wirelab bench node.toml", quiet=True)
    run = json.loads((path / "run.json").read_text())
    assert len(run["trials"]) == len({trial["transport"] for trial in run["trials"]}) == 4
    assert run["versions"]["node"].startswith("Node ")
    assert "express 5." in run["versions"]["node"]
    wrong = ("notifications were lost", "came twice", "out of order", "died")
    assert not [trial["why"] for trial in run["trials"] if any(words in str(trial["why"]) for words in wrong)]
