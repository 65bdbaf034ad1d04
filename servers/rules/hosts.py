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
from urllib.parse import urlsplit

from servers.names import host_of, is_loopback
from servers.rules.problems import Problem
from servers.settings import Settings

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
SERVED_METHODS = "GET, HEAD, OPTIONS, POST"
"""What `OPTIONS *` is told (RFC 9110, section 9.3.7)."""
NO_SUCH_PATH = "There is nothing here: a path begins with one slash."


class Hosts:
    """Holds requests against the rules, by one server's settings."""

    def __init__(self, settings: Settings) -> None:
        self._allowed = frozenset(host_of(entry) for entry in settings.allow_hosts)
        self._refusal = lru_cache(maxsize=REMEMBERED)(self._refuse)

    def refusal(
        self, target: str, path: str, host: str | None, is_http_1_1: bool, bound: str
    ) -> Problem | None:
        """What is wrong with a request's target and host; `bound` is the address that it came to."""
        if "#" in target:
            return Problem(400, FRAGMENT)
        if host is None:
            return Problem(400, NO_HOST) if is_http_1_1 else None
        refused = self._refusal(host, bound)
        if refused:
            return refused
        return Problem(404, NO_SUCH_PATH) if path[:2] == "//" else None

    def _refuse(self, host: str, bound: str) -> Problem | None:
        name = host_of(host)
        if name is None:
            return Problem(400, BAD_HOST)
        if not is_loopback(bound) or is_loopback(name) or name == bound or name in self._allowed:
            return None
        return Problem(421, MISDIRECTED)


def absolute_host(target: str) -> str | Problem:
    """The host in an absolute target (section 3.2.2)."""
    parts = urlsplit(target)
    return parts.netloc if parts.scheme in SCHEMES else Problem(421, NOT_HTTP)
