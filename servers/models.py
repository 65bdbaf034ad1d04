"""The server models of `wirelab serve`: how a waiting client is waited for."""

from typing import NamedTuple

from servers.settings import Settings


class ServerModel(NamedTuple):
    """One model."""

    waits_by: str
    """What each waiting client takes, for help texts."""
    worker_class: str | None
    """gunicorn's; None: it runs without gunicorn."""
    can_compress: bool = True
    """Whether it has permessage-deflate to offer."""
    lacks: tuple[str, ...] = ()
    """Transports of the registry that it does not speak."""

    @property
    def has_pages(self) -> bool:
        """Whether it can serve the demo, whose pages are a Flask application."""
        return self.worker_class is not None


SERVER_MODELS: dict[str, ServerModel] = {
    "gevent": ServerModel("a greenlet", "servers.gevent_worker.GeventWorker"),
    "gthread": ServerModel("a thread", "servers.thread_worker.ThreadWorker"),
    "asyncio": ServerModel("a callback", None, can_compress=False),
}
WORKER_CLASSES = {
    name: model.worker_class for name, model in SERVER_MODELS.items() if model.worker_class is not None
}


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
