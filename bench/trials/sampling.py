"""One resource sample of a trial: what the server, the load generator, the publisher and the link use.

Rules:
- The server's CPU clocks are read first; `at_us` and `monotonic_us` are the moment at which they were read.
- What a system does not tell is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.trials.network.network import Network
from bench.trials.processes import resources
from bench.trials.processes.child import Child

RELAY_TELLS = ("window_start", "window_end", "drained")
"""The edges at which the relay is asked: its report counts since the one before."""


def sample(
    tree: resources.ProcessTree,
    children: Mapping[str, Child | None],
    network: Network | None,
    edge: str,
    *,
    pss: bool,
) -> dict[str, Any]:
    """A row of resources.jsonl. `tree` is the server's, `children` are the generator and the publisher.

    With `pss` the server's memory is read too, which disturbs it. Raises ChildFailed if the relay has
    died."""
    server = tree.sample(pss=pss)
    found: dict[str, Any] = {
        "at_us": server.pop("at_us"),
        "monotonic_us": server.pop("monotonic_us"),
        "edge": edge,
    }
    for name, child in children.items():
        if child:
            found[name] = {
                "cpu_us": resources.cpu_us(child.pid),
                "waited_us": resources.waited_us(child.pid),
            }
    found |= {
        "server": server,
        "cores": resources.cores(),
        "socket_memory_kb": resources.socket_memory_kb(),
    }
    generator = children["generator"]
    if network and generator:
        relay = network.report() if edge in RELAY_TELLS else None
        found["link"] = {"wire": resources.interface_counts(generator.pid, "eth0"), "relay": relay}
    return found
