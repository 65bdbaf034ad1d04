"""The forms that a cost may have over the load, how they are fitted, and how one is chosen.

For the cost u of one operation if x are done a second (of one subscriber if there are x):

    constant   u = c            in proportion
    overhead   u = c + a/x      a fixed cost a ≥ 0 beside it
    power      u = c·x^q        cheaper (q < 0) or dearer with the load; not of memory, since nobody's share
                                goes with a power of how many others there are

Rules:
- The form is chosen on the fitted loads alone: the one that misses least when each load is left out in turn,
  the simpler of equals.
- A form with two parameters needs three loads that span a factor of `SLOPE_SPAN`: an error of one cost,
  carried on to twice the load, counts ln 2/ln(span) times in what a slope foretells, so four times over a
  span of 1.2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.analysis.costs.operations import SUBSCRIBER

Floats = npt.NDArray[np.float64]

SLOPE_SPAN = 1.5
"""The largest fitted load over the smallest, from which on a slope is told from noise."""

FORMS = {"constant": 1, "overhead": 2, "power": 2}
"""Each form and its number of parameters, the simplest first."""
PARAMETERS = {"constant": ("c",), "overhead": ("c", "a"), "power": ("c", "q")}


def fit(form: str, loads: Floats, costs: Floats) -> Floats:
    """The form's parameters, by least squares; of `constant` and `power`, on logarithms. `costs` is (loads,)
    or (draws, loads); the answer is (parameters,) or (draws, parameters)."""
    level: Floats = np.exp(np.log(costs).mean(axis=-1, keepdims=True))
    if form == "constant":
        return level
    if form == "power":
        line = np.stack([np.ones_like(loads), np.log(loads)], axis=1)
        solved: Floats = np.log(costs) @ np.linalg.pinv(line).T
        solved[..., 0] = np.exp(solved[..., 0])
        return solved
    line = np.stack([np.ones_like(loads), 1.0 / loads], axis=1)
    solved = costs @ np.linalg.pinv(line).T
    without = np.concatenate([level, np.zeros_like(level)], axis=-1)
    chosen: Floats = np.where(solved[..., 1:] > 0, solved, without)
    return chosen


def evaluate(form: str, parameters: Floats, loads: float | Floats) -> Floats:
    """The cost of one operation under these loads; one set of parameters and many loads, or the reverse."""
    loads = np.asarray(loads, dtype=float)
    first, second = parameters[..., 0], parameters[..., -1]
    if form == "constant":
        cost: Floats = first * np.ones_like(loads)
    elif form == "overhead":
        cost = first + second / loads
    else:
        cost = first * loads**second
    return cost


def candidates(operation: str, loads: Floats, costs: Floats) -> dict[str, float]:
    """Each form that there are loads enough for, and by how much it misses a load that is left out."""
    most = 2 if loads[-1] >= SLOPE_SPAN * loads[0] else 1
    return {
        form: left_out_error(form, loads, costs)
        for form, parameters in FORMS.items()
        if parameters <= most and len(loads) > parameters and (operation, form) != (SUBSCRIBER, "power")
    }


def left_out_error(form: str, loads: Floats, costs: Floats) -> float:
    """How far the form, fitted on all loads but one, misses that one: mean over all, as a share."""
    errors = []
    for place in range(len(loads)):
        rest = np.arange(len(loads)) != place
        predicted = evaluate(form, fit(form, loads[rest], costs[rest]), loads[place])
        errors.append(abs(float(predicted) / costs[place] - 1.0))
    return float(np.mean(errors))


def choose(errors: dict[str, float]) -> str:
    """The form with the smallest error; of equals, the simplest."""
    return min(errors, key=lambda form: (errors[form], FORMS[form]))
