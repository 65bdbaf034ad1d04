"""Under which names the server answers, and the forms of a request's target (RFC 9112, section 3).

Rules:
1. A server that listens on this machine only is reached by names of this machine only: loopback's, the
   address it is bound to, those of `allow_hosts`. Any other is 421. A page elsewhere can have its own name
   lead to 127.0.0.1 (DNS rebinding) and would be of the same origin then; but its requests bear that name.
2. A server that others can reach answers under any name: it does not know what they call it.
3. HTTP/1.1 names its host once, and well formed; else 400. In an absolute target the host is in the target,
   and counts for all that looks at Host.
4. A path is taken as it is: two slashes are not one, and nothing is redirected.
"""

from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Flask, Response, request

from servers.names import host_of, is_loopback
from servers.problems import problem
from servers.settings import Settings

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

REMEMBERED = 256
# The article asks for a target with ws, and RFC 6455 (section 4.1) for one with http.
SCHEMES = ("http", "ws")
NO_HOST = "The Host header is missing (RFC 9112, section 3.2)."
BAD_HOST = "Host is not one name or address, with a port or without (RFC 9112, section 3.2)."
MISDIRECTED = (
    "This server listens on its own machine only, and not under this name; ask for localhost, "
    "or serve with --allow-host (allow_hosts)."
)
NOT_HTTP = "The target's scheme is not http, which is all that is served here."
FRAGMENT = "A target has no fragment (RFC 9112, section 3.2.1)."
NO_SUCH_PATH = "There is nothing here: a path begins with one slash."


def refuse_foreign_hosts(app: Flask, settings: Settings) -> None:
    """Hold every request of the application against the rules, before all else."""
    allowed = frozenset(host_of(entry) for entry in settings.allow_hosts)
    app.url_map.merge_slashes = False

    @lru_cache(maxsize=REMEMBERED)
    def refusal(host: str, bound: str) -> tuple[int, str] | None:
        name = host_of(host)
        if name is None:
            return 400, BAD_HOST
        if not is_loopback(bound) or is_loopback(name) or name == bound or name in allowed:
            return None
        return 421, MISDIRECTED

    @app.before_request
    def check() -> Response | None:
        environ = request.environ
        target: str = environ.get("RAW_URI", "/")
        if target[:1] != "/" and target != "*" and (problem_of_target := _take_target(environ, target)):
            return problem_of_target
        if "#" in target:
            return problem(400, FRAGMENT)
        host = environ.get("HTTP_HOST")
        if host is None:
            return problem(400, NO_HOST) if environ["SERVER_PROTOCOL"] == "HTTP/1.1" else None
        refused = refusal(host, environ["SERVER_NAME"])
        if refused:
            return problem(*refused)
        if environ["PATH_INFO"][:2] == "//":
            return problem(404, NO_SUCH_PATH)
        if target == "*":
            return Response(status=204, headers={"Allow": "GET, HEAD, OPTIONS, POST"})
        return None


def _take_target(environ: "WSGIEnvironment", target: str) -> Response | None:
    """Section 3.2.2: let the host of an absolute target replace the header's."""
    parts = urlsplit(target)
    if parts.scheme not in SCHEMES:
        return problem(421, NOT_HTTP)
    if "HTTP_HOST" in environ:
        environ["HTTP_HOST"] = parts.netloc
    return None
