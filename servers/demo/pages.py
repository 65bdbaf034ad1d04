"""The pages, and the files that they are made of.

Rules:
1. A page is one line in `PAGES` and one template; the navigation is drawn from the same lines.
2. Every answer to a browser says what it is and may not be guessed at (nosniff), and a page runs only
   scripts and styles that are files of this server: nothing inline, nothing from elsewhere. It works offline.
   One page has the article's own in a frame, from a server of this machine.
3. Nothing is kept without asking again (`no-cache`): a class must not see yesterday's script.
4. The browser's clients are served from where their twins are: `clients/browser/`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

from flask import Flask, Response, jsonify, render_template, request
from werkzeug.security import safe_join

from clients import label
from servers.demo.colours import assign
from servers.problems import problem
from servers.transports import TRANSPORTS

HERE = Path(__file__).resolve().parent
STATIC = HERE / "static"
PAGE_ENDPOINT = "page "
# A projector shows three lanes well, those of the article. These race only if somebody chooses them.
ON_DEMAND = ("sse", "socketio", "socketio-polling")
BROWSER = HERE.parents[1] / "clients" / "browser"

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
# Its port is not known yet.
BESIDE_ARTICLE = {"connect-src": "'self' ws://127.0.0.1:*", "frame-src": "http://127.0.0.1:*"}


class Page(NamedTuple):
    """One page: where it is, its template, and what the navigation calls it."""

    path: str
    template: str
    name: str
    beside_article: bool = False
    """Whether it shows, and listens to, the article's own server on this machine (`article.py`)."""


PAGES = (
    Page("/", "race.html", "Race"),
    Page("/wire", "wire.html", "Wire"),
    Page("/whiteboard", "whiteboard.html", "Whiteboard"),
    Page("/chat", "chat.html", "Chat"),
    Page("/sensors", "sensors.html", "Sensors"),
    Page("/game", "game.html", "Game"),
    Page("/welcome", "welcome.html", "Welcome", beside_article=True),
    Page("/class", "class.html", "Class"),
)


def add_pages(app: Flask, **known: Any) -> None:
    """Serve the pages, /static/, /browser/ and what both draw from the registry.

    `known` is what every template may ask for, besides `page`, `pages` and `request`.
    """
    for page in PAGES:
        app.add_url_rule(page.path, PAGE_ENDPOINT + page.path, _view(page, known))

    @app.get("/static/<path:name>", endpoint="static")
    def static_file(name: str) -> Response:
        return _file(STATIC, name)

    @app.get("/browser/<path:name>")
    def browser_module(name: str) -> Response:
        return _file(BROWSER, name)

    @app.get("/static/colours.css")
    def colours_css() -> Response:
        lines = [f"  --transport-{name}: {colour};" for name, colour in assign(TRANSPORTS).items()]
        return Response(
            "\n".join([":root {", *lines, "}", ""]),
            content_type=CONTENT_TYPES[".css"],
            headers={"Cache-Control": "no-cache"},
        )

    @app.get("/demo/transports.json")
    def transports_json() -> Response:
        response = jsonify(
            [
                {
                    "name": name,
                    "label": label(name),
                    "colour": colour,
                    "module": f"/browser/{name.replace('-', '_')}.js",
                    "in_race": name not in ON_DEMAND,
                }
                for name, colour in assign(TRANSPORTS).items()
            ]
        )
        response.headers["Cache-Control"] = "no-cache"
        return response

    @app.get("/favicon.ico")
    def favicon() -> Response:
        """Browsers ask for one unasked, and call its absence an error."""
        return _file(STATIC, "icon.svg")

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        return response


def _view(page: Page, known: dict[str, Any]) -> Callable[[], Response]:
    policy = POLICY | (BESIDE_ARTICLE if page.beside_article else {})
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": "; ".join(f"{what} {whence}" for what, whence in policy.items()),
    }

    def show() -> Response:
        return Response(
            render_template(page.template, page=page, pages=PAGES, **known),
            content_type=CONTENT_TYPES[".html"],
            headers=headers,
        )

    return show


def _file(folder: Path, name: str) -> Response:
    """A file of ours, whole (they are small), or 404."""
    path = safe_join(str(folder), name)
    kind = CONTENT_TYPES.get(Path(name).suffix)
    if path is None or kind is None or not Path(path).is_file():
        return problem(404, "There is no such file.")
    response = Response(Path(path).read_bytes(), content_type=kind, headers={"Cache-Control": "no-cache"})
    response.add_etag()
    return cast(Response, response.make_conditional(request))
