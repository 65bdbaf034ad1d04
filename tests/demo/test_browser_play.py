"""The play pages and the greeting in a real browser; no page may say a word on the console (see `visit`)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
import raw
from conftest import Server, Visits, stop_server
from models import each_transport
from playwright.sync_api import Page, expect

from servers.transports import TRANSPORTS

DEMO = Callable[..., Server]
PLAY = ("whiteboard", "chat", "sensors", "game")
PHONE = {"width": 360, "height": 740}
PROJECTOR = {"width": 1280, "height": 720}
SCRIPT = "<script>window.hacked = true</script><img src=x onerror='window.hacked = true'>"


@pytest.fixture
def server(pages: Server) -> Server:
    """The session's server, with nothing on its whiteboard, in its chat and on its field."""
    for stream in PLAY:
        body = json.dumps({"stream": stream}).encode()
        assert raw.ask(pages, "POST", "/demo/clear", body, {"Content-Type": "application/json"}).status == 200
    return pages


def choose(page: Page, transport: str) -> None:
    """Choose a transport and wait until it is open."""
    page.locator(f"#chooser input[value='{transport}']").check(force=True)
    expect(page.locator("#play")).to_have_attribute("data-transport", transport)
    is_open(page)


def is_open(page: Page) -> None:
    """Wait until the page is connected, or its poll is held."""
    expect(page.locator("#state")).to_have_attribute("data-state", "open")


def draw(page: Page, begin: tuple[float, float], end: tuple[float, float]) -> None:
    """A straight stroke with the mouse, by shares of the board."""
    box = page.locator("#ink").bounding_box()
    assert box
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in (begin, end)]
    page.mouse.move(*places[0])
    page.mouse.down()
    page.mouse.move(*places[1], steps=8)
    page.mouse.up()


def inked(page: Page, x: float, y: float) -> bool:
    """Whether something is drawn around this place of the board, as delivered."""
    return bool(
        page.evaluate(
            """([x, y]) => {
              const canvas = document.getElementById("ink");
              const small = Object.assign(document.createElement("canvas"), { width: 16, height: 16 });
              const context = small.getContext("2d", { willReadFrequently: true });
              const [left, top] = [Math.round(canvas.width * x) - 8, Math.round(canvas.height * y) - 8];
              context.drawImage(canvas, left, top, 16, 16, 0, 0, 16, 16);
              const { data } = context.getImageData(0, 0, 16, 16);
              return data.some((value, at) => at % 4 === 3 && value > 0);
            }""",
            [x, y],
        )
    )


def until(condition: Callable[[], bool], page: Page, within_s: float, what: str) -> None:
    """Wait in the browser's time, so that it goes on meanwhile."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, f"{what} did not happen within {within_s} s"
        page.wait_for_timeout(50)


def wait_inked(page: Page, x: float, y: float) -> None:
    """Wait until it is."""
    until(lambda: inked(page, x, y), page, 10, f"drawing at {x}, {y}")


def number(page: Page, metric: str) -> int:
    return int(page.locator(f"[data-metric={metric}]").inner_text())


@each_transport
def test_two_browsers_draw_on_one_whiteboard(server: Server, visit: Visits, transport: str) -> None:
    """Each sees the other's lines, whichever transport both have; a third that comes late sees them too."""
    ada, bob = (visit(f"{server.url}/whiteboard", viewport=PROJECTOR) for _ in range(2))
    for page in (ada, bob):
        choose(page, transport)
    draw(ada, (0.1, 0.2), (0.4, 0.2))
    draw(bob, (0.6, 0.8), (0.9, 0.8))
    for page in (ada, bob):
        wait_inked(page, 0.25, 0.2)
        wait_inked(page, 0.75, 0.8)
        assert not inked(page, 0.5, 0.5)
    late = visit(f"{server.url}/whiteboard?transport={transport}", viewport=PHONE)
    wait_inked(late, 0.25, 0.2)
    wait_inked(late, 0.75, 0.8)
    expect(ada.locator("[data-metric=round_trip_ms]")).not_to_have_text("–")
    upstream = (
        "One frame on the connection"
        if transport in ("websocket", "socketio")
        else "A request of its own, by POST"
    )
    expect(ada.locator("#upstream")).to_contain_text(upstream)


