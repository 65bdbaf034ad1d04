"""Each gate, broken on purpose, one at a time: on a small trial that passes them all, and on copies of a real
run."""

import html
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic_run import change, change_run

import bench
from bench.analysis import store
from bench.errors import RunDirectoryError
from bench.evidence import gates
from bench.rendering.report import report
from bench.rundir.trial import Trial
from bench.scenario.links import Link
from bench.scenario.scenario import ADDED

GOLDEN = Path(__file__).parents[1] / "golden" / "quick"
START_US = 1_763_874_000_000_000
END_US = START_US + 5_000_000
SUBSCRIBERS, NOTIFICATIONS = 4, 20


COUNTED = ("missed", "duplicates", "reordered", "epoch_changes", "reconnects")


def good_trial(transport: str | None = "long-poll") -> Trial:
    """Four subscribers who joined at id 1 and got ids 2 to 21, each 2 ms after it was due."""
    ids = np.arange(2, 2 + NOTIFICATIONS, dtype=np.int64)
    due_us = START_US + (ids - 2) * 200_000
    subscribers = np.repeat(np.arange(SUBSCRIBERS), NOTIFICATIONS)
    all_ids, all_due = np.tile(ids, SUBSCRIBERS), np.tile(due_us, SUBSCRIBERS)
    count = np.zeros(SUBSCRIBERS, np.int64)
    record = {
        "id": "r1",
        "transport": transport,
        "implementation": "wirelab",
        "subscribers": SUBSCRIBERS,
        "publish_rate": 4.0,
        **ADDED,
        "window_start_us": START_US,
        "window_end_us": END_US,
        "window_s": 5.0,
        "exit": "finished",
    }
    return Trial(
        record,
        deliveries={
            "subscriber": subscribers,
            "id": all_ids,
            "due_us": all_due,
            "accepted_us": all_due + 300,
            "received_us": all_due + 2000,
            "handled_us": all_due + 2100,
        },
        requests={
            "subscriber": subscribers,
            "sent_us": all_due - 1000,
            "received_us": all_due + 2000,
            "handled_us": all_due + 2100,
            "status": np.full(len(subscribers), 101 if transport == "websocket" else 200),
        },
        published={"id": ids, "due_us": due_us, "written_us": due_us + 100, "answered_us": due_us + 500},
        subscribers={
            "subscriber": np.arange(SUBSCRIBERS),
            "joined_id": count + 1,
            **{name: count.copy() for name in COUNTED},
            "requests": count + NOTIFICATIONS,
        },
        resources=[sample("window_start", START_US), sample("window_end", END_US)],
        pinning={"server": [0], "generator": [1]},
        measured={"arrival": "kernel", "cpu": "process clocks"},
    )


