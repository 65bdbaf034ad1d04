"""What a claim depends on: the condition that separates the cases in which it holds from the others.

Rules:
- A case is a comparison that was decided, with the factors under which it was made (its `condition`).
- One factor that separates is enough: names, each of which is on one side only, or a number with a
  threshold. Factors are tried in the order in which the judge gives them, so its likely cause comes first. A
  threshold is given as the nearest values that were measured, never as something in between.
- Else two: one factor cuts the cases into parts, and in each part either all agree or the other factor
  separates. Both are tried in the same order, and of a number's thresholds the one that needs fewest values.
- Else every case is listed.
- For factors that the rule does not name, the measured range is given: a condition says nothing beyond it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from bench.analysis.verdicts.comparison import Comparison
from bench.words import listed

LISTED = 3
"""A measured range of up to so many numbers lists each of them."""


class Case(NamedTuple):
    """The factors of one comparison, and whether the claim held."""

    factors: dict[str, Any]
    held: bool


class Wording(NamedTuple):
    """How a factor's value is written, by itself and as a bound (… and more); the word before its measured
    range, None if that is not given; and the one value that goes without saying."""

    exact: str = "{}"
    bound: str = "{}"
    measured: str | None = None
    usual: Any = None


WORDING = {
    "lambda_t": Wording("λT = {}", "λT of {}"),
    "lambda_2d": Wording("λ·2d = {}", "λ·2d of {}"),
    "poll_interval_s": Wording("T = {} s", "T of {} s"),
    "server_model": Wording(measured="on"),
    "publish_rate": Wording("{} notifications/s", "{} notifications/s", "at"),
    "subscribers": Wording("{} subscribers", "{} subscribers", "with"),
    "payload_bytes": Wording("{} B of data", "{} B of data"),
    "one_way_ms": Wording("{} ms one way", "{} ms one way", "across", usual=0.0),
}


class Cut(NamedTuple):
    """How to say each side of a factor that separates, and how many values that takes."""

    holds: str
    fails: str
    length: int


def sentence(comparisons: Sequence[Comparison]) -> str:
    """The condition, and where it was measured. Some of the comparisons must hold, and some fail."""
    cases = _cases(comparisons)
    factors = _shared(cases)
    for threshold in (True, False):
        for factor in factors:
            cut = _cut(factor, cases, threshold=threshold)
            if cut is not None:
                rule = f"It holds for {cut.holds} and fails for {cut.fails}."
                return _with(rule, _measured(cases, without={factor}))
    for factor in factors:
        rules = list(_rules_of_two(factor, factors, cases))
        if rules:
            _, named, rule = min(rules, key=lambda candidate: candidate[0])
            return _with(rule, _measured(cases, without=named))
    return _every(cases)


def scope(comparisons: Sequence[Comparison]) -> str:
    """Under which conditions the decided comparisons were made; empty if these do not say."""
    return _measured(_cases(comparisons), without=set())


def _cases(comparisons: Sequence[Comparison]) -> list[Case]:
    decided = [comparison for comparison in comparisons if comparison.outcome != "unclear"]
    return [Case(comparison.condition, comparison.outcome == "holds") for comparison in decided]


def _shared(cases: Sequence[Case]) -> list[str]:
    """The factors that every case has, in order."""
    return [name for name in cases[0].factors if all(name in case.factors for case in cases)] if cases else []


def _cut(factor: str, cases: Sequence[Case], *, threshold: bool) -> Cut | None:
    """What the factor says on either side, if none of its values stands on both. With `threshold`, numbers
    must also keep to their side of one."""
    held, failed = ({case.factors[factor] for case in cases if case.held is side} for side in (True, False))
    if held & failed:
        return None
    if _are_numbers(held | failed) and held and failed:
        if max(failed) < min(held):
            return Cut(
                _bound(factor, held, min(held), "more"), _bound(factor, failed, max(failed), "less"), 2
            )
        if max(held) < min(failed):
            return Cut(
                _bound(factor, held, max(held), "less"), _bound(factor, failed, min(failed), "more"), 2
            )
        if threshold:
            return None
    return Cut(_values(factor, held), _values(factor, failed), len(held | failed))


def _rules_of_two(
    factor: str, factors: Sequence[str], cases: Sequence[Case]
) -> Iterable[tuple[int, set[str], str]]:
    """Every rule that cuts the cases by `factor` first: its length, the factors it names, and itself."""
    for parts in _partitions(factor, cases):
        mixed = [part for _, part in parts if len({case.held for case in part}) == 2]
        for other in factors:
            cuts = [_cut(other, part, threshold=True) for part in mixed]
            if other == factor or not all(cuts) or not mixed:
                continue
            pure = {
                side: [name for name, part in parts if {case.held for case in part} == {side}]
                for side in (True, False)
            }
            sides = [f"holds for {listed(pure[True])}"] if pure[True] else []
            sides += [f"fails for {listed(pure[False])}"] if pure[False] else []
            rule = [f"It {' and '.join(sides)}."] if sides else []
            names = [name for name, part in parts if part in mixed]
            separating = [cut for cut in cuts if cut is not None]
            rule += [
                f"For {name} it holds for {cut.holds} and fails for {cut.fails}."
                for name, cut in zip(names, separating, strict=True)
            ]
            length = len(parts) + sum(cut.length for cut in separating)
            yield length, {factor, other}, " ".join(rule)


def _partitions(factor: str, cases: Sequence[Case]) -> Iterable[list[tuple[str, list[Case]]]]:
    """The cases cut by one factor, each part with its name: by name, or at each threshold of a number."""
    values = {case.factors[factor] for case in cases}
    if not _are_numbers(values):
        yield [
            (_value(factor, value), [case for case in cases if case.factors[factor] == value])
            for value in dict.fromkeys(case.factors[factor] for case in cases)
        ]
        return
    for below, above in pairwise(sorted(values)):
        low = [case for case in cases if case.factors[factor] <= below]
        high = [case for case in cases if case.factors[factor] >= above]
        yield [
            (_bound(factor, {value for value in values if value <= below}, below, "less"), low),
            (_bound(factor, {value for value in values if value >= above}, above, "more"), high),
        ]


def _every(cases: Sequence[Case]) -> str:
    """Each case by the factors in which they differ, those that hold first."""
    factors = list(dict.fromkeys(name for case in cases for name in case.factors))
    same = {name for name in factors if len({str(case.factors.get(name)) for case in cases}) == 1}
    parts = []
    for side, word in ((True, "holds"), (False, "fails")):
        listed_cases = [
            ", ".join(_value(name, value) for name, value in case.factors.items() if name not in same)
            for case in cases
            if case.held is side
        ]
        if not all(listed_cases):
            return "It holds in some cells and fails in others, and nothing that was varied separates them."
        parts.append(f"It {word} for {'; '.join(dict.fromkeys(listed_cases))}.")
    return " ".join(parts)


def _measured(cases: Sequence[Case], *, without: set[str]) -> str:
    ranges = []
    for factor in _shared(cases):
        wording = WORDING.get(factor, Wording())
        if factor in without or wording.measured is None:
            continue
        values = {case.factors[factor] for case in cases}
        if values == {wording.usual}:
            continue
        said = _values(factor, values)
        if _are_numbers(values) and len(values) > LISTED:
            said = wording.exact.format(f"{_plain(min(values))} to {_plain(max(values))}")
        ranges.append(f"{wording.measured} {said}")
    return f"Measured {', '.join(ranges)}." if ranges else ""


def _with(rule: str, measured: str) -> str:
    return f"{rule} {measured}" if measured else rule


def _bound(factor: str, side: set[Any], nearest: Any, beyond: str) -> str:
    """A side of a threshold: its one value, or the one nearest to the threshold and what lies beyond."""
    if len(side) == 1:
        return _value(factor, nearest)
    return f"{WORDING.get(factor, Wording()).bound.format(_plain(nearest))} and {beyond}"


def _values(factor: str, values: Iterable[Any]) -> str:
    ordered = sorted(values, key=lambda value: (isinstance(value, str), value))
    return WORDING.get(factor, Wording()).exact.format(listed([_plain(value) for value in ordered]))


def _value(factor: str, value: Any) -> str:
    return WORDING.get(factor, Wording()).exact.format(_plain(value))


def _plain(value: Any) -> str:
    return (
        f"{value:g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )


def _are_numbers(values: Iterable[Any]) -> bool:
    return all(isinstance(value, (int, float)) for value in values)
