"""The systems that are not wirelab's own contract, measured by `wirelab bench` and by plain Locust."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from running import HEAD, NCHAN, needs_nchan, running

from bench.analysis import store
from bench.commands.bench import perform
from bench.evidence.gates import GATES
from bench.scenario.parse import parse
from bench.systems.registry import SYSTEMS

LOCUSTFILE = Path(__file__).parents[2] / "bench" / "locustfile.py"
SCENARIO = f"""{HEAD}
[defaults]
poll_interval_s = 0.2
subscribers = 10
publish_rate = 20
window_s = 0.6
settle_s = 0.2
"""


def measured(directory: Path, *cells: str) -> None:
    """Measure these cells, and hold each trial to all that does not depend on how busy this machine is."""
    scenario = parse(SCENARIO + "".join(f"\n[[cells]]\n{cell}\n" for cell in cells))
    path, _ = perform(scenario, directory / "run", "wirelab bench systems", quiet=True)
    run = store.load(path)
    assert len(run.run["trials"]) == len(scenario.plan())
    gates_of_server = {gate.name for gate in GATES.values() if gate.spoiled_by == "server"}
    gates_of_server -= {"server_core_busy_share"}  # whoever keeps it busy
    for trial in run.run["trials"]:
        failed = {name: gate for name, gate in trial["gates"].items() if gate["passed"] is False}
        assert not failed.keys() & gates_of_server, (trial["id"], failed)
        mine = run.deliveries[run.deliveries["trial"] == trial["id"]]
        assert mine["accepted_us"].isna().all() == (trial["system"] == "nchan")
        assert mine["subscriber"].nunique() == trial["subscribers"]
        for _, deliveries in mine.groupby("subscriber"):
            assert (np.diff(deliveries["id"]) == 1).all()


@needs_nchan
def test_they_are_measured(tmp_path: Path) -> None:
    """Each in a trial; with a cohort that leaves before, so the ids go on."""
    measured(
        tmp_path,
        'system = "nchan"\ntransport = "websocket"\nmemory = true',
        'system = "stock"\nserver_model = "gthread"\ntransport = "long-poll"',
    )


@needs_nchan
@pytest.mark.long
def test_they_are_measured_on_every_transport(tmp_path: Path) -> None:
    measured(
        tmp_path,
        f'system = "nchan"\ntransport = {list(NCHAN.transports)}\nmemory = true',
        f"""system = "stock"\ntransport = {list(SYSTEMS["stock"].transports)}
        server_model = ["gevent", "gthread"]\nmemory = true""",
    )


@needs_nchan
@pytest.mark.long
@pytest.mark.parametrize("user", ["WebSocketUser", "SseUser", "LongPollUser", "ShortPollUser"])
def test_locust_and_publish_take_its_name(tmp_path: Path, user: str) -> None:
    """Its users, told whose server it is, report deliveries and no failure."""
    with running(NCHAN, tmp_path) as server:
        to_it = ["--system", "nchan"]
        publish = [sys.executable, "-m", "bench.cli", "publish", "--url", server.url, "--rate", "20", *to_it]
        locust = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), "--headless", "--host", server.url]
        with subprocess.Popen(publish) as publisher:
            try:
                done = subprocess.run(
                    [*locust, "--only-summary", "-u", "5", "-r", "5", "-t", "3", *to_it, user],
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
            finally:
                publisher.terminate()
    assert done.returncode == 0, done.stderr
    counts = re.search(r"^NOTIFY +\S+ +(\d+) +(\d+)\(", done.stdout + done.stderr, re.MULTILINE)
    assert counts and int(counts[1]) > 50 and int(counts[2]) == 0, done.stderr


def test_a_user_of_a_transport_that_the_system_lacks_says_so() -> None:
    with pytest.raises(ValueError, match="system nchan does not speak carrier-pigeon, only short-poll, "):
        NCHAN.client("carrier-pigeon")
