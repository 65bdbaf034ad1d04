"""The servers under test: one table for all tests of the contract."""

import psutil

from servers.models import SERVER_MODELS

MODELS = list(SERVER_MODELS)
WITH_WORKERS = [name for name, model in SERVER_MODELS.items() if model.worker_class]
"""gunicorn's, which forks what serves; the others serve themselves."""


def serving_process(pid: int) -> int:
    """The process that serves, by the one that was started."""
    children = psutil.Process(pid).children()
    return children[0].pid if children else pid