def sample(edge: str, at_us: int) -> dict[str, Any]:
    """What everybody had used by then: the generator a tenth of a core, the server's core half of it."""
    spent_us = at_us - START_US
    return {
        "edge": edge,
        "at_us": at_us,
        "monotonic_us": at_us - START_US + 7_000_000,
        "server": {"cpu_us": spent_us // 2},
        "generator": {"cpu_us": spent_us // 10, "waited_us": spent_us // 100},
        "cores": {"0": {"busy_us": spent_us // 2, "total_us": spent_us}},
    }


@pytest.mark.parametrize("transport", ["short-poll", "long-poll", "websocket", None])
def test_a_good_trial_passes(transport: str | None) -> None:
    """Valid, steady, and no gate failed."""
    outcome = gates.check(good_trial(transport))
    assert (outcome.valid, outcome.steady) == (True, True)
    assert not any(gate["passed"] is False for gate in outcome.gates.values())


def lose_one(trial: Trial) -> None:
    keep = np.ones(len(trial.deliveries["id"]), bool)
    keep[30] = False
    trial.deliveries = {name: values[keep] for name, values in trial.deliveries.items()}


def lose_the_last(trial: Trial) -> None:
    keep = trial.deliveries["id"] != NOTIFICATIONS + 1
    trial.deliveries = {name: values[keep] for name, values in trial.deliveries.items()}


def lose_the_first(trial: Trial) -> None:
    keep = trial.deliveries["id"] != 2
    trial.deliveries = {name: values[keep] for name, values in trial.deliveries.items()}


def repeat_one(trial: Trial) -> None:
    order = np.sort(np.append(np.arange(len(trial.deliveries["id"])), 30))
    trial.deliveries = {name: values[order] for name, values in trial.deliveries.items()}


def swap_two(trial: Trial) -> None:
    trial.deliveries["id"][[30, 31]] = trial.deliveries["id"][[31, 30]]


def receiver_saw_a_duplicate(trial: Trial) -> None:
    trial.subscribers["duplicates"][1] = 1


def receiver_saw_a_latecomer(trial: Trial) -> None:
    trial.subscribers["reordered"][1] = 1


def one_never_joined(trial: Trial) -> None:
    trial.subscribers = {name: values[1:] for name, values in trial.subscribers.items()}


def told_more_than_was_missing(trial: Trial) -> None:
    trial.subscribers["missed"][2] = 3


def epoch_changed(trial: Trial) -> None:
    trial.subscribers["epoch_changes"][2] = 1


def publish_refused(trial: Trial) -> None:
    trial.published["id"] = np.where(trial.published["id"] == 5, np.nan, trial.published["id"])
    lose = trial.deliveries["id"] != 5
    trial.deliveries = {name: values[lose] for name, values in trial.deliveries.items()}


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (lose_one, "1 notifications were lost"),
        (lose_the_last, "4 notifications were lost"),
        (lose_the_first, "4 notifications were lost"),
        (repeat_one, "1 came twice"),
        (swap_two, "1 came out of order"),
        (receiver_saw_a_duplicate, "1 came twice"),
        (receiver_saw_a_latecomer, "1 came out of order"),
        (one_never_joined, "1 subscribers never reported"),
        (told_more_than_was_missing, "3 were delivered or told"),
        (epoch_changed, "1 changes of epoch"),
        (publish_refused, "did not accept 1"),
    ],
)
def test_delivery_is_exact(break_it: Any, told: str) -> None:
    """Whatever is lost, repeated or reordered makes the trial invalid, and it says what."""
    trial = good_trial()
    break_it(trial)
    outcome = gates.check(trial)
    assert not outcome.valid
    assert outcome.gates["delivered"]["passed"] is False
    assert told in " ".join(outcome.why)


def test_a_told_gap_is_valid_and_not_steady() -> None:
    """published × subscribers = delivered + told gaps still holds; latency wins nothing."""
    trial = good_trial()
    lose_one(trial)
    trial.subscribers["missed"][1] = 1
    outcome = gates.check(trial)
    assert outcome.valid
    assert not outcome.steady
    assert "1 missed" in outcome.not_steady_why[0]


@pytest.mark.parametrize(("late_us", "passed"), [(4_900, True), (5_100, False)])
def test_a_late_publisher(late_us: int, passed: bool) -> None:
    """p99 of written − due, at most 5 ms."""
    trial = good_trial()
    trial.published["written_us"] = trial.published["due_us"] + late_us
    outcome = gates.check(trial)
    assert outcome.gates["publisher_late_ms_p99"]["passed"] is passed
    assert outcome.valid is passed


@pytest.mark.parametrize(("share", "passed"), [(0.84, True), (0.85, False)])
def test_a_busy_generator(share: float, passed: bool) -> None:
    """85 % of its core is too much."""
    trial = good_trial()
    trial.resources[1]["generator"]["cpu_us"] = int(share * 5_000_000)
    outcome = gates.check(trial)
    assert outcome.gates["generator_cpu_share"]["passed"] is passed
    assert outcome.valid is passed


def test_a_starved_generator() -> None:
    """It could run, and something else had its core."""
    trial = good_trial()
    trial.resources[1]["generator"]["waited_us"] = 2_000_000
    outcome = gates.check(trial)
    assert "something else was running" in outcome.why[0]


@pytest.mark.parametrize(
    ("transport", "implementation", "latency_us", "delay_us", "passed"),
    [
        ("long-poll", "wirelab", 2_000, 900, True),
        ("long-poll", "wirelab", 2_000, 1_100, False),
        ("short-poll", "wirelab", 500_000, 40_000, True),
        ("short-poll", "wirelab", 500_000, 60_000, False),
        ("websocket", "wirelab", 2_000, 60_000, None),
        ("long-poll", "bare", 2_000, 60_000, None),
    ],
)
def test_a_generator_that_handles_answers_late(
    transport: str, implementation: str, latency_us: int, delay_us: int, passed: bool | None
) -> None:
    """Only where it delays the next request, over 1 ms or a tenth of the median latency."""
    trial = good_trial(transport)
    trial.record["implementation"] = implementation
    trial.deliveries["received_us"] = trial.deliveries["due_us"] + latency_us
    trial.deliveries["handled_us"] = trial.deliveries["received_us"] + delay_us
    trial.requests["handled_us"] = trial.requests["received_us"] + delay_us
    outcome = gates.check(trial)
    assert outcome.gates["generator_delay_ms_p50"]["passed"] is passed
    assert outcome.valid is (passed is not False)


@pytest.mark.parametrize(("moved_us", "passed"), [(-900, True), (1_100, False), (-1_100, False)])
def test_a_moved_clock(moved_us: int, passed: bool) -> None:
    """Realtime against monotonic, either way, at most 1 ms."""
    trial = good_trial()
    trial.resources[1]["monotonic_us"] += moved_us
    outcome = gates.check(trial)
    assert outcome.gates["clock_moved_ms"]["passed"] is passed
    assert outcome.valid is passed


def across_a_link() -> Trial:
    """The good trial, 20 ms one way: 100 packets of 100 bytes each way passed the clients' interface."""
    trial = good_trial()
    asked = Link("constant", one_way_ms=20.0)
    trial.record |= asked._asdict()
    trial.link_check = {**asked._asdict(), "passed": True, "why": None}
    for name in ("deliveries", "requests"):
        for column in ("received_us", "handled_us"):
            getattr(trial, name)[column] += 20_000
    relay = {"forwarded": 200, "overflowed": 0, "unread": 0, "late_ms_p99": 0.2}
    trial.resources.insert(0, {**sample("empty", START_US - 1_000_000), "link": {"wire": passed(0)}})
    trial.resources[2]["link"] = {"wire": passed(50), "relay": relay}
    trial.resources.append({**sample("drained", END_US + 100_000), "link": {"wire": passed(100)}})
    counts = np.full(SUBSCRIBERS, 100 // SUBSCRIBERS)
    trial.subscribers |= {
        **{f"total_segments_{way}": counts for way in ("sent", "received")},
        **{f"total_bytes_{way}": 100 * counts for way in ("sent", "received")},
    }
    return trial


def passed(packets: int) -> dict[str, int]:
    """What the interface counted: IPv4, TCP and Ethernet headers are 66 bytes, and of a connection's first
    packet each way 74."""
    ways, count = ("sent", "received"), 166 * packets + (8 * SUBSCRIBERS if packets else 0)
    return {f"packets_{way}": packets for way in ways} | {f"bytes_{way}": count for way in ways}


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({}, None),
        ({"late_ms_p99": 2.1}, "relay was late: p99 was 2.1 ms, over 2 ms"),
        ({"overflowed": 3}, "dropped 3 packets"),
        ({"unread": 2}, "dropped 2 packets"),
    ],
)
def test_a_relay_that_does_not_keep_up(broken: dict[str, float], why: str | None) -> None:
    """Late, or without room: what it delays and loses is not the profile's."""
    trial = across_a_link()
    trial.resources[2]["link"]["relay"] |= broken
    outcome = gates.check(trial)
    assert outcome.valid is (why is None)
    assert (why or "") in " ".join(outcome.why)


def test_a_link_that_was_not_found_to_be_so() -> None:
    """Its check failed, or was never made; or its relay told nothing."""
    trial = across_a_link()
    assert trial.link_check is not None
    trial.link_check |= {"passed": False, "why": "round trip took 90.00 ms"}
    assert "round trip took 90.00 ms" in gates.check(trial).why[0]
    trial.link_check = None
    assert "never checked" in gates.check(trial).why[0]
    trial = across_a_link()
    del trial.resources[2]["link"]
    assert "did not tell" in gates.check(trial).why[0]


@pytest.mark.parametrize(("more", "valid"), [(0, True), (100, True), (400, False), (-400, False)])
def test_wire_counts_that_the_interface_contradicts(more: int, valid: bool) -> None:
    """Within 1 % of 30,464 bytes."""
    trial = across_a_link()
    trial.subscribers["total_bytes_sent"] = trial.subscribers["total_bytes_sent"] + more // SUBSCRIBERS
    outcome = gates.check(trial)
    assert outcome.gates["wire_counts_off_share"]["value"] == pytest.approx(abs(more) / 30_464)
    assert outcome.valid is valid
    trial.resources.pop()
    assert "one of the two is missing" in gates.check(trial).why[0]


def test_each_fresh_connection_has_its_own_first_packets() -> None:
    """Eight bytes more each way for every request, not for every subscriber."""
    trial = across_a_link()
    trial.record["connection"] = "fresh"
    requests = len(trial.requests["subscriber"])
    for sample in trial.resources[2:]:
        wire = sample.get("link", {}).get("wire", {})
        for name in {"bytes_sent", "bytes_received"} & set(wire):
            wire[name] += 8 * (requests - SUBSCRIBERS)
    assert gates.check(trial).gates["wire_counts_off_share"]["value"] == 0


def test_a_connection_that_was_lost_and_made_again() -> None:
    """One is enough: its handshake would be billed as what the transport costs."""
    trial = good_trial("websocket")
    trial.subscribers["reconnects"][1] = 1
    outcome = gates.check(trial)
    assert "1 connections were lost and made again" in outcome.why[0]
    assert outcome.gates["reconnects"]["passed"] is False


def test_a_dead_server() -> None:
    """Whatever was measured before."""
    trial = good_trial()
    trial.record["exit"] = "the server was killed by SIGKILL"
    outcome = gates.check(trial)
    assert "SIGKILL" in outcome.why[0]
    assert outcome.gates["server_alive"]["passed"] is False
    trial.record |= {"window_start_us": None, "window_end_us": None}
    assert "never measured" in gates.check(trial).why[0]


@pytest.mark.parametrize(("share", "steady"), [(0.94, True), (0.96, False)])
def test_a_saturated_server(share: float, steady: bool) -> None:
    """Its latency is a queue's; its counts and costs stand."""
    trial = good_trial()
    trial.resources[1]["cores"]["0"]["busy_us"] = int(share * 5_000_000)
    outcome = gates.check(trial)
    assert outcome.valid
    assert outcome.steady is steady


def test_what_is_not_measured_fails_nobody() -> None:
    """Another system: no CPU clocks, no cores, no pinning."""
    trial = good_trial()
    trial.pinning, trial.measured = None, {"arrival": "handling", "cpu": None}
    trial.deliveries["received_us"] = trial.deliveries["handled_us"]
    for found in trial.resources:
        found |= {"generator": {"cpu_us": None, "waited_us": None}, "cores": None}
    outcome = gates.check(trial)
    assert outcome.valid
    assert outcome.gates["generator_cpu_share"] == {"value": None, "limit": 0.85, "passed": None}


def test_a_trial_that_does_not_tell_how_it_ended() -> None:
    """Silence is no "finished"."""
    trial = good_trial()
    del trial.record["exit"]
    outcome = gates.check(trial)
    assert outcome.gates["server_alive"]["passed"] is False
    assert "does not tell how it ended" in outcome.why[0]


def without_samples(trial: Trial) -> None:
    trial.resources.clear()


def without_the_last_sample(trial: Trial) -> None:
    del trial.resources[1]


def moved_window(trial: Trial) -> None:
    trial.record |= {"window_start_us": START_US + 10_000, "window_end_us": END_US + 10_000}


def without_the_clock(trial: Trial) -> None:
    trial.resources[0]["monotonic_us"] = None


def without_the_servers_cpu(trial: Trial) -> None:
    del trial.resources[0]["server"]


def without_the_generators_cpu(trial: Trial) -> None:
    trial.resources[1]["generator"]["cpu_us"] = None


def without_the_servers_core(trial: Trial) -> None:
    trial.resources[1]["cores"] = None


@pytest.mark.parametrize(
    ("break_it", "told"),
    [
        (without_samples, "at the window's start and the window's end are missing"),
        (without_the_last_sample, "at the window's end are missing"),
        (moved_window, "at the window's start and the window's end are missing"),
        (without_the_clock, "at the window's start are missing"),
        (without_the_servers_cpu, "at the window's start are missing"),
        (without_the_generators_cpu, "at the window's end are missing"),
        (without_the_servers_core, "at the window's end are missing"),
    ],
)
def test_the_samples_at_the_windows_edges_are_needed(break_it: Callable[[Trial], None], told: str) -> None:
    """What the system tells must be there: without it no gate could fail."""
    trial = good_trial()
    break_it(trial)
    outcome = gates.check(trial)
    assert outcome.gates["edge_samples_missing"]["passed"] is False
    assert told in " ".join(outcome.why)


def test_a_baseline_needs_no_load_generator() -> None:
    """It has none."""
    trial = good_trial(None)
    for found in trial.resources:
        del found["generator"]
    assert gates.check(trial).valid


@pytest.mark.parametrize(("table", "name"), [("deliveries", "due_us"), ("published", "due_us")])
def test_due_times_are_those_that_were_published(table: str, name: str) -> None:
    """By a microsecond."""
    trial = good_trial()
    getattr(trial, table)[name][3] += 1
    outcome = gates.check(trial)
    assert outcome.gates["due_times_altered"]["passed"] is False
    assert "another due time" in outcome.why[0]


@pytest.mark.parametrize(
    ("table", "earlier", "later", "told"),
    [
        ("published", "written_us", "due_us", "written before they were due"),
        ("deliveries", "received_us", "accepted_us", "arrived before the server accepted them"),
        ("deliveries", "handled_us", "received_us", "handled before they arrived"),
        ("requests", "received_us", "sent_us", "arrived before their requests were sent"),
        ("requests", "handled_us", "received_us", "answers were handled before they arrived"),
    ],
)
def test_effects_come_after_their_causes(table: str, earlier: str, later: str, told: str) -> None:
    """Within the millisecond by which the clock may move."""
    trial = good_trial()
    columns = getattr(trial, table)
    columns[earlier][3] = columns[later][3] - 1_000
    assert gates.check(trial).gates["times_out_of_order"]["passed"] is True
    columns[earlier][3] -= 1
    outcome = gates.check(trial)
    assert outcome.gates["times_out_of_order"]["passed"] is False
    assert outcome.why[0].startswith("1 ")
    assert told in outcome.why[0]


def test_a_time_that_is_not_there_is_not_in_order() -> None:
    """A column may hold nulls, which compare with nothing."""
    trial = good_trial()
    trial.deliveries["handled_us"] = np.where(
        trial.deliveries["id"] == 5, np.nan, trial.deliveries["handled_us"]
    )
    assert not gates.check(trial).valid


def test_requests_are_all_kept() -> None:
    """As many as the subscribers counted; a refused one is kept and is in nobody's count."""
    trial = good_trial()
    trial.requests["status"][7] = 503
    outcome = gates.check(trial)
    assert outcome.why == ["the subscribers counted 80 requests, and 79 are kept"]
    trial.subscribers["requests"][0] -= 1
    assert gates.check(trial).valid


@pytest.mark.parametrize(
    ("window_s", "passed"), [(4.9, True), (5.2, True), (4.6, False), (10.0, False), (None, None)]
)
def test_the_window_is_as_long_as_was_asked(window_s: float | None, passed: bool | None) -> None:
    """Within a twentieth."""
    trial = good_trial()
    trial.record["window_s"] = window_s
    outcome = gates.check(trial)
    assert outcome.valid is bool(passed)
    assert "window_off_s" not in outcome.gates or outcome.gates["window_off_s"]["passed"] is passed


def test_something_is_published_where_a_rate_is_asked() -> None:
    """Else there is no latency to believe; an idle trial has nothing to measure it on."""
    trial = good_trial()
    for columns in (trial.published, trial.deliveries):
        for name in columns.keys() - {"subscriber", "id"}:
            columns[name] -= 10_000_000
    assert gates.check(trial).why == ["nothing was published in the window, where 4 a second were asked for"]
    trial.record["publish_rate"] = 0.0
    outcome = gates.check(trial)
    assert outcome.valid
    assert outcome.gates["published"]["passed"] is None


# Copies of a real run, damaged as files are.

TRIAL = "r2-websocket-gevent-300x2-t1"


def edit_column(run: Path, table: str, name: str, edit: Callable[[Any], Any]) -> None:
    """Pass a column of one trial through `edit`."""

    def whole(frame: pd.DataFrame) -> pd.DataFrame:
        rows = frame["trial"] == TRIAL
        frame[name] = frame[name].astype("Float64").astype(object)
        frame.loc[rows, name] = edit(frame.loc[rows, name])
        frame[name] = frame[name].astype("Float64").astype("Int64")
        return frame

    change(run, table, edit=whole)


def edit_record(run: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change what run.json says of one trial."""
    change_run(run, lambda record: [edit(one) for one in record["trials"] if one["id"] == TRIAL])


def drop_samples(run: Path) -> None:
    path = run / "resources.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if json.loads(line)["trial"] != TRIAL))


def drop_a_request(run: Path) -> None:
    change(run, "requests", edit=lambda frame: frame.drop(frame[frame["trial"] == TRIAL].index[3]))


def publish_nothing_in_the_window(run: Path) -> None:
    """Nor was anything delivered."""
    record = next(one for one in json.loads((run / "run.json").read_text())["trials"] if one["id"] == TRIAL)
    for table in ("published", "deliveries"):
        change(
            run,
            table,
            edit=lambda frame: frame[
                (frame["trial"] != TRIAL) | (frame["due_us"] < record["window_start_us"])
            ],
        )


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda run: (run / "resources.jsonl").unlink(), "the resource samples at the window's start and"),
        (drop_samples, "the resource samples at the window's start and"),
        (lambda run: edit_column(run, "deliveries", "due_us", lambda due: due + 500), "another due time"),
        (
            lambda run: [
                edit_column(run, table, "due_us", lambda due: due + 5_000)
                for table in ("deliveries", "published")
            ],
            "were written before they were due",
        ),
        (lambda run: edit_column(run, "deliveries", "received_us", lambda at: at - 50_000), "accepted them"),
        (
            lambda run: edit_column(run, "deliveries", "received_us", lambda at: at + 900_000),
            "before they arrived",
        ),
        (drop_a_request, "the subscribers counted 300 requests, and 299 are kept"),
        (
            lambda run: edit_column(run, "subscribers", "missed", lambda missed: pd.NA),
            "do not tell what they missed",
        ),
        (lambda run: edit_record(run, lambda one: one.update(window_s=30.0)), "where 30 s were asked for"),
        (publish_nothing_in_the_window, "nothing was published in the window"),
        (lambda run: edit_record(run, lambda one: one.pop("exit")), "does not tell how it ended"),
        (
            lambda run: edit_record(run, lambda one: one.update(window_end_us=one["window_start_us"])),
            "the window does not end after its start",
        ),
    ],
)
def test_a_damaged_run_is_told_in_a_sentence(
    tmp_path: Path, damage: Callable[[Path], Any], told: str
) -> None:
    """The trial is invalid whatever run.json says of it, and the report can still be written."""
    run = Path(shutil.copytree(GOLDEN, tmp_path / "run"))
    damage(run)
    summary = store.analyse(run)
    trial = next(one for one in summary["trials"] if one["id"] == TRIAL)
    assert not trial["valid"]
    assert told in " ".join(trial["why"])
    assert not summary["valid"]
    assert told in html.unescape(report.write(run).read_text(encoding="utf-8"))


def test_a_killed_harness_is_told(tmp_path: Path) -> None:
    """It leaves run.json and pieces behind."""
    run = Path(shutil.copytree(GOLDEN, tmp_path / "run"))
    for file in run.glob("*.parquet"):
        file.unlink()
    (run / "pieces").mkdir()
    with pytest.raises(RunDirectoryError, match=r"was never finished: .* run the scenario again"):
        _ = bench.load(run).summary
