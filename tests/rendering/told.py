"""Summaries that say what no synthetic run measures."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from bench.analysis.claims import CLAIMS
from bench.analysis.summary import ServerVerdict, ServerVerdicts, Summary
from bench.scenario.settings import SETTINGS


def outside(summary: Summary, transport: str = "websocket") -> Summary:
    """The summary with the first cell's mean latency far outside the band around its prediction."""
    told = msgspec.to_builtins(summary)
    cell = next(
        cell
        for cell in told["cells"]
        if cell["transport"] == transport and "latency_ms_mean" in cell["residuals"]
    )
    cell["residuals"]["latency_ms_mean"].update(outcome="outside", residual_share=0.5)
    return msgspec.convert(told, Summary).only(lambda cell: True)


SERVERS = [
    *(("wirelab", model) for model in ("gevent", "gthread", "asgi", "asyncio")),
    *(("stock", model) for model in ("gevent", "gthread")),
    ("node", None),
    ("nchan", None),
    ("elsewhere", None),
]
WORDS: tuple[Literal["holds", "fails", "depends", "inconclusive"], ...]
WORDS = ("holds", "fails", "depends", "inconclusive")


def judged_alone(summary: Summary) -> Summary:
    """The summary with nine servers, each judged by itself, with all kinds of verdicts."""
    compared = sorted(claim.id for claim in CLAIMS if claim.compares)
    servers = [
        ServerVerdicts(
            system=system,
            server_model=model,
            verdicts={
                id_: ServerVerdict(verdict=WORDS[(row + column) % len(WORDS)], short=f"{id_} on `{row}`.")
                for column, id_ in enumerate(compared)
            },
        )
        for row, (system, model) in enumerate(SERVERS)
    ]
    return msgspec.structs.replace(summary, servers=servers)


def everything(summary: Summary) -> Summary:
    """The summary with a cost model, a search for saturation, three values of λT, a sweep, other
    systems, and a figure far from its prediction."""
    told = msgspec.to_builtins(outside(summary))
    figure = {"value": 100.0, "low": 95.0, "high": 105.0}
    points = [
        {"cell": "a", "load": load, "cost": figure, "role": role, "busy_share": 0.5, "why_not": None}
        for load, role in ((100, "not used"), (500, "fitted"), (1000, "fitted"), (2000, "held out"))
    ]
    usual = next(cell for cell in told["cells"] if cell["transport"] == "websocket")
    settings = {name: usual[name] for name in SETTINGS}
    told["costs"] = {
        "band": [0.3, 0.8], "most_error": 0.25, "wire": [], "threads": [], "publish": [],
        "series": [
            {
                "transport": "websocket", "server_model": "gevent", "settings": settings,
                "operation": operation, "unit": unit, "points": points, "form": "constant",
                "candidates": {"constant": 0.1}, "parameters": {"c": 100.0},
                "held_out": {
                    "cell": "a", "load": 2000, "measured": figure, "predicted": 150.0, "error": 0.5
                },
                "curve": [[500, 100.0], [2000, 150.0]], "checked": False, "why_not": "no", "cost": None,
            }
            for operation, unit in (("delivery", "µs"), ("subscriber", "kB"))
        ],
    }  # fmt: skip
    steps = [
        {
            "cell": None, "subscribers": subscribers, "deliveries_per_second": 4.0 * subscribers,
            "p99_ms": p99_ms, "kept": kept, "repeats": 3, "skipped": 0, "outcome": outcome,
        }
        for subscribers, p99_ms, kept, outcome in (
            (100, 10.0, 3, "kept"), (1000, 200.0, 0, "broke"), (2000, None, 0, "broke")
        )
    ]  # fmt: skip
    broke: dict[str, Any] = {"within": 100, "beyond": 1000, "why": "cores", "says": "It breaks at 1,000."}
    told["saturation"] = {
        "p99_budget_ms": 100,
        "series": [
            {**settings, "link": "loopback", "one_way_ms": 0.0, **broke, "skipped": 0, "steps": steps}
        ],
    }
    for cell in list(told["cells"]):
        if not cell["transport"] or cell["one_way_ms"]:
            continue
        loads = (
            ({"subscribers": 40}, {"subscribers": 80}, {"publish_rate": 9.0}) if cell["publish_rate"] else ()
        )
        others = ({"system": "node", "server_model": None}, {"system": "nchan", "server_model": None})
        for number, more in enumerate((*loads, *others)):
            told["cells"].append({**cell, "id": f"{cell['id']}-{number}", **more})
            if cell["notifications_per_interval"] and "publish_rate" in more:
                told["cells"][-1]["notifications_per_interval"] *= 9.0 / cell["publish_rate"]
    return msgspec.convert(told, Summary)
