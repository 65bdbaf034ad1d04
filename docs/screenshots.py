"""Take the README's screenshots: the race, the wire and the whiteboard, from a demo server of its own.

    .venv/bin/python docs/screenshots.py

Rules: what is shown has really happened; the whiteboard's drawing is drawn by the mouse, on the page. Each
picture stays below MOST_BYTES. It needs Debian's chromium, as the tests do.
"""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from bench.systems.registry import OURS
from bench.trials.processes.child import Child
from bench.trials.processes.own_server import url_of

HERE = Path(__file__).parent
SIZE: ViewportSize = {"width": 1280, "height": 960}
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
RACE_S = 25.0
MOST_BYTES = 300_000


def race(page: Page) -> None:
    """After a while, so that medians mean something."""
    page.wait_for_selector('[data-transport="websocket"]')
    page.wait_for_timeout(RACE_S * 1000)


def wire(page: Page) -> None:
    """A masked frame, with its unmasking."""
    page.wait_for_selector("#printed .step")
    card = page.locator("#steps .step").filter(has=page.get_by_role("heading", name="A notification goes up"))
    card.locator(".hex [role=button]").last.focus()
    page.locator("#steps .sum").evaluate("element => element.scrollIntoView()")


def whiteboard(page: Page) -> None:
    """A sketch of the three answers: asking again and again, being held, and being told."""
    page.wait_for_selector("#state[data-state=open], #state[data-state=waiting]")
    box = page.locator("#board").bounding_box()
    assert box

    def draw(*points: tuple[float, float]) -> None:
        """One stroke; both coordinates from 0 to 1."""
        for number, (x, y) in enumerate(points):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
            if number == 0:
                page.mouse.down()
        page.mouse.up()

    pens = page.locator("#pens").get_by_role("radio")
    for number, left in enumerate((0.06, 0.38, 0.70)):
        pens.nth(number + 1).check(force=True)
        right, top, bottom = left + 0.22, 0.15, 0.85
        draw((left, top), (left, bottom))
        draw((right, top), (right, bottom))
        if number == 0:
            for y in (0.2, 0.35, 0.5, 0.65):
                draw((left, y), (right, y + 0.04), (left, y + 0.08))
        elif number == 1:
            for y in (0.2, 0.52):
                held = [(right + 0.02 * math.sin(turn), y + 0.04 + turn / 60) for turn in range(12)]
                draw((left, y), (right, y + 0.04), *held, (left, y + 0.28))
        else:
            draw((left, 0.2), (right, 0.24), (left, 0.28))
            for y in (0.42, 0.5, 0.7):
                draw((right, y), (left, y + 0.04), (left + 0.025, y + 0.01))
    page.wait_for_timeout(1500)


def take(browser: Browser, url: str, name: str, path: str, prepare: Callable[[Page], None]) -> None:
    page = browser.new_page(viewport=SIZE, color_scheme="light")
    page.goto(url + path)
    prepare(page)
    picture = HERE / f"{name}.png"
    page.screenshot(path=picture)
    page.close()
    size = picture.stat().st_size
    print(f"{picture.name}: {size:,} bytes")
    if size > MOST_BYTES:
        sys.exit(f"{picture.name} is larger than {MOST_BYTES:,} bytes")


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("no Chromium is installed; on Debian: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="wirelab-") as scratch, sync_playwright() as playwright:
        command = [sys.executable, "-m", "bench.cli", "demo", "--port", "0"]
        server = Child("server", command, errors=Path(scratch, "server.log"), core=None)
        try:
            url = url_of(OURS, server)
            browser = playwright.chromium.launch(executable_path=chromium, args=list(OPTIONS))
            take(browser, url, "race", "/", race)
            take(browser, url, "wire", "/wire", wire)
            take(browser, url, "whiteboard", "/whiteboard", whiteboard)
            browser.close()
        finally:
            server.end()


if __name__ == "__main__":
    main()
