"""One real exchange on the terminal, every byte of it explained.

Rules: it prints what `clients.explain.exchange` found and works out nothing itself; 80 columns are enough;
colour only on a terminal (rich sees to that).
"""

from __future__ import annotations

import textwrap

from rich.console import Console
from rich.text import Text

from bench.rendering import names
from bench.rendering.arrange import rank
from bench.rendering.terminal.console import console as terminal
from bench.words import printable
from clients.explain.exchange import PHASES, Exchange, Side, Step, status
from clients.explain.printed_handshake import MISSING, REFUSE, TARGET
from clients.explain.spans import PARTS, Accept, Span

MOST_COLUMNS = 80
BYTES_A_LINE = 16
STYLES = {"head": "blue", "framing": "bold yellow", "payload": "green"}
ARROWS = {"client": "client → server", "server": "server → client"}
SIDES: tuple[Side, ...] = ("client", "server")


class Printer:
    """Writes exchanges to the terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or terminal(soft_wrap=True)
        self.columns = min(MOST_COLUMNS, self.console.width)

    def print(
        self,
        url: str,
        found: Exchange,
        everybody: dict[str, Exchange],
        as_printed: dict[str, Exchange] | None,
    ) -> None:
        """The exchange, the totals of all, and the article's handshake where there is one."""
        self._line(f"{found.transport}, {found.headers} headers: one exchange with {url}", "bold")
        self._text("Bytes as they were on the wire, without TCP's and IP's own headers.", "dim")
        for note in found.notes:
            self._text(note, "dim")
        for number, step in enumerate(found.steps, start=1):
            self._step(number, step)
            self._running_total(found, number)
            if step.protocol == "http" and step.data.startswith(b"HTTP/1.1 101") and found.accept:
                self._accept(found.accept, found.accept_received)
        self._totals(found)
        self._delivered(everybody)
        if as_printed is not None:
            self._as_printed(as_printed)

    def _step(self, number: int, step: Step) -> None:
        who = ARROWS[step.sender]
        if step.connection == "publisher":
            who += ", on another connection"
        self._line()
        self._line(f"{number}  {step.title}", "bold")
        self._line(f"   {who}: {_bytes(len(step.data))}, at {step.at_ms:.1f} ms", "dim")
        if step.says:
            self._text(step.says, indent=3)
        for span in step.spans:
            self._span(step.data, span)

    def _span(self, data: bytes, span: Span) -> None:
        size = _bytes(span.size)
        self._line(
            f"   {span.label}{' ' * max(2, self.columns - 4 - len(span.label) - len(size))}{size}",
            STYLES[span.part],
        )
        for at in range(span.start, span.end, BYTES_A_LINE):
            piece = data[at : min(at + BYTES_A_LINE, span.end)]
            text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "·" for byte in piece)
            self._line(f"   {at:04x}  {piece.hex(' '):<{3 * BYTES_A_LINE}} {text}")
        for bits in span.bits:
            self._text(f"{bits.bits:<8} {bits.name}: {bits.says}", indent=9, hang=9)
        if span.part != "head" and not span.bits and span.shows:
            self._text(span.shows, indent=9)
        self._text(span.why, "dim", indent=9)
        for line in span.work:
            self._text(line, indent=11)

    def _running_total(self, found: Exchange, steps: int) -> None:
        sides: tuple[tuple[str, str, Side], ...] = (("so far:", "up  ", "client"), ("", "down", "server"))
        for lead, arrow, sender in sides:
            sums = found.sums(upto=steps, sender=sender)
            parts = ", ".join(f"{count} {part}" for part, count in zip(PARTS, sums, strict=True))
            self._line(f"   {lead:<7} {arrow} {_bytes(sums.whole)}: {parts}", "italic")

    def _accept(self, accept: Accept, received: str | None) -> None:
        self._line()
        self._line("   From key to accept", "bold")
        self._text(f"key        {accept.key}", indent=3, hang=11)
        self._text(f"  bytes    {accept.nonce_hex}", indent=3, hang=11)
        self._text(f"+ GUID     {accept.guid}", indent=3, hang=11)
        self._text(f"= joined   {accept.joined}", indent=3, hang=11)
        self._text(f"→ SHA-1    {accept.sha1_hex}", indent=3, hang=11)
        self._text(f"→ base64   {accept.accept}", indent=3, hang=11)
        same = "the same" if received == accept.accept else "NOT the same"
        self._text(f"received   {received} ({same})", indent=3, hang=11)

    def _totals(self, found: Exchange) -> None:
        self._line()
        self._line("What it took, in bytes", "bold")
        self._line(f"   {'':<10}{'up':>7}{'down':>7}   {'head':>7}{'framing':>9}{'payload':>9}", "dim")
        for phase in (*PHASES, None):
            sums = found.sums(phase)
            if phase is not None and not sums.whole:
                continue
            up, down = (found.sums(phase, sender=side).whole for side in SIDES)
            name = phase or "together"
            self._line(f"   {name:<10}{up:>7}{down:>7}   {sums.head:>7}{sums.framing:>9}{sums.payload:>9}")

    def _delivered(self, everybody: dict[str, Exchange]) -> None:
        self._line()
        self._line("Delivering one notification, by each transport", "bold")
        self._line(
            f"   {'':<17}{'head':>7}{'framing':>9}{'payload':>9}   the price of one byte of payload", "dim"
        )
        for name in sorted(everybody, key=rank):
            sums = everybody[name].sums("deliver")
            price = names.ABSENT if sums.price is None else f"{sums.price:.2f} bytes of head or framing"
            self._line(f"   {name:<17}{sums.head:>7}{sums.framing:>9}{sums.payload:>9}   {price}")
        self._text(
            "A frame's header is 2 bytes up to 125 bytes of payload, 4 up to 65,535, 10 beyond; a client's "
            "has 4 more, the masking key. An HTTP head is there in full for every request and answer.",
            "dim",
            indent=3,
        )

    def _as_printed(self, found: dict[str, Exchange]) -> None:
        self._line()
        self._line("The handshake as the article prints it", "bold")
        self._text("Only the target's host, Host and Origin are replaced.", "dim", indent=3)
        request, answer = found["printed"].steps[:2]
        for line in request.data.decode("ascii").splitlines():
            self._text(f"> {line}", indent=3, hang=2)
        for line in answer.data.decode("utf-8", "replace").splitlines():
            self._text(f"< {line}", indent=3, hang=2)
        self._text(f"Refused with {status(found['printed'])}. It lacks:", indent=3)
        for missing in MISSING:
            self._text(f"{missing.header}. {missing.says} ({missing.server})", indent=3, hang=2)
        self._text(REFUSE, indent=3)
        self._text(f"With both added, the same handshake is answered {status(found['completed'])}.", indent=3)
        self._text(TARGET, "dim", indent=3)

    def _line(self, text: str = "", style: str = "") -> None:
        self.console.print(Text(text, style=style))

    def _text(self, text: str, style: str = "", indent: int = 0, hang: int = 0) -> None:
        """Wrapped to the columns; later lines `hang` further in."""
        lines = textwrap.wrap(
            printable(text),
            self.columns,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent + hang),
            drop_whitespace=True,
            break_on_hyphens=False,
        )
        for line in lines:
            self._line(line, style)


def _bytes(count: int) -> str:
    return f"{count} byte" if count == 1 else f"{count} bytes"
