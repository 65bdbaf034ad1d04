"""Ways to start that gunicorn has and this server has not: each is refused in a sentence.

Rules:
1. What would make two logs behind one address, or lose the log from time to time, is refused: a client would
   see sometimes one and sometimes another, or nothing.
2. What would leave a limit or a promise unkept is refused too.
3. It is asked twice: by `gunicorn_conf.py` before anything is forked, and by the application, which is all
   that there is of us under `gunicorn 'servers.app:app()'`. The second asks only what holds there.
"""

import gc
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from servers.ending import Ending

KNOWN = ("gunicorn.workers.gthread.ThreadWorker", "servers.asgi_server.worker.AsgiWorker")
EXIT_CODE = 4
"""By which gunicorn's master gives up instead of trying again."""


@dataclass(frozen=True)
class Refusal:
    """One way to start: whether this master is meant to go it, and what is said."""

    applies: Callable[[Any], bool]
    sentence: str
    under_own_configuration_only: bool = False


def _has_unix_socket(arbiter: Any) -> bool:
    """Before it listens its addresses tell, and then its sockets: an inherited one has no address."""
    if any(isinstance(address, str | bytes) for address in arbiter.cfg.address):
        return True
    unix = getattr(socket, "AF_UNIX", None)
    return any(unix == listener.FAMILY for listener in arbiter.LISTENERS)


def _serves_gevent(arbiter: Any) -> bool:
    return "gevent" in f"{arbiter.worker_class.__module__}.{arbiter.worker_class.__name__}".lower()


def _is_known(worker_class: type) -> bool:
    names = {f"{each.__module__}.{each.__name__}" for each in worker_class.__mro__}
    return not names.isdisjoint(KNOWN) or (
        "gunicorn.workers.ggevent.GeventWorker" in names
        and getattr(worker_class, "server_class", None) is None
    )


ONE_PROCESS_ONLY = (
    "{workers} worker processes would split the in-memory log between them. "
    "Start one (--workers 1); serving from several processes needs a shared log, which is scale-out work."
)
SECOND_MASTER = (
    "USR2 would start a second server with a log of its own on the same address. Stop this one and start "
    "another; serving from several processes needs a shared log, which is scale-out work."
)
REFUSALS = (
    Refusal(lambda arbiter: arbiter.num_workers > 1, ONE_PROCESS_ONLY),
    Refusal(lambda arbiter: getattr(arbiter, "master_pid", 0) != 0, SECOND_MASTER),
    Refusal(
        lambda arbiter: arbiter.cfg.reuse_port,
        "--reuse-port lets a second server with a log of its own on the same port; leave it out.",
    ),
    Refusal(
        lambda arbiter: arbiter.cfg.max_requests > 0,
        "--max-requests would begin a new log whenever so many requests were served; leave it out.",
    ),
    Refusal(
        _has_unix_socket,
        "a Unix socket has none of TCP's timeouts, by which peers that take nothing are cut; "
        "bind an address (--bind 127.0.0.1:8000), also behind a proxy.",
    ),
    Refusal(
        lambda arbiter: bool(arbiter.cfg.is_ssl),
        "TLS is not spoken here; let a proxy speak it and leave --certfile and --keyfile out.",
    ),
    Refusal(
        lambda arbiter: not _is_known(arbiter.worker_class),
        "worker class {worker_class} cannot hold connections as this server does; use gevent or gthread.",
    ),
    Refusal(
        lambda arbiter: arbiter.cfg.preload_app and _serves_gevent(arbiter),
        "--preload makes the application before gevent has taken over, and it would lock up; leave it out.",
    ),
    Refusal(
        lambda arbiter: not issubclass(arbiter.worker_class, Ending),
        "with -c python:servers.gunicorn_conf the server model is chosen by WIRELAB_SERVER_MODEL "
        "(gevent, gthread or asgi); leave --worker-class out.",
        under_own_configuration_only=True,
    ),
    Refusal(
        lambda arbiter: arbiter.cfg.proxy_protocol != "off" or arbiter.cfg.protocol != "http",
        "only HTTP is spoken here; leave --proxy-protocol and --protocol out.",
        under_own_configuration_only=True,
    ),
)


def refuse(arbiter: Any, *, under_own_configuration: bool) -> None:
    """Exit with a sentence if this master is meant to start in a way that is refused."""
    for refusal in REFUSALS:
        if refusal.under_own_configuration_only and not under_own_configuration:
            continue
        if refusal.applies(arbiter):
            end_with(
                refusal.sentence.format(
                    workers=arbiter.num_workers, worker_class=arbiter.cfg.worker_class_str
                )
            )


def refuse_from_application() -> None:
    """The same, from where gunicorn does not say how it was started.

    Its arbiter, which a worker inherits by the fork, knows.
    """
    arbiter_module = sys.modules.get("gunicorn.arbiter")
    if arbiter_module is None:
        return
    for arbiter in (each for each in gc.get_objects() if isinstance(each, arbiter_module.Arbiter)):
        refuse(arbiter, under_own_configuration=False)


def end_with(sentence: str) -> NoReturn:
    """Say why, in one piece (several workers may say it at once), and exit."""
    sys.stderr.write(f"wirelab: {sentence}\n")
    sys.stderr.flush()
    sys.exit(EXIT_CODE)
