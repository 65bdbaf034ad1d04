"""gunicorn's asgi worker, subclassed where ASGI cannot say what the contract asks.

Rules, beside gunicorn's own:
1. What is refused before the application is asked is told as a problem too, and a peer that is told of the
   end has LINGER_S to read it.
2. A request is waited for as `servers/patience.py` says; what came and is not accepted counts
   (`unaccepted.py`).
3. A peer that has shut its sending side is answered all that it asked; who is held counts as gone then.
4. At the end, WebSockets (`websocket.py`) are told first.
"""

import asyncio
import signal
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from gunicorn.asgi import protocol as asgi_protocol
from gunicorn.asgi.protocol import ASGIProtocol, BodyReceiver
from gunicorn.workers import gasgi

from servers import ways_to_start
from servers.asgi_server.application import Application
from servers.asgi_server.events import EXTENSION, Event
from servers.asgi_server.exchange import problem_headers
from servers.asgi_server.parser import KEPT, Parser
from servers.asgi_server.websocket import WebSocket
from servers.asyncio_server.requests import BadHead, Request, fields_of, read_line
from servers.ending import Ending
from servers.patience import SAYING_NOTHING, Patience, Phase
from servers.process import GOODBYE_S, GRACEFUL_S, LINGER_S
from servers.refusals import Refused
from servers.rules import problems
from servers.rules.bodies import badly_chunked
from servers.rules.heads import LINE_TOO_LARGE, TOO_LARGE
from servers.rules.problems import SERVER_FAILED, Problem
from servers.unaccepted import FREE_BYTES, Claim, UnacceptedFull

END_S = GRACEFUL_S - 0.25
"""A process that ends by itself is gone before anybody ends it."""
LOOK_S = 0.02
MOST_KEPT_BYTES = 64 * 1024
"""Of what came and was not read: then nothing more is taken from the kernel."""
DISCONNECT: Event = {"type": "http.disconnect"}
BODY_END: Event = {"type": "http.request", "body": b"", "more_body": False}
NOT_HTTP = "This is no request of HTTP/1.1 (RFC 9112): {}."


class AsgiWorker(Ending, gasgi.ASGIWorker):  # type: ignore[misc]
    """Waits for its peers as `patience.py` says, and ends as `ending.py` says, on its own loop."""

    asgi: Application
    patience: Patience
    loop: Any
    nr_conns: int

    def load_wsgi(self) -> None:
        super().load_wsgi()
        if not isinstance(self.asgi, Application):
            ways_to_start.end_with(
                "the worker AsgiWorker serves the application of the server model asgi alone."
            )
        self.websockets: dict[WebSocket, None] = {}
        self._serving: asyncio.Task[None] | None = None
        self._end_s = 0.0

    def begin(self) -> None:
        self.streams = self.asgi.streams
        self.asgi.begin(self.loop, [each.sock.getsockname()[0] for each in self.sockets])

    def run(self) -> None:
        if self.streams is None:
            ways_to_start.end_with(
                "the server model asgi is served with -c python:servers.gunicorn_conf and "
                "WIRELAB_SERVER_MODEL=asgi alone."
            )
        super().run()

    def take_hang_up(self, *, ends: bool) -> None:
        if ends:
            self.loop.add_signal_handler(signal.SIGHUP, self.handle_exit_signal)
        else:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def handle_quit_signal(self) -> None:
        """Ctrl-C says goodbye as SIGTERM does."""
        self.handle_exit_signal()

    async def _serve(self) -> None:
        self._serving = asyncio.current_task()
        await super()._serve()

    def _begin_goodbye(self) -> None:
        if self.loop.is_closed():
            return
        self._end_s = time.monotonic() + END_S
        for server in self.servers:
            server.close()
        self.asgi.stop()
        for websocket in list(self.websockets):
            websocket.go_away()
        self.loop.call_later(GOODBYE_S, self.patience.cut_all)
        if self._serving is not None:
            # gunicorn sleeps there for a second.
            self._serving.cancel()

    async def _shutdown(self) -> None:
        # Where the loop itself saw the end (a lost master), its cancellation is still to come.
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        while self.nr_conns and time.monotonic() < self._end_s:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(LOOK_S)


