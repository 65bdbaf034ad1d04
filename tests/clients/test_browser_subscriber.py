"""The browser's subscribers against servers that fail: the pages' modules in a real browser, raw answers."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Server, Visits
from fake_server import Peer, batch, fake_server, frame, http
from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
BROWSER = ROOT / "clients" / "browser"

FOLLOW = """async ([transport, options]) => {
  const { default: Subscriber } = await import(`/browser/${transport.replace("-", "_")}.js`);
  window.states = [];
  window.got = [];
  window.wire = [];
  window.follower = new Subscriber("main", {
    pollIntervalS: 0.05,
    ...options,
    onWire: (event) => wire.push(event),
    onNotifications: (notifications) => got.push(...notifications.map(({ id }) => id)),
    onState: (state, why) => states.push([state, why]),
  });
  follower.start();
}"""

Script = Callable[[Peer, str, int], None]
"""What to do with a subscriber's request: the peer, the request's head, how many came before."""


@contextmanager
def pages_of(script: Script, pauses: bool = True) -> Iterator[str]:
    """Serve the browser's modules, an empty page, and whatever `script` does with what goes to /streams/.
    Without `pauses` the subscribers make next to none, and wait half a second for an answer."""
    asked: list[str] = []

    def serve(peer: Peer, _: int) -> None:
        while head := peer.read_request():
            path = head.split()[1].partition("?")[0]
            if path.startswith("/streams/"):
                asked.append(head)
                script(peer, head, len(asked) - 1)
                return
            if path.startswith("/browser/"):
                module = (BROWSER / path.removeprefix("/browser/")).read_bytes()
                if not pauses:
                    module = module.replace(b"BACKOFF_MOST_MS = 2000", b"BACKOFF_MOST_MS = 10")
                    module = module.replace(b"ANSWER_TIMEOUT_MS = 10_000", b"ANSWER_TIMEOUT_MS = 500")
                peer.send(http(module, "200 OK", "Content-Type: text/javascript"))
            else:
                peer.send(
                    http(b"<!doctype html><link rel=icon href='data:,'>", "200 OK", "Content-Type: text/html")
                )

    with fake_server(serve) as url:
        yield url


def follow(page: Page, transport: str, **options: Any) -> None:
    page.evaluate(FOLLOW, [transport, options])


def wait_for(page: Page, condition: str) -> None:
    page.wait_for_function(condition, timeout=30_000)


WHOLE = http(batch(1), "200 OK", "Content-Type: application/json")
PROBLEM = b'{"title":"Bad Request","status":400,"detail":"The cursor is none."}'


@pytest.mark.parametrize("transport", ["short-poll", "long-poll"])
def test_what_is_no_well_formed_answer_is_asked_again(visit: Visits, transport: str) -> None:
    """Cut by FIN anywhere, or from something in between: a browser takes much of that for a whole answer."""
    head = WHOLE.index(b"\r\n\r\n")
    bad = [
        WHOLE[:12],
        WHOLE[:17],
        WHOLE[: WHOLE.index(b"Length")],
        WHOLE[:head],
        WHOLE[:-9],
        b"",
        b"HTTP/1.1 400 Bad Requ",
        http(b"<html>sign in</html>"),
        http(b""),
        http(b"{}"),
        http(b"<html>", "404 Not Found"),
        http(PROBLEM, "429 Too Many"),
        http(b"", "204 No Content"),
    ]

    def script(peer: Peer, _: str, number: int) -> None:
        peer.send(bad[number] if number < len(bad) else WHOLE)

    with pages_of(script, pauses=False) as url:
        page = visit(url)
        follow(page, transport)
        wait_for(page, "() => got.length")
        states = page.evaluate("() => { follower.close(); return states; }")
    assert "refused" not in {state for state, _ in states}
    assert [state for state, _ in states].count("waiting") >= len(bad)
    visit.console.clear()  # where the browser tells of what was cut


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "404 Not Found"])
def test_a_refusal_that_says_why_is_final(visit: Visits, status: str) -> None:
    """To ask again would not help."""
    with pages_of(lambda peer, _, __: peer.send(http(PROBLEM, status))) as url:
        page = visit(url)
        follow(page, "long-poll")
        wait_for(page, "() => states.at(-1)[0] === 'refused'")
        assert "The cursor is none." in page.evaluate("() => states.at(-1)[1]")
    visit.console.clear()


def test_polls_have_a_floor(visit: Visits) -> None:
    """A server that answers held polls at once, with nothing, is asked ever more seldom, whatever it says."""
    asked: list[str] = []

    def script(peer: Peer, head: str, _: int) -> None:
        asked.append(head)
        peer.send(http(batch(cursor="a.1"), "200 OK", "Connection: keep-alive"))
        while peer.read_request():
            asked.append(head)
            peer.send(http(batch(cursor="a.1")))

    with pages_of(script) as url:
        page = visit(url)
        follow(page, "long-poll")
        wait_for(page, "() => follower.requests >= 2")
        page.wait_for_timeout(1000)
        states = page.evaluate("() => { follower.close(); return states.map(([state]) => state); }")
    assert 3 <= len(asked) <= 8
    assert "waiting" not in states


@pytest.mark.parametrize("transport", ["long-poll", "websocket"])
def test_a_server_that_accepts_and_closes_is_asked_ever_more_seldom(visit: Visits, transport: str) -> None:
    """A first batch is no reason to begin the pauses anew."""
    numbers: list[int] = []

    def script(peer: Peer, head: str, number: int) -> None:
        numbers.append(number)
        if transport == "websocket":
            upgrade(peer, head)
            peer.send(frame(batch(number + 1)))
        elif number % 2 == 0:
            peer.send(http(batch(number + 1), "200 OK", "Connection: close"))

    with pages_of(script) as url:
        page = visit(url)
        follow(page, transport)
        wait_for(page, "() => got.length")
        page.wait_for_timeout(1500)
        page.evaluate("() => follower.close()")
    assert 3 <= len(numbers) <= 12 if transport == "long-poll" else 3 <= len(numbers) <= 6
    visit.console.clear()


def upgrade(peer: Peer, head: str) -> None:
    """Answer a handshake that was read already."""
    peer._buffer = head.encode() + b"\r\n\r\n" + peer._buffer
    peer.upgrade()


def test_a_websocket_that_falls_silent_is_replaced(visit: Visits) -> None:
    """The browser shows a page neither pings nor their absence: it asks for a heartbeat, and misses two."""
    asked: list[tuple[float, str]] = []

    def script(peer: Peer, head: str, number: int) -> None:
        asked.append((time.monotonic(), head))
        upgrade(peer, head)
        peer.send(frame(batch(1)))
        beats = 3 if number == 0 else 0
        for _ in range(beats):
            time.sleep(1)
            peer.send(frame(batch(cursor="a.1")))
        peer.wait_for_end()

    with pages_of(script) as url:
        page = visit(url)
        follow(page, "websocket", heartbeatS=1)
        wait_for(page, "() => follower.reconnects")
        assert (
            page.evaluate("() => states.find(([state]) => state === 'waiting')[1]") == "no heartbeat for 2 s"
        )
        page.evaluate("() => follower.close()")
    assert all("heartbeat=1" in head.split()[1] for _, head in asked)
    assert asked[1][0] - asked[0][0] >= 4.5


@pytest.mark.parametrize("ended_by", ["nobody", "a cut from this side"])
def test_a_handshake_that_is_never_answered_blocks_no_other(visit: Visits, ended_by: str) -> None:
    """A browser makes one handshake at a time with a server: one that hangs must be closed, not only left."""

    def script(peer: Peer, head: str, number: int) -> None:
        if number:
            upgrade(peer, head)
            peer.send(frame(batch(1)))
        peer.wait_for_end()

    with pages_of(script, pauses=False) as url:
        page = visit(url)
        follow(page, "websocket")
        if ended_by != "nobody":
            page.wait_for_timeout(200)
            page.evaluate("() => follower.cut(10)")
        wait_for(page, "() => got.length")
        page.evaluate("() => follower.close()")
    visit.console.clear()  # Chromium tells of a socket that is closed while it connects


def test_a_websocket_without_a_heartbeat_waits(visit: Visits) -> None:
    """Nothing is asked, and silence is not a loss."""
    heads: list[str] = []
    quickened = threading.Event()

    def script(peer: Peer, head: str, _: int) -> None:
        heads.append(head)
        upgrade(peer, head)
        peer.send(frame(batch(1)))
        quickened.wait(10)
        peer.send(frame(batch(2)))
        peer.wait_for_end()

    with pages_of(script) as url:
        page = visit(url)
        follow(page, "websocket", heartbeatS=None)
        wait_for(page, "() => got.length == 1")
        # Only now, since the handshake has a time limit that a busy machine may need.
        page.evaluate(
            "() => { const real = setTimeout; window.setTimeout = (act, ms) => real(act, ms / 100); }"
        )
        quickened.set()
        wait_for(page, "() => got.length == 2")
        time.sleep(0.5)
        assert page.evaluate("() => [follower.state, follower.reconnects]") == ["open", 0]
        page.evaluate("() => follower.close()")
    assert "heartbeat" not in heads[0]


def test_tabs_do_not_share_a_poll(visit: Visits) -> None:
    """Identical GETs stand in line in the browser's HTTP cache, unless it is left out."""
    asked: list[float] = []

    def script(peer: Peer, _: str, __: int) -> None:
        asked.append(time.monotonic())
        peer.wait_for_end()

    with pages_of(script) as url:
        first = visit(url)
        tabs = [first, visit(url, beside=first), visit(url, beside=first)]
        for tab in tabs:
            follow(tab, "long-poll", after="a.1")
        deadline = time.monotonic() + 15
        while len(asked) < len(tabs) and time.monotonic() < deadline:
            first.wait_for_timeout(50)
        for tab in tabs:
            tab.evaluate("() => follower.close()")
    assert len(asked) == len(tabs)


