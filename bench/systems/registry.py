"""Every system by its name: a new one is a folder and a line here.

Rules:
- A run that was measured elsewhere may name a system that is not registered here: it keeps its own name, and
  is neither ours nor the noise floor. One of those that older runs name (`FORMER`) is what it was.
"""

from __future__ import annotations

from bench.systems.nchan.system import Nchan
from bench.systems.node.system import Node
from bench.systems.stock.system import Stock
from bench.systems.system import System
from bench.systems.wirelab import Wirelab

OURS = Wirelab()
"""The system that is measured unless a scenario names another."""
SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        OURS,
        Node(),
        Stock(),
        Nchan(),
    )
}
FORMER = {"bare": "bare server"}
"""Noise floors of older runs, and what readers see for them."""


def label(name: str) -> str:
    """What readers see for a system."""
    return SYSTEMS[name].label if name in SYSTEMS else FORMER.get(name, name)


def server_name(system: str, server_model: str | None) -> str:
    """What readers see for a server: the server model of ours; of another system its label, and the model if
    it has any."""
    if server_model and is_ours(system):
        return server_model
    return ", ".join(filter(None, (label(system), server_model)))


def is_ours(name: str) -> bool:
    """Is it our own server?"""
    return name in SYSTEMS and SYSTEMS[name].ours


def is_judged(name: str, server_model: str | None) -> bool:
    """Are the claims and the cost model about it?"""
    return name in SYSTEMS and server_model in SYSTEMS[name].judged


def is_noise_floor(name: str, server_model: str | None) -> bool:
    """Is it there to show what the harness itself adds?"""
    return name in FORMER or (name in SYSTEMS and server_model in SYSTEMS[name].noise_floor)