class Receiver(BodyReceiver):  # type: ignore[misc]
    """A request's body, and what its handler is told once that was read."""

    _body_finished: bool
    _waiter: Any

    def __init__(self, request: Any, protocol: "Connection", asked: Request) -> None:
        super().__init__(request, protocol)
        self.asked = asked
        self.peer = protocol.peer
        self._told: deque[Event] = deque()
        self._has_departed = False

    @property
    def is_held(self) -> bool:
        """Whether the handler waits for anything but the body."""
        return self._body_finished and self._waiter is not None

    @property
    def is_gone(self) -> bool:
        return bool(self._closed)

    def tell(self, event: Event) -> None:
        self._told.append(event)
        self._wake_waiter()

    def depart(self) -> None:
        """The peer will send nothing more, or cannot be seen to go."""
        self._has_departed = True
        self._wake_waiter()

    def ping(self, now_s: float) -> None:
        """There is no ping by HTTP."""

    def end_after(self) -> None:
        self.protocol.ends = True

    async def receive(self) -> Event:
        if not self._body_finished:
            if self._chunks:
                return self._pop_chunk()  # type: ignore[no-any-return]
            if self._complete:
                self._body_finished = True
                return BODY_END
            if self._has_departed:
                return DISCONNECT
            return await super().receive()  # type: ignore[no-any-return]
        while not self._told and not self._closed and not self._has_departed:
            self._waiter = self.protocol.worker.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._told.popleft() if self._told else DISCONNECT


