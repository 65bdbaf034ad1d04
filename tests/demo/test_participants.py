"""A class behind one address: everybody has a place, and nobody has two."""

import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import raw
from conftest import Server, start_server, stop_server
from raw import Answer

from servers.addresses import Addresses
from servers.demo.classroom import GONE_S, ClassFull, Classroom, TooSoon
from servers.demo.participants import (
    COOKIE,
    MAX_OF_ADDRESS,
    NEW_A_MINUTE,
    OPEN_S,
    Participants,
    Removed,
)
from servers.transports import TRANSPORTS

PREDICTION = {"websocket": {"latency_ms": 5}}


@pytest.fixture(scope="module", params=["gevent", "gthread"])
def lan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A class that is all behind this machine's address."""
    log = tmp_path_factory.mktemp("lan") / "server.log"
    started = start_server(log, "--lan", "--server-model", request.param, command="demo")
    yield started
    stop_server(started)


def post(server: Server, path: str, value: Any, cookie: str = "") -> Answer:
    headers = {"Content-Type": "application/json"} | ({"Cookie": cookie} if cookie else {})
    return raw.ask(server, "POST", path, json.dumps(value).encode(), headers)


def given(answer: Answer) -> str:
    """The cookie that came with an answer."""
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    return str(cookie.split(";")[0])


def teacher(server: Server) -> str:
    tokens = [word.split("token=")[1] for word in server.printed.split() if "token=" in word]
    return f"wirelab_teacher={tokens[0]}"


def summary(server: Server, cookie: str = "") -> Any:
    return raw.ask(server, "GET", "/class/summary.json", headers={"Cookie": cookie} if cookie else {}).json


def word() -> str:
    return secrets.token_hex(8)


@pytest.fixture
def fresh(lan: Server) -> Server:
    """The class begun anew; participants stay known."""
    assert post(lan, "/class/reset", {}, teacher(lan)).status == 200
    return lan


class TestOverHttp:
    """What students see, all behind one address, in the two minutes in which a class comes."""

    def test_a_participant_counts_once_whatever_words_it_makes_up(self, fresh: Server) -> None:
        cookie = given(raw.ask(fresh, "GET", "/class"))
        numbers = [
            post(fresh, "/class/report", {"student": word()}, cookie).json["student"] for _ in range(3)
        ]
        assert len(set(numbers)) == 1
        for _ in range(5):
            sent = {"page": word(), "predictions": PREDICTION}
            assert post(fresh, "/class/prediction", sent, cookie).status == 200
        assert (summary(fresh)["students"], summary(fresh)["predictions_count"]) == (1, 1)

    def test_who_has_no_cookie_is_given_one_and_is_known_by_his_word_till_then(self, fresh: Server) -> None:
        mine = word()
        first = post(fresh, "/class/report", {"student": mine})
        again = post(fresh, "/class/report", {"student": mine})
        assert first.json["student"] == again.json["student"]
        assert given(first) == given(again)
        signed = post(fresh, "/class/report", {"student": mine}, given(first))
        assert (signed.json["student"], signed.headers["Set-Cookie"]) == (first.json["student"], None)

    def test_thirty_students_of_one_address_are_all_served(self, fresh: Server) -> None:
        """They report three times and watch three times; counted by address this was too fast."""
        cookies = [given(raw.ask(fresh, "GET", "/class")) for _ in range(30)]
        words = [word() for _ in cookies]
        statuses = [
            post(fresh, "/class/report" if turn < 3 else "/demo/watch", {"student": mine}, cookie).status
            for turn in range(6)
            for mine, cookie in zip(words, cookies, strict=True)
        ]
        assert statuses == [200] * 180
        assert summary(fresh)["students"] == 30

    @pytest.mark.parametrize("forged", ["x", "00112233.44", "0011223344556677." + "0" * 32, "é.é", ".", '"'])
    def test_a_cookie_that_was_not_signed_here_is_none(self, fresh: Server, forged: str) -> None:
        cookie = f"{COOKIE}={forged}".encode().decode("latin-1")
        answer = post(fresh, "/class/report", {"student": word()}, cookie)
        assert answer.status in (200, 503)
        assert answer.status == 503 or given(answer)

    def test_predictions_are_shown_to_who_has_predicted(self, fresh: Server) -> None:
        ours = [given(raw.ask(fresh, "GET", "/class")) for _ in range(2)]
        for latency_ms, cookie in zip([5, 700], ours, strict=True):
            sent = {"page": word(), "predictions": {"websocket": {"latency_ms": latency_ms}}}
            assert post(fresh, "/class/prediction", sent, cookie).status == 200
        early = [
            summary(fresh),
            summary(fresh, given(raw.ask(fresh, "GET", "/class"))),
            summary(fresh, "x=y"),
        ]
        for seen in early:
            assert seen["predictions_count"] == 2
            assert seen["transports"]["websocket"]["predictions"]["latency_ms"] == []
        for cookie in [*ours, teacher(fresh)]:
            seen = summary(fresh, cookie)["transports"]["websocket"]["predictions"]["latency_ms"]
            assert seen == [5, 700]
        changed = post(fresh, "/class/prediction", {"page": word(), "predictions": PREDICTION}, ours[1])
        assert (changed.status, changed.headers["Content-Type"]) == (409, "application/problem+json")

    def test_the_teacher_removes_one(self, fresh: Server) -> None:
        cookie = given(raw.ask(fresh, "GET", "/class"))
        report = {"student": word(), "report": 1, "transport": "websocket", "latencies_ms": [9999.0]}
        number = post(fresh, "/class/report", report, cookie).json["student"]
        assert post(fresh, "/class/remove", {"student": number}, cookie).status == 403
        for nobody in [number + 1000, None, "1", True, [], 1.0]:
            assert post(fresh, "/class/remove", {"student": nobody}, teacher(fresh)).status == 404
        after = post(fresh, "/class/remove", {"student": number}, teacher(fresh)).json
        assert (after["students"], after["transports"]["websocket"]["deliveries"]) == (0, 0)
        back = post(fresh, "/class/report", report, cookie)
        assert (back.status, "taken you out" in back.json["detail"]) == (403, True)
        assert b"9999" not in raw.ask(fresh, "GET", "/class/latencies.csv").body


