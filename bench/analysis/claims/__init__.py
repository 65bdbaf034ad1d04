"""The article's eleven claims: one file a claim, and a line here.

Each file has the claim's sentence, its hypothesis, its band as constants, and its judge. The rules of
judging: `bench/analysis/verdicts/claim.py`.
"""

from __future__ import annotations

from typing import Any

from bench.analysis.cells import Measured
from bench.analysis.claims import (
    as_printed,
    calls,
    cheaper,
    held_open,
    long_poll_cost,
    low_latency,
    many_clients,
    million,
    poll_latency,
    upgrade,
    welcome,
)
from bench.analysis.verdicts.claim import Claim, judge

CLAIMS: tuple[Claim, ...] = (
    calls.CLAIM,
    poll_latency.CLAIM,
    held_open.CLAIM,
    long_poll_cost.CLAIM,
    million.CLAIM,
    upgrade.CLAIM,
    as_printed.CLAIM,
    low_latency.CLAIM,
    cheaper.CLAIM,
    many_clients.CLAIM,
    welcome.CLAIM,
)
"""Every claim, in the article's order."""


def judge_servers(measured: Measured) -> list[dict[str, Any]]:
    """The claims that compare transports, judged on each server by itself; nothing if there is only one."""
    if len(measured.servers) == 1:
        return []
    return [
        {**server._asdict(), "verdicts": _judge_alone(measured.alone(server))} for server in measured.servers
    ]


def _judge_alone(alone: Measured) -> dict[str, dict[str, str]]:
    """The claims that compare transports, by their ids, on the one server that is judged."""
    verdicts = {claim.id: judge(claim, alone) for claim in CLAIMS if claim.compares}
    return {id_: {"verdict": judged["verdict"], "short": judged["short"]} for id_, judged in verdicts.items()}


def judge_all(measured: Measured) -> list[dict[str, Any]]:
    """Every claim's verdict, in the order of CLAIMS, as summary.json has it."""
    return [judge(claim, measured) for claim in CLAIMS]
