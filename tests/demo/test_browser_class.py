"""The class page in a real browser: students take part, the teacher deals, everybody sees the histogram."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
import raw
from conftest import Server, Visits
from models import each_transport
from playwright.sync_api import Page, expect

from bench.commands.demo import lan_addresses
from clients import label
from servers.transports import TRANSPORTS

DEMO = Callable[..., Server]


@pytest.fixture
def server(pages: Server) -> Iterator[Server]:
    """The session's server, whose class is empty when the test is done."""
    yield pages
    assert raw.ask(pages, "POST", "/class/reset", b"{}", {"Content-Type": "application/json"}).status == 200


def teachers_link(server: Server) -> str:
    """The teacher's link for this machine, as it was printed."""
    link = re.search(r"http://127\.0\.0\.1:\d+/teacher\?token=\S+", server.printed)
    assert link
    return link[0]


def count(page: Page, selector: str) -> int:
    return int(page.locator(selector).inner_text())


@pytest.mark.long
def test_forty_students_fill_the_histograms(demo: DEMO, visit: Visits) -> None:
    """A rehearsal: their number by transport, their latencies, and none lost."""
    server = demo("--students", "40")
    page = visit(f"{server.url}/class", viewport={"width": 1280, "height": 720})
    expect(page.locator("#students")).to_have_text("40", timeout=30_000)
    expect(page.locator("#simulated")).to_have_text("(40 simulated)")
    for transport in TRANSPORTS:
        row = page.locator(f"#histograms [data-transport={transport}]")
        expect(row.locator("h3")).to_contain_text("none lost", timeout=30_000)
        expect(row.locator("h3")).to_contain_text("median")
        expect(row.locator("rect").first).to_be_visible()
        students = count(page, f"#shares [data-transport={transport}] [data-metric=students]")
        assert students in (40 // len(TRANSPORTS), 40 // len(TRANSPORTS) + 1)
    for drawn in (".share", ".histogram"):
        rows = page.locator(drawn).evaluate_all("rows => rows.map(({ dataset }) => dataset.transport)")
        assert rows == list(TRANSPORTS)
    page.locator("#deal").click()
    expect(page.locator("#round")).to_have_text("Dealt 1 time.")
    with page.expect_download() as download:
        page.get_by_role("link", name=re.compile("CSV")).click()
    assert download.value.path().read_text().startswith("student,transport,latency_ms")


def test_a_student_joins_and_the_teacher_deals(demo: DEMO, visit: Visits) -> None:
    """In LAN mode a student takes part by opening the page, without controls; the teacher's link is clean."""
    server = demo("--lan")
    teacher = visit(teachers_link(server))
    assert teacher.url == f"{server.url}/class"
    expect(teacher.locator("#deal")).to_be_visible()
    if lan_addresses():
        expect(teacher.locator(".qr")).to_be_visible()
        assert teacher.locator(".qr").evaluate("image => image.naturalWidth") > 0
    students = [visit(f"{server.url}/class") for _ in TRANSPORTS]
    for student in students:
        expect(student.locator("#dealt")).to_contain_text("You are on")
        expect(student.locator("#deal")).to_be_hidden()
        expect(student.locator("#last")).not_to_have_text("–", timeout=20_000)
    expect(teacher.locator("#students")).to_have_text(str(len(TRANSPORTS)))
    # Who comes gets the transport that has the fewest: as many students as transports.
    dealt = {student.locator("#dealt").inner_text() for student in students}
    assert dealt == {f"You are on {label(name)}." for name in TRANSPORTS}
    teacher.locator("#deal").click()
    expect(teacher.locator("#round")).to_have_text("Dealt 1 time.")
    expect(teacher.locator("#histograms .histogram")).to_have_count(len(TRANSPORTS), timeout=20_000)
    assert raw.ask(server, "POST", "/class/deal", b"{}", {"Content-Type": "application/json"}).status == 403


@pytest.mark.long
def test_the_teacher_takes_a_student_out(demo: DEMO, visit: Visits) -> None:
    """He is told so and does not come back, and his figures leave the class's; the others stay."""
    server = demo("--lan")
    teacher = visit(teachers_link(server))
    students = []
    for count_here in (1, 2):
        students.append(visit(f"{server.url}/class"))
        expect(students[-1].locator("#dealt")).to_contain_text("You are on")
        expect(teacher.locator("#histograms .histogram")).to_have_count(count_here, timeout=20_000)
    taken_out, staying = students
    expect(teacher.locator("#student-number option")).to_have_count(2)
    teacher.locator("#student-number").select_option("1")
    teacher.get_by_role("button", name="Take out").click()
    said = "The teacher has taken you out of this class."
    expect(taken_out.locator("#problem")).to_have_text(said)
    expect(taken_out.locator("#dealt")).to_have_text("Not taking part.")
    for page in (teacher, staying):
        expect(page.locator("#students")).to_have_text("1")
        expect(page.locator("#histograms .histogram")).to_have_count(1)
    expect(teacher.locator("#student-number option")).to_have_count(1)
    taken_out.locator("#take-part").click()
    expect(taken_out.locator("#dealt")).to_have_text("Not taking part.")
    expect(taken_out.locator("#problem")).to_have_text(said)
    expect(teacher.locator("#students")).to_have_text("1")
    expect(staying.locator("#problem")).to_be_hidden()
    visit.console.clear()  # where the browser tells of what was refused


def test_the_teacher_takes_part_by_a_button_and_begins_again(server: Server, visit: Visits) -> None:
    """Alone on this machine, too."""
    page = visit(f"{server.url}/class")
    expect(page.locator("#dealt")).to_have_text("Not taking part.")
    expect(page.locator("#empty")).to_be_visible()
    page.locator("#take-part").click()
    expect(page.locator("#students")).to_have_text("1")
    expect(page.locator("#histograms .histogram")).to_have_count(1, timeout=20_000)
    page.locator("#take-part").click()
    expect(page.locator("#dealt")).to_have_text("Not taking part.")
    page.locator("#reset").click()
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("#students")).to_have_text("0")


@each_transport
def test_predictions_are_shown_as_a_distribution(server: Server, visit: Visits, transport: str) -> None:
    """What the class expected, by transport."""
    for number in range(5):
        body = (
            f'{{"page":"page-number-{number}","predictions":{{"{transport}":{{"latency_ms":{10**number}}}}}}}'
        )
        headers = {"Content-Type": "application/json"}
        assert raw.ask(server, "POST", "/class/prediction", body.encode(), headers).status == 200
    page = visit(f"{server.url}/class")
    shown = page.locator(f"#predictions [data-transport={transport}]")
    expect(shown.locator("h3")).to_contain_text("5 predicted, median 100 ms")
    expect(shown.locator("rect")).to_have_count(5)
    expect(page.locator("#predictions .histogram")).to_have_count(1)
