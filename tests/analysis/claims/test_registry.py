"""The claims as data: whole, and told in the README as they are judged."""

from __future__ import annotations

from pathlib import Path

from bench.analysis.claims import CLAIMS
from bench.scenario.parse import shipped


def test_the_claims_are_data() -> None:
    """Eleven, each with sentence, hypothesis, band; decided by shipped scenarios only."""
    assert [claim.id for claim in CLAIMS] == [
        "calls", "poll-latency", "held-open", "long-poll-cost", "million", "upgrade", "as-printed",
        "low-latency", "cheaper", "many-clients", "welcome",
    ]  # fmt: skip
    for claim in CLAIMS:
        assert claim.says.endswith(".")
        assert claim.hypothesis
        assert claim.band
        assert set(claim.decided_by) <= {*shipped(), "article"}


def test_the_readme_tells_every_claim_with_its_band() -> None:
    """Its table is the registry's: sentence, band and who decides, in the same order."""
    text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    table = text.split("| claim | the article says, in our words |")[1].split("\n\n")[0]
    assert table.splitlines()[2:] == [
        f"| {claim.id} | {claim.says} | {claim.band} | "
        f"{', '.join(f'`{name}`' for name in claim.decided_by)} |"
        for claim in CLAIMS
    ]
