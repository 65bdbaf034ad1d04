"""A proxy that cuts connections at random bytes and moments: by FIN, by RST, or by falling silent.

It knows nothing of HTTP but that a request for a stream has begun, and shares no code with the clients.
"""

import asyncio
import itertools
import math
import random
import socket
import struct
import threading
from collections.abc import Iterable, Iterator
from typing import NamedTuple

READ_BYTES = 65536
SILENCE_MOST_S = 120.0
"""A connection that fell silent is forgotten after so long, or when its client has gone."""
KINDS = ("fin", "rst", "black hole")


class Cut(NamedTuple):
    """How a connection ends, and when: whatever comes first."""

    kind: str
    up_bytes: float = math.inf
    down_bytes: float = math.inf
    after_s: float = math.inf


def random_cuts(seed: int, life_s: float) -> Iterator[Cut]:
    """Cuts of all kinds: in a request, in an answer's head or body, and while nothing happens."""
    rng = random.Random(seed)
    for number in itertools.count():
        where = rng.random()
        yield Cut(
            KINDS[number % len(KINDS)],
            up_bytes=rng.randint(0, 400) if where < 0.2 else math.inf,
            down_bytes=rng.randint(0, 1500) if 0.2 <= where < 0.7 else math.inf,
            after_s=rng.uniform(0, life_s),
        )


class CuttingProxy:
    """Listens on `url` and passes on what comes, for as long as the connection's turn among `cuts` allows."""

    def __init__(
        self,
        target: tuple[str, int],
        cuts: Iterable[Cut],
        most: float = math.inf,
        asks: bytes = b" /streams/",
    ) -> None:
        """Pass on to `target`. Each connection has the next of `cuts`, until `most` were cut; `asks` is in
        each request for a stream."""
        self._target = target
        self._asks = asks
        self._most = most
        self._planned = 0
        """Connections that have a cut before them."""
        self._cuts = iter(cuts)
        self.cuts = 0
        """Connections that were cut so far."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._serving: set[asyncio.Task[None]] = set()
        self._is_ending = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "CuttingProxy":
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, sock=self._listener), self._loop
        ).result()
        return self

    def __exit__(self, *_: object) -> None:
        async def end() -> None:
            self._is_ending = True
            self._server.close()
            for task in self._serving:
                task.cancel()
            # Also for connections that were accepted just now, which end by themselves.
            while asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.sleep(0.01)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_ending:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            try:
                target_reader, target_writer = await asyncio.open_connection(*self._target)
            except OSError:
                writer.transport.abort()
                return
            try:
                await self._pass_on(reader, writer, target_reader, target_writer)
            finally:
                writer.transport.abort()
                target_writer.transport.abort()
        except (asyncio.CancelledError, OSError):
            pass

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        target_reader: asyncio.StreamReader,
        target_writer: asyncio.StreamWriter,
    ) -> None:
        asked = asyncio.Event()
        cut: Cut | None = None

        async def up() -> bool:
            nonlocal cut
            passed = 0
            while data := await reader.read(READ_BYTES):
                if not asked.is_set() and self._asks in data:
                    if self.cuts + self._planned < self._most:
                        cut = next(self._cuts, None)
                        self._planned += cut is not None
                    asked.set()
                room = (cut.up_bytes if cut else math.inf) - passed
                target_writer.write(data[: int(room)] if room < len(data) else data)
                await target_writer.drain()
                passed += len(data)
                if room <= len(data):
                    return True
            return False

        async def down() -> bool:
            passed = 0
            while data := await target_reader.read(READ_BYTES):
                room = (cut.down_bytes if cut else math.inf) - passed
                writer.write(data[: int(room)] if room < len(data) else data)
                await writer.drain()
                passed += len(data) if cut else 0
                if room <= len(data):
                    return True
            return False

        async def live() -> bool:
            await asked.wait()
            await asyncio.sleep(cut.after_s if cut and cut.after_s < math.inf else 10**6)
            return True

        tasks = [asyncio.ensure_future(each()) for each in (up, down, live)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._planned -= cut is not None
        if cut is None or not any(task.exception() is None and task.result() for task in done):
            # One side has ended by itself; what the other still says is of no use to anybody.
            await writer.drain()
            if writer.can_write_eof():
                writer.close()
            return
        self.cuts += 1
        if cut.kind == "black hole":
            try:
                async with asyncio.timeout(SILENCE_MOST_S):
                    while await reader.read(READ_BYTES):
                        pass
            except TimeoutError:
                pass
        elif cut.kind == "rst":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        else:
            writer.close()
            await writer.wait_closed()
