"""Scenarios are checked whole before anything starts, and what is wrong is told by name."""

import random
import re

import pytest

from bench.errors import ScenarioError
from bench.scenario import parse as parsing
from bench.scenario import settings
from bench.scenario.links import CONSTANT, PROFILES, Link
from bench.scenario.parse import load, shipped
from bench.scenario.scenario import Scenario
from clients.publisher import schedule

HEAD = """
name = "some"
question = "what?"
prediction = "that"
expected_length = "a minute"
repeats = 2
minimum_valid_trials = 2
"""
CELL = """
[[cells]]
transport = "websocket"
subscribers = 10
publish_rate = 2
"""
POLLS = CELL.replace("websocket", "short-poll").replace("10", "500")


def parse(head: str = HEAD, cells: str = CELL) -> Scenario:
    return parsing.parse(head + cells)


@pytest.mark.parametrize("name", shipped())
def test_shipped_scenarios_are_good(name: str) -> None:
    """They parse, carry the name of their file, and ask for enough repeats to be valid."""
    found = load(name)
    assert found.name == name
    assert found.repeats == found.minimum_valid_trials == {"quick": 3, "systems-quick": 3}.get(name, 5)
    # A search asks whether a load is too much, which spoils trials by itself.
    assert found.spare_repeats == (2 if found.p99_budget_ms is None else 0)


def test_shipped_scenarios_stay_within_their_time() -> None:
    """`quick` must fit 75 s and `article` 25 minutes, with what comes before and after the trials."""
    assert load("quick").expected_s < 66
    assert load("article").expected_s < 23.5 * 60


@pytest.mark.parametrize("name", shipped())
def test_its_stated_length_follows_from_the_estimate(name: str) -> None:
    """Of all trials, and of those before them. The upper half of a range is for what is done again."""
    found = load(name)
    minutes = (found.calibrating_s + found.expected_s) / 60
    first, *last = [float(number) for number in re.findall(r"\d+", found.expected_length)] or [1.0]
    if last:
        assert first <= minutes <= (first + last[0]) / 2
    else:
        assert abs(minutes - first) <= 1


@pytest.mark.parametrize("name", shipped())
def test_something_is_due_in_every_window(name: str) -> None:
    """A seed that leaves the window of a rare rate empty would make a shipped scenario invalid."""
    found = load(name)
    loads = {(cell.schedule, cell.publish_rate, cell.settle_s, cell.window_s) for cell in found.cells}
    for repeat in range(1, found.repeats + 1):
        seed = random.Random(f"{found.seed}/{repeat}/publish").getrandbits(32)
        for kind, rate, settle_s, window_s in loads:
            if rate:
                # Publishing begins as settling does; the window's edges are some milliseconds off.
                due_s = schedule(kind, rate, seed)  # type: ignore[arg-type]
                assert next(at for at in due_s if at > settle_s + 0.05) < settle_s + window_s - 0.05


def test_lists_make_a_grid() -> None:
    """Every combination, once."""
    cells = parse(cells=CELL.replace("10", "[10, 20]") + 'server_model = ["gevent", "gthread"]').cells
    assert {(cell.subscribers, cell.server_model) for cell in cells} == {
        (subscribers, model) for subscribers in (10, 20) for model in ("gevent", "gthread")
    }


def test_a_factor_is_varied_only_where_it_is_one() -> None:
    """Two poll intervals are two cells of short poll and one of WebSocket, under the first of them."""
    cells = parse(
        cells='[[cells]]\ntransport = ["short-poll", "websocket"]\nsubscribers = 5\npublish_rate = 1\n'
        "poll_interval_s = [0.5, 1.0]"
    ).cells
    assert [(cell.transport, cell.poll_interval_s) for cell in cells] == [
        ("short-poll", 0.5),
        ("short-poll", 1.0),
        ("websocket", 0.5),
    ]


def test_groups_share_defaults_and_equal_cells_are_one() -> None:
    """A group overrides `defaults`; what two groups both ask for is measured once."""
    cells = parse(HEAD + "[defaults]\nwindow_s = 2.0\n", CELL + CELL + CELL + "window_s = 3.0\n").cells
    assert [cell.window_s for cell in cells] == [2.0, 3.0]


def test_a_baseline_has_no_subscribers() -> None:
    """Transport "none" decides another setting."""
    (baseline,) = parse(cells=CELL.replace("websocket", "none").replace("10", "0")).cells
    assert (baseline.transport, baseline.subscribers) == (None, 0)


