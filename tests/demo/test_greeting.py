"""The article's example on /welcome: its own server, a child of the demo, and ours, which does the same."""

import json
import os
import re
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest
from conftest import Server, Visits, stop_server
from models import serving_process
from playwright.sync_api import Page, expect
from raw import RawWebSocket, ask

from bench.systems.node import packages
from servers.models import SERVER_MODELS

DEMO = Callable[..., Server]
WITH_PAGES = [name for name, model in SERVER_MODELS.items() if model.has_pages]
WELCOME = b'42["welcome","web Socket Works"]'
LONG_MS = 60_000
"""The first time, the packages are installed."""


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline_s = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline_s, f"{what} did not come"
        time.sleep(0.05)


def session(server: Server) -> RawWebSocket:
    """A session of Engine.IO that has asked to connect."""
    socket = RawWebSocket(server, "/welcome/socket.io/?EIO=4&transport=websocket")
    assert socket.message().startswith(b"0")
    socket.send("40")
    return socket


@pytest.mark.parametrize("model", WITH_PAGES)
def test_everybody_is_greeted_at_each_connection(demo: DEMO, model: str) -> None:
    server = demo("--server-model", model)
    with ExitStack() as stack:
        sockets = []
        for _ in range(3):
            sockets.append(stack.enter_context(closing(session(server))))
            assert sockets[-1].message().startswith(b"40{")
            assert [socket.message() for socket in sockets] == [WELCOME] * len(sockets)
        stats = ask(server, "GET", "/streams/welcome/stats").json["transports"]
        assert stats["socketio"]["subscribers"] == 3
        # Connecting again is refused, and greets nobody; nothing else may be said.
        sockets[0].send("40")
        assert sockets[0].message().startswith(b"44")
        sockets[1].send('42["publish",{"data":1}]')
        assert sockets[1].close_event().code == 1002
        sockets[2].send("41")
        assert sockets[2].close_event()
        with closing(session(server)):
            assert sockets[0].message() == WELCOME


def test_a_student_greets_the_class_at_a_rate(demo: DEMO) -> None:
    """Each connection is a packet for everybody."""
    server = demo("--lan")
    answers = []
    for _ in range(100):
        with closing(session(server)) as socket:
            answers.append(socket.message())
        if answers[-1].startswith(b"44"):
            break
    assert len(answers) > 50
    assert "10 a second" in json.loads(answers[-1][2:])["message"]


def article(server: Server, host: str = "127.0.0.1") -> dict[str, str]:
    answer: dict[str, str] = ask(server, "GET", "/demo/article.json", headers={"Host": host}).json
    return answer


def article_of(server: Server) -> psutil.Process:
    """The process of the article's server, which must listen by now."""
    if said := packages.missing():
        pytest.skip(said)
    wait_until(lambda: article(server)["state"] == "ready", "a start")
    [child] = psutil.Process(serving_process(server.process.pid)).children()
    return child


@pytest.mark.long
@pytest.mark.parametrize("model", WITH_PAGES)
def test_the_articles_server_is_a_child_that_ends_with_the_demo(demo: DEMO, model: str) -> None:
    """Whatever ends it. It listens on loopback, and there alone."""
    server = demo("--server-model", model)
    first = article_of(server)
    [listener] = first.net_connections()
    assert article(server) == {"state": "ready", "url": f"http://127.0.0.1:{listener.laddr.port}"}
    assert listener.laddr.ip == "127.0.0.1"
    first.kill()
    wait_until(lambda: article(server)["state"] != "ready", "the end")
    second = article_of(server)
    os.kill(serving_process(server.process.pid), 9)
    wait_until(lambda: not second.is_running(), "the end with the worker")
    third = article_of(server)
    server.process.kill()
    wait_until(lambda: not third.is_running(), "the end with the master")
    stop_server(server)


@pytest.mark.long
def test_it_ends_with_a_demo_that_is_stopped_in_order(demo: DEMO) -> None:
    server = demo()
    child = article_of(server)
    stop_server(server)
    wait_until(lambda: not child.is_running(), "the end")


def test_only_this_machine_has_it_started(demo: DEMO) -> None:
    server = demo("--lan")
    assert article(server, f"192.0.2.7:{server.address[1]}") == {"state": "elsewhere"}
    assert psutil.Process(serving_process(server.process.pid)).children() == []


def has_counted(page: Page, article_count: int, our_count: int) -> None:
    for name, count in (("article", article_count), ("ours", our_count)):
        expect(page.locator(f"#{name} [data-role=count]")).to_have_text(str(count), timeout=LONG_MS)


def test_both_are_seen_side_by_side_and_greet_every_tab(demo: DEMO, visit: Visits) -> None:
    """The article's page is its own, in a frame. So there each tab connects twice, and hears itself too."""
    if said := packages.missing():
        pytest.skip(said)
    server = demo()
    first = visit(f"{server.url}/welcome", viewport={"width": 1280, "height": 720})
    has_counted(first, 2, 1)
    framed = first.frame_locator("#frame").locator("#message")
    expect(framed).to_have_text("web Socket Works")
    expect(first.locator("h1#message")).to_have_text("web Socket Works")
    expect(first.locator("#ours [data-role=steps]")).to_contain_text("by WebSocket")
    second = visit(f"{server.url}/welcome", beside=first)
    has_counted(second, 2, 1)
    has_counted(first, 4, 2)
    with first.context.expect_page() as opened:
        first.locator("#alone").click()
    expect(opened.value.locator("#message")).to_have_text("web Socket Works")
    has_counted(first, 5, 2)
    has_counted(second, 3, 1)
    # It comes back after its own server's end, which is started again.
    article_of(server).kill()
    has_counted(first, 0, 2)
    expect(framed).to_have_text("web Socket Works", timeout=LONG_MS)
    first.context.close()
    assert all("WebSocket connection" in line or "ERR_CONNECTION_REFUSED" in line for line in visit.console)
    visit.console.clear()


def test_without_node_one_line_says_what_to_install(
    demo: DEMO, visit: Visits, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    server = demo()
    page = visit(f"{server.url}/welcome")
    why = page.locator("#article .why")
    expect(why).to_have_text(re.compile(r"Node is not installed.*apt install nodejs npm"))
    expect(page.locator("#frame")).to_be_hidden()
    expect(page.locator("h1#message")).to_have_text("web Socket Works")
    expect(page.locator("#article [data-role=count]")).to_be_hidden()
    visit(f"{server.url}/welcome", beside=page)
    expect(page.locator("#ours [data-role=count]")).to_have_text("2")
