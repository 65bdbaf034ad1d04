"""gunicorn's configuration: `gunicorn -c python:servers.gunicorn_conf`, and what `wirelab serve` uses.

Settings come from `WIRELAB_…` environment variables (see `settings.py`); `WIRELAB_SERVER_MODEL` is
`gevent`, `gthread` or `asgi`. What is set, and why:
- Room for more connections than subscribers, so that refusals, publishes and /healthz are answered
  when no subscriber has a place left. Short polls are not subscribers, but their kept-alive
  connections take room, so there is twice as much.
- A keep-alive longer than any poll's wait: reconnecting is measured as a factor, not by accident.
- Bounds of a request's head and of the time for it (`parsing.py`, `patience.py`).
- No access log: it would be part of every measurement.
- No proxy in front is trusted: headers that only a proxy may set are ignored, whoever sends them.
- Rare garbage collections (`process.py`).
- However it ends, held polls are answered and WebSockets closed (`ending.py`), which gunicorn by itself does
  not.
- SIGHUP is a reload, as gunicorn means it, for who starts gunicorn. With `WIRELAB_HANGUP=end` (`wirelab
  serve` and `wirelab demo` set it) it is the end: nobody sees what goes on after the terminal was closed.
  With `stay` (they set it under `nohup`) it is ignored.
"""

import gc
import logging
import os
import resource
import sys
from typing import Any

from servers import parsing, responses, ways_to_start
from servers.descriptors import within_limit
from servers.models import WITH_WORKERS
from servers.patience import Patience
from servers.process import (
    BACKLOG,
    GARBAGE_COLLECTION_THRESHOLDS,
    GONE,
    GRACEFUL_S,
    HANG_UPS,
    KEEPALIVE_S,
    SPARE_CONNECTIONS,
    url_of,
)
from servers.rules import heads
from servers.settings import Settings, from_environ, to_environ
from servers.socket_options import set_options


def _from_environ() -> tuple[Settings, str, str]:
    """The settings, the server model and what SIGHUP means; ends with a sentence if one cannot be read."""
    server_model = os.environ.get("WIRELAB_SERVER_MODEL", "gevent")
    hang_up = os.environ.get("WIRELAB_HANGUP", "reload")
    try:
        for name, value, known in (
            ("WIRELAB_SERVER_MODEL", server_model, WITH_WORKERS),
            ("WIRELAB_HANGUP", hang_up, HANG_UPS),
        ):
            if value not in known:
                raise ValueError(f"{name}={value!r} must be one of {', '.join(known)}")
        return from_environ(), server_model, hang_up
    except ValueError as error:
        ways_to_start.end_with(str(error))


settings, server_model, hang_up = _from_environ()
settings, too_few = within_limit(settings)
if too_few:
    print(f"wirelab: {too_few}", file=sys.stderr, flush=True)
    # The application reads them for itself.
    os.environ.update(to_environ(settings))

wsgi_app = WITH_WORKERS[server_model].application
bind = "127.0.0.1:8000"
workers = 1
worker_class = WITH_WORKERS[server_model].worker_class
threads = settings.max_subscribers + SPARE_CONNECTIONS if server_model == "gthread" else 1
worker_connections = min(
    2 * settings.max_subscribers + 2 * SPARE_CONNECTIONS,
    resource.getrlimit(resource.RLIMIT_NOFILE)[0] - SPARE_CONNECTIONS,
)
keepalive = KEEPALIVE_S
timeout = 120
graceful_timeout = GRACEFUL_S
backlog = BACKLOG
limit_request_line = limit_request_field_size = heads.MAX_FIELD_BYTES
limit_request_fields = heads.MAX_FIELDS
http_parser = "python"
asgi_loop = "uvloop"
asgi_lifespan = "off"
loglevel = "warning"
control_socket_disable = True
forwarded_allow_ips = "*"
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""


def on_starting(server: Any) -> None:
    """Refuse ways to start that are not served, before anything is bound; see to the signals."""
    ways_to_start.refuse(server, under_own_configuration=True)
    server.handle_usr2 = lambda: server.log.warning(f"wirelab: {ways_to_start.SECOND_MASTER}")
    if hang_up != "reload":
        server.handle_hup = server.handle_term if hang_up == "end" else lambda: None


def when_ready(server: Any) -> None:
    """Ask again, now that an inherited socket can be looked at."""
    ways_to_start.refuse(server, under_own_configuration=True)


def nworkers_changed(server: Any, new_value: int, old_value: int | None) -> None:
    """TTIN asks for one more worker at run time; refuse it."""
    if new_value > 1 and old_value is not None:
        server.log.warning(f"wirelab: {ways_to_start.ONE_PROCESS_ONLY.format(workers=new_value)}")
        server.num_workers = 1


def post_fork(server: Any, worker: Any) -> None:
    """Prepare the worker before it accepts anybody."""
    gc.set_threshold(*GARBAGE_COLLECTION_THRESHOLDS)
    responses.write_at_once()
    responses.explain_errors()
    logging.getLogger("gunicorn.error").addFilter(_is_worth_logging)
    for listener in worker.sockets:
        set_options(listener.sock, settings.send_timeout_s)


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Clients go away: no news, and no traceback."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, OSError) and error.errno in GONE)


def post_worker_init(worker: Any) -> None:
    """Hand the worker what it ends and, for the first one, say that the server answers."""
    worker.begin()
    worker.patience = parsing.Parser.patience = Patience(
        settings.request_timeout_s,
        worker.cfg.keepalive,
        most_connections=worker.cfg.worker_connections - SPARE_CONNECTIONS,
        most_bodies=SPARE_CONNECTIONS // 2 if server_model == "gthread" else worker.cfg.worker_connections,
    )
    if hang_up != "reload":
        # A terminal that closes tells the worker too, not only its master.
        worker.take_hang_up(ends=hang_up == "end")
    if worker.age == 1:
        for listener in worker.sockets:
            print(f"wirelab: serving on {url_of(listener)} ({server_model})", flush=True)
