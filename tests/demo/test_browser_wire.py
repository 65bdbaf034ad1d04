"""The wire page in a real browser: the bytes verify, and bytes and explanation belong together."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable

import pytest
from conftest import Server, Visits
from playwright.sync_api import Locator, Page, expect
from wsproto.frame_protocol import FrameProtocol, Opcode

from servers.transports import TRANSPORTS

PHONE = {"width": 390, "height": 844}
PROJECTOR = {"width": 1920, "height": 1080}
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@pytest.fixture
def wire(pages: Server, visit: Visits) -> Callable[..., Page]:
    """Open the page with all that it fetches."""

    def open_(address: str = "/wire", **context: object) -> Page:
        page = visit(f"{pages.url}{address}", **context)
        page.wait_for_selector("#printed .step")
        return page

    return open_


def step(page: Page, title: str) -> Locator:
    """The card of one message of the exchange."""
    return page.locator("#steps .step").filter(has=page.get_by_role("heading", name=title, exact=True))


def shown_bytes(card: Locator) -> bytes:
    """What the hex on the screen says."""
    return bytes.fromhex("".join(card.locator(".hex b").all_inner_texts()))


def test_key_and_accept_on_the_screen_verify(wire: Callable[..., Page]) -> None:
    """Read from the bytes shown, worked out here, and equal to what the page works out."""
    page = wire()
    request, answer = shown_bytes(step(page, "1. The handshake")), shown_bytes(step(page, "2. Accepted"))
    key = re.search(rb"Sec-WebSocket-Key: (\S+)\r\n", request)
    accept = re.search(rb"Sec-WebSocket-Accept: (\S+)\r\n", answer)
    assert key and accept
    digest = hashlib.sha1(key[1] + GUID.encode()).digest()
    assert accept[1] == base64.b64encode(digest)
    assert page.locator("#accept-key").inner_text().encode() == key[1]
    assert page.locator("#accept-worked-out").inner_text().encode() == accept[1]
    assert page.locator("#accept-received").inner_text().encode() == accept[1]


def test_frames_on_the_screen_decode(wire: Callable[..., Page]) -> None:
    """By wsproto, each as the side that reads it: the client's masked, the server's not."""
    page = wire()
    for title, client, mask in (
        ("4. A notification goes up", False, True),
        ("5. And comes down", True, False),
    ):
        data = shown_bytes(step(page, title))
        assert bool(data[1] & 0x80) is mask
        reader = FrameProtocol(client=client, extensions=[])
        reader.receive_bytes(data)
        [frame] = list(reader.received_frames())
        assert frame.opcode is Opcode.TEXT
        message = json.loads(frame.payload)
        assert (message if mask else message["notifications"][0])["data"] == "hello"


def test_bytes_and_explanation_are_linked(wire: Callable[..., Page]) -> None:
    """By pointing, by choosing, and by the keyboard alone; Escape puts it away."""
    page = wire()
    panel = page.locator("#explain")
    frame = step(page, "4. A notification goes up")
    spans = frame.locator(".hex [role=button]")
    spans.nth(0).hover()
    expect(panel.get_by_role("heading")).to_have_text("FIN, RSV, opcode")
    expect(panel.locator(".bits b")).to_have_text(list("10000001"))
    expect(frame.locator(".text .lit")).to_have_count(1)
    page.locator("h1").hover()
    expect(panel.get_by_role("heading")).to_have_count(0)

    frame.locator(".text [data-span]").nth(3).click()
    expect(panel.get_by_role("heading")).to_have_text("payload")
    expect(panel.locator(".work")).to_contain_text("= 7b = {")
    expect(spans.nth(3)).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(panel.get_by_role("heading")).to_have_text("masking key")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect(panel.get_by_role("heading")).to_have_text("MASK, length")
    expect(frame.locator(".lit")).to_have_count(2)
    page.keyboard.press("Tab")
    following = step(page, "5. And comes down").locator(".hex [role=button]").first
    expect(following).to_be_focused()
    expect(frame.locator(".lit")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator(".lit")).to_have_count(0)


def test_every_transport_has_its_exchange_and_its_price(wire: Callable[..., Page]) -> None:
    """Chosen by button or by address; the running totals end at the whole; polls pay heads."""
    page = wire("/wire#long-poll")
    choice = page.locator("#transports button")
    assert choice.count() == page.locator("#bars li").count() == len(TRANSPORTS)
    expect(page.locator("#transports [aria-pressed=true]")).to_have_attribute("data-transport", "long-poll")
    expect(step(page, "3. Tell me when there is news")).to_be_visible()
    for name in ("short-poll", "websocket"):
        page.locator(f'#transports [data-transport="{name}"]').click()
        expect(page.locator("#steps")).to_have_attribute("data-transport", name)
        total = sum(len(shown_bytes(card)) for card in page.locator("#steps .step:not(.sum)").all())
        last = page.locator("#steps .step:not(.sum)").last.locator(".running dd").all_inner_texts()
        assert sum(int(text.split(":")[0].replace(",", "")) for text in last) == total
    heads = {
        name: page.locator(f'#bars [data-transport="{name}"]').inner_text()
        for name in ("short-poll", "long-poll", "websocket")
    }
    assert "head" in heads["short-poll"] and "head" in heads["long-poll"]
    assert "head" not in heads["websocket"] and "framing" in heads["websocket"]


def test_a_browsers_headers_weigh_more(wire: Callable[..., Page]) -> None:
    page = wire("/wire#short-poll")
    before = len(shown_bytes(step(page, "1. The first poll")))
    page.locator("#headers").select_option("browser")
    expect(
        step(page, "1. The first poll").get_by_role("button", name=re.compile("User-Agent"))
    ).to_have_count(1)
    assert len(shown_bytes(step(page, "1. The first poll"))) > before + 400


def test_the_printed_handshake_is_refused_and_the_rfc_is_named(wire: Callable[..., Page]) -> None:
    page = wire()
    printed = page.locator("#printed")
    expect(printed).to_contain_text("Refused with 426.")
    for told in ("Sec-WebSocket-Key", "Sec-WebSocket-Version", "RFC 6455, section 4.2.1"):
        expect(printed.locator(".missing")).to_contain_text(told)
    request = shown_bytes(printed.locator(".step").nth(0))
    assert b"Sec-WebSocket" not in request
    assert request.startswith(b"GET ws://")
    assert shown_bytes(printed.locator(".step").nth(1)).startswith(b"HTTP/1.1 426 ")
    printed.locator("summary").click()
    assert shown_bytes(printed.locator("details .step").nth(1)).startswith(b"HTTP/1.1 101 ")


def test_a_failing_server_is_told_and_tried_again(wire: Callable[..., Page], visit: Visits) -> None:
    """The server's own sentence; the page goes on when it can."""
    page = wire()
    refuse = json.dumps({"detail": "The exchange failed: full."})
    page.route("**/wire/websocket.json*", lambda route: route.fulfill(status=503, body=refuse))
    page.locator("#again").click()
    expect(page.locator("#error")).to_contain_text("The exchange failed: full.")
    page.unroute("**/wire/websocket.json*")
    page.locator("#again").click()
    expect(page.locator("#error")).to_be_hidden()
    # The browser itself notes a 503 on the console.
    assert len(visit.console) == 1 and "503" in visit.console[0]
    visit.console.clear()


@pytest.mark.parametrize("size", [PHONE, PROJECTOR])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_the_screen(wire: Callable[..., Page], size: dict[str, int], scheme: str) -> None:
    """Nothing wider than the screen; what was chosen is not hidden by its explanation."""
    page = wire(viewport=size, color_scheme=scheme)
    for name in (*TRANSPORTS, "websocket"):
        page.locator(f"#transports [data-transport={name}]").click()
        expect(page.locator("#steps")).to_have_attribute("data-transport", name)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], name
    chosen = step(page, "5. And comes down").locator(".hex [role=button]").first
    chosen.focus()
    expect(page.locator("#explain")).to_be_in_viewport()
    box, panel = chosen.bounding_box(), page.locator("#explain").bounding_box()
    assert box and panel
    assert box["y"] + box["height"] <= panel["y"] or box["x"] + box["width"] <= panel["x"]
    if size is PHONE:
        page.get_by_role("button", name="Close", exact=True).click()
        expect(page.locator("#explain").get_by_role("heading")).to_have_count(0)
