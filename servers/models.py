"""The server models of `wirelab serve`: how a waiting client is waited for."""

from typing import NamedTuple

from servers.settings import Settings


class ServerModel(NamedTuple):
    """One model. Each speaks every transport that comes with wirelab."""

    waits_by: str
    """What each waiting client takes, for help texts."""
    worker_class: str | None
    """gunicorn's; None: it runs without gunicorn."""
    application: str | None
    """What gunicorn is told to serve."""
    has_pages: bool = False
    """Whether it can serve the demo, whose pages are a Flask application."""
    can_compress: bool = False
    """Whether it has permessage-deflate to offer."""


FLASK = "servers.app:app()"
SERVER_MODELS: dict[str, ServerModel] = {
    "gevent": ServerModel(
        "a greenlet", "servers.gevent_worker.GeventWorker", FLASK, has_pages=True, can_compress=True
    ),
    "gthread": ServerModel(
        "a thread", "servers.thread_worker.ThreadWorker", FLASK, has_pages=True, can_compress=True
    ),
    "asgi": ServerModel(
        "a task",
        "servers.asgi_server.worker.AsgiWorker",
        "servers.asgi_server.application:app()",
    ),
    "asyncio": ServerModel("a callback", None, None),
}
WITH_WORKERS = {name: model for name, model in SERVER_MODELS.items() if model.worker_class is not None}
"""Those on gunicorn."""


def help_text(names: list[str]) -> str:
    """What a waiting client takes, by the names of models."""
    *first, last = [SERVER_MODELS[name].waits_by for name in names]
    return f"{', '.join(first)} or {last} for each waiting client (default %(default)s)"


def refuse(name: str, settings: Settings) -> None:
    """Raises ValueError if the model cannot do what the settings ask for."""
    if settings.permessage_deflate and not SERVER_MODELS[name].can_compress:
        raise ValueError(
            f"the server model {name} offers no permessage-deflate; leave --permessage-deflate "
            "(permessage_deflate) out, or take another model"
        )
