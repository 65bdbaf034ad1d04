"""The article's own server, a child of this one: Node runs it, on a free port of loopback.

Rules:
1. `WIRELAB_ARTICLE` names the command that becomes it, as a JSON list; our process id is added. It says
   `app is listening to port <port>`, or in one line why it cannot. It ends with us, whatever ends us.
2. It is started when somebody on this machine looks at the page, not before: a demo without that page costs
   nothing more. One that has ended is started again when somebody looks, RESTART_S after the last at the
   soonest.
3. Only this machine can reach it, so only this machine is told where it is.

`GET /demo/article.json` answers one of these:
- `{"state":"ready","url":"http://127.0.0.1:<port>"}`
- `{"state":"starting"}`: ask again soon
- `{"state":"missing","why":"…"}`: half a sentence that says what to do
- `{"state":"elsewhere"}`: it is on the teacher's machine
"""

import json
import os
import re
import subprocess
import threading
import time

from flask import Flask, Response, jsonify, request

from servers.demo.wire_page import from_this_machine
from servers.names import host_of, is_loopback
from servers.serve import CODE

LISTENING = re.compile(r"app is listening to port ([0-9]{1,5})\s*")
RESTART_S = 1.0
MAX_LINE = 1000
NO_COMMAND = "this server was not told how to start it; `wirelab demo` does so"


class Article:
    """The child, and what is known of it."""

    def __init__(self, command: list[str]) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._runs = False
        self._started_s = float("-inf")
        self._port: int | None = None
        self._why: str | None = None if command else NO_COMMAND

    def state(self) -> dict[str, str]:
        """What to tell who looks; starts the child if there is none."""
        with self._lock:
            if self._command and not self._runs and time.monotonic() - self._started_s >= RESTART_S:
                self._runs = True
                self._started_s = time.monotonic()
                # The thread that starts it must last as long: the kernel takes its end for its parent's.
                threading.Thread(target=self._run, daemon=True, name="the article's server").start()
            if self._port:
                return {"state": "ready", "url": f"http://127.0.0.1:{self._port}"}
            return {"state": "missing", "why": self._why} if self._why else {"state": "starting"}

    def _run(self) -> None:
        """Start it, and read what it says until it ends."""
        why = None
        try:
            with subprocess.Popen(
                [*self._command, str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                cwd=CODE,
                env=os.environ | {"PYTHONPATH": str(CODE)},
                text=True,
                start_new_session=True,
            ) as process:
                assert process.stdout
                while line := process.stdout.readline(MAX_LINE):
                    listening = LISTENING.fullmatch(line)
                    if listening:
                        self._set(port=int(listening[1]))
                    else:
                        why = line.strip()
        except OSError as error:
            why = f"it cannot be started: {error.strerror}"
        self._set(why=why, runs=False)

    def _set(self, port: int | None = None, why: str | None = None, runs: bool = True) -> None:
        with self._lock:
            self._port, self._why, self._runs = port, why, runs


def add_routes(app: Flask) -> None:
    """`GET /demo/article.json`"""
    article = Article(json.loads(os.environ.get("WIRELAB_ARTICLE", "[]")))

    @app.get("/demo/article.json")
    def show() -> Response:
        own = from_this_machine(request.environ) and is_loopback(host_of(request.host) or "")
        response = jsonify(article.state() if own else {"state": "elsewhere"})
        response.headers["Cache-Control"] = "no-store"
        return response