def test_a_stroke_is_one_line_whatever_it_was_cut_into(server: Server, visit: Visits) -> None:
    """A long stroke leaves in pieces that meet."""
    page = visit(f"{server.url}/whiteboard", viewport=PROJECTOR)
    is_open(page)
    box = page.locator("#ink").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    for step in range(1, 9):
        page.mouse.move(box["x"] + box["width"] * (0.1 + step / 10), box["y"] + box["height"] * 0.5)
        page.wait_for_timeout(120)
    page.mouse.up()
    for share in range(10, 90, 3):
        wait_inked(page, share / 100, 0.5)
    assert int(page.locator("#ink").get_attribute("data-pieces") or 0) > 3


def test_the_whiteboard_by_keyboard_and_its_wipe(server: Server, visit: Visits) -> None:
    """Arrow keys draw from the middle; the teacher wipes it for everybody, late ones too."""
    page, other = (visit(f"{server.url}/whiteboard", viewport=PROJECTOR) for _ in range(2))
    for each in (page, other):
        is_open(each)
        expect(each.locator("#empty")).to_be_visible()
    page.locator("#ink").focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    for each in (page, other):
        wait_inked(each, 0.55, 0.5)
        wait_inked(each, 0.655, 0.5)
        expect(each.locator("#empty")).to_be_hidden()
    page.locator("#clear").click()
    late = visit(f"{server.url}/whiteboard", viewport=PROJECTOR)
    for each in (page, other, late):
        expect(each.locator("#empty")).to_be_visible()
        assert not inked(each, 0.655, 0.5)


def test_a_script_typed_into_the_chat_stays_text(server: Server, visit: Visits) -> None:
    """In the message and in the name, for whoever reads it, also late."""
    ada, bob = (visit(f"{server.url}/chat") for _ in range(2))
    for page in (ada, bob):
        is_open(page)
    ada.locator("#name").fill("<b>Ada</b>")
    ada.locator("#text").fill(SCRIPT)
    ada.keyboard.press("Enter")
    for page in (ada, bob, visit(f"{server.url}/chat")):
        expect(page.locator("#messages .said")).to_have_text(SCRIPT)
        expect(page.locator("#messages .who")).to_contain_text("<b>Ada</b>")
        assert page.locator("#messages script, #messages img, #messages b").count() == 0
        assert page.evaluate("window.hacked") is None


def test_the_transport_is_changed_without_loss_or_repeat(server: Server, visit: Visits) -> None:
    """The cursor is kept: what is said meanwhile is read once."""
    page = visit(f"{server.url}/chat")
    is_open(page)
    said = []
    for turn, transport in enumerate([*TRANSPORTS, *TRANSPORTS]):
        said.append(f"message {turn}")
        raw.publish(server, "chat", {"text": said[-1]})
        choose(page, transport)
        said.append(f"by {transport} {turn}")
        page.locator("#text").fill(said[-1])
        page.locator("#say button[type=submit]").click()
        expect(page.locator("#messages .said").last).to_have_text(said[-1])
    assert page.locator("#messages .said").all_text_contents() == said


@pytest.mark.parametrize("stream", PLAY)
def test_rubbish_on_the_stream_harms_no_page(server: Server, visit: Visits, stream: str) -> None:
    """A student may publish anything; pages pass over what they cannot show."""
    huge = 10**15
    rubbish: list[Any] = [None, 1, "text", [], [[]], {}, {"text": {}}, {"text": 5}, {"text": "  "}, {"by": 7}]
    rubbish += [
        {"points": value, "width": 3, "pen": 0} for value in ("x", [1], [None, 1], [1, huge], [[1], 2])
    ]
    rubbish += [
        {"points": [1, 2], "width": huge, "pen": 0},
        {"points": [1, 2], "width": 3, "pen": "__proto__"},
    ]
    rubbish += [
        {"sensor": {}, "value": 1},
        {"sensor": "s", "value": "high"},
        {"sensor": "__proto__", "value": 1},
    ]
    rubbish += [
        {"by": "me", "x": "a", "y": 1, "points": 0, "at": 0},
        {"by": "z", "x": 1, "y": 1, "points": -1, "at": 0},
    ]
    rubbish += [{"by": "z" * 99, "x": 1, "y": 1, "points": 1, "at": 1}, {"teacher": "yes", "clear": 1}]
    for data in rubbish:
        assert raw.publish(server, stream, data).status == 201
    page = visit(f"{server.url}/{stream}")
    is_open(page)
    before = number(page, "notifications")
    for data in rubbish:
        raw.publish(server, stream, data)
    until(lambda: number(page, "notifications") >= before + len(rubbish), page, 15, "receiving all of it")
    expect(page.locator("#problem")).to_be_hidden()


