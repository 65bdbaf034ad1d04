"""What `wirelab demo` adds to the server: the pages, the race's publisher, and the class.

It is added where `WIRELAB_DEMO=1`; a server that is measured has none of it. In LAN mode
(`WIRELAB_DEMO_LAN=1`) the teacher is who has the token (`WIRELAB_TEACHER_TOKEN`); see `guard.py`. All state
is in memory and bounded; each module tells its bounds. The demo's own streams are there from the start; in
LAN mode there are no others, but those that the teacher has published on.

For every page:
- `GET /demo/transports.json`: the registry, `[{"name","label","colour","module","in_race"}, …]`
- `GET /demo/clock`: `{"server_us":…}`
- `GET /demo/state`: the race's settings, `watchers`, `lan`, `teacher` (is it you?), `cuts`, `join_url`
- `POST /demo/watch` `{"page":"<word>"}`: this page is looked at; with `"stream":"sensors"` the simulated feed
  is. Answers the state.

For the teacher:
- `POST /demo/state` changes some of `publish_rate`, `schedule`, `payload_bytes`, `paused`, `poll_interval_s`
  and answers the new state
- `POST /demo/publish` publishes one on `race` now: `{"id":…}`
- `POST /demo/cut` `{"transport":…}` (null: all) cuts everybody's lanes: `cuts` counts up, and each page
  closes its own connections
- `POST /demo/clear` `{"stream":…}` wipes a play stream: `{"teacher":true,"clear":true}` is published on it
- `GET /teacher?token=…` sets the teacher's cookie and leads to /class, so that no token stays in the address

For the class (see `classroom.py`; `participants.py` says who counts as one):
- `POST /class/report`, `POST /class/prediction`
- `POST /class/deal`, `POST /class/reset`: the teacher deals the transports out; begins again
- `POST /class/remove` `{"student":7}`: the teacher takes a student out, with all that came from him
- `GET /class/summary.json`, `GET /class/latencies.csv`, `GET /class/qr.svg`

For the page /wire (see `wire_page.py`): `GET /wire/<transport>.json`, `GET /wire/as-printed.json`

For the page /welcome: the article's own server (`article.py`), and ours that does the same (`greeting.py`)

A new state is published on the stream `control` too, as `{"state":{…}}`, and a cut as `{"cut":…}`.
"""

import io
import json
import os
import threading
import time
from typing import Any

import flask_sock
import segno
from flask import Flask, Response, current_app, jsonify, request

from clients.explain.story import STREAM as WIRE_STREAM
from servers.bodies import Bodies
from servers.demo import article, classroom, greeting, wire_page
from servers.demo.classroom import BadReport, ClassFull, Classroom, TooLate, TooSoon
from servers.demo.guard import COOKIE, PLAY_STREAMS, TEACHERS_ONLY, Guard
from servers.demo.pages import PAGE_ENDPOINT, add_pages
from servers.demo.participants import COOKIE as PARTICIPANT_COOKIE
from servers.demo.participants import Participants, Removed
from servers.demo.race import STREAM as RACE_STREAM
from servers.demo.race import BadSettings, Race
from servers.demo.sensor_feed import SensorFeed
from servers.drafts import parse_draft
from servers.problems import problem
from servers.stream import Streams, now_us
from servers.transports import TRANSPORTS

CONTROL = "control"
OWN_STREAMS = (*PLAY_STREAMS, RACE_STREAM, CONTROL, WIRE_STREAM, greeting.STREAM)
MAX_BODY_BYTES = 16 * 1024
COOKIE_S = 12 * 3600


class BadRequest(ValueError):
    """The request's body is not what its address takes."""


def add_demo(app: Flask) -> None:
    """Add everything above to an application whose streams are there."""
    streams: Streams = app.extensions["streams"]
    lan = os.environ.get("WIRELAB_DEMO_LAN") == "1"
    join_url = os.environ.get("WIRELAB_JOIN_URL")
    token = os.environ.get("WIRELAB_TEACHER_TOKEN")
    if lan and not token:
        raise ValueError("WIRELAB_DEMO_LAN=1 needs WIRELAB_TEACHER_TOKEN; `wirelab demo --lan` sets both")
    participants = Participants(app.extensions["addresses"])
    guard = Guard(token if lan else None, participants.client)
    guard.protect(app, app.extensions["settings"])
    if lan:
        streams.allow_only(OWN_STREAMS)
    for name in OWN_STREAMS:
        streams.to_publish(name)
    app.extensions["socketio"].guard = guard.refuse_event
    flask_sock.Server = guard.connection_class()
    add_pages(app, lan=lan, join_url=join_url)
    if lan:
        _sign_pages(app, guard, participants)
    wire_page.add_routes(app)
    article.add_routes(app)
    greeting.add_routes(app, streams, guard)
    race = Race(streams)
    cuts = Cuts()
    _add_race(app, streams, race, guard, cuts, {"lan": lan, "join_url": join_url})
    _add_class(app, race, guard, participants, join_url)
    _add_teacher(app, streams, guard)

    @app.errorhandler(BadRequest)
    @app.errorhandler(BadSettings)
    @app.errorhandler(BadReport)
    def bad_request(error: ValueError) -> Response:
        return problem(400, str(error))


