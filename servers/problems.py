"""Errors as Flask's responses.

The rule: whatever goes wrong, also in gunicorn before the application is asked, the answer is
`application/problem+json` (`rules/problems.py`), and the server goes on serving.
"""

from flask import Response
from werkzeug.exceptions import HTTPException

from servers.refusals import Refused
from servers.rules import problems
from servers.rules.problems import Problem


def response_to(problem: Problem) -> Response:
    """A problem as a response."""
    response = Response(problem.body(), problem.status, content_type=problems.MEDIA_TYPE)
    for name, value in problem.fields().items():
        response.headers[name] = value
    return response


def problem(status: int, detail: str, **headers: str) -> Response:
    """A problem as a response, by its parts."""
    more = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return response_to(Problem(status, detail, more))


def from_refused(error: Refused) -> Response:
    return response_to(problems.of(error))


def from_http_exception(error: HTTPException) -> Response:
    """Keeps the headers that the status asks for, such as Allow."""
    response = problem(error.code or 500, error.description or "")
    for name, value in error.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response
