"""A thousand cuts on each transport and server model, and ten restarts: nothing is lost without a word.

Rules:
- Connections are cut by a proxy at random bytes and moments: by FIN, by RST, and by silence.
- The judge shares no code with the receivers. It knows what was published and which id and epoch each got,
  and is shown what each client was given and how many gaps it was told of.
- No client may have ended by itself, whatever happened to it.
- Answers are waited for and pauses are at most a second, so that cuts come quickly; nothing else is changed.
"""

import http.client
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from conftest import Server, Visits, start_server, stop_server
from cutting_proxy import CuttingProxy, random_cuts
from models import ON_THE_WIRE
from raw import SOCKETIO

from clients import TRANSPORTS, engine, long_poll, subscriber
from clients.subscriber import Subscriber
from servers.demo.pages import BROWSER, CONTENT_TYPES, STATIC

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

CUTS = 1000
CLIENTS = 50
RESTARTS = 5
BROWSER_CUTS = 150
TABS = 5
CLIENTS_A_TAB = 2
"""A browser makes six connections to an origin, and one WebSocket's handshake at a time."""
LIFE_S = 1.5
PUBLISH_S = 0.12
WITHIN_S = 150.0
STREAM = "cuts"


class Given(NamedTuple):
    """What one client was given, in its order, and what it was told is missing."""

    who: str
    notifications: list[tuple[int, int]]
    """The id and the number in the data of each."""
    missed: int
    unknown_gaps: int


class Newsroom(threading.Thread):
    """Publishes numbers 1, 2, 3, … one after the other, and writes down what became of each."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self.address = server.address
        self.accepted: dict[int, tuple[str, int]] = {}
        """Each number's epoch and id. Of those that are not here nobody knows whether they were accepted."""
        self.last = 0
        self._stop_asked = threading.Event()

    @property
    def lives(self) -> int:
        """How many lives of the server have accepted something."""
        return len({epoch for epoch, _ in list(self.accepted.values())})

    def run(self) -> None:
        for number in itertools.count(1):
            done = self._stop_asked.is_set()
            self._publish(number)
            if done and number in self.accepted:
                self.last = number
                return
            time.sleep(PUBLISH_S)

    def stop(self) -> int:
        """Publish a last one, and return its number."""
        self._stop_asked.set()
        self.join(30)
        return self.last

    def _publish(self, number: int) -> None:
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        try:
            body = json.dumps({"data": {"number": number}})
            connection.request(
                "POST", f"/streams/{STREAM}/notifications", body, {"Content-Type": "application/json"}
            )
            answer = connection.getresponse()
            if answer.status == 201:
                told = json.loads(answer.read())
                self.accepted[number] = (told["cursor"].partition(".")[0], told["id"])
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()


def faults(given: Given, accepted: dict[int, tuple[str, int]], last: int) -> list[str]:
    """What is wrong with what a client was given. It joined before the first was published, and nothing has
    ever left a log, so all that may be missing is the end of an epoch, and that must have been told."""
    found = []
    epochs_given: list[str | None] = []
    gaps = 0
    before_id, before_number = 0, 0
    for id_, number in given.notifications:
        epoch, true_id = accepted.get(number, (None, id_))
        if id_ != true_id:
            found.append(f"{number} came with the id {id_}, and was accepted with {true_id}")
        if number <= before_number:
            found.append(f"{number} came after {before_number}")
        if id_ != before_id + 1:
            gaps += 1
            if id_ != 1:
                found.append(f"id {id_} came after id {before_id}")
            epochs_given.append(None)
        if not epochs_given:
            epochs_given.append(None)
        if epoch is not None:
            if epochs_given[-1] not in (None, epoch):
                found.append(f"{number} of epoch {epoch} was taken for one of {epochs_given[-1]}")
            epochs_given[-1] = epoch
        before_id, before_number = id_, number
    if before_number != last:
        found.append(f"the last that came is {before_number}, and {last} was published")
    if gaps > given.unknown_gaps:
        found.append(f"{gaps} gaps, and {given.unknown_gaps} were told")
    if given.missed:
        found.append(f"{given.missed} were told as missed, and nothing has left the log")
    return [f"{given.who}: {fault}" for fault in found[:3]]


