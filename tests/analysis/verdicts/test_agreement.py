"""Do runs agree? The comparison itself, its command, and whole runs that chance alone tells apart."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from synthetic_run import article, change_run, write_run

from bench.analysis import store
from bench.analysis.summary import Summary
from bench.analysis.verdicts import agreement
from bench.cli import main
from bench.rendering.terminal.verdicts import print_side_by_side


def summary(**verdicts: str) -> Summary:
    """A summary with these verdicts; a condition may follow "depends"."""
    claims = []
    for claim, verdict in verdicts.items():
        word, _, condition = verdict.partition(" ")
        claims.append(SimpleNamespace(id=claim, verdict=word, short=condition or f"{claim} {word}"))
    return cast(Summary, SimpleNamespace(run="a", claims=claims))


def test_runs_agree_when_every_verdict_is_the_same() -> None:
    """Undecided is not agreed; what only one run judged is no agreement either."""
    found = agreement.rows([summary(calls="holds", cheaper="fails"), summary(calls="holds", cheaper="fails")])
    assert [row.agrees for row in found] == [True, True]
    assert agreement.sentence(found) == "All 2 verdicts agree."
    found = agreement.rows([summary(calls="holds", cheaper="fails"), summary(calls="inconclusive")])
    assert [row.verdicts for row in found] == [("holds", "inconclusive"), ("fails", "not judged")]
    assert agreement.sentence(found) == "2 of 2 verdicts differ: calls, cheaper."


def test_what_depends_must_depend_on_the_same() -> None:
    """Memory in one run and CPU in the other is no agreement."""
    same = [summary(cheaper="depends on memory"), summary(cheaper="depends on memory")]
    assert agreement.sentence(agreement.rows(same)) == "All 1 verdicts agree."
    found = agreement.rows([summary(cheaper="depends on memory"), summary(cheaper="depends on CPU")])
    assert agreement.sentence(found) == "All depend, but on other conditions: cheaper."


def test_conditions_that_differ_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Both, under the table; one that all share is in the report of each."""
    runs = [summary(cheaper="depends on memory", calls="depends on λT"), summary(cheaper="depends on CPU")]
    print_side_by_side(["a", "b"], agreement.rows(runs))
    told = capsys.readouterr().out
    assert "cheaper: on memory\n  cheaper: on CPU\n" in told
    assert "on λT" not in told


def test_the_command_puts_runs_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A column a run, one line at the end; 0 either way."""
    first, second = (write_run(tmp_path / str(seed), seed=seed, repeats=5) for seed in (1, 2))
    assert main(["claims", str(first), str(second)]) == 0
    told = capsys.readouterr().out
    assert "poll-latency" in told
    assert "All 11 verdicts agree." in told
    change_run(second, lambda run: [trial.update(valid=False, why=["by hand"]) for trial in run["trials"]])
    assert main(["claims", str(first), str(second)]) == 0
    assert "verdicts differ: calls, poll-latency" in capsys.readouterr().out
    assert main(["claims", "--json", str(first), str(second)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["runs"]) == 2
    [calls] = [claim for claim in told["claims"] if claim["id"] == "calls"]
    assert calls == {"id": "calls", "verdicts": ["fails", "inconclusive"], "conditions": [], "agrees": False}


@pytest.mark.long
def test_runs_that_chance_alone_tells_apart_agree(tmp_path: Path) -> None:
    """Two runs of the same cells from other seeds: every verdict, and every condition."""
    runs = [
        write_run(tmp_path / str(seed), article(), name="article", repeats=5, seed=seed) for seed in (1, 2)
    ]
    found = agreement.rows([store.analyse(run) for run in runs])
    assert agreement.sentence(found) == "All 11 verdicts agree."
    assert {row.claim for row in found if row.verdicts[0] == "depends"} >= {"calls", "low-latency", "cheaper"}