class Connection(ASGIProtocol):  # type: ignore[misc]
    """One HTTP connection, until a WebSocket takes it over."""

    worker: AsgiWorker
    _callback_parser: Any
    _body_receiver: Any
    _websocket: Any
    _flow_control: Any
    _current_request: Any
    _task: Any
    transport: Any
    writer: Any
    _response_buffer: Any
    _closed: bool

    def __init__(self, worker: AsgiWorker) -> None:
        super().__init__(worker)
        self.peer = ""
        self.phase = Phase.NEW
        self.waited_since_s: float | None = None
        self.received = 0
        self.ends = False
        """Whether the connection ends with the answer that is being made."""
        self._asked: Request | None = None
        self._claim: Claim | None = None
        """What came and is not read yet."""
        self._has_ended = False
        self._has_answered = False
        """Whether the answer to the last request has begun."""
        self._linger: Any = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # While the socket has not taken all, nothing more is given to it.
        transport.set_write_buffer_limits(high=0)
        name = transport.get_extra_info("peername")
        self.peer = name[0] if name else ""
        self.worker.patience.make_room(self.worker.nr_conns)
        self._wait()

    def _setup_callback_parser(self) -> None:
        self._callback_parser = Parser(
            on_headers_complete=self._on_headers_complete,
            on_body=self._on_body,
            on_message_complete=self._on_message_complete,
        )

    # What comes in.

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        if self._websocket is not None:
            self._websocket.feed_data(data)
            return
        self.received += len(data)
        if self.phase in (Phase.NEW, Phase.IDLE):
            self._begin(Phase.HEAD)
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        parser = self._callback_parser
        if self._closed or parser is None or not self._feed_callback_parser(data):
            return
        receiver = self._body_receiver
        if receiver is not None and receiver.is_held and parser.unread > FREE_BYTES:
            receiver.depart()
        try:
            self._note_kept()
        except UnacceptedFull as error:
            self._refuse_full(error)
            return
        if parser.is_interrupted or self._http1_buffered() > MOST_KEPT_BYTES:
            self._pause_reading()
        else:
            self._maybe_resume_reading()
            if self._has_ended and receiver is not None:
                receiver.depart()

    def _feed_callback_parser(self, data: bytes) -> bool:
        """Read what came, or go on with what came before."""
        try:
            is_fed = bool(super()._feed_callback_parser(data))
        except BadHead as error:
            self._refuse(Problem(error.status, str(error)))
            return False
        except ValueError as error:
            # A number of more digits than Python reads.
            self._refuse(Problem(400, NOT_HTTP.format(error)))
            return False
        if is_fed:
            if self._callback_parser.is_interrupted:
                self.worker.asgi.turns.later(lambda: self._feed(KEPT))
            self._wait()
        return is_fed

    def _on_headers_complete(self) -> bool:
        parser = self._callback_parser
        line = b"%b %b HTTP/%d.%d" % (parser.method, parser.path, *parser.http_version)
        asked = Request(read_line(line), fields_of(tuple(parser.headers), parser.head_bytes))
        is_read_on = bool(super()._on_headers_complete())
        request = self._current_request
        # Our own version (RFC 9110, section 6.2), and `close` wherever it stands (RFC 9112, section 9.3).
        request.version = (1, min(asked.line.minor, 1))
        request.must_close = asked.closes
        request._connection = "close" if asked.closes else "keep-alive"
        self._asked = asked
        self._body_receiver = Receiver(request, self, asked)
        self.ends = self._has_answered = False
        return is_read_on

    def _http1_buffered(self) -> int:
        receiver, parser = self._body_receiver, self._callback_parser
        unread = parser.unread if parser is not None else 0
        return int(unread + (receiver.buffered if receiver is not None else 0))

    def _note_kept(self) -> None:
        """What came and waits counts as unaccepted. Raises UnacceptedFull."""
        kept = self._http1_buffered()
        if self._claim is not None:
            self._claim.hold(kept)
        elif kept > FREE_BYTES:
            self._claim = Claim(self.worker.asgi.unaccepted)
            self._claim.hold(kept)

    def _maybe_resume_reading(self) -> None:
        """gunicorn asks whenever the application has taken something."""
        if self._claim is not None:
            # It is less than before.
            with suppress(UnacceptedFull):
                self._note_kept()
        parser = self._callback_parser
        if (
            parser is not None
            and not parser.is_interrupted
            and self._http1_buffered() <= MOST_KEPT_BYTES // 2
        ):
            super()._resume_reading()

    def _resume_reading(self) -> None:
        """gunicorn goes on to what is behind the request that was answered."""
        self._has_answered = False
        self._maybe_resume_reading()

    def eof_received(self) -> bool:
        self._has_ended = True
        if self._closed:
            return False
        if self._websocket is not None:
            return bool(self._websocket.end_of_input())
        if self._body_receiver is not None:
            if not self._callback_parser.is_interrupted:
                self._body_receiver.depart()
        elif self._awaiting_request or self._current_request is None:
            self._keepalive_timeout()
        return True

    # Who is waited for.

    def _begin(self, phase: Phase) -> None:
        """What comes from now on belongs to this phase."""
        if self.waited_since_s is not None:
            self.worker.patience.forget(self)
            self.waited_since_s = None
        if self.phase is not phase:
            self.phase = phase
            self.received = 0

    def _wait(self) -> None:
        """Be waited for, unless it is our turn."""
        parser = self._callback_parser
        if self._closed or parser is None:
            return
        if parser.is_complete:
            self._begin(Phase.IDLE)
            return
        if parser.is_reading_body:
            if self.phase is not Phase.BODY:
                self._begin(Phase.BODY)
        elif self.phase is not Phase.HEAD and parser.has_begun:
            self._begin(Phase.HEAD)
        self.worker.patience.wait_for(self)

    def _arm_keepalive_timer(self) -> None:
        """gunicorn waits for the next request."""
        if self._has_ended:
            self.worker.loop.call_soon(self._keepalive_timeout)
        else:
            self._wait()

    def _cancel_keepalive_timer(self) -> None:
        """Whoever sends something is waited for no longer."""

    def refuse(self, sentence: str) -> None:
        """It was waited for too long."""
        self.waited_since_s = None
        if self.phase in SAYING_NOTHING:
            self.transport.abort()
        else:
            self._refuse(Problem(408, sentence))

    # What goes out.

    def _build_http_scope(self, *arguments: Any) -> Event:
        scope: Event = super()._build_http_scope(*arguments)
        scope["extensions"] = {EXTENSION: self._body_receiver}
        return scope

    def _will_close(self, *arguments: Any) -> bool:
        return self.ends or bool(super()._will_close(*arguments))

    def _send_response_start(self, status: int, headers: Any, request: Any, close: bool = False) -> None:
        self._has_answered = True
        if request.version < (1, 1):
            if not close:
                headers = [*headers, (b"Connection", b"keep-alive")]
            request = OF_1_1
        super()._send_response_start(status, headers, request, close)

    def _send_error_response(self, status: int, message: str, extra_headers: Any = ()) -> None:
        """gunicorn's own refusals: of what is not HTTP, and of a request on which the application failed."""
        parser = self._callback_parser
        if parser is not None and parser.is_chunking and status < HTTPStatus.INTERNAL_SERVER_ERROR:
            status, message = 400, badly_chunked(message)
        elif status == HTTPStatus.BAD_REQUEST:
            message = NOT_HTTP.format(message)
        self._write_problem(Problem(status, SENTENCES.get(status, message)))

    def _refuse(self, problem: Problem) -> None:
        """Answer what cannot be served, and end: what is behind it cannot be found."""
        self._write_problem(problem)
        self._close_transport()

    def _refuse_full(self, error: Refused) -> None:
        if self._callback_parser.is_complete:
            # It has sent much behind a request that is being answered.
            self.transport.abort()
        else:
            self._refuse(problems.of(error))

    def _write_problem(self, problem: Problem) -> None:
        if self._has_answered or self._closed:
            return
        self.write_answer(problem.status, problem_headers(problem, "close"), problem.body())

    def write_answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """An answer that is none of gunicorn's requests'."""
        super()._send_response_start(status, headers, OF_1_1, True)
        if body:
            self._send_body(body)
        else:
            self._safe_write(self._response_buffer)
        self._response_buffer = None
        self._has_answered = True

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._closed:
            self._say_end()
        elif self._websocket is not None:
            self._websocket.go_on()

    # WebSockets.

    def _is_websocket_upgrade(self, request: Any) -> bool:
        asked = self._asked
        return (
            asked is not None
            and asked.fields.asks_for_websocket
            and asked.line.method == "GET"
            and not asked.has_body
            and self.worker.asgi.upgrades(asked.line.path)
        )

    async def _handle_websocket(self, request: Any, sockname: Any, peername: Any) -> None:
        parser, self._callback_parser = self._callback_parser, None
        self._body_receiver = None
        self._begin(Phase.IDLE)
        websocket = self._websocket = WebSocket(
            self, self._build_websocket_scope(request, sockname, peername)
        )
        early = parser.take_remaining()
        if self._claim is not None:
            self._claim.release()
        super()._resume_reading()
        if early:
            websocket.feed_data(early)
        if self._has_ended:
            websocket.end_of_input()
        await websocket.run()

    # The end.

    def _close_transport(self) -> None:
        """Close once the peer has, so that it can read what it was told (RFC 9112, section 9.6)."""
        if self._closed:
            return
        self._closed = True
        self._begin(Phase.END)
        if self._body_receiver is not None:
            self._body_receiver.signal_disconnect()
        if self._request_ready is not None:
            self._request_ready.set()
        if self._has_ended or self.transport.is_closing():
            self.transport.close()
        elif not self._flow_control.write_paused:
            self._say_end()

    def _say_end(self) -> None:
        if self._linger is None and not self.transport.is_closing():
            self.transport.write_eof()
            self.worker.patience.wait_for(self)
            self._linger = self.worker.loop.call_later(LINGER_S, self.transport.abort)
            super()._resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._flow_control.resume_writing()
        super().connection_lost(exc)
        self._begin(Phase.IDLE)
        if self._claim is not None:
            self._claim.release()
        if self._linger is not None:
            self._linger.cancel()
        self._request_ready.set()
        if self._task.done():
            self._forget()

    async def _handle_connection(self) -> None:
        await super()._handle_connection()
        if self._conn_lost_handled:
            self._forget()

    def _forget(self) -> None:
        """Let go of what holds this connection too: the garbage collector comes rarely."""
        self._callback_parser = self._body_receiver = self._websocket = None
        self._current_request = self._linger = self._task = self._flow_control = None
        self.transport = self.writer = None


class _Of11:
    """Stands for any request in what gunicorn writes first."""

    version = (1, 1)


OF_1_1 = _Of11()
SENTENCES: dict[int, str] = {
    HTTPStatus.REQUEST_URI_TOO_LONG: LINE_TOO_LARGE,
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: TOO_LARGE,
    HTTPStatus.NOT_IMPLEMENTED: "chunked is the only transfer coding that is undone here "
    "(RFC 9112, section 6.1).",
    HTTPStatus.INTERNAL_SERVER_ERROR: SERVER_FAILED,
}


# gunicorn has no setting for it.
gasgi.ASGIProtocol = Connection
# It would answer 417, 421, 426 and 431 as "Unknown".
asgi_protocol._REASON_PHRASES = {
    status.value: status.phrase for status in HTTPStatus
} | asgi_protocol._REASON_PHRASES
