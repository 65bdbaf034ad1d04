"""Every page against axe-core's rules, in both colour schemes: nothing serious may be found.

axe-core stands in tests/vendor with its version in its name and its licence beside it.
"""

from collections.abc import Callable
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
FILL_MS = 1500
"""Time for a page to show what it shows when it runs."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_on_any_page(demo: Callable[..., Server], visit: Visits, scheme: str) -> None:
    """Each page as it opens; the race also with its predictions open."""
    url = demo().url
    page = visit(url, color_scheme=scheme)
    for path in [page.path for page in PAGES]:
        page.goto(url + path)
        page.wait_for_timeout(FILL_MS)
        if path == "/":
            page.locator('[data-action="predict"]').click()
        page.evaluate(AXE)
        found = [problem for problem in page.evaluate(RUN) if problem[0] in SERIOUS]
        assert found == [], path
