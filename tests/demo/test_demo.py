"""`wirelab demo` over HTTP: what it serves, who may do what, and that everything in it is bounded."""

import csv
import http.client
import io
import itertools
import json
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import raw
from conftest import Server, leave_server, start_server
from raw import RawWebSocket

from bench.commands.demo import lan_addresses
from servers.demo import classroom, guard
from servers.demo.classroom import BadReport, ClassFull, Classroom, TooSoon
from servers.demo.colours import COLOURS, SPARE_COLOURS, assign
from servers.demo.pages import PAGES
from servers.demo.race import BadSettings, Race
from servers.settings import Settings
from servers.stream import Streams
from servers.transports import TRANSPORTS

JSON = {"Content-Type": "application/json"}
DEMO = Callable[..., Server]


@pytest.fixture(scope="module")
def lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One `wirelab demo --lan` for the tests of who may do what: none of them needs what another changed."""
    started = start_server(tmp_path_factory.mktemp("lan") / "server.log", "--lan", command="demo")
    yield started
    leave_server(started)


def ask(server: Server, method: str, path: str, body: Any = None, **headers: str) -> raw.Answer:
    """One request on a connection of its own; a body that is not text is sent as JSON."""
    given = dict(JSON) if body is not None else {}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent = body if isinstance(body, str) else None if body is None else json.dumps(body)
    return raw.ask(server, method, path, sent.encode() if sent is not None else None, given)


def teacher_cookie(server: Server) -> str:
    """The teacher's cookie, had by the link that was printed."""
    link = re.search(r"http://127\.0\.0\.1:\d+(/teacher\?token=\S+)", server.printed)
    assert link
    return ask(server, "GET", link[1]).headers["set-cookie"].split(";")[0]


def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait for it."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_it_prints_where_it_serves_and_nothing_else(pages: Server) -> None:
    """Without options there is nobody to invite."""
    assert pages.url.startswith("http://127.0.0.1:")
    assert pages.printed == ""


def test_every_page_is_served_with_its_protection(pages: Server) -> None:
    """A page names its type, allows nothing inline, and is asked for again each time."""
    for page in PAGES:
        answer = ask(pages, "GET", page.path)
        assert answer.status == 200, page
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        text = answer.body.decode()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|https?://(?!www\.w3\.org)", text), page
        assert all('src="/' in tag for tag in re.findall(r"<script[^>]*>", text))


def test_pages_load_no_file_that_is_not_served(pages: Server) -> None:
    """What a page or a module names is there, and is of the type that browsers insist on."""
    wanted = [page.path for page in PAGES]
    seen = set()
    while wanted:
        path = wanted.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = ask(pages, "GET", path)
        assert answer.status == 200, path
        if path.endswith(".js"):
            assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
            folder = path.rpartition("/")[0]
            named = re.findall(r'(?:from|import) "([^"]+)"', answer.body.decode())
            wanted += [
                name if name.startswith("/") else f"{folder}/{name.removeprefix('./')}" for name in named
            ]
        elif path.endswith(".css"):
            assert answer.headers["content-type"].startswith("text/css")
        elif "content-security-policy" in answer.headers:
            wanted += re.findall(r'(?:src|href)="(/(?:static|browser)/[^"#]+)', answer.body.decode())
    assert len(seen) > 20


