"""Fixtures: a real server, on a free port, that is ended whatever happens, a real browser, and runs without a
run.

Rules:
- Tests run in several processes at once. A file whose subject is time says `pytestmark = pytest.mark.alone`:
  no other test runs beside one of its tests, and it comes after the other files.
- A page that is only read is read on the session's `pages`. A test that changes what a server holds has a
  server of its own, or brings back what it changed.
- In CI (CI=true) what is skipped has failed: there everything is at hand that a test may need.
"""

import contextlib
import fcntl
import io
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from deviations import is_left_out
from models import MODELS, SHARED_ON_THE_WIRE, start_line
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from clients.wire import keep_stamping

if TYPE_CHECKING:
    from bench.analysis.store import Run

# A shell without job control ignores SIGINT for what it starts in the background, nohup ignores SIGHUP, and
# children inherit that: the tests that interrupt a child, or hang up on it, would wait for nothing.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, usual)

IN_CI = os.environ.get("CI") == "true"
STOP_S = 15.0
QUICK = {"analysis", "clients", "evidence", "rendering", "rundir", "scenario"}
"""Rooms whose files take seconds."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files that take long come first, so that no process has one left when the others are done. The tests
    that run alone come last: until then nobody waits for them.
    """
    left_out = [item for item in items if is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        kept = set(items) - set(left_out)
        items[:] = [item for item in items if item in kept]
    items.sort(key=lambda item: (runs_alone(item), item.path.parent.name in QUICK))


def runs_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Take turns with the other processes of this run: a test that runs alone waits until no other runs, and
    none begins while it waits or runs. The limit on a test's time does not count the wait."""
    here = Path(__file__)
    with here.open() as turn, here.with_name("raw.py").open() as running:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if runs_alone(item):
            fcntl.flock(running, fcntl.LOCK_EX)
        else:
            fcntl.flock(running, fcntl.LOCK_SH)
            fcntl.flock(turn, fcntl.LOCK_UN)
        return (yield)


def fail_if_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a skip a failure in CI, where nothing may be missing. An expected failure stays what it is."""
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"In CI nothing is skipped. {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_if_skipped(report)
    return report


@dataclass
class Server:
    """A running `wirelab serve` or `wirelab demo`. What it prints on stderr is in `log`."""

    process: subprocess.Popen[str]
    url: str
    log: Path
    printed: str = ""
    """What it printed on stdout before it said that it serves."""

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        assert parts.hostname and parts.port
        return parts.hostname, parts.port


def start_server(log: Path, *options: str, command: str = "serve", port: int = 0) -> Server:
    """Start `wirelab serve` (or `demo`), by default on a free port, and wait until it says that it serves.

    `--server-model` may name any server of `models.py`.
    """
    line = start_line(command, "--port", str(port), *options)
    with log.open("a") as stderr:
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=stderr, text=True)
    assert process.stdout
    printed = ""
    for said in process.stdout:
        if said.startswith("wirelab: serving on "):
            url = said.split()[3].replace("0.0.0.0", "127.0.0.1")
            return Server(process, url, log, printed)
        printed += said
    process.kill()
    process.wait()
    process.stdout.close()
    return pytest.fail(f"the server did not start: {printed!r}\n{log.read_text()}")


def stop_server(server: Server) -> None:
    """End it as an operator would, and by force if that does not help."""
    server.process.terminate()
    deadline = time.monotonic() + STOP_S
    while server.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    server.process.kill()
    server.process.wait()
    assert server.process.stdout
    server.process.stdout.close()


def leave_server(server: Server) -> None:
    """End it in the background: to say goodbye takes it a second or two, and no test needs to wait."""
    threading.Thread(target=stop_server, args=(server,)).start()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers with options of the test's own."""
    started: list[Server] = []

    def start(*options: str) -> Server:
        started.append(start_server(tmp_path / f"server-{len(started)}.log", *options))
        return started[-1]

    yield start
    for server in started:
        leave_server(server)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One gevent server for the whole session: use streams of names that no other test uses."""
    started = start_server(tmp_path_factory.mktemp("server") / "server.log")
    yield started
    stop_server(started)


@pytest.fixture(scope="session", params=MODELS)
def any_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of each model in turn, shared as `server` is."""
    log = tmp_path_factory.mktemp(request.param) / "server.log"
    started = start_server(log, "--server-model", request.param)
    yield started
    stop_server(started)


@pytest.fixture(scope="session", params=SHARED_ON_THE_WIRE)
def wire_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same, and also servers that `wirelab serve` does not have: for what speaks only the contract."""
    log = tmp_path_factory.mktemp(request.param) / "server.log"
    started = start_server(log, "--server-model", request.param)
    yield started
    stop_server(started)


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start `wirelab demo` with options of the test's own."""
    started: list[Server] = []

    def start(*options: str, port: int = 0) -> Server:
        log = tmp_path / f"demo-{len(started)}.log"
        started.append(start_server(log, *options, command="demo", port=port))
        return started[-1]

    yield start
    for server in started:
        leave_server(server)


@pytest.fixture(scope="session", autouse=True)
def stamps() -> None:
    """The kernel stamps what arrives from the first test on: on a busy machine it begins late."""
    keep_stamping()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One `wirelab demo` for the whole session: for what only reads its pages."""
    started = start_server(tmp_path_factory.mktemp("pages") / "server.log", command="demo")
    yield started
    stop_server(started)


BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER_OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
BROWSER_TIMEOUT_MS = 15_000
ARTICLE_SAYS = "data web Socket Works"
"""What the article's own page, in a frame of ours, tells the console. It is as the article prints it."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium. Without one the test is skipped."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium is installed; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(BROWSER_OPTIONS))
        yield started
        started.close()


@dataclass
class Visits:
    """Opens pages, each in a browser context of its own unless told, and keeps what the console was told."""

    browser: Browser
    console: list[str] = field(default_factory=list)
    """What pages wrote to the console, and what they threw. A test that expects some clears it."""

    def __call__(self, url: str, *, beside: Page | None = None, **context: Any) -> Page:
        """A page at this address. `beside` opens it as another tab of that page's browser."""
        opened = beside.context if beside else self.browser.new_context(**context)
        page = opened.new_page()
        page.set_default_timeout(BROWSER_TIMEOUT_MS)
        page.on("console", lambda message: self._note(page, message))
        page.on("pageerror", lambda error: self.console.append(f"{page.url} threw {error}"))
        page.goto(url)
        return page

    def _note(self, page: Page, message: ConsoleMessage) -> None:
        is_framed = urlsplit(message.location["url"]).netloc != urlsplit(page.url).netloc
        if not (is_framed and message.text == ARTICLE_SAYS):
            self.console.append(f"{page.url} {message.type}: {message.text} ({message.location['url']})")


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visits]:
    """Visit pages; when the test is done, no page may have had anything to say on the console."""
    visits = Visits(browser)
    yield visits
    for context in browser.contexts:
        context.close()
    assert visits.console == []


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory: pytest.TempPathFactory) -> "Run":
    """A synthetic run of three transports under one load, analysed. Only to be read."""
    return analysed(tmp_path_factory.mktemp("quick"))


@pytest.fixture(scope="session")
def article_run(tmp_path_factory: pytest.TempPathFactory) -> "Run":
    """A synthetic run with cells enough for every claim, analysed. Only to be read."""
    from synthetic_run import article

    return analysed(tmp_path_factory.mktemp("article"), article(), name="article", repeats=5)


def analysed(directory: Path, *cells: Any, **settings: Any) -> "Run":
    """Write a synthetic run and its summary.json, and open it."""
    from synthetic_run import write_run

    from bench.analysis import store

    store.analyse(write_run(directory, *cells, **settings))
    return store.load(directory)


def wirelab(*arguments: str | Path) -> tuple[int, str]:
    """Run a command in this process: its exit code, and what it says on stderr."""
    from bench.cli import main

    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        code = main(list(map(str, arguments)))
    return code, errors.getvalue()


@pytest.fixture
def one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports of one figure: each takes its time."""
    from bench.rendering import figures

    for name in list(figures.FIGURES)[1:]:
        monkeypatch.delitem(figures.FIGURES, name)
