"""One HTTP connection: its requests in their order, each answered before the next is begun.

Rules:
1. What can be served is served at once, a slice at a time (`turns.py`). Answers to what came in one piece
   leave in one write.
2. While a request is held (a poll, or what an application answers), only the peer's end is looked for: who
   will send nothing more counts as gone. A peer that sends much behind it is answered at once, since his end
   could not be seen.
3. A refusal by the head comes before the body is read; a body that nobody wanted is dropped if it is short
   and ends the connection if it is not. Then the peer has LINGER_S to take the answer.
4. It is waited for as `servers/patience.py` says, and what came and is not accepted counts (`unaccepted.py`).
"""

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from servers.asyncio_server import answers, routes
from servers.asyncio_server.bodies import BadChunk, Body
from servers.asyncio_server.fan import Fan, shared_answer
from servers.asyncio_server.requests import BadHead, Request, read_fields, read_line
from servers.asyncio_server.writing import Writing
from servers.patience import CONTINUE, SAYING_NOTHING, Phase
from servers.process import LINGER_S
from servers.refusals import Refused
from servers.rules import problems
from servers.rules.heads import END, LINE_TOO_LARGE, MAX_HEAD_BYTES, TOO_LARGE
from servers.rules.problems import SERVER_FAILED, Problem
from servers.stream import Batch, Stream
from servers.turns import SLICE_S
from servers.unaccepted import FREE_BYTES, Claim

if TYPE_CHECKING:
    from servers.asyncio_server.server import Server

HEAD_IS_BROKEN = "A line of the head does not end with CRLF (RFC 9112, section 2.2)."
MOST_BEHIND_HELD = FREE_BYTES


class Held(ABC):
    """A request that is answered later, in somebody else's turn."""

    __slots__ = ()

    @abstractmethod
    def depart(self) -> None:
        """The client has gone, or cannot be seen to go: answer now."""

    @abstractmethod
    def abandon(self) -> None:
        """The connection is lost: there is nobody to answer."""

    @abstractmethod
    def written(self) -> None:
        """The socket has taken all of the answer that it had not."""


class Poll(Held):
    """A request that is held until there is news, its wait is over, or its client has gone."""

    __slots__ = ("address", "connection", "fan", "is_departed", "request", "stream", "wait_s")

    def __init__(
        self, connection: "Connection", request: Request, stream: Stream, wait_s: float, address: str | None
    ) -> None:
        self.connection = connection
        self.request = request
        self.stream = stream
        self.wait_s = wait_s
        self.address = address
        self.is_departed = False
        self.fan: Fan | None = None

    def depart(self) -> None:
        self.is_departed = True
        self.connection.server.end_poll(self)

    def abandon(self) -> None:
        self.connection.server.abandon(self)

    def written(self) -> None:
        """Nothing is written while it is held."""