def test_a_file_is_not_sent_twice_and_no_other_file_at_all(pages: Server) -> None:
    """Conditional requests are honoured; a path cannot lead out of the folder."""
    first = ask(pages, "GET", "/static/style.css")
    again = ask(pages, "GET", "/static/style.css", If_None_Match=first.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    for path in (
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/browser/../receiver.py",
        "/static/x",
        "/static/",
    ):
        assert ask(pages, "GET", path).status == 404, path


def test_a_measured_server_has_none_of_it(server: Server) -> None:
    """`wirelab serve` serves no page."""
    for path in ("/", "/class", "/demo/state", "/static/style.css", "/teacher"):
        assert ask(server, "GET", path).status == 404


def test_the_registry_is_told_with_colours(pages: Server) -> None:
    """One entry a transport, in the registry's order; the style sheet has the same colours."""
    listed = ask(pages, "GET", "/demo/transports.json").json
    assert [each["name"] for each in listed] == list(TRANSPORTS)
    css = ask(pages, "GET", "/static/colours.css").body.decode()
    for each in listed:
        assert f"--transport-{each['name']}: {each['colour']};" in css
        assert ask(pages, "GET", each["module"]).status == 200


def test_a_transport_without_a_colour_gets_a_spare_one() -> None:
    """Also one more than there are spare ones."""
    assert assign(["websocket"]) == {"websocket": COLOURS["websocket"]}
    names = [f"new-{number}" for number in range(len(SPARE_COLOURS) + 1)]
    assert list(assign(names).values()) == [*SPARE_COLOURS, SPARE_COLOURS[0]]


@pytest.mark.parametrize("model", ["gevent", "gthread"])
def test_the_race_publishes_while_somebody_watches(demo: DEMO, model: str) -> None:
    """Nobody, nothing; somebody, at once; and nothing while it is paused."""
    server = demo("--server-model", model)

    def newest() -> int:
        return ask(server, "GET", "/streams/race/stats").json["newest_id"] or 0

    time.sleep(1.5)
    assert newest() == 0
    ask(server, "POST", "/demo/state", {"publish_rate": 50})
    state = ask(server, "POST", "/demo/watch", {"page": "a page"}).json
    assert (state["watchers"], state["publish_rate"], state["teacher"]) == (1, 50, True)
    until(lambda: newest() > 10)
    ask(server, "POST", "/demo/state", {"paused": True})
    time.sleep(0.3)
    before = newest()
    time.sleep(0.7)
    assert newest() == before
    assert ask(server, "POST", "/demo/publish", {}).json["id"] == before + 1


def test_nobody_watches_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """The publisher stops by itself, and begins again at the next look."""
    monkeypatch.setattr("servers.demo.race.WATCHED_S", 0.4)
    monkeypatch.setattr("servers.demo.race.LOOK_S", 0.05)
    streams = Streams(Settings())
    race = Race(streams)
    race.change({"publish_rate": 50, "schedule": "constant"})
    race.watch("page")
    until(lambda: race.settings()["watchers"] == 0)
    time.sleep(0.2)
    head = streams.get("race").head_id
    assert 5 < head <= 30
    time.sleep(0.3)
    assert streams.get("race").head_id == head
    race.watch("page")
    until(lambda: streams.get("race").head_id > head)
    streams.stop()


def test_late_publishing_keeps_its_due_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Due times of a constant schedule stay on their grid, however late they are published."""
    streams = Streams(Settings())
    race = Race(streams)
    race.change({"publish_rate": 20, "schedule": "constant"})
    race.watch("page")
    stream = streams.get("race")
    until(lambda: stream.head_id >= 8)
    streams.stop()
    due = [json.loads(entry.encoded)["due_us"] for entry in stream.entries]
    assert all(abs(after - before - 50_000) < 2_000 for before, after in itertools.pairwise(due))


@pytest.mark.parametrize(
    "wanted",
    [
        {"publish_rate": 0},
        {"publish_rate": float("inf")},
        {"publish_rate": "2"},
        {"publish_rate": True},
        {"payload_bytes": 1.5},
        {"payload_bytes": -1},
        {"paused": 1},
        {"schedule": "sometimes"},
        {"watchers": 3},
    ],
)
def test_a_wrong_setting_changes_nothing(wanted: dict[str, Any]) -> None:
    """All or nothing."""
    race = Race(Streams(Settings()))
    before = race.settings()
    with pytest.raises(BadSettings):
        race.change({"paused": True} | wanted)
    assert race.settings() == before


def test_watchers_are_bounded() -> None:
    """Somebody who makes up pages cannot fill the memory."""
    race = Race(Streams(Settings()))
    for number in range(1100):
        race.watch(str(number))
    assert race.settings()["watchers"] == 1000


def test_bad_bodies_are_told(pages: Server) -> None:
    """400 with a sentence, 413 for what is too large, and 415 for what is not JSON."""
    for body in ("nonsense", "[]", '"text"', "[" * 5000, '{"publish_rate":' + "9" * 5000 + "}"):
        answer = ask(pages, "POST", "/demo/state", body)
        assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json"), body
    assert ask(pages, "POST", "/demo/state", json.dumps({"a": "x" * 20_000})).status == 413
    assert ask(pages, "POST", "/demo/state", '{"publish_rate":' + "9" * 4000 + "}").status == 400
    latency = '{"student":"long-number","latencies_ms":[-' + "9" * 3000 + "]}"
    assert ask(pages, "POST", "/class/report", latency).status == 400
    for transport in ("pigeon", ["websocket"], {}, 1, "\ud800"):
        assert ask(pages, "POST", "/demo/cut", {"transport": transport}).status == 400
    assert ask(pages, "POST", "/demo/clear", {"stream": "race"}).status == 400
    assert ask(pages, "POST", "/class/report", {"student": "x"}).status == 400
    assert ask(pages, "POST", "/demo/watch", "{}", Content_Type="text/plain").status == 415
    assert ask(pages, "POST", "/demo/watch", "").status == 200


def test_cuts_and_changes_are_told_on_the_control_stream(demo: DEMO) -> None:
    """For everybody, in order."""
    server = demo()
    assert ask(server, "POST", "/demo/cut", {"transport": "websocket"}).json["cuts"]["websocket"] == 1
    assert set(ask(server, "POST", "/demo/cut", {}).json["cuts"].values()) == {1, 2}
    ask(server, "POST", "/demo/state", {"paused": True})
    told = ask(server, "GET", "/streams/control/short-poll?after=x.0").json["notifications"]
    assert [each["data"] for each in told[:2]] == [{"cut": "websocket"}, {"cut": None}]
    assert told[2]["data"]["state"]["paused"] is True


def test_foreign_pages_may_change_nothing(demo: DEMO) -> None:
    """A foreign Origin is refused everywhere; our own, and none, is not."""
    server = demo()
    for path in ("/demo/state", "/demo/publish", "/class/deal", "/streams/chat/notifications"):
        body = {"data": {}} if "streams" in path else {}
        assert ask(server, "POST", path, body, Origin="http://elsewhere.example").status == 403
        assert ask(server, "POST", path, body, Origin="null").status == 403
        assert ask(server, "POST", path, body, Origin=server.url).status in (200, 201)
    # What a form of a foreign page can send without being asked is refused for its type alone.
    answer = ask(server, "POST", "/demo/publish", "{}", Content_Type="text/plain;charset=UTF-8")
    assert answer.status == 415


def test_the_teachers_link_sets_a_cookie_and_leaves_the_address(lan: Server) -> None:
    """303 to a clean address; a wrong token is refused, and printed is the join address with a QR code."""
    link = re.search(r"/teacher\?token=(\S+)", lan.printed)
    assert link
    answer = ask(lan, "GET", link[0])
    assert (answer.status, answer.headers["location"]) == (303, "/class")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert answer.headers["referrer-policy"] == "no-referrer"
    for wrong in ("", "?token=", "?token=x", "?token=%C3%A4"):
        assert ask(lan, "GET", f"/teacher{wrong}").status == 403
    if addresses := lan_addresses():
        assert f"http://{addresses[0]}:{lan.address[1]}/class" in lan.printed
        assert "█" in lan.printed or "▀" in lan.printed
        assert "isolate clients" in lan.printed
        assert ask(lan, "GET", "/class/qr.svg").headers["content-type"] == "image/svg+xml"


def test_two_starts_have_two_tokens(lan: Server, demo: DEMO) -> None:
    """A token is good for one life of the server."""
    first, second = lan, demo("--lan")
    cookie = teacher_cookie(first)
    assert ask(first, "GET", "/demo/state", Cookie=cookie).json["teacher"] is True
    assert ask(second, "GET", "/demo/state", Cookie=cookie).json["teacher"] is False


def test_students_may_not_control(lan: Server) -> None:
    """403 as a problem without the token; with it, everything works."""
    cookie = teacher_cookie(lan)
    calls: list[tuple[str, Any]] = [
        ("/demo/state", {"paused": True}),
        ("/demo/publish", {}),
        ("/demo/cut", {"transport": None}),
        ("/demo/clear", {"stream": "chat"}),
        ("/class/deal", {}),
        ("/class/reset", {}),
    ]
    for path, body in calls:
        for headers in (
            {},
            {"Cookie": "wirelab_teacher=guess"},
            {"Cookie": "wirelab_teacher=ä".encode().decode("latin-1")},
        ):
            answer = ask(lan, "POST", path, body, **headers)
            assert (answer.status, answer.headers["content-type"]) == (403, "application/problem+json"), path
        assert ask(lan, "POST", path, body, Cookie=cookie).status == 200
    assert ask(lan, "GET", "/demo/state").json["teacher"] is False


def test_students_publish_to_play_streams_only(lan: Server) -> None:
    """By POST and by WebSocket, and never with the teacher's mark."""
    cookie = teacher_cookie(lan)
    for stream, status in {"chat": 201, "whiteboard": 201, "race": 403, "control": 403, "main": 403}.items():
        assert ask(lan, "POST", f"/streams/{stream}/notifications", {"data": 1}).status == status
        if status == 403:
            path = f"/streams/{stream}/notifications"
            assert ask(lan, "POST", path, {"data": 1}, Cookie=cookie).status == 201
    marked = {"data": {"teacher": True, "clear": True}}
    assert ask(lan, "POST", "/streams/chat/notifications", marked).status == 403
    assert ask(lan, "POST", "/streams/chat/notifications", {"data": "x" * 10_000}).status == 413
    assert ask(lan, "POST", "/streams/chat/notifications", "nonsense").status == 400
    for stream, data, code in (
        ("race", 1, 1008),
        ("chat", {"teacher": 1}, 1008),
        ("chat", "x" * 10_000, 1009),
    ):
        with closing(RawWebSocket(lan, f"/streams/{stream}/websocket")) as socket:
            socket.message()
            socket.send(json.dumps({"data": data}))
            assert socket.close_event().code == code
    with closing(RawWebSocket(lan, "/streams/chat/websocket")) as socket:
        socket.message()
        socket.send('{"data":"hello"}')
        assert json.loads(socket.message())["notifications"][0]["data"] == "hello"


@pytest.mark.parametrize("transport", raw.SOCKETIO)
def test_students_publish_to_play_streams_only_by_socketio(demo: DEMO, transport: str) -> None:
    """The same by events, each of which is answered: the session goes on."""
    lan = demo("--lan")
    for stream, data, words in (
        ("race", 1, guard.NOT_A_PLAY_STREAM),
        ("wire", 1, guard.NOT_A_PLAY_STREAM),
        ("chat", {"teacher": 1}, guard.TEACHERS_MARK),
        ("chat", "x" * 10_000, f"{guard.MAX_PUBLISH_BYTES} bytes"),
    ):
        with closing(raw.READERS[transport](lan, stream, transport)) as reader:
            assert isinstance(reader, raw.SocketIOReader)
            assert words in reader.publish(json.dumps({"data": data}))["problem"]
    with closing(raw.READERS[transport](lan, "chat", transport)) as reader:
        assert isinstance(reader, raw.SocketIOReader)
        assert reader.publish('{"data":"hello"}')["id"] == 1
        answers = [reader.publish('{"data":1}') for _ in range(guard.PUBLISH_BURST * 3)]
        assert "problem" not in answers[0]
        assert any("Slow down" in answer.get("problem", "") for answer in answers)


@pytest.mark.parametrize("model", ["gevent", "gthread"])
def test_students_are_held_to_a_rate(demo: DEMO, model: str) -> None:
    """429 with Retry-After, and 1013 on a WebSocket; the teacher is not."""
    server = demo("--lan", "--server-model", model)
    path = "/streams/chat/notifications"
    with closing(http.client.HTTPConnection(*server.address, timeout=20)) as connection:
        statuses = []
        for _ in range(guard.PUBLISH_BURST * 3):
            connection.request("POST", path, '{"data":1}', JSON)
            response = connection.getresponse()
            statuses.append(response.status)
            retry_after = response.getheader("Retry-After")
            response.read()
            if response.status == 429:
                break
    assert statuses[-1] == 429 and retry_after == "1"
    assert len(statuses) > guard.PUBLISH_BURST
    assert ask(server, "POST", path, {"data": 1}, Cookie=teacher_cookie(server)).status == 201
    with closing(RawWebSocket(server, "/streams/chat/websocket")) as socket:
        socket.message()
        for _ in range(guard.PUBLISH_BURST * 3):
            socket.send('{"data":1}')
        assert socket.close_event().code == 1013


def test_a_bucket_fills_again_and_the_clients_are_bounded() -> None:
    """`burst` at once, `per_s` in the long run; the longest silent client is forgotten first."""
    rate = guard.Rate(per_s=2, burst=3)
    assert [rate.take("a", now_s=0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert rate.take("a", now_s=0.4) == pytest.approx(0.1)
    assert rate.take("a", now_s=0.5) == 0
    assert rate.take("b", now_s=0.5) == 0
    assert [rate.take("a", now_s=100) for _ in range(4)] == [0, 0, 0, 0.5]
    for number in range(guard.MAX_CLIENTS + 10):
        rate.take(str(number), now_s=100)
    assert len(rate._buckets) == guard.MAX_CLIENTS


def test_what_is_wrong_is_told_before_serving() -> None:
    """Wrong options are refused by argparse with a sentence."""
    from bench.cli import main

    for options in (
        ["--students", "201"],
        ["--students", "-1"],
        ["--port", "70000"],
        ["--server-model", "x"],
    ):
        with pytest.raises(SystemExit) as refused:
            main(["demo", *options])
        assert refused.value.code == 2


def test_welcome_greets_every_connection(server: Server) -> None:
    """On every server; without Upgrade, 426."""
    for _ in range(3):
        with closing(RawWebSocket(server, "/welcome/websocket")) as socket:
            assert socket.message() == b"web Socket Works"
    assert ask(server, "GET", "/welcome/websocket").status == 426


def even_shares(students: int) -> list[int]:
    """How many students each transport has, fewest first."""
    least, more = divmod(students, len(TRANSPORTS))
    return [least] * (len(TRANSPORTS) - more) + [least + 1] * more


@pytest.mark.long
def test_simulated_students_take_part(demo: DEMO) -> None:
    """40 of them, in LAN mode too: equal shares, latencies reported, nothing lost, the board drawn on."""
    server = demo("--lan", "--students", "40")
    cookie = teacher_cookie(server)

    def summary() -> Any:
        return ask(server, "GET", "/class/summary.json").json

    until(lambda: summary()["students"] == 40, within_s=30)
    shares = sorted(each["students"] for each in summary()["transports"].values())
    assert shares == even_shares(40)
    until(lambda: all(each["deliveries"] > 30 for each in summary()["transports"].values()), within_s=40)
    until(lambda: bool(ask(server, "GET", "/streams/whiteboard/stats").json["newest_id"]), within_s=30)
    dealt = ask(server, "POST", "/class/deal", {}, Cookie=cookie).json
    assert (dealt["round"], dealt["simulated_students"]) == (1, 40)
    assert sorted(each["students"] for each in dealt["transports"].values()) == even_shares(40)
    for each in dealt["transports"].values():
        assert sum(each["histogram"]) == each["deliveries"]
        assert (each["lost"], each["missed"], each["duplicates"]) == (0, 0, 0)
    rows = list(csv.DictReader(io.StringIO(ask(server, "GET", "/class/latencies.csv").body.decode())))
    assert tuple(rows[0]) == classroom.CSV_COLUMNS
    assert {row["transport"] for row in rows} == set(TRANSPORTS)
    assert {int(row["student"]) for row in rows} <= set(range(1, 41))


WORD = "student-{:04}".format


def reported(room: Classroom, student: str, at_s: float, **report: Any) -> dict[str, Any]:
    """One report, at this time."""
    return room.report({"student": student, **report}, at_s, int(at_s * 1e6))


def test_students_are_dealt_equal_shares() -> None:
    """Who comes later gets what has the fewest, and a deal is even too, whoever was where."""
    room = Classroom(TRANSPORTS)
    first = Counter(reported(room, WORD(number), 0)["transport"] for number in range(20))
    assert sorted(first.values()) == even_shares(20)
    dealings = set()
    for at in range(1, 20):
        room.deal(0.1 * at)
        dealt = [reported(room, WORD(number), 1.0 * at)["transport"] for number in range(20)]
        assert sorted(Counter(dealt).values()) == even_shares(20)
        dealings.add(tuple(dealt))
    assert len(dealings) > 15


def test_a_report_counts_once() -> None:
    """A browser that heard no answer sends the same report again."""
    room = Classroom(TRANSPORTS)
    for at in (1, 2, 3):
        reported(room, WORD(1), at, report=1, transport="websocket", latencies_ms=[1.0, 2.0])
    reported(room, WORD(1), 4, report=2, transport="websocket", latencies_ms=[3.0], clock_error_ms=0.5)
    found = room.summary(4)["transports"]["websocket"]
    assert (found["deliveries"], found["latency_ms_p50"], found["latency_ms_p99"]) == (3, 2.0, 3.0)
    rows = room.latencies_csv().splitlines()
    assert rows[0] == "student,transport,latency_ms,clock_error_ms,reported_us"
    assert rows[-1] == "1,websocket,3.0,0.5,4000000"


def test_the_class_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Students, their rate, samples and predictions."""
    room = Classroom(TRANSPORTS)
    for number in range(classroom.MAX_STUDENTS):
        reported(room, WORD(number), 0)
    with pytest.raises(ClassFull):
        reported(room, "one-too-many", 1)
    with pytest.raises(TooSoon):
        for _ in range(10):
            reported(room, WORD(1), 1)
    assert room.summary(classroom.HERE_S + 2)["students"] == 0
    reported(room, "one-too-many", classroom.GONE_S + 2)

    monkeypatch.setattr(classroom, "MAX_SAMPLES", 10)
    for at in range(5):
        reported(
            room,
            "one-too-many",
            100 + at,
            report=at + 1,
            transport="websocket",
            latencies_ms=[at, 100 - at, 50],
        )
    found = room.summary(105)["transports"]["websocket"]
    assert (sum(found["histogram"]), found["deliveries"]) == (10, 15)
    assert len(room.latencies_csv().splitlines()) == 11

    for _ in range(classroom.MAX_STUDENTS + 5):
        room.predict({"page": secrets.token_hex(8), "predictions": {"websocket": {"latency_ms": 5}}})
    assert room.summary(105)["predictions_count"] == classroom.MAX_STUDENTS


@pytest.mark.parametrize(
    "report",
    [
        None,
        [],
        {},
        {"student": "short"},
        {"student": "<b>student</b>"},
        {"student": WORD(1), "transport": "pigeon"},
        {"student": WORD(1), "transport": ["websocket"]},
        {"student": WORD(1), "latencies_ms": "many"},
        {"student": WORD(1), "latencies_ms": [1] * 101},
        {"student": WORD(1), "latencies_ms": [float("nan")]},
        {"student": WORD(1), "latencies_ms": [1e12]},
        {"student": WORD(1), "latencies_ms": [True]},
        {"student": WORD(1), "report": -1},
        {"student": WORD(1), "lost": "none"},
        {"student": WORD(1), "clock_error_ms": -1},
    ],
)
def test_a_wrong_report_is_refused(report: Any) -> None:
    """And counts nobody in."""
    room = Classroom(TRANSPORTS)
    with pytest.raises(BadReport):
        room.report(report, 0, 0)
    assert room.summary(0)["students"] == 0


def test_predictions_are_a_distribution() -> None:
    """One a page, its last; what was not predicted is absent."""
    room = Classroom(TRANSPORTS)
    for page, latency_ms in (("page-one", 5), ("page-two", 700), ("page-one", 50)):
        room.predict({"page": page, "predictions": {"short-poll": {"latency_ms": latency_ms}}})
    room.predict({"page": "page-three", "predictions": {"short-poll": {"requests_per_minute": 60}}})
    found = room.summary(0)["transports"]
    assert found["short-poll"]["predictions"] == {"latency_ms": [50, 700], "requests_per_minute": [60]}
    assert found["websocket"]["predictions"] == {"latency_ms": [], "requests_per_minute": []}
    for wrong in (
        {},
        {"page": "x", "predictions": {}},
        {"page": "page-one", "predictions": {"pigeon": {}}},
        {"page": "page-one", "predictions": {"websocket": {"speed": 1}}},
        {"page": "page-one", "predictions": {"websocket": {"latency_ms": "fast"}}},
    ):
        with pytest.raises(BadReport):
            room.predict(wrong)
    room.reset()
    assert room.summary(0)["predictions_count"] == 0