@pytest.mark.parametrize("bearer", ["words", "pages"])
def test_one_student_cannot_take_all_places(demo: Callable[..., Server], bearer: str) -> None:
    server = demo("--lan")
    statuses = []
    for _ in range(MAX_OF_ADDRESS + 5):
        cookie = given(raw.ask(server, "GET", "/class")) if bearer == "pages" and len(statuses) < 80 else ""
        statuses.append(post(server, "/class/report", {"student": word()}, cookie).status)
    assert statuses.count(200) <= MAX_OF_ADDRESS
    assert set(statuses) <= {200, 503, 429}
    assert summary(server)["students"] <= MAX_OF_ADDRESS


def of(address: str, cookie: str = "") -> dict[str, Any]:
    return {"REMOTE_ADDR": address} | ({"HTTP_COOKIE": f"{COOKIE}={cookie}"} if cookie else {})


class TestPlaces:
    """By a clock of the test's own."""

    def test_after_two_minutes_ten_a_minute(self) -> None:
        participants = Participants(Addresses(()))
        for at in range(30):
            participants.admit(of("192.0.2.1"), None, at)
        for _ in range(NEW_A_MINUTE):
            participants.admit(of("192.0.2.1"), None, OPEN_S)
        with pytest.raises(TooSoon, match="10 new"):
            participants.admit(of("192.0.2.1"), None, OPEN_S + 59)
        participants.admit(of("192.0.2.2"), None, OPEN_S + 59)
        for _ in range(NEW_A_MINUTE):
            participants.admit(of("192.0.2.1"), None, OPEN_S + 60)
        with pytest.raises(TooSoon):
            participants.admit(of("192.0.2.1"), None, OPEN_S + 61)

    def test_who_is_silent_makes_way_and_is_known_when_he_comes_back(self) -> None:
        participants = Participants(Addresses(()))
        first = participants.admit(of("192.0.2.1"), None, 0)
        others = [participants.admit(of("192.0.2.1"), None, 1) for _ in range(MAX_OF_ADDRESS - 1)]
        with pytest.raises(ClassFull, match="80 places"):
            participants.admit(of("192.0.2.1"), None, GONE_S - 1)
        newcomer = participants.admit(of("192.0.2.1"), None, GONE_S + 0.5)
        back = of("192.0.2.1", participants.cookie(first))
        assert participants.admit(back, None, GONE_S + 2) == first, "another has made way"
        assert len({first, newcomer, *others}) == MAX_OF_ADDRESS + 1

    def test_a_removed_one_stays_out_by_cookie_and_by_word(self) -> None:
        participants = Participants(Addresses(()))
        name = participants.admit(of("192.0.2.1"), "some-word", 0)
        participants.remove(name)
        for environ in (of("192.0.2.1"), of("192.0.2.9", participants.cookie(name))):
            with pytest.raises(Removed):
                participants.admit(environ, "some-word", 1)
        assert participants.client(of("192.0.2.1", participants.cookie(name))) == "192.0.2.1"

    def test_a_rate_is_counted_for_a_participant(self) -> None:
        participants = Participants(Addresses(()))
        names = [participants.admit(of("192.0.2.1")) for _ in range(2)]
        clients = {participants.client(of("192.0.2.1", participants.cookie(name))) for name in names}
        assert len(clients | {participants.client(of("192.0.2.1"))}) == 3
        assert participants.client(of("192.0.2.1", names[0] + ".x")) == "192.0.2.1"
        assert Participants(Addresses(())).signed(of("192.0.2.1", participants.cookie(names[0]))) is None

    def test_all_that_is_remembered_has_a_bound(self) -> None:
        participants = Participants(Addresses(()))
        for number in range(3000):
            name = participants.admit(of(f"10.0.{number // 250}.{number % 250}"), f"word-{number}", number)
            participants.remove(name)
        kept = (participants._participants, participants._by_word, participants._from, participants._removed)
        assert [len(each) for each in kept] == [1000] * 4


def test_two_pages_of_a_participant_report_each_for_itself() -> None:
    room = Classroom(TRANSPORTS)
    for at, (page, number) in enumerate([("page-one", 5), ("page-two", 1), ("page-one", 6), ("page-two", 1)]):
        sent = {"student": page, "report": number, "transport": "websocket", "latencies_ms": [1.0], "lost": 2}
        assert room.report(sent, at, at, "them")["student"] == 1
    found = room.summary(4)
    assert (found["students"], found["transports"]["websocket"]["deliveries"]) == (1, 3)
    assert found["transports"]["websocket"]["lost"] == 4
