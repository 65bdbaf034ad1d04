"""P. Lubbers and F. Greco: 871 bytes of headers a poll against two bytes a frame.

The article counts headers alone, in one exchange of its own; so do the first rows here (probe `headers`, one
real exchange of each kind). The others are what 1,000 clients put on the wire: requests, answers and frames
with their data (`wire_bytes_per_delivery`), and with the 52 bytes of IPv4, TCP and its time stamps on each
packet, acknowledgements included. Its Mbps are 2^20 bits a second, as its arithmetic shows.
"""

from __future__ import annotations

from typing import Any

from bench.analysis.cells import Cell, Measured
from bench.analysis.estimate import Band, Estimate
from bench.analysis.literature.reproduce import READ, Reproduction, Result, Row, Statement, cell, estimate
from bench.evidence.gates.link import PACKET_HEADER_BYTES

HEADER_BYTES, FRAME_BYTES = 871, 2
CLIENTS = 1000
POLLING_MBPS, WEBSOCKET_MBPS = 6.6, 0.015
TOLERANCE = 0.25
"""A result must come this near to the published one."""
REDUCTION = 500
BITS_PER_MBIT = 2**20
KINDS = ("minimal", "browser")
ARTICLE = f"{READ}, in a copy of the whole article in a public repository"


def _near(published: float) -> Band:
    return Band.around(published, TOLERANCE)


def _steps(measured: Measured, exchange: str) -> list[dict[str, Any]] | str:
    """One exchange's steps of the probe, or why there are none."""
    probe = measured.probes.get("headers") or {}
    return probe.get(exchange) or f"not measured: {probe.get('error', 'the run has no probe of headers')}"


def _poll_headers(measured: Measured, kind: str) -> Result:
    """Header bytes of the poll that brought a notification, request and answer."""
    steps = _steps(measured, f"short-poll, {kind}")
    if isinstance(steps, str):
        return steps
    return Estimate.exact(sum(step["head"] for step in steps if step["phase"] == "deliver"))


def _frames(measured: Measured) -> list[tuple[int, int]] | str:
    """Payload and header bytes of each frame that the server sent before the end."""
    steps = _steps(measured, "websocket, minimal")
    if isinstance(steps, str):
        return steps
    pushed = [step for step in steps if step["sender"] == "server" and step["phase"] in ("join", "deliver")]
    return [(step["payload"], step["framing"]) for step in pushed if step["framing"]]


def poll(measured: Measured) -> list[Row]:
    """Headers of a poll."""
    band = _near(HEADER_BYTES)
    return [Row(f"{kind} poll", str(HEADER_BYTES), _poll_headers(measured, kind), band) for kind in KINDS]


def frame(measured: Measured) -> list[Row]:
    """Headers of frames, which RFC 6455 makes longer from 126 bytes on."""
    frames = _frames(measured)
    band, published = Band(FRAME_BYTES, FRAME_BYTES), str(FRAME_BYTES)
    if isinstance(frames, str):
        return [Row("a frame", published, frames, band)]
    return [Row(f"a message of {size} B", published, Estimate.exact(head), band) for size, head in frames]


def reduction(measured: Measured) -> list[Row]:
    """Headers alone; for comparison all that is sent, and the packets around it."""
    frames, push = _frames(measured), cell(measured, "websocket")
    pushed: Result = frames if isinstance(frames, str) else Estimate.exact(frames[-1][1])
    heads = [
        Row(
            f"{kind} poll (headers)",
            "500 or 1,000",
            _divided(_poll_headers(measured, kind), pushed),
            Band(low=REDUCTION),
        )
        for kind in KINDS
    ]
    whole = [
        Row(f"{kind} poll ({says})", "", _divided(bytes_of(_polled(measured, kind)), bytes_of(push)))
        for says, bytes_of in (("with data", _bytes), ("wire", _wire_bytes))
        for kind in KINDS
    ]
    return [*heads, *whole]


def throughput(measured: Measured) -> list[Row]:
    """The article's use case A: headers alone, as it counts; for comparison, all on the wire."""
    frames, push = _frames(measured), cell(measured, "websocket")
    pushed: Result = frames if isinstance(frames, str) else Estimate.exact(frames[-1][1])
    heads = [
        Row(
            f"{kind} poll (headers)",
            f"{POLLING_MBPS:g}",
            _mbps(_poll_headers(measured, kind)),
            _near(POLLING_MBPS),
        )
        for kind in KINDS
    ]
    frame_heads = Row("WebSocket (headers)", f"{WEBSOCKET_MBPS:g}", _mbps(pushed), _near(WEBSOCKET_MBPS))
    whole = [Row(f"{kind} poll (wire)", "", _mbps(_wire_bytes(_polled(measured, kind)))) for kind in KINDS]
    return [*heads, frame_heads, *whole, Row("WebSocket (wire)", "", _mbps(_wire_bytes(push)))]


def _mbps(of: Result) -> Result:
    """Bytes a message, for a message a second to each client."""
    return of if isinstance(of, str) else of.times(CLIENTS * 8 / BITS_PER_MBIT)


def _polled(measured: Measured, kind: str) -> Cell | None:
    return cell(measured, "short-poll", headers=kind)


def _bytes(of: Cell | None) -> Result:
    return estimate(of, "wire_bytes_per_delivery")


def _wire_bytes(of: Cell | None) -> Result:
    """Bytes a delivery with the headers of their packets; the interval adds both intervals, so it is wide."""
    inside, packets = estimate(of, "wire_bytes_per_delivery"), estimate(of, "wire_packets_per_delivery")
    if isinstance(inside, str) or isinstance(packets, str):
        return inside if isinstance(inside, str) else packets
    around = packets.times(PACKET_HEADER_BYTES)
    return Estimate(*(a + b for a, b in zip(inside.sides, around.sides, strict=True)))  # type: ignore[operator]


def _divided(over: Result, under: Result) -> Result:
    """A quotient, with the widest interval that both intervals allow."""
    if isinstance(over, str) or isinstance(under, str):
        return over if isinstance(over, str) else under
    return Estimate(over.value / under.value, over.low / under.high, over.high / under.low)  # type: ignore[operator]


REPRODUCTION = Reproduction(
    name="kaazing",
    source="P. Lubbers, F. Greco: HTML5 WebSocket: A Quantum Leap in Scalability for the Web. Kaazing, "
    "websocket.org/quantum.html (its headers were captured in November 2009)",
    differs=(
        "Headers of Chrome 143 and of gunicorn, with 151 bytes of cookies; the article's are of Firefox 3.5 "
        "and a Java servlet.",
        "Frames of RFC 6455; the article's are of an early draft: two bytes around a text of any length.",
        "A notification is 20 bytes of data in a JSON batch (id, times, cursor); the article's is the data.",
        "Measured with 1,000 clients. The article multiplies for 10,000 and 100,000 (66 and 665 against "
        "0.153 and 1.526 Mbps), and so could we.",
        "Its third figure, a third of the latency, is not measured here: it is argued from transits, which "
        "`rfc6202` measures.",
    ),
    statements=(
        Statement("A poll carries 871 bytes of headers.", ARTICLE, "bytes of a poll's headers", poll),
        Statement("A WebSocket frame carries two.", ARTICLE, "bytes of the frame's header", frame),
        Statement(
            "That is 500 or even 1,000 times less (the article's own figures make 435).",
            ARTICLE,
            "bytes, poll / frame",
            reduction,
        ),
        Statement(
            "With 1,000 clients and a message a second, headers take 6.6 Mbps polling, 0.015 pushed.",
            ARTICLE,
            "Mbps",
            throughput,
        ),
    ),
)
