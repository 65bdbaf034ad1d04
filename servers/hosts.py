"""Hold every request of the application against the rules of hosts and targets, before all else."""

from flask import Flask, Response, request

from servers.problems import response_to
from servers.rules.hosts import SERVED_METHODS, Hosts, absolute_host
from servers.rules.problems import Problem
from servers.settings import Settings


def refuse_foreign_hosts(app: Flask, settings: Settings) -> None:
    """See `rules/hosts.py`."""
    hosts = Hosts(settings)
    app.url_map.merge_slashes = False

    @app.before_request
    def check() -> Response | None:
        environ = request.environ
        target: str = environ.get("RAW_URI", "/")
        if target[:1] != "/" and target != "*":
            host = absolute_host(target)
            if isinstance(host, Problem):
                return response_to(host)
            if "HTTP_HOST" in environ:
                environ["HTTP_HOST"] = host
        refused = hosts.refusal(
            target,
            environ["PATH_INFO"],
            environ.get("HTTP_HOST"),
            environ["SERVER_PROTOCOL"] == "HTTP/1.1",
            environ["SERVER_NAME"],
        )
        if refused:
            return response_to(refused)
        if target == "*":
            return Response(status=204, headers={"Allow": SERVED_METHODS})
        return None
