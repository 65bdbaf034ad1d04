"""Every page against axe-core's rules, in both colour schemes: nothing serious may be found.

axe-core stands in tests/vendor with its version in its name and its licence beside it.
"""

from pathlib import Path

from servers.demo.pages import PAGES
from tests.conftest import Server, Visits

AXE = (Path(__file__).parents[1] / "vendor" / "axe-core-4.14.1.min.js").read_text()
RUN = """async () => {
  const { violations } = await axe.run(document);
  return violations.map(({ id, impact, nodes }) => [impact, id, nodes.map(({ target }) => String(target))]);
}"""
SERIOUS = ("serious", "critical")
FILL_MS = 1500
"""Time for a page to show what it shows when it runs."""


def test_nothing_serious_on_any_page(pages: Server, visit: Visits) -> None:
    """Each page as it opens, light and then dark; the race with its predictions open."""
    opened = {page.path: visit(pages.url + page.path, color_scheme="light") for page in PAGES}
    opened["/"].locator('[data-action="predict"]').click()
    opened["/"].wait_for_timeout(FILL_MS)
    for path, page in opened.items():
        page.evaluate(AXE)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is (scheme == "dark")
            found = [problem for problem in page.evaluate(RUN) if problem[0] in SERIOUS]
            assert found == [], (path, scheme)