def test_the_order_is_shuffled_within_repeats_by_the_seed() -> None:
    """Each repeat holds every cell; another seed gives another order, the same seed the same."""
    cells = CELL.replace("10", "[1, 2, 3, 4, 5, 6]")
    plan = parse(HEAD + "seed = 3\n", cells).plan()
    assert [trial.repeat for trial in plan] == [1] * 6 + [2] * 6
    assert [trial.order for trial in plan] == list(range(1, 13))
    assert len({trial.id for trial in plan}) == 12
    assert {trial.settings for trial in plan[:6]} == {trial.settings for trial in plan[6:]}
    assert [t.id for t in plan] == [t.id for t in parse(HEAD + "seed = 3\n", cells).plan()]
    assert [t.id for t in plan] != [t.id for t in parse(HEAD + "seed = 4\n", cells).plan()]


def test_joins_are_spread_over_the_wait_of_idle_subscribers() -> None:
    """So that long polls end, and WebSockets are pinged, evenly over the window."""
    idle = CELL.replace("publish_rate = 2", "publish_rate = 0\nwait_s = 2\nwindow_s = 4")
    assert parse(cells=idle).cells[0].join_s == 2
    assert parse().cells[0].join_s < 1


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        ("", "cells"),
        (CELL.replace("websocket", "carrier-pigeon"), "transport must be one of short-poll"),
        (CELL.replace('"websocket"', "7"), "transport"),
        (CELL.replace("transport", "transprot"), "'transprot'"),
        (CELL + 'implementation = "bare"', "cells group 1: implementation is called system now"),
        (CELL.replace("subscribers = 10", ""), "subscribers is missing"),
        (CELL.replace("10", "0"), "subscribers"),
        (CELL.replace("10", "5001"), "from 0 to 5000"),
        (CELL.replace("10", "1.5"), "whole number"),
        (CELL.replace("10", "true"), "subscribers"),
        (CELL.replace("10", "[]"), "empty list"),
        (CELL.replace("= 2", "= -1"), "publish_rate"),
        (CELL.replace("= 2", '= "fast"'), "publish_rate"),
        (CELL.replace("= 2", "= nan"), "publish_rate"),
        (CELL + 'server_model = "fork"', "server_model must be one of gevent, gthread"),
        (CELL + 'schedule = "bursty"', "schedule"),
        (CELL + 'headers = "all"', "headers"),
        (CELL + 'permessage_deflate = "yes"', "true or false"),
        (CELL + "window_s = 0.1", "window_s"),
        (CELL + "payload_bytes = 2000000", "payload_bytes"),
        (CELL.replace("10", "5000").replace("= 2", "= 1000"), "deliveries"),
        (CELL.replace("10", "5000").replace("= 2", "= 10") + "payload_bytes = 1000000", "bytes a second"),
        (POLLS + "poll_interval_s = 0.01\nwindow_s = 300", "requests"),
        (CELL.replace("= 2", "= 0") + "wait_s = 4\nwindow_s = 6", "whole multiple"),
        (CELL.replace("= 2", "= 0") + "wait_s = 4\nwindow_s = 2", "whole multiple"),
        (CELL + "core_busy_share = 0.3", "core_busy_share takes one list of loads"),
        (CELL.replace("10", "[10, 20]") + "core_busy_share = 1.5", "core_busy_share must be a number"),
        (CELL.replace("10", "[10]") + "generator_cpu_share = 0.5", "core_busy_share, which is missing"),
        (CELL.replace("10", "[10, 20]") + "core_busy_share = true", "core_busy_share must be a number"),
        (CELL.replace("10", "[10, 20]") + "core_busy_share = [0.3]", "core_busy_share must be a number"),
        (CELL.replace("10", "[10, 20]").replace("= 2", "= [1, 2]") + "core_busy_share = 0.3", "one list"),
        (CELL.replace("10", "[10, 20]") + "payload_bytes = [1, 2]\ncore_busy_share = 0.3", "one list"),
        (CELL.replace("10", "[10, 2100]") + "core_busy_share = 0.3", "multiplied by up to 2.5"),
        (CELL.replace("= 2", "= [0, 2]") + "wait_s = 5\ncore_busy_share = 0.3", "one list"),
        ("cells = 3", "cells"),
        ("[[cells]]\nthis is not TOML", "not TOML"),
    ],
)  # fmt: skip
def test_bad_cells_are_told_by_name(cells: str, told: str) -> None:
    """The message names the key, and what is allowed."""
    with pytest.raises(ScenarioError, match="(?s).*" + told.replace("[", r"\[")):
        parse(cells=cells)


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (HEAD.replace('"some"', '"Some Name"'), "name"),
        (HEAD.replace('"what?"', '" "'), "question"),
        (HEAD.replace('prediction = "that"', ""), "prediction"),
        (HEAD.replace("repeats = 2", "repeats = 0"), "repeats"),
        (HEAD.replace("repeats = 2", "repeats = 2.0"), "repeats"),
        (HEAD.replace("minimum_valid_trials = 2", "minimum_valid_trials = 3"), "minimum_valid_trials"),
        (HEAD + "seed = -1", "seed"),
        (HEAD + "spare_repeats = -1", "spare_repeats"),
        (HEAD + 'probes = ["downgrade"]', "probes"),
        (HEAD + "p99_budget_ms = 0", "p99_budget_ms must be a number from 1"),
        (HEAD + "p99_budget_ms = true", "p99_budget_ms"),
        (HEAD + "defaults = 3", "defaults"),
        (HEAD + "[defaults]\nspeed = 3", "'speed'"),
        (HEAD + '[defaults]\nimplementation = "bare"', "defaults: implementation is called system now"),
        (HEAD + "[defaults]\ncore_busy_share = 0.3", "'core_busy_share'"),
        (HEAD + "speed = 3", "'speed'"),
        (HEAD.replace("repeats = 2", "repeats = 100") + "[defaults]\nwindow_s = 300", "hours"),
        (
            HEAD.replace("repeats = 2", "repeats = 70\nspare_repeats = 5") + "[defaults]\nwindow_s = 300",
            "hours",
        ),
    ],
)
def test_bad_heads_are_told_by_name(head: str, told: str) -> None:
    """So it is at the top level."""
    with pytest.raises(ScenarioError, match=told):
        parse(head, CELL)


