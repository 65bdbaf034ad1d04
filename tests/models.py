"""The servers under test: one table for all tests of the contract. Each of them speaks every transport."""

import sys

import psutil
import pytest

from bench.systems.registry import SYSTEMS
from servers.demo.pages import ON_DEMAND
from servers.models import SERVER_MODELS
from servers.transports import TRANSPORTS

MODELS = list(SERVER_MODELS)
WITH_WORKERS = [name for name, model in SERVER_MODELS.items() if model.worker_class]
"""gunicorn's, which forks what serves; the others serve themselves."""
WITH_PAGES = [name for name, model in SERVER_MODELS.items() if model.has_pages]
DEFLATING = [name for name, model in SERVER_MODELS.items() if model.can_compress]

OTHERS = {"node": "bench.systems.node.start"}
"""Servers that `wirelab serve` does not have, and the module that starts each with the same options."""
STARTED = [pytest.param(name, marks=pytest.mark.long) if name == "asgi" else name for name in MODELS]
"""Ours, where a test starts a server of its own, and takes seconds: the model between the others in
`make test-long`."""
_OTHERS = [pytest.param(name, marks=pytest.mark.long) for name in OTHERS]
ON_THE_WIRE = [*STARTED, *_OTHERS]
"""Who serves wherever a test speaks nothing but the contract on the wire. What needs more than Python is left
to `make test-long`."""
SHARED_ON_THE_WIRE = [*MODELS, *_OTHERS]
"""The same, where many quick tests share a server."""

each_transport = pytest.mark.parametrize(
    "transport",
    [pytest.param(name, marks=pytest.mark.long) if name in ON_DEMAND else name for name in TRANSPORTS],
)
"""In a browser, where each takes seconds: the article's in `make test`, all of them in `make test-long`."""


def start_line(command: str, *options: str) -> list[str]:
    """What starts a server. Skips the test if it takes a program that is not there."""
    model = options[options.index("--server-model") + 1] if "--server-model" in options else MODELS[0]
    if model not in OTHERS:
        return [sys.executable, "-m", "bench.cli", command, *options]
    if said := SYSTEMS[model].missing():
        pytest.skip(said)
    at = options.index("--server-model")
    return [sys.executable, "-m", OTHERS[model], *options[:at], *options[at + 2 :]]


def serving_process(pid: int) -> int:
    """The process that serves, by the one that was started."""
    children = psutil.Process(pid).children()
    return children[0].pid if children else pid
