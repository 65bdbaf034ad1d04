"""Socket.IO in a real browser: our twins on both engines, and the vendored client as documented."""

from collections.abc import Callable

import psutil
import pytest
from conftest import Server, Visits
from raw import SOCKETIO, ask, publish, stats
from test_browser_subscriber import FOLLOW, wait_for
from test_clients import wait_until
from test_cuts import is_free

REAL = """async (engines) => {
  const { io } = await import("/static/socket.io.esm.min.js");
  window.got = [];
  window.names = [];
  let after = null;
  const auth = (give) => give(after === null ? { stream: "main" } : { stream: "main", after });
  window.socket = io({ auth, ...(engines ? { transports: engines } : {}), reconnectionDelay: 100 });
  socket.on("batch", (batch) => {
    after = batch.cursor;
    got.push(...batch.notifications.map(({ data }) => data));
    names.push(socket.io.engine.transport.name);
  });
}"""


def kill(server: Server) -> int:
    """End it without a word, master and worker. Returns its port."""
    for process in [*psutil.Process(server.process.pid).children(), server.process]:
        process.kill()
    server.process.wait()
    wait_until(lambda: is_free(server.address))
    return server.address[1]


@pytest.mark.parametrize("transport", SOCKETIO)
def test_the_twin_follows_publishes_and_resumes(
    demo: Callable[..., Server], visit: Visits, transport: str
) -> None:
    server = demo()
    page = visit(server.url + "/welcome")
    page.evaluate(FOLLOW, [transport, {}])
    wait_for(page, "() => follower.state === 'open'")
    for number in range(20):
        publish(server, "main", number)
    page.evaluate("() => follower.publish('from the page')")
    wait_for(page, "() => got.length === 21")
    assert stats(server, "main")["transports"][transport]["subscribers"] == 1
    page.evaluate("() => follower.cut(50)")
    wait_for(page, "() => states.some(([state]) => state === 'cut') && follower.state === 'open'")
    port = kill(server)
    wait_for(page, "() => follower.state === 'waiting'")
    successor = demo(port=port)
    publish(successor, "main", "again")
    wait_for(page, "() => got.length === 22")
    assert page.evaluate("() => got") == [*range(1, 22), 1]
    counted = page.evaluate("() => ({...follower.receiver, bytes: follower.bytes})")
    assert (counted["duplicates"], counted["lost"], counted["epoch_changes"]) == (0, 0, 1)
    assert all(counted["bytes"].values())
    page.evaluate("() => follower.close()")
    page.close()
    visit.console.clear()  # where the browser tells of the dead server, and of a session that had ended


@pytest.mark.parametrize("transport", SOCKETIO)
def test_what_is_said_is_answered_and_only_a_publish_counts_as_one(
    pages: Server, visit: Visits, transport: str
) -> None:
    """The packet that joins and the pongs are no publishes; a POST without its answer would look held."""
    page = visit(pages.url + "/welcome")
    page.evaluate(FOLLOW, [transport, {}])
    wait_for(page, "() => follower.state === 'open'")
    page.evaluate("() => follower.publish('from the page')")
    wait_for(page, "() => got.length")
    page.wait_for_timeout(200)
    wire = page.evaluate("() => wire")
    said = [event for event in wire if event["up"] and event["bodyBytes"]]
    assert [event.get("publishes") for event in said] == [False, True]
    answered = [event["exchange"] for event in wire if event["kind"] == "response"]
    if transport == "socketio-polling":
        assert {event["exchange"] for event in said} <= set(answered)
        assert page.evaluate("async () => (await import('/browser/subscriber.js')).inFlight.requests") == 1
    page.evaluate("() => follower.close()")
    page.wait_for_timeout(200)
    assert page.evaluate("async () => (await import('/browser/subscriber.js')).inFlight.requests") == 0
    assert page.evaluate("() => wire.filter(({ kind }) => kind === 'lost').length") == 1
    page.close()
    visit.console.clear()


@pytest.mark.parametrize("transport", SOCKETIO)
def test_a_refusal_ends_the_twin(pages: Server, visit: Visits, transport: str) -> None:
    page = visit(pages.url + "/welcome")
    page.evaluate(FOLLOW, [transport, {"after": "no cursor"}])
    wait_for(page, "() => follower.state === 'refused'")
    assert "after is not a cursor" in page.evaluate("() => states.at(-1)[1]")
    page.close()
    visit.console.clear()  # where the browser tells that the session had ended before it was told to


@pytest.mark.parametrize("engines", [None, ["polling"], ["websocket"]])
def test_the_real_client_gets_everything(
    demo: Callable[..., Server], visit: Visits, engines: list[str] | None
) -> None:
    """With its defaults it begins by polling, and moves to a WebSocket."""
    server = demo()
    page = visit(server.url + "/welcome")
    page.evaluate(REAL, engines)
    wait_for(page, "() => names.length")
    for number in range(30):
        publish(server, "main", number)
    answer = page.evaluate('() => socket.emitWithAck("publish", { data: "acknowledged" })')
    assert answer["id"] == 31
    wait_for(page, "() => got.length === 31")
    in_use = "socketio-polling" if engines == ["polling"] else "socketio"
    wait_until(lambda: stats(server, "main")["transports"][in_use]["subscribers"] == 1)
    port = kill(server)
    wait_for(page, "() => !socket.connected")
    successor = demo(port=port)
    publish(successor, "main", "again")
    wait_for(page, "() => got.length === 32")
    assert page.evaluate("() => got") == [*range(30), "acknowledged", "again"]
    page.evaluate("() => socket.disconnect()")
    assert ask(successor, "GET", "/healthz").status == 200
    page.close()
    visit.console.clear()
