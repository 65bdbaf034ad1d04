"""Every page against axe-core's rules, in both colour schemes: nothing serious may be found.

axe-core stands in tests/vendor with its version in its name and its licence beside it.
"""

from pathlib import Path

import pytest

from servers.demo.pages import PAGES
from tests.conftest import Server, Visits

AXE = (Path(__file__).parents[1] / "vendor" / "axe-core-4.14.1.min.js").read_text()
RUN = """async () => {
  const { violations } = await axe.run(document);
  return violations.map(({ id, impact, nodes }) => [impact, id, nodes.map(({ target }) => String(target))]);
}"""
SERIOUS = ("serious", "critical")
OPEN = "#state[data-state=open]"
FILLED = {
    "/": ".log li",
    "/wire": "#printed .step",
    "/whiteboard": OPEN,
    "/chat": OPEN,
    "/sensors": ".sensor",
    "/game": "#scores li",
    "/welcome": "text=web Socket Works",
    "/class": "#empty:visible",
}
"""What a page shows when it runs."""


@pytest.mark.long
def test_nothing_serious_on_any_page(pages: Server, visit: Visits) -> None:
    """Each page as it opens, light and then dark; the race with its predictions open."""
    page = visit(pages.url)
    for path in [page.path for page in PAGES]:
        page.goto(pages.url + path)
        page.locator(FILLED[path]).first.wait_for()
        if path == "/":
            page.locator('[data-action="predict"]').click()
        page.evaluate(AXE)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is (scheme == "dark")
            found = [problem for problem in page.evaluate(RUN) if problem[0] in SERIOUS]
            assert found == [], (path, scheme)
