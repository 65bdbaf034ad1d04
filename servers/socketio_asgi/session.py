"""A session of Engine.IO 4 on asyncio, on polling or on a WebSocket.

Rules, beside those of `servers/sessions.py`:
1. On a WebSocket one task writes and one reads. The reader goes on when its replies are written: a client
   that does not read them is slowed by TCP.
2. A client that closes the connection of its held poll, or that does not take an answer whole, has gone: its
   session would have a hole.
3. A poll that is held when the upgrade begins is ended, and nothing is taken for the WebSocket before it has.
4. No wait for news has an end of its own: there is a ping as often as one is due.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from engineio.exceptions import EngineIOError

from servers.refusals import Refused
from servers.rules.engine_io import (
    NOOP,
    PROBE,
    PROBE_TIMEOUT_S,
    PROBED,
    UPGRADE,
    no_packet,
    packets_of,
    payload,
    payload_fields,
)
from servers.rules.frames import GOING_AWAY, NORMAL_CLOSURE, CloseWith, as_close
from servers.sessions import BaseSession
from servers.socketio_asgi.requests import BODY, REQUEST, Answer, Request
from servers.stream import Batch, Stream, Waiter
from servers.unaccepted import UnacceptedFull

if TYPE_CHECKING:
    from servers.socketio_asgi.engine import AsyncEngine

Taken = tuple[list[str], Batch | None]


class AsyncSession(BaseSession):
    """One client's session."""

    server: "AsyncEngine"

    def __init__(self, server: "AsyncEngine", sid: str, address: str | None) -> None:
        self._woken = asyncio.Event()
        super().__init__(server, sid, {}, address, Waiter(signal=self._woken))
        self._taking = asyncio.Lock()
        self._all_written = asyncio.Event()
        """Whether no packet waits, or nothing is written any more."""
        server.streams.interrupt_at_stop(self._waiter)

    def _queue(self, packet: str) -> None:
        self._all_written.clear()
        super()._queue(packet)

    def leave(self) -> None:
        if self.stream is not None:
            self.stream.forget(self._waiter)
        super().leave()

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:
        stream: Stream | None = self.stream
        super().close(reason=reason)
        self._all_written.set()
        self.server.streams.forget(self._waiter)
        if stream is not None:
            stream.forget(self._waiter)

    def _there(self) -> Taken | None:
        """What there is to write, packets before the batch; None if it is to be waited for."""
        waiter = self._waiter
        self._woken.clear()
        stream = self.stream
        batch: Batch | None = None
        if stream is not None and not self.closed:
            batch = stream.batch(self._position) if self._first else stream.look(self._position, waiter)
        if batch is None and not (self._packets or waiter.nudged or self.is_over):
            return None
        waiter.nudged = False
        return self._taken(stream, batch)

    async def _take(self) -> Taken:
        """The same, as soon as there is something."""
        while (taken := self._there()) is None:
            await self._woken.wait()
        return taken

    # Polling

    async def handle_get_request(self, environ: dict[str, Any]) -> Answer | None:
        """The answer to a poll, or to an upgrade; raises EngineIOError."""
        request: Request = environ[REQUEST]
        if request.is_websocket:
            return await self.server.upgrade(self, request)
        self.asked()
        self.refuse_repeated(request.query)
        if self._taking.locked():
            # Two polls at once would share what comes.
            raise EngineIOError
        async with self._taking:
            self._waiter.nudged = False
            packets, batch = self._there() or await self._hold(request)
        if self.is_over:
            self.close()
        return self.payload(packets, batch)

    async def _hold(self, request: Request) -> Taken:
        """Wait, for no longer than the client does."""
        leaving = asyncio.create_task(request.until_gone())
        leaving.add_done_callback(self._client_gone)
        try:
            return await self._take()
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            leaving.remove_done_callback(self._client_gone)
            leaving.cancel()

    def _client_gone(self, leaving: "asyncio.Task[None]") -> None:
        self._waiter.interrupt()

    def payload(self, packets: list[str], batch: Batch | None) -> Answer:
        """The answer to a poll."""
        size, pieces = payload(packets, batch)
        return Answer(200, payload_fields(size), pieces, self._not_taken)

    def _not_taken(self) -> None:
        self.close(reason=self.server.reason.TRANSPORT_ERROR)

    async def handle_post_request(self, environ: dict[str, Any]) -> None:
        """The client's packets; raises EngineIOError, which ends the session."""
        self.asked()
        try:
            packets = packets_of(environ[BODY])
        except ValueError:
            raise EngineIOError from None
        turn = self.server.turns.turn()
        try:
            for packet in packets:
                if self.closed:
                    break
                self.receive_text(packet)
                await turn.worked()
        except UnacceptedFull:
            raise EngineIOError from None

    # WebSocket

    async def carry(self, websocket: Request, first_packet: str | None) -> None:
        """Carry the session on this WebSocket until either ends, once the client has left polling for it."""
        try:
            await websocket.accept()
            if first_packet is None:
                why = await self._leave_polling_for(websocket)
            else:
                self.connected = self.upgraded = True
                await websocket.send_text(first_packet)
                why = None
            if why is None:
                why = await self._write_and_read(websocket)
        finally:
            self.server.upgrade_ended(self)
            if first_packet is not None:
                self.close()
        if self.server.streams.stopping and why.code == NORMAL_CLOSURE:
            why = CloseWith(GOING_AWAY, "")
        await websocket.close(why.code, why.reason)

    async def _leave_polling_for(self, websocket: Request) -> CloseWith | None:
        """Have the client move here. Returns how to close the WebSocket if it does not."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                while (message := await websocket.message()) is not None:
                    if message == PROBE:
                        await websocket.send_text(PROBED)
                        # The client goes on when its poll was answered.
                        self._queue(NOOP)
                    elif message == UPGRADE:
                        self._leave_polling()
                        async with self._taking:
                            self._count_moved()
                        return None
                    elif isinstance(message, str):
                        return no_packet()
        except EngineIOError:
            return no_packet()
        except TimeoutError:
            pass
        return CloseWith(NORMAL_CLOSURE, "")

    async def _write_and_read(self, websocket: Request) -> CloseWith:
        """Returns how to close the WebSocket."""
        self.server.upgrade_ended(self)
        reading = asyncio.create_task(self._read(websocket))
        reading.add_done_callback(lambda _: self._waiter.interrupt())
        try:
            await self._write(websocket)
        except OSError:
            # The client has gone.
            pass
        finally:
            self.close()
            if not reading.done():
                reading.cancel()
        return reading.result() if reading.done() else CloseWith(NORMAL_CLOSURE, "")

    async def _write(self, websocket: Request) -> None:
        while True:
            # What came before the end is delivered; what goes on coming is not waited for.
            ending = self.is_over
            packets, batch = await self._take()
            for packet in packets:
                await websocket.send_text(packet)
            if not self._packets:
                self._all_written.set()
            if batch:
                await websocket.send_batch(batch)
            if ending:
                return

    async def _read(self, websocket: Request) -> CloseWith:
        """Returns how to close the WebSocket."""
        turn = self.server.turns.turn()
        try:
            while (message := await websocket.message()) is not None:
                turn.waited()
                # Bytes are an attachment of an event whose first packet was refused.
                if isinstance(message, str):
                    self.receive_text(message)
                if self._packets:
                    await self._all_written.wait()
                await turn.worked()
        except EngineIOError:
            return no_packet()
        except Refused as refused:
            return as_close(refused)
        return CloseWith(NORMAL_CLOSURE, "")