class Cuts:
    """How often each transport's connections were cut for everybody: one number a transport, no more."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(TRANSPORTS, 0)
        self._lock = threading.Lock()

    def cut(self, transport: str | None) -> None:
        with self._lock:
            for name in TRANSPORTS if transport is None else (transport,):
                self._counts[name] += 1

    def counts(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)


def _add_race(
    app: Flask, streams: Streams, race: Race, guard: Guard, cuts: Cuts, known: dict[str, Any]
) -> None:
    feed = SensorFeed(streams)

    def state() -> dict[str, Any]:
        return race.settings() | known | {"cuts": cuts.counts()}

    def answer() -> Response:
        return _fresh(state() | {"teacher": guard.is_teacher(request.environ)})

    def tell(data: dict[str, Any]) -> None:
        streams.to_publish(CONTROL).publish(parse_draft(json.dumps({"data": data})))

    @app.get("/demo/clock")
    def clock() -> Response:
        return _fresh({"server_us": now_us()})

    @app.get("/demo/state")
    def show_state() -> Response:
        return answer()

    @app.post("/demo/state")
    def change_state() -> Response:
        if not guard.is_teacher(request.environ):
            return problem(403, TEACHERS_ONLY)
        race.change(_body())
        tell({"state": state()})
        return answer()

    @app.post("/demo/publish")
    def publish_one() -> Response:
        if not guard.is_teacher(request.environ):
            return problem(403, TEACHERS_ONLY)
        return _fresh({"id": race.publish()})

    @app.post("/demo/cut")
    def cut() -> Response:
        if not guard.is_teacher(request.environ):
            return problem(403, TEACHERS_ONLY)
        transport = _body().get("transport")
        if transport is not None and transport not in tuple(TRANSPORTS):
            raise BadRequest(f"transport must be null or one of {', '.join(TRANSPORTS)}.")
        cuts.cut(transport)
        tell({"cut": transport})
        return answer()

    @app.post("/demo/watch")
    def watch() -> Response:
        body = _body()
        page = body.get("page", request.remote_addr)
        if not isinstance(page, str) or len(page) > 64:
            raise BadRequest("page must be a word of 64 characters at the most.")
        if body.get("stream") == "sensors":
            feed.watch()
        else:
            race.watch(page)
        return answer()


def _sign_pages(app: Flask, guard: Guard, participants: Participants) -> None:
    """Give a browser its cookie with its first page, if its address may bring another."""

    @app.after_request
    def sign(response: Response) -> Response:
        environ = request.environ
        is_page = request.endpoint is not None and request.endpoint.startswith(PAGE_ENDPOINT)
        if is_page and participants.signed(environ) is None and not guard.is_teacher(environ):
            try:
                _set_cookie(response, PARTICIPANT_COOKIE, participants.cookie(participants.admit(environ)))
            except (ClassFull, TooSoon):
                # The page can be looked at all the same.
                pass
        return response


def _set_cookie(response: Response, name: str, value: str) -> None:
    response.set_cookie(name, value, max_age=COOKIE_S, httponly=True, samesite="Strict", path="/")


def _add_class(
    app: Flask, race: Race, guard: Guard, participants: Participants, join_url: str | None
) -> None:
    room = Classroom(TRANSPORTS)
    app.extensions["classroom"] = room

    @app.errorhandler(ClassFull)
    def full(error: ClassFull) -> Response:
        return problem(503, str(error))

    @app.errorhandler(TooSoon)
    def too_soon(error: TooSoon) -> Response:
        return problem(429, str(error), Retry_After="1")

    @app.errorhandler(Removed)
    def removed(error: Removed) -> Response:
        return problem(403, str(error))

    @app.errorhandler(TooLate)
    def too_late(error: TooLate) -> Response:
        return problem(409, str(error))

    def admitted(word: str) -> str | None:
        """The participant that the request comes from; the teacher's students are known by their words."""
        return None if guard.is_teacher(request.environ) else participants.admit(request.environ, word)

    def signed(value: Any, who: str | None) -> Response:
        response = _fresh(value)
        if who is not None and participants.signed(request.environ) is None:
            _set_cookie(response, PARTICIPANT_COOKIE, participants.cookie(who))
        return response

    @app.post("/class/report")
    def report() -> Response:
        sent = _body(classroom.MAX_REPORT_BYTES)
        who = admitted(classroom.word_in(sent, "student"))
        student = room.report(sent, time.monotonic(), now_us(), who)
        race.watch("the class")
        return signed(student, who)

    @app.post("/class/prediction")
    def predict() -> Response:
        sent = _body()
        who = admitted(classroom.word_in(sent, "page"))
        room.predict(sent, who)
        return signed({"predictions_count": room.summary(time.monotonic())["predictions_count"]}, who)

    @app.post("/class/remove")
    def remove() -> Response:
        if not guard.is_teacher(request.environ):
            return problem(403, TEACHERS_ONLY)
        number = _body().get("student")
        who = room.remove(number) if type(number) is int else None
        if who is None:
            return problem(404, "There is no student of this number.")
        participants.remove(who)
        return _fresh(summed_up())

    def summed_up() -> dict[str, Any]:
        """The summary, as who asks may see it."""
        if guard.is_teacher(request.environ):
            # Without LAN mode everybody is the teacher and nobody signs in: who is taken out would come back.
            numbers = room.numbers() if guard.token else []
            return room.summary(time.monotonic()) | {"numbers": numbers}
        shows = room.shows_predictions(participants.signed(request.environ))
        return room.summary(time.monotonic(), predictions=shows)

    @app.post("/class/deal")
    def deal() -> Response:
        if not guard.is_teacher(request.environ):
            return problem(403, TEACHERS_ONLY)
        room.deal(time.monotonic())
        return _fresh(summed_up())

    @app.post("/class/reset")
    def reset() -> Response:
        if not guard.is_teacher(request.environ):
            return problem(403, TEACHERS_ONLY)
        room.reset()
        return _fresh(summed_up())

    @app.get("/class/summary.json")
    def summary() -> Response:
        return _fresh(summed_up())

    @app.get("/class/latencies.csv")
    def latencies() -> Response:
        return Response(
            room.latencies_csv(),
            content_type="text/csv; charset=utf-8",
            headers={
                "Cache-Control": "no-store",
                "Content-Disposition": 'attachment; filename="wirelab-class-latencies.csv"',
            },
        )

    @app.get("/class/qr.svg")
    def qr() -> Response:
        if join_url is None:
            return problem(404, "Nobody else can reach this server; start it with `wirelab demo --lan`.")
        image = io.BytesIO()
        segno.make(join_url, micro=False).save(image, kind="svg", border=2, light="#fff", svgclass=None)
        return Response(image.getvalue(), content_type="image/svg+xml", headers={"Cache-Control": "no-store"})