def test_an_unknown_name_tells_the_known_ones() -> None:
    """Whoever mistypes sees what there is."""
    with pytest.raises(ScenarioError, match=", ".join(shipped())):
        load("quik")


def test_trials_are_named_by_what_tells_them_apart() -> None:
    """A factor is named only where it varies and belongs to the transport; equal names get a number."""
    cells = (
        '[[cells]]\ntransport = ["short-poll", "websocket"]\nsubscribers = 5\npublish_rate = 1\n'
        "poll_interval_s = [0.5, 1.0]\n" + CELL + "window_s = 2.0\n" + CELL + "window_s = 3.0\n"
    )
    assert {trial.id for trial in parse(HEAD.replace("= 2", "= 1"), cells).plan()} == {
        "r1-short-poll-gevent-5x1-t0.5",
        "r1-short-poll-gevent-5x1-t1",
        "r1-websocket-gevent-5x1",
        "r1-websocket-gevent-10x2",
        "r1-websocket-gevent-10x2-again2",
    }


def test_loads_that_follow_the_machine() -> None:
    """The cells of a calibrated group are multiplied together; others stay, and so does the order."""
    cells = CELL + CELL.replace("10", "[40, 20, 80]") + "core_busy_share = 0.3"
    found = parse(HEAD, cells)
    (group,) = found.calibrated
    assert found.calibrating_s == 4 * group.cells[-1].expected_s
    assert parse().calibrating_s == 0
    assert (group.load, group.core_busy_share) == ("subscribers", 0.3)
    assert [cell.subscribers for cell in group.cells] == [20, 40, 80]
    scaled = found.with_loads([0.777])
    assert [cell.subscribers for cell in scaled.cells] == [10, 31, 16, 62]
    before, after = ([planned.settings for planned in one.plan()] for one in (found, scaled))
    assert [scaled.cells.index(cell) for cell in after] == [found.cells.index(cell) for cell in before]
    assert max(cell.subscribers for cell in found.possible_cells) == 200


def test_the_loads_of_a_group_may_stand_in_the_defaults() -> None:
    """As any factor may."""
    (group,) = parse(
        HEAD + "[defaults]\nsubscribers = [20, 40]\n",
        CELL.replace("subscribers = 10", "core_busy_share = 0.3"),
    ).calibrated
    assert [cell.subscribers for cell in group.cells] == [20, 40]


def test_every_factor_is_checked_and_has_one_part() -> None:
    """A new field of Settings is known to the file, to its checks and to whoever groups cells."""
    assert set(settings.KEYS) == set(settings.SETTINGS) - set(Link._fields[2:])
    parts = [*settings.KIND, *settings.LOAD, *settings.MEASURING]
    assert sorted(parts) == sorted(settings.SETTINGS)
    assert set(settings.OWN_FACTORS) <= set(settings.SETTINGS)
    for name in settings.KEYS:
        with pytest.raises(ScenarioError, match=f"{name} must be"):
            parse(cells=CELL.replace(f"{name} =", "#") + f"{name} = {{}}")


LINKS = """
[links.satellite]
one_way_ms = 270
loss_percent = 0.5
"""


