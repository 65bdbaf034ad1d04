"""`long-poll-cost` and `cheaper`: both are judged by the server's bill."""

from __future__ import annotations

from judging import judged, made

from bench.analysis.cells import Cell
from bench.analysis.claims import bill


def bills(**costs: tuple[float, float]) -> list[Cell]:
    """Long poll's and WebSocket's cells: busy CPU, idle CPU and memory of each (long poll, WebSocket) by
    model."""
    cells = []
    for model in ("gevent", "gthread"):
        for place, transport in enumerate(("long-poll", "websocket")):
            busy, idle, memory = (
                costs.get(f"{model}_{name}", costs[name])[place] for name in ("busy", "idle", "memory")
            )
            cells.append(made(transport, {bill.BUSY_CPU: busy}, server_model=model))
            waiting = {bill.IDLE_CPU: idle, bill.MEMORY: memory}
            cells.append(made(transport, waiting, server_model=model, publish_rate=0.0, subscribers=300))
    return cells


def test_long_poll_cost_and_cheaper_hold_fail_or_depend() -> None:
    """On all counts, on none, or on some that are named."""
    dear = bills(busy=(300, 30), idle=(13, 4), memory=(80, 20))
    assert judged("long-poll-cost", dear)["verdict"] == "holds"
    assert judged("cheaper", dear)["verdict"] == "holds"
    cheap = bills(busy=(30, 30), idle=(4, 4), memory=(20, 40))
    assert judged("long-poll-cost", cheap)["verdict"] == "fails"
    assert judged("cheaper", cheap)["verdict"] == "fails"
    mixed = bills(busy=(300, 30), idle=(13, 4), memory=(19, 39))
    for claim in ("long-poll-cost", "cheaper"):
        found = judged(claim, mixed)
        assert found["verdict"] == "depends"
        assert "memory" in found["short"]
        assert "CPU while publishing" in found["short"]
    usual = {"busy": (300.0, 30.0), "idle": (13.0, 4.0), "memory": (80.0, 20.0)}
    threads = {"gthread_busy": (30.0, 60.0), "gthread_idle": (4.0, 8.0), "gthread_memory": (20.0, 40.0)}
    by_model = bills(**usual, **threads)
    found = judged("cheaper", by_model)
    assert found["verdict"] == "depends"
    assert "It holds for gevent and fails for gthread." in found["why"]


def test_a_bill_needs_both_server_models_and_enough_trials() -> None:
    """Otherwise it says what is lacking, and which scenario has it."""
    whole = bills(busy=(300, 30), idle=(13, 4), memory=(80, 20))
    one_model = [one for one in whole if one.settings["server_model"] == "gevent"]
    for claim in ("long-poll-cost", "cheaper"):
        found = judged(claim, one_model)
        assert found["verdict"] == "inconclusive"
        assert "gevent alone" in found["why"]
        assert "`wirelab bench article`" in found["why"]
        assert judged(claim, [])["verdict"] == "inconclusive"
    no_idle = [one for one in whole if one.settings["publish_rate"]]
    assert "CPU while idle" in judged("cheaper", no_idle)["why"]


def test_a_bill_on_loopback_decides_where_there_is_one() -> None:
    """CPU across a link stands beside it and is never mixed in; alone it is judged by its own link."""
    cheap = bills(busy=(300, 30), idle=(13, 4), memory=(80, 20))
    linked = [
        made(transport, {bill.BUSY_CPU: cost}, server_model=model, one_way_ms=20.0)
        for model in ("gevent", "gthread")
        for transport, cost in (("long-poll", 30.0), ("websocket", 30.0))
    ]
    assert judged("cheaper", cheap + linked)["verdict"] == "holds"
    without = [one for one in cheap if not one.settings["publish_rate"]]
    assert judged("cheaper", without + linked)["verdict"] == "depends"
    found = judged("cheaper", bills(busy=(300, 30), idle=(13, 4), memory=(19, 39)))
    assert found["short"].endswith(
        "Measured on gevent and gthread, at 0 and 4 notifications/s, with 20 and 300 subscribers."
    )


def test_a_bill_across_its_band_is_inconclusive() -> None:
    """Twice, give or take: nobody can say."""
    found = judged("long-poll-cost", bills(busy=(60, 30), idle=(13, 4), memory=(80, 20)))
    assert found["verdict"] == "inconclusive"
