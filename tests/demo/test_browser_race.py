"""The race in a real browser: what each lane shows is what happened, also when things go wrong.

Times are judged by order and ratio, or within wide bounds: the machine may be busy. Every test ends with a
console that nobody wrote to (`visit`); one that stops the server clears the browser's own lines first.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Page, Route, expect

from servers.demo.pages import ON_DEMAND
from servers.transports import TRANSPORTS
from tests.conftest import Server, Visits, stop_server

NAMES = [name for name in TRANSPORTS if name not in ON_DEMAND]
UNREACHABLE = re.compile(r"Failed to load resource|WebSocket connection to .* failed")
SETTINGS = ("publish_rate", "schedule", "payload_bytes", "paused", "poll_interval_s")


@pytest.fixture
def served(pages: Server) -> Iterator[Server]:
    """The session's server, whose race and class are as they were when the test is done."""
    with urlopen(f"{pages.url}/demo/state", timeout=10) as response:
        state = json.load(response)
    yield pages
    send(pages, "/demo/state", **{name: state[name] for name in SETTINGS})
    send(pages, "/class/reset")


def lane(page: Page, transport: str) -> Any:
    return page.locator(f'[data-transport="{transport}"]')


def figure(page: Page, transport: str, metric: str) -> float:
    """A figure as the page holds it, exact where what it shows is rounded."""
    element = lane(page, transport).locator(f'[data-metric="{metric}"]')
    return float(element.get_attribute("data-value") or "nan")


def receiver(page: Page, transport: str) -> dict[str, Any]:
    """The counters of a lane's receiver."""
    found: dict[str, Any] = lane(page, transport).evaluate("lane => ({ ...lane.subscriber.receiver })")
    return found


def has_received(page: Page, transport: str, count: int) -> bool:
    return bool(receiver(page, transport)["received"] >= count)


def all_have_received(page: Page, count: int) -> bool:
    return all(has_received(page, name, count) for name in NAMES)


def arrows(page: Page, transport: str) -> int:
    """How many arrows this lane's diagram has had."""
    found: int = lane(page, transport).evaluate(
        """lane => lane.model.events.filter(({ kind }) => kind !== "due" && kind !== "skipped").length"""
    )
    return found


def all_have_all(page: Page, server: Server) -> bool:
    """Whether every lane has received, and shows, all that was published."""
    newest = stats(server)["newest_id"]
    return all(
        int(receiver(page, name)["cursor"].split(".")[1]) == newest
        and figure(page, name, "notifications") == receiver(page, name)["received"]
        for name in NAMES
    )


def connected(page: Page) -> None:
    for name in NAMES:
        expect(lane(page, name).locator(".state")).to_have_text("connected")


