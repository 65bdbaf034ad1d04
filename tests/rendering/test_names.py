"""How cells and loads are ordered and named, and how numbers are written."""

from __future__ import annotations

import msgspec

from bench.analysis.estimate import Estimate
from bench.analysis.store import Run
from bench.analysis.summary import CellSummary
from bench.evidence.metrics import METRICS
from bench.rendering import arrange, looks, names


def cell_of(run: Run, transport: str = "long-poll", **changed: object) -> CellSummary:
    """A cell of the run, with other settings."""
    here = next(one for one in run.summary.cells if one.transport == transport)
    return msgspec.structs.replace(here, **changed)


def test_cells_under_different_loads_stand_apart(quick_run: Run) -> None:
    """By link, delay, schedule and connection, each in words."""
    here = cell_of(quick_run, id="0")
    cells = [
        here,
        cell_of(quick_run, id="1", link="constant", one_way_ms=50.0),
        cell_of(quick_run, id="2", link="4g", one_way_ms=85.0, jitter_ms=10.0),
        cell_of(quick_run, id="3", schedule="on-off"),
        cell_of(quick_run, id="4", connection="fresh"),
    ]
    groups = arrange.loads(cells)
    assert len(groups) == 4
    assert [names.load_name(group[0]) for group in groups] == [
        "gevent, 20 subscribers, 4 notifications/s, on loopback",
        "gevent, 20 subscribers, 4 notifications/s, 50 ms one way",
        "gevent, 20 subscribers, 4 notifications/s, 4g link, 85 ms one way",
        "gevent, 20 subscribers, 4 notifications/s, on-off schedule, on loopback",
    ]
    assert [names.transport_name(cell) for cell in groups[0]] == [
        "long poll",
        "long poll, fresh connections",
    ]
    idle = cell_of(quick_run, publish_rate=0.0, schedule="constant")
    assert names.load_names([idle])[0] == "gevent, 20 subscribers, nothing published, on loopback"


def test_servers_without_a_choice_of_models_share_a_load_but_no_name(quick_run: Run) -> None:
    """The heading of several names none of them; the noise floor's cells are there if they are asked for."""
    node, nchan = (cell_of(quick_run, id=name, system=name, server_model=None) for name in ("node", "nchan"))
    floor = cell_of(quick_run, id="floor", server_model="asyncio")
    (group,) = arrange.loads([node, nchan, floor])
    load = "20 subscribers, 4 notifications/s, on loopback"
    assert names.group_name(group) == f"other servers, {load}"
    assert names.group_name([nchan]) == f"nginx + nchan, {load}"
    groups = arrange.loads([node, nchan, floor], with_floor=True)
    assert {names.group_name(each) for each in groups} == {f"other servers, {load}", f"asyncio, {load}"}


def test_every_number_is_written_in_its_units() -> None:
    """Shares in percent, counts whole, absent as a dash."""
    assert names.value_text("empty_response_share", 0.1234) == "12 %"
    assert names.value_text("empty_response_share", 0.0123) == "1.2 %"
    assert names.value_text("empty_response_share", 0.0) == "0 %"
    assert names.value_text("deliveries", 12345.0) == "12,345"
    assert names.value_text("latency_ms_p50", 0.01234) == "0.0123"
    assert names.estimate_text("latency_ms_p50", None) == "–"
    assert names.estimate_text("latency_ms_p50", Estimate(1.5, 1.25, 2.0)) == "1.5 (1.25–2)"
    assert names.estimate_text("latency_ms_p50", Estimate(1.5, None, None)) == "1.5"
    assert all(names.label(metric) for metric in METRICS)


def test_transports_can_be_told_apart_without_colour() -> None:
    """Colour, marker and line all differ."""
    for part in ("colour", "marker", "line"):
        seen = [str(getattr(look, part)) for look in looks.LOOKS.values()]
        assert len(seen) == len(set(seen))
    assert looks.look("carrier-pigeon").label == "carrier-pigeon"


def test_idle_cells_are_told_apart_by_their_wait(quick_run: Run) -> None:
    """Two lines of one transport wear different names; one alone needs no more than its own."""
    quick_pings, slow_pings = (
        cell_of(quick_run, "websocket", publish_rate=0.0, wait_s=wait_s) for wait_s in (0.1, 1.8)
    )
    assert names.transport_name(quick_pings, [quick_pings, slow_pings]) == "WebSocket, wait = 0.1 s"
    assert names.transport_name(quick_pings, [quick_pings]) == "WebSocket"
    polled = cell_of(quick_run, "short-poll", publish_rate=0.0, wait_s=0.1)
    assert names.transport_name(polled, [polled, quick_pings, slow_pings]) == "short poll"