@pytest.mark.parametrize("without", ["nothing", "timeout", "any"])
def test_every_fetch_ends(visit: Visits, without: str) -> None:
    """Also in browsers without AbortSignal.timeout or AbortSignal.any, and while the body comes."""

    def script(peer: Peer, head: str, _: int) -> None:
        if "body" in head:
            peer.send(WHOLE[:-3])
        peer.wait_for_end()

    with pages_of(script) as url:
        page = visit(url)
        names = page.evaluate(
            """async (without) => {
              delete AbortSignal[without];
              const { fetchWithin } = await import("/browser/fetching.js");
              const { signal } = new AbortController();
              const late = (target) => fetchWithin(target, { withinMs: 200, signal })
                .then((response) => response.text()).then(() => "done", (error) => error.name);
              const ours = new AbortController();
              const ended = fetchWithin("/streams/c", { signal: ours.signal }).catch((error) => error.name);
              setTimeout(() => ours.abort(), 50);
              return [await late("/streams/a"), await late("/streams/body"), await ended];
            }""",
            without,
        )
    assert names == ["TimeoutError", "TimeoutError", "AbortError"]


def test_what_a_fetch_fails_of_is_told_in_a_sentence(visit: Visits) -> None:
    """The server's own, if it gave one: a page shows it as it is."""
    answers = {
        "good": http(b'{"a":1}'),
        "refused": http(PROBLEM, "403 Forbidden"),
        "not-json": http(b"<html>", "502 Bad Gateway"),
        "cut": b"",
    }

    def script(peer: Peer, head: str, _: int) -> None:
        name = head.split()[1].rpartition("/")[2]
        if name == "hung":
            peer.wait_for_end()
        else:
            peer.send(answers[name])

    with pages_of(script) as url:
        page = visit(url)
        told = page.evaluate(
            """async (names) => {
              const { getJson } = await import("/browser/fetching.js");
              const told = {};
              for (const name of names) {
                told[name] = await getJson(`/streams/${name}`, { withinMs: 500 })
                  .catch((error) => [error.message, error.status ?? null]);
              }
              return told;
            }""",
            [*answers, "hung"],
        )
    assert told == {
        "good": {"a": 1},
        "refused": ["The cursor is none.", 403],
        "not-json": ["The server answered 502 Bad Gateway.", 502],
        "cut": ["The server cannot be reached.", None],
        "hung": ["The server did not answer in time.", None],
    }
    visit.console.clear()


