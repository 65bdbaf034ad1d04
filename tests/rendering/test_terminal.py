"""What the terminal shows of a run, from the summary alone."""

from __future__ import annotations

import io
import re

import pytest
import told
from rich.console import Console

from bench.analysis.store import Run
from bench.analysis.summary import Summary
from bench.rendering import arrange
from bench.rendering.terminal import table
from bench.systems import registry


def printed(run: Run, summary: Summary | None = None, width: int = 80) -> str:
    """What the terminal would show, without colours."""
    output = io.StringIO()
    console = Console(file=output, width=width, highlight=False)
    table.print_summary(run.run, summary or run.summary, console)
    return output.getvalue()


@pytest.mark.parametrize("name", ["quick_run", "article_run"])
def test_the_terminal_table_fits_80_columns_and_is_plain(name: str, request: pytest.FixtureRequest) -> None:
    """Every claim with its verdict, no escape codes, nothing cut off."""
    run = request.getfixturevalue(name)
    text = printed(run)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "…" not in text
    for claim in run.summary.claims:
        assert re.search(rf"^ ?{claim.id} +{claim.verdict}", text, re.MULTILINE)
    assert "WebSocket" in text
    assert "long poll" in text


def test_what_lies_outside_its_band_is_marked(quick_run: Run) -> None:
    """With a footnote."""
    text = printed(quick_run, told.outside(quick_run.summary))
    assert re.search(r"latency, mean \(ms\).*†", text)
    assert re.search(r"^† outside the band around its prediction: 1 of", text, re.MULTILINE)


def test_each_server_by_itself_is_a_row(quick_run: Run) -> None:
    """All of nine fit 80 columns; nothing of a run of one server."""
    text = printed(quick_run, told.judged_alone(quick_run.summary))
    assert max(map(len, text.splitlines())) <= 80
    matrix = text[text.index("Each server by itself") :]
    for system, model in told.SERVERS:
        name = registry.server_name(system, model)
        assert re.search(rf"^ ?{re.escape(name)} +(holds|fails|depends|–) ", matrix, re.MULTILINE), name
    assert "Each server by itself" not in printed(quick_run)


def test_nothing_is_marked_where_theory_was_met(quick_run: Run) -> None:
    """No footnote to nothing."""
    assert not arrange.outside(quick_run.summary.cells)
    assert "†" not in printed(quick_run)


def test_the_terminal_tells_what_a_search_for_saturation_came_to(quick_run: Run) -> None:
    """Each series by its transport, with its sentence."""
    text = printed(quick_run, told.everything(quick_run.summary))
    assert re.search(r"^WebSocket\n +It breaks at 1,000\.", text, re.MULTILINE)
