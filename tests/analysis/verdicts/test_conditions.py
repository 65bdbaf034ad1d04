"""On what a claim depends: the shortest condition that separates the cases."""

from __future__ import annotations

from typing import Any

from bench.analysis.verdicts import conditions
from bench.analysis.verdicts.comparison import Comparison


def decided(*cases: tuple[str, dict[str, Any]]) -> list[Comparison]:
    return [
        Comparison(outcome, f"case {number}", condition)  # type: ignore[arg-type]
        for number, (outcome, condition) in enumerate(cases)
    ]


def test_a_condition_is_one_factor_where_one_separates() -> None:
    """A name, or a number's threshold: told as it was measured, with the range of everything else."""
    by_name = decided(
        ("holds", {"resource": "CPU", "server_model": "gevent", "subscribers": 300}),
        ("holds", {"resource": "CPU", "server_model": "gthread", "subscribers": 100}),
        ("fails", {"resource": "memory", "server_model": "gevent", "subscribers": 300}),
    )
    assert conditions.sentence(by_name) == (
        "It holds for CPU and fails for memory. Measured on gevent and gthread, with 100 and 300 subscribers."
    )
    by_threshold = decided(
        *(
            ("holds" if delay >= 20 else "fails", {"server_model": "gevent", "one_way_ms": delay})
            for delay in (0.0, 5.0, 20.0, 50.0)
        )
    )
    assert conditions.sentence(by_threshold) == (
        "It holds for 20 ms one way and more and fails for 5 ms one way and less. Measured on gevent."
    )
    opposite = [
        Comparison("holds" if c.outcome == "fails" else "fails", c.says, c.condition) for c in by_threshold
    ]
    assert "It holds for 5 ms one way and less and fails for 20 ms one way and more." in conditions.sentence(
        opposite
    )


def test_a_condition_is_a_product_where_neither_of_its_factors_separates() -> None:
    """λ·2d does, as the judge gives it first."""
    cases = decided(
        *(
            (
                "holds" if rate * delay >= 400 else "fails",
                {"lambda_2d": rate * 2 * delay / 1000, "one_way_ms": delay, "publish_rate": rate},
            )
            for rate, delay in ((1.0, 20.0), (1.0, 400.0), (20.0, 1.0), (20.0, 25.0))
        )
    )
    assert conditions.sentence(cases).startswith(
        "It holds for λ·2d of 0.8 and more and fails for λ·2d of 0.04 and less."
    ) or ("It holds for λ·2d of 0.8 and more" in conditions.sentence(cases))


def test_a_condition_is_two_factors_where_one_is_not_enough() -> None:
    """The rule with the fewest values; parts that agree come first."""
    mixed = decided(
        ("holds", {"server_model": "gevent", "publish_rate": 1.0}),
        ("fails", {"server_model": "gevent", "publish_rate": 10.0}),
        ("fails", {"server_model": "gthread", "publish_rate": 1.0}),
    )
    assert conditions.sentence(mixed) == (
        "It fails for gthread. For gevent it holds for 1 notifications/s and fails for 10 notifications/s."
    )
    figures = decided(
        *(
            ("holds" if product >= least else "fails", {"lambda_2d": product, "figure": figure})
            for figure, least in (("the mean", 0.15), ("the median", 1.0))
            for product in (0.05, 0.15, 1.0, 3.0)
        )
    )
    assert conditions.sentence(figures) == (
        "For the mean it holds for λ·2d of 0.15 and more and fails for λ·2d = 0.05. "
        "For the median it holds for λ·2d of 1 and more and fails for λ·2d of 0.15 and less."
    )


def test_what_no_two_factors_separate_is_told_case_by_case() -> None:
    """Three that only act together, and what all share left out."""
    corners = [(a, b, c) for a in ("a", "A") for b in ("b", "B") for c in ("c", "C")]
    cases = decided(
        *(
            (
                "holds" if sum(letter.isupper() for letter in corner) % 2 else "fails",
                {"first": corner[0], "second": corner[1], "third": corner[2], "same": "x"},
            )
            for corner in corners
        )
    )
    assert conditions.sentence(cases) == (
        "It holds for a, b, C; a, B, c; A, b, c; A, B, C. It fails for a, b, c; a, B, C; A, b, C; A, B, c."
    )