@pytest.mark.parametrize(
    ("notifications", "unknown_gaps", "right"),
    [
        ([(1, 1), (2, 2), (3, 3), (1, 5), (2, 6)], 1, True),
        ([(1, 1), (2, 2), (1, 5), (2, 6)], 1, True),
        ([(1, 5), (2, 6)], 1, True),
        ([(1, 1), (2, 2), (3, 3), (4, 4), (1, 5), (2, 6)], 1, True),
        ([(1, 1), (3, 3), (1, 5), (2, 6)], 2, False),
        ([(1, 1), (2, 2), (2, 2), (1, 5), (2, 6)], 1, False),
        ([(1, 1), (2, 2), (1, 5), (2, 6)], 0, False),
        ([(1, 1), (2, 2), (2, 6)], 1, False),
        ([(1, 1), (2, 2), (3, 3), (1, 5)], 1, False),
        ([(1, 1), (3, 2), (1, 5), (2, 6)], 1, False),
        ([(2, 2), (3, 3), (1, 5), (2, 6)], 1, False),
        ([], 1, False),
    ],
)
def test_the_judge(notifications: list[tuple[int, int]], unknown_gaps: int, right: bool) -> None:
    """Three numbers in the first epoch and a fourth of which nobody knows, two in the second."""
    accepted = {1: ("a", 1), 2: ("a", 2), 3: ("a", 3), 5: ("b", 1), 6: ("b", 2)}
    assert (faults(Given("", notifications, 0, unknown_gaps), accepted, 6) == []) is right


def wait_until(condition: Callable[[], bool], what: Callable[[], object], within_s: float) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, what()
        time.sleep(0.1)


ASKS = dict.fromkeys(SOCKETIO, b" /socket.io/")


@contextmanager
def cutting_proxies(server: Server, most: int) -> Iterator[dict[str, CuttingProxy]]:
    """A proxy for each transport, in front of a server, that makes so many cuts."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                CuttingProxy(
                    server.address, random_cuts(seed=seed, life_s=LIFE_S), most, ASKS.get(name, b" /streams/")
                )
            )
            for seed, name in enumerate(TRANSPORTS)
        }


def cuts_of(proxies: dict[str, CuttingProxy]) -> dict[str, int]:
    return {name: proxy.cuts for name, proxy in proxies.items()}


def is_free(address: tuple[str, int]) -> bool:
    """Whether a server can listen there: a worker whose master was killed takes a moment to notice."""
    try:
        socket.create_server(address).close()
    except OSError:
        return False
    return True


class Client(threading.Thread):
    """Follows by one of our clients until it is closed."""

    def __init__(self, follower: Subscriber) -> None:
        super().__init__(daemon=True)
        self.follower = follower
        self.notifications: list[tuple[int, int]] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for delivery in self.follower:
                self.notifications.append((delivery.id, delivery.data["number"]))
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    def given(self) -> Given:
        receiver = self.follower.receiver
        return Given(self.follower.transport, self.notifications, receiver.missed, receiver.unknown_gaps)


@pytest.mark.parametrize("model", ON_THE_WIRE)
def test_python_clients(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand cuts on each transport, and five restarts, every other by SIGKILL."""
    monkeypatch.setattr(subscriber, "ANSWER_TIMEOUT_S", 1.0)
    monkeypatch.setattr(engine, "ANSWER_TIMEOUT_S", 1.0)
    monkeypatch.setattr(long_poll, "ANSWER_TIMEOUT_S", 1.0)
    monkeypatch.setattr(subscriber, "BACKOFF_MOST_S", 1.0)
    log = tmp_path / "server.log"
    # Engine.IO's clients wait for its pings, which they cannot ask for.
    options = ("--server-model", model, "--ping-interval-s", "1")
    server = start_server(log, *options)
    try:
        newsroom = Newsroom(server)
        with cutting_proxies(server, CUTS) as proxies:
            clients = [
                Client(
                    TRANSPORTS[name](
                        proxies[name].url,
                        STREAM,
                        poll_interval_s=0.25,
                        wait_s=1.0,
                        heartbeat_s=1,
                        seed=number,
                    )
                )
                for name in TRANSPORTS
                for number in range(CLIENTS)
            ]
            for client in clients:
                client.start()
            wait_until(
                lambda: all(client.follower.joined for client in clients), lambda: "not all joined", 60
            )
            newsroom.start()

            def cuts() -> dict[str, int]:
                return cuts_of(proxies)

            # Hundreds were made before the last client had joined: the lives share what is left.
            before = min(cuts().values())
            for restart in range(RESTARTS):
                share = before + (CUTS - before) * (restart + 1) // (RESTARTS + 1)
                wait_until(lambda: min(cuts().values()) >= share, cuts, WITHIN_S)  # noqa: B023
                wait_until(lambda: newsroom.lives > restart, lambda: newsroom.accepted, 30)  # noqa: B023
                if restart % 2:
                    server.process.kill()
                stop_server(server)
                wait_until(lambda: is_free(server.address), lambda: "the port stays taken", 30)  # noqa: B023
                server = start_server(log, *options, port=server.address[1])
            wait_until(lambda: min(cuts().values()) == CUTS, cuts, WITHIN_S)
            last = newsroom.stop()
            wait_until(
                lambda: all(
                    client.notifications[-1:] and client.notifications[-1][1] == last for client in clients
                ),
                lambda: [
                    (client.error, client.follower.last_error, client.given())
                    for client in clients
                    if client.notifications[-1:] == [] or client.notifications[-1][1] != last
                ],
                60,
            )
            errors = [client.error for client in clients if client.error or not client.is_alive()]
            for client in clients:
                client.follower.close()
            for client in clients:
                client.join(10)
    finally:
        stop_server(server)
    assert errors == []
    assert newsroom.lives == RESTARTS + 1
    assert [fault for client in clients for fault in faults(client.given(), newsroom.accepted, last)] == []
    assert all(client.follower.receiver.lost == 0 for client in clients)


