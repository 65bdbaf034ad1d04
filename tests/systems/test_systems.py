"""Entries of the registry: what each says of its server, and what follows from it for scenarios and runs."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from running import HEAD

from bench.analysis import store
from bench.commands.bench import perform
from bench.errors import ScenarioError, UsageError
from bench.rendering.report import report
from bench.rundir.collected import Collected
from bench.rundir.tables import tables_of
from bench.rundir.writer import trial_record
from bench.scenario.parse import parse
from bench.scenario.settings import Settings
from bench.systems import registry
from bench.systems.registry import SYSTEMS
from bench.systems.system import Options, System
from bench.systems.wirelab import Wirelab
from clients import TRANSPORTS
from clients.long_poll import LongPollSubscriber
from clients.short_poll import ShortPollSubscriber
from clients.subscriber import Subscriber

SCENARIO = f"""{HEAD}
[[cells]]
transport = "short-poll"
poll_interval_s = 0.2
subscribers = 5
publish_rate = 10
window_s = 0.5
settle_s = 0.2
"""


class Other(System):
    """A system that we did not write: it numbers nothing, and has ways to wait of its own."""

    name = "other"
    label = "another server"
    server_models = ("one", "two")
    transports: ClassVar[Mapping[str, type[Subscriber]]] = {
        "short-poll": ShortPollSubscriber,
        "long-poll": LongPollSubscriber,
    }
    unreported = ("accepted_us", "missed")

    def version(self) -> str | None:
        return "1.2"

    def command(self, options: Options, scratch: Path) -> list[str]:
        return ["other", options.host]


class Lone(Other):
    """One that has no choice of server models."""

    name = "lone"
    label = "a lone server"
    server_models = ()

    def missing(self) -> str | None:
        return "its program is not installed"


@pytest.fixture
def lone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SYSTEMS, "lone", Lone())


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SYSTEMS, "other", Other())


def test_one_system_is_ours() -> None:
    """And a system of a run from elsewhere is nothing that we know."""
    assert [name for name in SYSTEMS if registry.is_ours(name)] == [registry.OURS.name] == ["wirelab"]
    assert not registry.is_ours("elsewhere")
    assert not registry.is_judged("elsewhere", "gevent")
    assert not registry.is_noise_floor("elsewhere", None)
    assert [registry.label(name) for name in ("bare", "elsewhere")] == ["bare server", "elsewhere"]


def test_the_noise_floor_is_a_server_model_of_ours_and_nothing_is_judged_by_it() -> None:
    """In older runs it is a system of its own."""
    models = registry.OURS.server_models
    assert [name for name in models if registry.is_noise_floor("wirelab", name)] == ["asyncio"]
    assert [name for name in models if registry.is_judged("wirelab", name)] == ["gevent", "gthread"]
    assert registry.is_noise_floor("bare", None)
    assert not registry.is_judged("bare", None)


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=list(SYSTEMS))
def test_each_has_client_classes_of_its_transports_by_their_names(system: System) -> None:
    assert {name: client.transport for name, client in system.transports.items()} == {
        name: name for name in system.transports
    }
    assert set(system.transports) <= set(TRANSPORTS)


@pytest.mark.parametrize(
    "system",
    [
        pytest.param(system, marks=pytest.mark.long) if system.name in ("node", "nchan") else system
        for system in SYSTEMS.values()
    ],
    ids=list(SYSTEMS),
)
def test_each_can_run_here(system: System) -> None:
    """What needs more than Python says what to install."""
    if said := system.missing():
        pytest.skip(said)


def test_our_server_is_started_with_what_a_trial_asks() -> None:
    options = Options(
        host="10.0.0.1",
        server_model="gthread",
        max_subscribers=70,
        ping_interval_s=5.0,
        permessage_deflate=True,
    )
    command = Wirelab().command(options, Path())
    many = Wirelab().command(dataclasses.replace(options, max_subscribers=1000), Path())
    assert many[many.index("--max-subscribers-per-address") + 1] == "1000", "they share one address"
    assert command == [
        *[sys.executable, "-m", "bench.cli", "serve", "--server-model", "gthread"],
        *["--host", "10.0.0.1", "--port", "0", "--max-subscribers", "70", "--ping-interval-s", "5.0"],
        "--permessage-deflate",
    ]


def test_the_url_is_found_in_the_line_that_says_ready() -> None:
    assert Wirelab().url("wirelab: serving on http://127.0.0.1:80 (gevent)\n") == "http://127.0.0.1:80"
    assert Wirelab().url("Address already in use\n") is None


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('system = "nobody"', "system must be one of wirelab, .*other, not 'nobody'"),
        (
            "server_model = 'three'",
            "server_model must be one of gevent, gthread, asgi, asyncio, one, two, not",
        ),
        (
            "server_model = 'one'",
            "wirelab: server_model must be one of gevent, gthread, asgi, asyncio, not 'one'",
        ),
        ('system = "other"', "system other: server_model must be one of one, two, not 'gevent'"),
    ],
)
def test_a_scenario_asks_only_for_what_a_system_has(more: str, told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        parse(SCENARIO + more)


def test_compression_is_not_asked_of_a_server_model_that_has_none() -> None:
    text = SCENARIO.replace('"short-poll"', '"websocket"') + "permessage_deflate = true\n"
    assert parse(text).cells[0].permessage_deflate
    with pytest.raises(ScenarioError, match="server_model asyncio offers no permessage_deflate"):
        parse(text + 'server_model = "asyncio"')
    with pytest.raises(ScenarioError, match="system nchan offers no permessage_deflate"):
        parse(text + 'system = "nchan"')


def test_a_wait_that_a_system_cannot_keep_is_not_asked_of_it() -> None:
    """nchan knows whole seconds: the cell would be named after another wait than it had."""
    text = SCENARIO.replace('"short-poll"', '"long-poll"') + 'system = "nchan"\n'
    assert parse(text + "wait_s = 3").cells[0].wait_s == 3
    with pytest.raises(ScenarioError, match=r"system nchan: wait_s must be a multiple of 1 there, not 0\.5"):
        parse(text + "wait_s = 0.5")


@pytest.mark.usefixtures("other")
def test_a_system_that_does_not_speak_a_transport_is_told() -> None:
    with pytest.raises(ScenarioError, match="system other: transport must be one of short-poll, long-poll, "):
        parse(SCENARIO.replace('"short-poll"', '"websocket"') + 'system = "other"\nserver_model = "one"')


@pytest.mark.usefixtures("other")
def test_a_trial_of_another_system_is_named_after_it_and_says_what_it_does_not_tell() -> None:
    (planned,) = parse(SCENARIO + 'system = "other"\nserver_model = "two"').plan()
    assert planned.id == "r1-short-poll-other-two-5x10"
    assert planned.settings.client is ShortPollSubscriber
    assert trial_record(Collected(planned))["unreported"] == ["accepted_us", "missed"]


@pytest.mark.usefixtures("other")
def test_what_a_system_does_not_tell_is_null(tmp_path: Path) -> None:
    """Whatever stands in the rows."""
    (planned,) = parse(SCENARIO + 'system = "other"\nserver_model = "two"').plan()
    np.array([[0, 1, 10, 10, 20, 30], [0, 2, 11, 11, 21, 31]], np.int64).tofile(tmp_path / "deliveries.i64")
    collected = Collected(planned, subscribers=[{"subscriber": 0, "missed": 0, "lost": 0}])
    collected.read_rows(tmp_path)
    tables = tables_of(collected)
    deliveries, subscribers = tables["deliveries"], tables["subscribers"]
    assert deliveries["accepted_us"].to_pylist() == [None, None]
    assert deliveries["received_us"].to_pylist() == [20, 21]
    assert (subscribers["missed"].to_pylist(), subscribers["lost"].to_pylist()) == ([None], [0])


@pytest.mark.usefixtures("lone")
def test_cells_of_a_system_that_cannot_run_here_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says so, the run keeps why, and what is left is measured."""
    monkeypatch.setattr(Wirelab, "version", lambda system: "1.2")
    scenario = parse(SCENARIO + 'system = ["wirelab", "lone"]')
    path, _ = perform(scenario, tmp_path / "run", "wirelab bench systems.toml", quiet=True)
    said = capsys.readouterr().err
    assert "a lone server cannot run here, so its cells are left out: its program is not installed\n" in said
    run = json.loads((path / "run.json").read_text())
    assert run["systems_unavailable"] == {"lone": "its program is not installed"}
    assert run["versions"]["wirelab"] == "1.2"
    assert "lone" not in run["versions"]
    assert [trial["system"] for trial in run["trials"]] == ["wirelab"]
    assert run["trials"][0]["unreported"] == []
    opened = store.load(path)
    page = report.render(opened.run, opened.summary, [])
    assert "a lone server could not run on this machine" in page


@pytest.mark.usefixtures("lone")
def test_a_scenario_of_which_nothing_can_run_here_is_refused(tmp_path: Path) -> None:
    """Before a directory is made."""
    with pytest.raises(UsageError, match="can be measured here: its program is not installed"):
        perform(parse(SCENARIO + 'system = "lone"'), tmp_path / "run", "wirelab bench systems", quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("lone")
def test_calibrated_groups_go_with_their_system() -> None:
    """What is left keeps its own."""
    group = "\n[[cells]]\ntransport = 'long-poll'\nsubscribers = 5\npublish_rate = [1, 2]\n"
    group += "core_busy_share = 0.3\n"
    scenario = parse(SCENARIO + group + group + 'system = "lone"')
    assert scenario.systems == ("wirelab", "lone")
    left = scenario.without({"lone"})
    assert left.systems == ("wirelab",)
    assert [group.cells[0].system for group in left.calibrated] == ["wirelab"]


def test_the_default_is_ours() -> None:
    made = Settings(transport=None, subscribers=0, publish_rate=0.0)
    assert (made.system, made.server_model) == ("wirelab", "gevent")
