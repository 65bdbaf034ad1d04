"""A trial's raw rows as the tables of its run, in the columns of `bench/rundir/schema.py`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bench.rundir.collected import Collected
from bench.rundir.schema import INTEGERS, NEVER, RAW, SCHEMAS


def tables_of(collected: Collected) -> dict[str, pa.Table]:
    """A trial's four tables, in the columns of SCHEMAS."""
    trial = collected.planned.id
    subscribers = collected.subscribers
    columns: dict[str, dict[str, Any]] = {
        **{name: _columns(names, getattr(collected, name)) for name, names in RAW.items()},
        "subscribers": {
            key: [row.get(key) for row in subscribers] for key in ("subscriber", *INTEGERS["subscribers"])
        },
    }
    tables = {}
    for name, schema in SCHEMAS.items():
        rows = len(next(iter(columns[name].values())))
        named = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([trial]))
        arrays = [named, *(pa.array(columns[name][field.name], field.type) for field in list(schema)[1:])]
        tables[name] = pa.Table.from_arrays(arrays, schema=schema)
    return tables


def _columns(names: tuple[str, ...], rows: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Name the columns of raw rows; what never came is null."""
    named: dict[str, Any] = {}
    for index, name in enumerate(names):
        values = rows[:, index]
        named[name] = (
            pa.array(values, pa.int64(), mask=values == NEVER) if (values == NEVER).any() else values
        )
    return named