def test_no_page_fetches_by_itself() -> None:
    """Else it would have neither a time limit nor its place beside the cache."""
    files = [
        *(ROOT / "clients").rglob("*.js"),
        *(ROOT / "servers" / "demo").rglob("*.js"),
        *(ROOT / "servers" / "demo").rglob("*.html"),
    ]
    found = [file.name for file in files if re.search(r"\bfetch\(", re.sub(r"//.*", "", file.read_text()))]
    assert found == ["fetching.js"]


CLOCK = """async (exchanges) => {
  const { Clock } = await import("/browser/clock.js");
  const clock = new Clock();
  for (const exchange of exchanges) clock.take(...exchange);
  return [clock.offset_ms, Number.isFinite(clock.error_ms), clock.tells(5), clock.tells(20_000)];
}"""


@pytest.mark.parametrize(
    ("exchanges", "offset_ms", "knows", "tells"),
    [
        ([[0, 1000, 20_000]], 0, False, False),
        ([[0, 1000, 2001]], 0, False, False),
        ([[0, 1000, 2000]], 0, True, False),
        ([[0, 5001, 2], [10, 30_000, 20_010]], 5000, True, True),
        ([[0, 5001, 2], [130_000, 140_000, 150_000]], 5000, False, False),
        ([[0, float("nan"), 2]], 0, False, False),
    ],
)
def test_a_slow_exchange_tells_no_time(
    pages: Server, visit: Visits, exchanges: list[Any], offset_ms: float, knows: bool, tells: bool
) -> None:
    """After two minutes of them nothing is known any more; and what is less than the error is not told."""
    page = visit(pages.url + "/welcome")
    assert page.evaluate(CLOCK, exchanges) == [offset_ms, knows, tells, knows]


def test_the_real_server_keeps_an_idle_websocket(pages: Server, visit: Visits) -> None:
    """Its heartbeats come in time, and are no news."""
    page = visit(pages.url + "/welcome")
    follow(page, "websocket", heartbeatS=1)
    wait_for(page, "() => follower.receiver.cursor !== null")
    page.wait_for_timeout(3500)
    assert page.evaluate("() => [follower.state, follower.reconnects, got.length]") == ["open", 0, 0]
    assert page.evaluate("() => follower.bytes.bodyDown") >= 3 * len(batch())
    page.evaluate("() => follower.close()")