def send(server: Server, path: str, **body: Any) -> Any:
    request = Request(
        server.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urlopen(request, timeout=10) as response:
        return json.load(response)


def stats(server: Server) -> Any:
    with urlopen(f"{server.url}/streams/race/stats", timeout=10) as response:
        return json.load(response)


def until(condition: Callable[[], bool], page: Page, within_s: float, what: str) -> None:
    """Wait in the browser's time, so that it goes on meanwhile."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {within_s} s"
        page.wait_for_timeout(50)


def test_a_lane_for_each_transport_that_starts_by_itself(served: Server, visit: Visits) -> None:
    """The registry's transports, each connected and delivering without a click."""
    page = visit(served.url)
    connected(page)
    assert page.locator("race-lane").evaluate_all("all => all.map((each) => each.dataset.transport)") == NAMES
    for name in NAMES:
        until(partial(has_received, page, name, 2), page, 15, f"a delivery by {name}")
        expect(lane(page, name).locator(".log li")).not_to_have_count(0)
        expect(lane(page, name).locator(".arrow")).not_to_have_count(0)
    expect(page.locator("#clock")).to_contain_text("latencies ±")


def test_the_reader_chooses_the_lanes(served: Server, visit: Visits) -> None:
    """The article's three at first; the others go on meanwhile, and the address keeps the choice."""
    page = visit(served.url)
    connected(page)
    before = receiver(page, "websocket")["received"]
    page.get_by_text("Lanes", exact=True).click()
    choice = page.locator("#chooser input")
    assert choice.evaluate_all("all => all.map(({ value }) => value)") == list(TRANSPORTS)
    page.locator("#chooser input[value=sse]").check()
    expect(lane(page, "sse").locator(".state")).to_have_text("connected")
    until(lambda: has_received(page, "sse", 2), page, 15, "a delivery by SSE")
    until(lambda: has_received(page, "websocket", before + 2), page, 15, "a delivery by WebSocket")
    order = page.locator("race-lane").evaluate_all("all => all.map((each) => each.dataset.transport)")
    assert order == [name for name in TRANSPORTS if name in (*NAMES, "sse")]
    page.locator("#chooser input[value=short-poll]").uncheck()
    expect(lane(page, "short-poll")).to_have_count(0)
    page.locator('[data-action="predict"]').click()
    expect(choice.first).to_be_disabled()
    page.reload()
    expect(page.locator("race-lane")).to_have_count(len(NAMES))
    expect(lane(page, "sse").locator(".state")).to_have_text("connected")


def test_a_transport_that_is_added_later_gets_a_lane(served: Server, visit: Visits) -> None:
    """Nothing on the page knows a transport by name; one without a browser client says so."""
    with urlopen(f"{served.url}/demo/transports.json", timeout=10) as response:
        listed = json.load(response)
    added = [
        {
            "name": "brief-poll",
            "label": "brief poll",
            "colour": "#E69F00",
            "module": "/browser/brief_poll.js",
        },
        {"name": "pigeon", "label": "pigeon", "colour": "#8C6BB1", "module": "/browser/pigeon.js"},
    ]
    page = visit(f"{served.url}/welcome")
    page.route("**/demo/transports.json", lambda route: route.fulfill(json=[*listed, *added]))
    page.route(
        "**/browser/brief_poll.js",
        lambda route: route.fulfill(
            content_type="text/javascript", body='export { default } from "/browser/long_poll.js";'
        ),
    )
    page.goto(served.url)
    expect(page.locator("race-lane")).to_have_count(len(NAMES) + 2)
    expect(lane(page, "brief-poll").locator(".state")).to_have_text("connected")
    expect(lane(page, "pigeon").locator(".told")).to_contain_text("/browser/pigeon.js could not be loaded")
    assert [line for line in visit.console if "404" not in line] == []
    visit.console.clear()


def test_requests_and_latencies_are_as_they_must_be(demo: Callable[..., Server], visit: Visits) -> None:
    """Short polling asks once an interval; long polling once a batch, and is held; a WebSocket once: as the
    browser counts them, and the server. Short polling is late by half its interval, the others by a few
    milliseconds: the race's point."""
    served = demo()
    send(served, "/demo/state", publish_rate=10)
    page = visit(f"{served.url}/welcome")
    asked: Counter[str] = Counter()
    page.on("request", lambda request: asked.update([request.url.split("/")[-1].partition("?")[0]]))
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.goto(served.url)
    connected(page)
    began_s, before = time.monotonic(), asked["short-poll"]
    until(lambda: figure(page, "short-poll", "notifications") >= 120, page, 40, "120 notifications")
    ticks = time.monotonic() - began_s
    assert 0.75 * ticks <= asked["short-poll"] - before <= ticks + 1
    medians = {name: figure(page, name, "latency_ms_p50") for name in NAMES}
    assert 350 < medians["short-poll"] < 650
    assert medians["long-poll"] < medians["short-poll"] / 5
    assert medians["websocket"] < medians["short-poll"] / 5
    assert figure(page, "short-poll", "bytes_up") > figure(page, "websocket", "bytes_up")
    for name in NAMES:
        assert figure(page, name, "latency_ms_p50") <= figure(page, name, "latency_ms_p99")

    send(served, "/demo/state", paused=True)
    until(lambda: all_have_all(page, served), page, 15, "that all lanes have all")
    batches = lane(page, "long-poll").evaluate(
        "lane => lane.model.events.filter(({ ids, kind }) => kind === 'response' && ids.length).length"
    )
    assert batches > 10
    # One that joined, one a batch, and the one that is held now.
    until(lambda: asked["long-poll"] >= 1 + batches + 1, page, 5, "the next long poll")
    assert asked["long-poll"] == 1 + batches + 1
    assert len([url for url in sockets if urlsplit(url).path == "/streams/race/websocket"]) == 1

    page.locator('[data-action="freeze"]').click()
    served_by = stats(served)["transports"]
    for name in NAMES:
        assert figure(page, name, "notifications") == served_by[name]["notifications"]
        # A short poll may have come between the two readings.
        assert abs(figure(page, name, "requests") - served_by[name]["requests"]) <= (name == "short-poll")
    assert asked["long-poll"] == figure(page, "long-poll", "requests") + 1


def test_cut_lanes_catch_up(served: Server, visit: Visits) -> None:
    """Each resumes from its cursor, tells what it caught up, and leaves that out of its latencies."""
    send(served, "/demo/state", publish_rate=5)
    page = visit(served.url)
    connected(page)
    page.locator('[data-action="cut"]').click()
    for name in NAMES:
        expect(lane(page, name).locator(".state")).to_have_text("cut")
    for name in NAMES:
        expect(lane(page, name).locator(".told")).to_have_text(
            re.compile(r"^Cut for 3 s: caught up [1-9]\d*, missed 0\.$"), timeout=10_000
        )
        counters = receiver(page, name)
        assert counters["duplicates"] == counters["lost"] == counters["missed"] == 0
    counted = latencies(page)
    until(lambda: latencies(page) >= counted + 5, page, 15, "five that count")
    # While news go on coming, a short poll hardly ever has all.
    send(served, "/demo/state", paused=True)
    until(lambda: all_have_all(page, served), page, 15, "that all lanes have all")
    assert figure(page, "websocket", "latency_ms_p99") < 1500
    assert lane(page, "websocket").evaluate("lane => lane.model.left_out") > 0


def test_a_restarted_server_is_found_again(demo: Callable[..., Server], visit: Visits) -> None:
    """Stopped and started on the same port: each lane resumes by itself, and tells of the new epoch."""
    served = demo()
    send(served, "/demo/state", publish_rate=10)
    page = visit(served.url)
    connected(page)
    until(partial(all_have_received, page, 1), page, 15, "a delivery by each")
    stop_server(served)
    for name in NAMES:
        expect(lane(page, name).locator(".state")).to_have_text(re.compile("lost, trying again|connecting"))
    demo(port=served.address[1])
    for name in NAMES:
        expect(lane(page, name).locator(".state")).to_have_text("connected", timeout=6000)
        expect(lane(page, name).locator(".told")).to_contain_text("cannot be known")
        got = receiver(page, name)["received"]
        until(partial(has_received, page, name, got + 1), page, 15, f"news by {name}")
        counters = receiver(page, name)
        assert (counters["duplicates"], counters["lost"], counters["reordered"]) == (0, 0, 0)
        assert counters["epoch_changes"] == counters["unknown_gaps"] == 1
    # A browser itself reports what it cannot reach, and no page can keep it from that.
    assert [line for line in visit.console if not UNREACHABLE.search(line)] == []
    visit.console.clear()


def test_pause_and_publish_one(served: Server, visit: Visits) -> None:
    """Paused, nothing comes but what is published by hand, once in every lane."""
    send(served, "/demo/state", publish_rate=10, poll_interval_s=0.2)
    page = visit(served.url)
    connected(page)
    until(partial(all_have_received, page, 1), page, 15, "a delivery by each")
    page.locator('[data-action="pause"]').click()
    expect(page.locator('[data-action="pause"]')).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#publishing")).to_have_text("paused")
    until(lambda: all_have_all(page, served), page, 15, "that all lanes have all")
    before = {name: figure(page, name, "notifications") for name in NAMES}
    newest = stats(served)["newest_id"]
    page.locator('[data-action="publish"]').click()
    until(lambda: stats(served)["newest_id"] > newest, page, 15, "publishing")
    until(lambda: all_have_all(page, served), page, 15, "that all lanes have the one")
    # At ten a second, or repeated by a poll, more would have come meanwhile.
    page.wait_for_timeout(1000)
    assert {name: figure(page, name, "notifications") - before[name] for name in NAMES} == dict.fromkeys(
        NAMES, 1
    )


def test_settings_are_for_everybody(served: Server, visit: Visits) -> None:
    """What one page sets, another one follows."""
    one, two = visit(served.url), visit(served.url)
    connected(one)
    connected(two)
    one.locator('[data-setting="poll_interval_s"]').select_option("0.2")
    expect(two.locator('[data-setting="poll_interval_s"]')).to_have_value("0.2")
    # By the subscriber's own count: what the lane shows is older, the more so on a busy machine.
    read = "lane => [performance.now() / 1000, lane.subscriber.requests]"
    began_s, before = lane(two, "short-poll").evaluate(read)
    two.wait_for_timeout(2000)
    ended_s, after = lane(two, "short-poll").evaluate(read)
    assert 6 <= after - before <= (ended_s - began_s) / 0.2 + 2


def test_a_hidden_tab_leaves_its_samples_out(served: Server, visit: Visits) -> None:
    """And says so when it is looked at again."""
    send(served, "/demo/state", publish_rate=10)
    page = visit(served.url)
    connected(page)
    hide = """hidden => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      const before = performance.now();
      document.dispatchEvent(new Event("visibilitychange"));
      return [before / 1000, performance.now() / 1000];
    }"""
    until(lambda: latencies(page) > 0, page, 15, "one that counts")
    hidden_s = page.evaluate(hide, True)
    left_out = lane(page, "websocket").evaluate("lane => lane.model.left_out")

    def left_out_since() -> int:
        return int(lane(page, "websocket").evaluate("lane => lane.model.left_out")) - left_out

    until(lambda: left_out_since() >= 5, page, 15, "five that do not count")
    counted = latencies(page)
    until(lambda: left_out_since() >= 15, page, 15, "ten more of them")
    assert latencies(page) == counted
    shown_s = page.evaluate(hide, False)
    # As long as it was, rounded: the page took the times within the calls.
    for_s = {round(shown_s[0] - hidden_s[1]), round(shown_s[1] - hidden_s[0])}
    expect(page.locator("#notice")).to_contain_text(
        re.compile(f"This tab was hidden for ({'|'.join(map(str, for_s))}) s")
    )


def latencies(page: Page) -> int:
    """How many latencies the WebSocket's lane counts."""
    return int(lane(page, "websocket").evaluate("lane => lane.model.latencies.length"))


def test_the_diagram_is_read_by_keyboard_and_by_tap(served: Server, visit: Visits) -> None:
    """Freezing, stepping and reading, without a mouse and with one."""
    send(served, "/demo/state", publish_rate=10)
    page = visit(served.url)
    connected(page)
    until(lambda: all(arrows(page, name) >= 2 for name in NAMES), page, 15, "two arrows in each lane")
    freeze = page.locator('[data-action="freeze"]')
    picture = lane(page, "long-poll").locator(".sequence")
    readout = lane(page, "long-poll").locator(".readout")
    picture.focus()
    page.keyboard.press("ArrowUp")
    expect(freeze).to_have_attribute("aria-pressed", "true")
    expect(readout).to_contain_text(re.compile("Request|Response"))
    expect(picture.locator(".selected")).to_have_count(1)
    last = readout.inner_text()
    page.keyboard.press("ArrowUp")
    expect(readout).not_to_have_text(last)
    page.keyboard.press("Escape")
    expect(freeze).to_have_attribute("aria-pressed", "false")
    expect(picture.locator(".selected")).to_have_count(0)
    until(lambda: all(arrows(page, name) >= 5 for name in NAMES), page, 15, "five arrows in each lane")
    for _ in range(12):
        page.locator('[data-action="back"]').click()
        expect(page.locator(".selected")).to_have_count(1)
    freeze.click()
    expect(freeze).to_have_attribute("aria-pressed", "false")
    freeze.click()
    lane(page, "websocket").locator(".arrow .target").last.click(force=True)
    one_or_more = re.compile(r"Frame: (notification|\d+ notifications from) \d+")
    expect(lane(page, "websocket").locator(".readout")).to_contain_text(one_or_more)
    page.locator('[data-action="back"]').click()
    expect(page.locator(".selected")).to_have_count(1)


def test_a_held_request_is_seen_held(served: Server, visit: Visits) -> None:
    """With nothing published, long polling's bar grows while it waits, and no other lane has one."""
    send(served, "/demo/state", paused=True)
    page = visit(served.url)
    connected(page)
    bar = lane(page, "long-poll").locator(".held")
    expect(bar).to_have_count(1)
    height = lambda: float(bar.get_attribute("height") or 0)  # noqa: E731
    first = height()
    until(lambda: height() > first + 10, page, 1, "that the bar grows")
    expect(lane(page, "websocket").locator(".held")).to_have_count(0)


def test_predict_then_reveal(served: Server, visit: Visits) -> None:
    """Covered while predicting and racing; then prediction, measurement and formula, and the class's own."""
    send(
        served,
        "/class/prediction",
        page="another-page-of-the-class",
        predictions={name: {"latency_ms": 50, "requests_per_minute": 30} for name in NAMES},
    )
    page = visit(served.url, viewport={"width": 390, "height": 844})
    connected(page)
    page.locator('[data-action="predict"]').click()
    expect(page.locator(".figures").first).to_be_hidden()
    for field in page.locator("#predict-rows input").all():
        field.fill("77")
    page.locator("#predict-form select").select_option("10")
    page.locator("#predict-form button[type=submit]").click()
    expect(page.locator("#predict-running")).to_be_visible()
    result = page.locator("#predict-result")
    expect(result).to_be_visible(timeout=20_000)
    expect(page.locator(".figures").first).to_be_visible()
    expect(result.locator("table").first.locator("tbody tr")).to_have_count(len(NAMES))
    expect(result).to_contain_text("T/2 + d = 50")
    expect(result).to_contain_text("60/T = 60")
    asked = float(result.locator("table").nth(1).locator("tbody tr").first.locator("td").nth(1).inner_text())
    assert 45 <= asked <= 75
    expect(result.locator(".class-said")).to_contain_text("2 predictions")
    expect(result.locator("svg.class").first.locator("circle")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    result.locator('[data-action="unpredict"]').click()
    expect(page.locator("#predict")).to_be_hidden()


@pytest.mark.long
def test_tabs_that_fill_the_six_connections_say_so(served: Server, visit: Visits) -> None:
    """Seven tabs each hold a poll: the browser lets six through, and the page explains it."""
    page = visit(served.url)
    connected(page)
    for _ in range(6):
        visit(served.url, beside=page)
    expect(page.locator("#connections-notice")).to_contain_text(
        "HTTP/1.1 connections to one origin", timeout=20_000
    )
    for other in page.context.pages[1:]:
        other.close()
    expect(page.locator("#connections-notice")).to_be_hidden(timeout=20_000)
    connected(page)


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen(served: Server, visit: Visits, scheme: str) -> None:
    """From phone to projector nothing overflows sideways, and nothing jumps while numbers change."""
    send(served, "/demo/state", publish_rate=20, payload_bytes=10_000)
    sizes = [(390, 844), (820, 1180), (1280, 800), (1920, 1080)]
    opened = [
        visit(served.url, viewport={"width": width, "height": height}, color_scheme=scheme)
        for width, height in sizes
    ]
    for page in opened:
        connected(page)
        until(partial(all_have_received, page, 2), page, 15, "deliveries by each")
        page.evaluate(
            """() => {
              window.shifts = [];
              const keep = (list) => window.shifts.push(...list.getEntries().map(({ value }) => value));
              new PerformanceObserver(keep).observe({ type: "layout-shift" });
            }"""
        )
    opened[0].wait_for_timeout(2500)
    for (width, _), page in zip(sizes, opened, strict=True):
        assert page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        ), width
        assert sum(page.evaluate("window.shifts")) < 0.005, width


def test_five_lanes_are_seen_at_once_on_a_projector(served: Server, visit: Visits) -> None:
    """Beside each other, with figures and the beginning of each diagram, and nothing over anything."""
    five = "short-poll,long-poll,sse,websocket,socketio"
    page = visit(f"{served.url}/?lanes={five}", viewport={"width": 1920, "height": 937})
    expect(page.locator("race-lane")).to_have_count(5)
    until(partial(all_have_received, page, 2), page, 15, "deliveries by each")
    tops, diagrams, over = page.evaluate(
        """() => {
          const boxes = (what, within = document) =>
            [...within.querySelectorAll(what)].map((each) => each.getBoundingClientRect());
          const over = (some) => some.some((one, at) => some.slice(at + 1).some((other) =>
            one.left < other.right - 1 && other.left < one.right - 1 &&
            one.top < other.bottom - 1 && other.top < one.bottom - 1));
          const lanes = [...document.querySelectorAll("race-lane")];
          return [
            [...new Set(boxes("race-lane").map(({ top }) => Math.round(top)))],
            boxes(".sequence").map(({ top }) => top),
            lanes.some((lane) => over(boxes(".figure .number", lane)) || over(boxes(".counters dd", lane))),
          ];
        }"""
    )
    assert len(tops) == 1
    assert max(diagrams) < 800
    assert not over


def test_in_a_class_the_teacher_decides(demo: Callable[..., Server], visit: Visits) -> None:
    """A student's page cannot change what is everybody's; the teacher's cut reaches it."""
    served = demo("--lan")
    link = re.search(r"http://127\.0\.0\.1:\d+/teacher\?token=\S+", served.printed)
    assert link
    student, teacher = visit(served.url), visit(link[0])
    teacher.goto(served.url)
    connected(student)
    connected(teacher)
    for control in student.locator("[data-teacher]").all():
        expect(control).to_be_disabled()
    expect(student.locator('[data-action="cut"]')).to_be_enabled()
    teacher.locator('[data-action="cut"]').click()
    for page in (student, teacher):
        for name in NAMES:
            expect(lane(page, name).locator(".told")).to_contain_text("caught up", timeout=10_000)


@pytest.mark.long
def test_one_request_that_hangs_does_not_stop_the_race(demo: Callable[..., Server], visit: Visits) -> None:
    """Settings that others change are still learnt, though the first request for them is never answered, and
    a clock that is never answered is not taken for one that agrees."""
    served = demo()
    page = visit(f"{served.url}/welcome")
    watched: list[str] = []

    def hang(route: Route) -> None:
        watched.append(route.request.url)
        if len(watched) > 1:
            route.continue_()

    page.route("**/demo/watch", hang)
    page.route("**/demo/clock", lambda route: None)
    page.goto(served.url)
    until(lambda: has_received(page, "websocket", 1), page, 30, "a delivery")
    send(served, "/demo/state", poll_interval_s=2)
    expect(page.locator('[data-setting="poll_interval_s"]')).to_have_value("2", timeout=15_000)
    assert len(watched) > 1
    expect(page.locator("#clock")).to_have_text("not compared yet")
    for name in NAMES:
        expect(lane(page, name).locator('[data-metric="latency_ms_p50"]')).to_have_text("–")
    expect(lane(page, "websocket").locator(".log li").first).to_contain_text("–")