FOLLOW = """async ([transport, count]) => {
  const { default: Subscriber } = await import(`/browser/${transport.replace("-", "_")}.js`);
  window.followers = Array.from({ length: count }, () => {
    const given = [];
    const follower = new Subscriber("cuts", {
      pollIntervalS: 0.25,
      waitS: 1,
      heartbeatS: 1,
      onNotifications: (all) => given.push(...all.map(({ id, data }) => [id, data.number])),
    });
    follower.given = given;
    follower.start();
    return follower;
  });
}"""
REPORT = """() => followers.map(({ given, state, closed, receiver }) =>
  ({ given, closed, missed: receiver.missed, unknown_gaps: receiver.unknown_gaps, lost: receiver.lost }))"""
JOINED = "() => followers.every(({ receiver }) => receiver.cursor !== null)"


@pytest.fixture
def quick_modules(visit: Visits) -> Iterator[Callable[[str], Any]]:
    """Open a page whose clients wait for an answer, and pause, for a second at most."""

    def quicker(route: Any) -> None:
        """The demo's files, which the server that is cut off does not serve."""
        path = urlsplit(route.request.url).path
        text = ((STATIC if path.startswith("/static/") else BROWSER) / Path(path).name).read_text()
        text = text.replace("ANSWER_TIMEOUT_MS = 10_000", "ANSWER_TIMEOUT_MS = 1000")
        text = text.replace("BACKOFF_MOST_MS = 2000", "BACKOFF_MOST_MS = 1000")
        route.fulfill(content_type=CONTENT_TYPES[".js"], body=text)

    def open_page(url: str) -> Any:
        page = visit("about:blank")
        page.route("**/*.js", quicker)
        page.goto(f"{url}/healthz")
        return page

    yield open_page
    for context in visit.browser.contexts:
        context.close()
    visit.console.clear()  # where the browser tells of each cut


def test_browser_clients(serve: Callable[..., Server], quick_modules: Callable[[str], Any]) -> None:
    """150 cuts on each transport. On Socket.IO a page learns of a silent server by the engine's pings alone:
    here they come every second, and have a second to be answered."""
    server = serve("--ping-interval-s", "1")
    names = list(TRANSPORTS)
    newsroom = Newsroom(server)
    with cutting_proxies(server, BROWSER_CUTS) as proxies:
        tabs = [(name, quick_modules(proxies[name].url)) for name in names for _ in range(TABS)]
        for name, tab in tabs:
            tab.evaluate(FOLLOW, [name, CLIENTS_A_TAB])
        for _, tab in tabs:
            tab.wait_for_function(JOINED, timeout=60_000)
        newsroom.start()

        def cuts() -> dict[str, int]:
            tabs[0][1].wait_for_timeout(100)  # Playwright's own work goes on only in its waits
            return {name: proxies[name].cuts for name in names}

        wait_until(lambda: min(cuts().values()) == BROWSER_CUTS, cuts, WITHIN_S)
        last = newsroom.stop()
        for _, tab in tabs:
            tab.wait_for_function(
                f"() => followers.every(({{ given }}) => given.at(-1)?.[1] === {last})", timeout=60_000
            )
        reports = [(name, report) for name, tab in tabs for report in tab.evaluate(REPORT)]
        for _, tab in tabs:
            tab.evaluate("() => followers.forEach((follower) => follower.close())")
    assert not [(name, report) for name, report in reports if report["closed"] or report["lost"]]
    found = [
        fault
        for name, report in reports
        for fault in faults(
            Given(name, [tuple(each) for each in report["given"]], report["missed"], report["unknown_gaps"]),
            newsroom.accepted,
            last,
        )
    ]
    assert found == []
