"""What a server under test is to the laboratory: a `System` is one entry of `bench/systems/registry.py`.

Rules:
- An entry says how its server is started, spoken to and published to. It knows nothing of trials:
  bench/trials starts, pins, bills and ends the processes. A system costs what its whole process tree costs.
- A server says that it is ready by one line on its stdout that holds its URL. If a server says no such thing,
  `command` starts a script of the system's folder that waits for the server, and then writes the line.
- A system speaks the batches of README's "By hand", or brings client classes and a publisher of its own that
  turn what it speaks into them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from clients.publisher import Publisher
from clients.subscriber import Subscriber
from servers.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a trial asks of a server when it starts."""

    host: str = "127.0.0.1"
    """The address to serve on; the port is the server's choice."""
    server_model: str | None = None
    max_subscribers: int = Settings.max_subscribers
    """So many clients at the most are served at once."""
    ping_interval_s: float = Settings.ping_interval_s
    permessage_deflate: bool = False

    def words(self) -> list[str]:
        """The same as options of `wirelab serve`, with a free port."""
        given = {
            "--host": self.host,
            "--port": 0,
            "--max-subscribers": self.max_subscribers,
            "--ping-interval-s": self.ping_interval_s,
        }
        if self.max_subscribers > Settings.max_subscribers_per_address:
            # Across an emulated link all of them have one address.
            given["--max-subscribers-per-address"] = self.max_subscribers
        words = [str(part) for option in given.items() for part in option]
        return [*words, "--permessage-deflate"] if self.permessage_deflate else words


class System(ABC):
    """A server under test. What all have in common stands here; an entry overrides what is different."""

    name: ClassVar[str]
    """In the registry, in scenarios, in run.json."""
    label: ClassVar[str]
    """What readers see."""
    server_models: ClassVar[tuple[str, ...]] = ()
    """The ways to wait that a scenario can choose from; none if there is no choice."""
    uncompressed: ClassVar[tuple[str | None, ...]] = ()
    """Those of them that offer no permessage-deflate; None is a system without a choice."""
    transports: ClassVar[Mapping[str, type[Subscriber]]]
    """The client class of each transport that it speaks."""
    waits_in_s: ClassVar[float] = 0.0
    """Its waits and pings are multiples of so many seconds; 0: of any length."""
    unreported: ClassVar[tuple[str, ...]] = ()
    """Columns that it cannot tell ("accepted_us", "missed"): they are null in its trials, and no gate asks
    for them."""
    ours: ClassVar[bool] = False
    """Is it our own server?"""
    judged: ClassVar[tuple[str, ...]] = ()
    """The server models that the claims and the cost model are about."""
    noise_floor: ClassVar[tuple[str, ...]] = ()
    """The server models that show what the harness itself adds. Nothing is predicted for them."""

    def client(self, transport: str) -> type[Subscriber]:
        """Who speaks to it by that transport. Raises ValueError if it does not have it."""
        if transport not in self.transports:
            raise ValueError(
                f"system {self.name} does not speak {transport}, only {', '.join(self.transports)}"
            )
        return self.transports[transport]

    def missing(self) -> str | None:
        """Why it cannot run on this machine, in half a sentence; None if it can."""
        return None

    def version(self) -> str | None:
        """Its version; None if it is part of wirelab, whose commit stands in each run."""
        return None

    @abstractmethod
    def command(self, options: Options, scratch: Path) -> list[str]:
        """What starts its server. `scratch` is an empty directory for its files."""

    def url(self, line: str) -> str | None:
        """The URL in the line by which the server says that it is ready; None if there is none."""
        return next((word for word in line.split() if word.startswith("http://")), None)

    def publisher(
        self, url: str, stream: str, payload_bytes: int, *, seed: int = 0, keyed: bool = False
    ) -> Publisher:
        """What adds notifications. `keyed` makes a lost connection good, if the system has keys.

        Raises ConnectionLost if nobody answers."""
        return Publisher(url, stream, payload_bytes=payload_bytes, seed=seed, keyed=keyed)