def test_sensors_report_and_everybody_sees_yours(server: Server, visit: Visits) -> None:
    """Six simulated ones, while somebody looks; a slider is one more; a late joiner has the past readings."""
    page, other = (visit(f"{server.url}/sensors") for _ in range(2))
    expect(page.locator(".sensor")).to_have_count(6)
    page.locator("#slider").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".sensor", has_text="(you)").locator(".value")).to_have_text("55 %")
    expect(other.locator(".sensor", has_text="Slider").locator(".value")).to_have_text("55 %")
    three = re.compile(r"^\S+ \S+ \S+")
    readings = "polyline"
    expect(page.locator(".sensor", has_text="Greenhouse").locator(readings)).to_have_attribute(
        "points", three
    )
    late = visit(f"{server.url}/sensors")
    expect(late.locator(".sensor", has_text="Greenhouse").locator(readings)).to_have_attribute(
        "points", three
    )


@pytest.mark.long
def test_the_game_is_played_by_keyboard_and_touch(server: Server, visit: Visits) -> None:
    """A robot of few wits follows the star; the other player sees its score."""
    page, other = (visit(f"{server.url}/game", viewport=PROJECTOR) for _ in range(2))
    for each in (page, other):
        is_open(each)
        expect(each.locator("#scores li")).to_have_count(2)
    box = page.locator("#arena").bounding_box()
    assert box

    def score() -> int:
        return int(page.locator("#scores .own").inner_text().split()[-1])

    # Sweep the field with the pointer: whatever the star's place, it is passed.
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    for row in range(60):
        across = 0.04 if row % 2 else 0.96
        page.mouse.move(
            box["x"] + box["width"] * across, box["y"] + box["height"] * (0.06 + (row % 12) * 0.08)
        )
        for _ in range(30 if row else 2):
            page.wait_for_timeout(50)
            if score():
                break
        if score():
            break
    page.mouse.up()
    assert score() > 0
    expect(other.locator("#scores li").first).to_contain_text(str(score()))
    # And by keyboard: messages go out while a key is down.
    page.locator("#arena").focus()
    before = number(page, "sent")
    page.keyboard.down("ArrowLeft")
    page.wait_for_timeout(1000)
    page.keyboard.up("ArrowLeft")
    assert number(page, "sent") - before >= 4


@each_transport
def test_a_lonely_player_is_seen_by_any_transport(server: Server, visit: Visits, transport: str) -> None:
    """Also where nobody else makes news: the first poll is held, and the player's own beat ends it."""
    page = visit(f"{server.url}/game")
    for each in (transport, "websocket", transport):
        choose(page, each)
        before = number(page, "notifications")
        expect(page.locator("#scores .own")).to_be_visible()
        until(lambda before=before: number(page, "notifications") > before, page, 3.5, "a beat")
        # The first may have been under way, or have ended a poll that was held when it was counted.
        until(lambda before=before: number(page, "notifications") >= before + 2, page, 15, "two beats")