def links(more: str, defaults: str = "") -> list[Link]:
    """The links of a scenario of one group with these lines in it."""
    return [Link.of(cell) for cell in parse(HEAD + LINKS + defaults, CELL + more).cells]


def test_a_delay_is_a_link_of_its_own() -> None:
    """Each delay a cell, also none; a profile or a link of the scenario's own goes by its name."""
    assert links("") == [Link()]
    assert links("one_way_ms = [0, 20]") == [Link(CONSTANT, 0.0), Link(CONSTANT, 20.0)]
    assert links('link = ["loopback", "4g", "satellite"]') == [
        Link(),
        PROFILES["4g"].link,
        Link("satellite", one_way_ms=270.0, loss_percent=0.5),
    ]


def test_a_group_overrides_the_link_of_the_defaults() -> None:
    """Whether that was given by name or as a delay."""
    assert links('link = "lan"', "[defaults]\none_way_ms = 5\n") == [PROFILES["lan"].link]
    assert links("one_way_ms = 5", '[defaults]\nlink = "lan"\n') == [Link(CONSTANT, 5.0)]
    assert links("", "[defaults]\none_way_ms = 5\n") == [Link(CONSTANT, 5.0)]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('link = "5g"', "link must be one of loopback, lan, 4g, intercontinental, not '5g'"),
        ('link = "lan"\none_way_ms = 3', "leave out link, or give the whole link as [links.NAME]"),
        ("one_way_ms = -1", "one_way_ms must be a number from 0 to 1000"),
        ("one_way_ms = []", "one_way_ms is an empty list"),
        ("jitter_ms = 3", "there is no key 'jitter_ms'"),
        ("[links.lan]\none_way_ms = 3", "not as one that is there already"),
        ("[links.far]\ndelay = 3", "links.far: there is no key 'delay'"),
        ("[links.far]\nloss_percent = 90", "links.far: loss_percent must be a number from 0 to 20"),
        ("[links.far]\njitter_ms = 3", "links.far: jitter_ms must not exceed one_way_ms"),
        (
            "[links.far]\nbandwidth_mbit = 0.1",
            "links.far: bandwidth_mbit must be 0, for no limit, or at least",
        ),
        ("link = {one_way_ms = 3}", "link must be one of loopback"),
        ("one_way_ms = 600\nwait_s = 0.5", "wait_s is too short for a round trip of 1.2 s"),
    ],
)
def test_what_is_wrong_with_a_link_is_told(more: str, told: str) -> None:
    with pytest.raises(ScenarioError) as error:
        parse(cells=CELL + more)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("transport", "wait_s", "waits_s"),
    [
        ("websocket", 0.5, 1.0),
        ("websocket", 2.4, None),
        ("socketio", 2.4, 1.0),
        ("socketio", 25, None),
        ("socketio-polling", 2.4, 1.0),
        ("socketio-polling", 25, None),
        ("sse", 0.5, None),
        ("long-poll", 0.5, None),
    ],
)
def test_a_pong_needs_a_round_trip(transport: str, wait_s: float, waits_s: float | None) -> None:
    """The server waits for it from one ping to the next, or for a part of that; for SSE's comments it does
    not."""
    text = CELL.replace('"websocket"', f'"{transport}"') + f"one_way_ms = 750\nwait_s = {wait_s}"
    if waits_s is None:
        assert parse(cells=text).cells
    else:
        with pytest.raises(ScenarioError, match=f"the server waits {waits_s:g} s for a pong"):
            parse(cells=text)


def test_nobody_is_across_a_link_from_a_baseline_and_on_loopback_equal_cells_are_one() -> None:
    """A server without subscribers has no clients' side."""
    cells = CELL.replace('"websocket"', '["websocket", "none"]') + "one_way_ms = [0, 20]"
    found = parse(cells=cells)
    assert [(cell.transport, cell.one_way_ms, cell.link) for cell in found.cells] == [
        ("websocket", 0.0, "constant"),
        ("websocket", 20.0, "constant"),
        (None, 0.0, "loopback"),
    ]
    assert [link.one_way_ms for link in found.links] == [0.0, 20.0]
    assert len(found.on_loopback().cells) == 2
    assert {(cell.transport, cell.link) for cell in found.on_loopback().cells} == {
        ("websocket", "loopback"),
        (None, "loopback"),
    }
    assert {trial.id for trial in found.plan() if trial.repeat == 1} == {
        "r1-websocket-gevent-10x2-constant-0ms",
        "r1-websocket-gevent-10x2-constant-20ms",
        "r1-none-gevent-0x2-loopback-0ms",
    }