def _add_teacher(app: Flask, streams: Streams, guard: Guard) -> None:
    @app.get("/teacher")
    def become_teacher() -> Response:
        if not guard.is_token(request.args.get("token", "")):
            return problem(403, "That is not the teacher's link; `wirelab demo --lan` prints it.")
        response = Response(status=303, headers={"Location": "/class", "Cache-Control": "no-store"})
        _set_cookie(response, COOKIE, request.args["token"])
        return response

    @app.post("/demo/clear")
    def clear() -> Response:
        if not guard.is_teacher(request.environ):
            return problem(403, TEACHERS_ONLY)
        name = _body().get("stream")
        if name not in PLAY_STREAMS:
            raise BadRequest(f"stream must be one of {', '.join(PLAY_STREAMS)}.")
        accepted = streams.to_publish(name).publish(parse_draft('{"data":{"teacher":true,"clear":true}}'))
        return _fresh({"id": accepted.id})


def _body(most_bytes: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """The request's JSON object, an empty one where there is no body; raises BadRequest or BodyTooLarge."""
    bodies: Bodies = current_app.extensions["bodies"]
    with bodies.read(request.environ, most_bytes, "the limit of this address") as raw:
        try:
            value = json.loads(raw or b"{}")
        except (ValueError, RecursionError):
            raise BadRequest("The body is not JSON.") from None
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.")
    return value


def _fresh(value: Any) -> Response:
    response = jsonify(value)
    response.headers["Cache-Control"] = "no-store"
    return response