def test_a_restarted_server_is_an_empty_board(demo: DEMO, visit: Visits) -> None:
    """Another epoch: what was drawn before is no longer so, and drawing goes on, by every transport."""
    server = demo()
    pages = [visit(f"{server.url}/whiteboard?transport={name}", viewport=PROJECTOR) for name in TRANSPORTS]
    for page in pages:
        is_open(page)
    draw(pages[0], (0.1, 0.2), (0.4, 0.2))
    for page in pages:
        wait_inked(page, 0.25, 0.2)
    stop_server(server)
    demo(port=server.address[1])
    for page in pages:
        expect(page.locator("#state")).to_have_attribute("data-state", "open", timeout=20_000)
    draw(pages[-1], (0.1, 0.8), (0.4, 0.8))
    for page in pages:
        wait_inked(page, 0.25, 0.8)
        assert not inked(page, 0.25, 0.2)
    # While the server was away the browser itself said so on the console.
    assert all("Failed to load resource" in each or "WebSocket connection" in each for each in visit.console)
    visit.console.clear()


def test_every_tab_is_greeted(server: Server, visit: Visits) -> None:
    """Each connection is, also one that is made again."""
    first = visit(f"{server.url}/welcome")
    tabs = [first, *(visit(f"{server.url}/welcome", beside=first) for _ in range(7))]
    for tab in tabs:
        expect(tab.locator("#message")).to_have_text("web Socket Works")
        assert tab.locator("h1#message").count() == 1
    first.locator("#again").click()
    expect(first.locator("#message")).to_have_text("web Socket Works")


@pytest.mark.long
def test_a_student_in_the_lan_plays_and_sees_no_controls(demo: DEMO, visit: Visits) -> None:
    """Drawing is for everybody; wiping is not offered, and a foreign page cannot publish."""
    server = demo("--lan")
    page = visit(f"{server.url}/whiteboard", viewport=PROJECTOR)
    for transport in TRANSPORTS:
        choose(page, transport)
        draw(page, (0.1, 0.2), (0.4, 0.2))
        wait_inked(page, 0.25, 0.2)
    expect(page.locator("#clear")).to_be_hidden()
    expect(page.locator("#problem")).to_be_hidden()
    # A page of another host, in the same browser.
    page.route(
        "http://elsewhere.example/",
        lambda route: route.fulfill(body="<p>elsewhere", content_type="text/html"),
    )
    page.goto("http://elsewhere.example/")
    head = raw.stats(server, "chat")["newest_id"]
    outcome = page.evaluate(
        """async (url) => {
          const options = { method: "POST", mode: "no-cors", body: JSON.stringify({ data: 1 }) };
          const target = `${url}/streams/chat/notifications`;
          const sent = await fetch(target, options).then(() => "sent", () => "failed");
          const socket = new WebSocket(`${url.replace("http", "ws")}/streams/chat/websocket`);
          const opened = await new Promise((resolve) => {
            socket.onopen = () => resolve("opened");
            socket.onerror = () => resolve("refused");
          });
          return [sent, opened];
        }""",
        server.url,
    )
    assert outcome[1] == "refused"
    assert raw.stats(server, "chat")["newest_id"] == head
    visit.console.clear()


@pytest.mark.long
def test_nothing_overflows_or_moves(demo: DEMO, visit: Visits) -> None:
    """No page scrolls sideways, and nothing shifts while numbers change, on a phone and on a projector."""
    server = demo("--students", "6")
    paths = [*PLAY, "welcome", "class"]
    opened = [visit(f"{server.url}/{path}", viewport=PHONE, color_scheme="dark") for path in paths]
    for size in (PHONE, PROJECTOR):
        for page in opened:
            page.set_viewport_size(size)
        opened[0].wait_for_timeout(1500)
        for page in opened:
            page.evaluate(
                """() => {
                  window.shifts = [];
                  window.observer?.disconnect();
                  window.observer = new PerformanceObserver((list) => {
                    for (const each of list.getEntries()) window.shifts.push(each.value);
                  });
                  window.observer.observe({ type: "layout-shift" });
                }"""
            )
        opened[0].wait_for_timeout(3000)
        for path, page in zip(paths, opened, strict=True):
            wide, room, shifts = page.evaluate(
                """() => {
                  const { scrollWidth, clientWidth } = document.documentElement;
                  return [scrollWidth, clientWidth, window.shifts];
                }"""
            )
            assert wide <= room, (path, size)
            assert sum(shifts) < 0.1, f"{path} at {size}: {shifts}"