class Connection(Writing):
    """See above."""

    __slots__ = (
        "_body",
        "_claim",
        "_has_ended",
        "_held",
        "_input",
        "_is_closing",
        "_is_served_later",
        "_linger",
        "_out",
        "_request",
        "_sent_claim",
        "_skip",
        "idle_since_s",
        "is_idle",
        "peer",
        "phase",
        "received",
        "server",
        "share",
        "waited_since_s",
    )

    def __init__(self, server: "Server") -> None:
        super().__init__()
        self.server = server
        self.peer = ""
        self.share: str | None = None
        """Whose share of the places a subscriber takes here, if no proxy is trusted to say it."""
        self.phase = Phase.NEW
        self.waited_since_s: float | None = None
        self.received = 0
        self._input = b""
        self._out: list[bytes] = []
        self._request: Request | None = None
        """Whose body is being read."""
        self._body: Body | None = None
        self._skip = 0
        """So much of a body that nobody wanted is still to come."""
        self._held: Held | None = None
        self._claim: Claim | None = None
        """What is kept of what came."""
        self._sent_claim: Claim | None = None
        """What an echo on its way out takes."""
        self._is_served_later = False
        self._is_closing = False
        self._has_ended = False
        self._linger: Any = None
        self.is_idle = False
        """Whether nothing but the next request is waited for, since `idle_since_s`."""
        self.idle_since_s = 0.0

    def connection_made(self, transport: Any) -> None:
        self.take_over(transport)
        self.peer, self.share = self.server.peer_of(transport)
        self.server.add(self)
        self._wait()

    # What comes in.

    def data_received(self, data: bytes) -> None:
        if self._is_closing:
            return
        if self.is_idle:
            self.is_idle = False
            known = self.server.known.get(data)
            if known is not None:
                self._serve_known(known)
                return
        self.received += len(data)
        self._input = self._input + data if self._input else data
        if self._held is not None:
            if len(self._input) > MOST_BEHIND_HELD:
                self.depart(self._held)
        elif not self.is_writing and not self._is_served_later:
            self.serve()

    def _serve_known(self, request: Request) -> None:
        """Serve a request whose bytes were served before, and that came alone."""
        try:
            answered = request.handler(self, request)
        except Refused as error:
            answered = problems.of(error)
        if self._held is not None:
            return
        if answered is not None:
            self.answer_problem(request, answered)
        self._after_turn(is_over=False)

    def serve(self) -> None:
        """Serve what has come, until more must, a poll is held, the socket is full or the slice is over."""
        self._is_served_later = False
        if self.transport.is_closing():
            return
        began_s = time.monotonic()
        is_over = False
        try:
            while not is_over and self._is_free() and self._serve_next():
                is_over = bool(self._input) and time.monotonic() - began_s > SLICE_S
            self._note_kept()
        except BadHead as error:
            self._refuse(Problem(error.status, str(error)))
        except BadChunk as error:
            self._refuse(Problem(400, str(error)))
        except Refused as error:
            self._refuse(problems.of(error))
        except Exception:  # noqa: BLE001  (told to the client, and in the log)
            self.server.log_failure("A request failed.")
            self._refuse(Problem(500, SERVER_FAILED))
        self._after_turn(is_over)
        if self.server.woken:
            self.server.deliver()

    def _after_turn(self, is_over: bool) -> None:
        if self.transport.get_protocol() is not self:
            # What stays open has taken the connection over.
            return
        self._flush()
        if self._is_closing:
            self._say_end()
        elif is_over and self._is_free():
            self._serve_later()
        elif self.is_writing:
            self.read_no_more()
        elif self._held is None and self._has_ended:
            self._end_of_input()
        else:
            self.read_again()
            self._wait()

    def _serve_later(self) -> None:
        self._is_served_later = True
        self.read_no_more()
        self.server.turns.later(self.serve)

    def _is_free(self) -> bool:
        return self._held is None and not self._is_closing and not self.is_writing

    def _serve_next(self) -> bool:
        """One step. False if more has to come for the next."""
        if self._skip:
            taken = min(self._skip, len(self._input))
            self._skip -= taken
            self._input = self._input[taken:]
            return taken > 0
        if self._body is not None:
            return bool(self._input) and self._read_body(self._body)
        return bool(self._input) and self._read_head()

    def _read_head(self) -> bool:
        data = self._input
        start = 0
        while data.startswith(b"\r\n", start):
            # Section 2.2: an empty line before the request is passed over.
            start += 2
        end = data.find(END, start)
        if end < 0 or end + len(END) - start > MAX_HEAD_BYTES:
            self._refuse_unless_more(data, start)
            if self.phase is not Phase.HEAD:
                self._begin(Phase.HEAD)
            return False
        self._begin(Phase.BODY)
        line_end = data.find(b"\r\n", start)
        self._input = data[end + len(END) :]
        request = Request(read_line(data[start:line_end]), read_fields(data[line_end + 2 : end + 2]))
        self.serve_request(request)
        if request.handler is not None and not start and not self._input:
            self.server.remember(data, request)
        return True

    def _refuse_unless_more(self, data: bytes, start: int) -> None:
        """Raises BadHead if what came will never be a head."""
        size = len(data) - start
        if data.count(b"\n", start, start + MAX_HEAD_BYTES) != data.count(
            b"\r\n", start, start + MAX_HEAD_BYTES
        ):
            raise BadHead(400, HEAD_IS_BROKEN)
        if size > MAX_HEAD_BYTES:
            if data.find(b"\r\n", start, start + MAX_HEAD_BYTES) < 0:
                raise BadHead(414, LINE_TOO_LARGE)
            raise BadHead(431, TOO_LARGE)

    def serve_request(self, request: Request) -> None:
        """Answer it, hold it, or begin to read its body."""
        try:
            answered = routes.answer(self, request)
        except Refused as error:
            answered = problems.of(error)
        if isinstance(answered, Problem):
            self.answer_problem(request, answered)
        elif isinstance(answered, Body):
            self._begin_body(request, answered)

    def _begin_body(self, request: Request, body: Body) -> None:
        if not request.has_body:
            self._finish_body(request, body)
            return
        self._request, self._body = request, body
        if request.expects_continue and not self._input:
            self._out.append(CONTINUE)

    def _read_body(self, body: Body) -> bool:
        self._input, is_whole = body.take(self._input)
        if not is_whole:
            return not body.is_waiting
        request, self._request, self._body = self._request, None, None
        assert request
        self._finish_body(request, body)
        return True

    def _finish_body(self, request: Request, body: Body) -> None:
        try:
            body.finish(self, request, body)
        except Refused as error:
            self.answer_problem(request, problems.of(error))

    def _note_kept(self) -> None:
        """What came and waits counts as unaccepted. Raises UnacceptedFull."""
        kept = len(self._input)
        if self._claim is not None:
            self._claim.hold(kept)
        elif kept > FREE_BYTES:
            self._claim = Claim(self.server.unaccepted)
            self._claim.hold(kept)

    def eof_received(self) -> bool:
        """The peer will send nothing more; it may still read."""
        self._has_ended = True
        if self._held is not None:
            self.depart(self._held)
        elif self._is_closing:
            self.transport.close()
        elif not self.is_writing and not self._is_served_later:
            self.serve()
        return True

    def _end_of_input(self) -> None:
        """All that came has been served."""
        body, request = self._body, self._request
        if body is not None and request is not None:
            try:
                body.refuse_end()
            except Refused as error:
                self._refuse(problems.of(error))
                self._flush()
        self.transport.close()

    # Held requests.

    def hold(self, held: Held) -> None:
        """Serve nothing else until this one is answered."""
        self._held = held
        if self._has_ended or len(self._input) > MOST_BEHIND_HELD:
            self.server.loop.call_soon(self.depart, held)

    def hold_poll(self, request: Request, stream: Stream, wait_s: float) -> None:
        """Answer when there is news, or after so many seconds. Raises SubscribersFull or StreamsFull."""
        server = self.server
        address = server.address_of(self, request)
        server.streams.enter(stream, "long-poll", address)
        poll = Poll(self, request, stream, wait_s, address)
        poll.fan = server.fan(stream)
        poll.fan.polls[poll] = None
        server.deadlines.add(poll, wait_s)
        self.hold(poll)

    def depart(self, held: Held) -> None:
        """The client has gone, or cannot be seen to go."""
        if self._held is held:
            held.depart()

    def answer_poll(self, poll: Poll, batch: Batch, answer: bytes | None) -> None:
        """What was held is answered, in somebody else's turn; by `answer` if nothing speaks against it."""
        self._held = None
        if answer is not None and poll.request.is_plain and not poll.is_departed:
            self.transport.write(answer)
        else:
            self.answer_batch(poll.request, batch, closes=poll.is_departed)
            self._flush()
        self._after_answer()

    def answer_piece(self, piece: bytes) -> None:
        """Write what was answered, and then this piece of a body whose head was."""
        self._flush()
        if piece:
            self.transport.write(piece)

    def answered(self) -> None:
        """What was held is answered, and all of it is written."""
        self._held = None
        self.read_again()
        self._after_answer()

    def _after_answer(self) -> None:
        if self._is_closing:
            self._say_end()
        elif self.is_full or self._chunks is not None:
            self.read_no_more()
        elif self._input or self._has_ended:
            self._serve_later()
        else:
            self._wait()

    # What goes out.

    def connection_word(self, request: Request, closes: bool = False, told: str | None = None) -> str:
        """The value of Connection. The body that nobody reads is seen to."""
        if told == "close" or closes or request.closes or self.server.streams.stopping or request.leaves_body:
            self._is_closing = True
            return "close" if told in (None, "close") else f"{told}, close"
        if request.has_body and not request.is_read:
            self._skip = request.fields.length
        return told or "keep-alive"

    def answer(
        self, request: Request, status: int, rest: bytes, told: str | None = None, closes: bool = False
    ) -> None:
        """Answer with what follows the start, head and body."""
        if request.line.method == "HEAD":
            rest = rest[: rest.index(END) + len(END)]
        word = self.connection_word(request, closes, told)
        self._out.append(self.server.starts.start(status, word) + rest)

    def answer_problem(self, request: Request, problem: Problem) -> None:
        told, rest = answers.problem_rest(problem)
        self.answer(request, problem.status, rest, told)

    def answer_batch(self, request: Request, batch: Batch, closes: bool = False) -> None:
        if batch.is_small:
            self.answer(request, 200, shared_answer(batch), closes=closes)
            return
        self.answer(request, 200, answers.batch_head(batch.size), closes=closes)
        if request.line.method != "HEAD":
            self._flush()
            self.write_chunks(batch.chunks())

    def answer_body(self, request: Request, fields: dict[str, str], body: bytes, claim: Claim) -> None:
        """Answer with a body that counts as unaccepted until the peer has taken it."""
        self.answer(request, 200, answers.head(fields, len(body)))
        self._flush()
        self.transport.write(body)
        if self.is_full:
            self._sent_claim = claim
        else:
            claim.release()

    def _flush(self) -> None:
        out = self._out
        if out:
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()

    def pause_writing(self) -> None:
        self.is_full = True
        self.read_no_more()

    def written(self) -> None:
        self._release_sent()
        if self._held is not None:
            self._held.written()
        elif self._is_closing:
            self._say_end()
        else:
            self.serve()

    def _release_sent(self) -> None:
        if self._sent_claim is not None:
            self._sent_claim.release()
            self._sent_claim = None

    # The end.

    def _refuse(self, problem: Problem) -> None:
        """Answer what cannot be served, and end: what is behind it cannot be found."""
        _, rest = answers.problem_rest(problem)
        self._is_closing = True
        self._out.append(self.server.starts.start(problem.status, "close") + rest)

    def _say_end(self) -> None:
        """Close once the peer has, so that it can read what it was told (RFC 9112, section 9.6)."""
        self._input = b""
        self._free_body()
        if self.is_writing or self.transport.is_closing():
            return
        if self._has_ended:
            self.transport.close()
            return
        if self._linger is None:
            self.transport.write_eof()
            self._begin(Phase.END)
            self.server.patience.wait_for(self)
            self._linger = self.server.loop.call_later(LINGER_S, self.transport.abort)
            self.read_again()

    def _free_body(self) -> None:
        if self._body is not None:
            self._body.claim.release()
            self._body = self._request = None

    def _release_claim(self) -> None:
        if self._claim is not None:
            self._claim.release()
            self._claim = None

    def _begin(self, phase: Phase) -> None:
        """What comes from now on belongs to this phase."""
        if self.waited_since_s is not None:
            self.server.patience.forget(self)
            self.waited_since_s = None
        self.is_idle = False
        if self.phase is not phase:
            self.phase = phase
            self.received = 0

    def _wait(self) -> None:
        """Be waited for, unless it is our turn."""
        if self._held is not None:
            self._begin(Phase.IDLE)
            return
        if self._body is None and not self._skip and not self._input and self.phase is not Phase.NEW:
            if self.phase is not Phase.IDLE or self.waited_since_s is not None:
                self._begin(Phase.IDLE)
            self.is_idle = True
            self.idle_since_s = self.server.now_s
        else:
            self.server.patience.wait_for(self)

    def refuse(self, sentence: str) -> None:
        """It was waited for too long."""
        self.waited_since_s = None
        if self.phase in SAYING_NOTHING or self._skip:
            self.transport.abort()
        elif not self._is_closing:
            self._refuse(Problem(408, sentence))
            self._flush()
            self._say_end()

    def leave_to(self, protocol: Any) -> bytes:
        """Another protocol takes the connection over. Returns what came and was not read."""
        self._held = None
        self._flush()
        self.is_idle = False
        self._begin(Phase.IDLE)
        early, self._input = self._input, b""
        self._release_claim()
        self.server.replace(self, protocol)
        return early

    def connection_lost(self, error: Exception | None) -> None:
        held = self._held
        if held is not None:
            held.abandon()
            # Each holds the other, and the garbage collector comes rarely.
            self._held = None
        self.is_idle = False
        self._begin(Phase.IDLE)
        self._is_closing = True
        self._chunks = None
        self._input = b""
        self._free_body()
        self._release_claim()
        self._release_sent()
        if self._linger is not None:
            self._linger.cancel()
        self.server.forget(self)
