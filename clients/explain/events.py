"""Events explained: the lines of an event stream in the chunks that carry it (HTML, section 9.2). Pure."""

from __future__ import annotations

from clients.explain.spans import Span, chunk_spans

END_OF_LINE = b"\n"
WHYS = {
    "id": "What a browser that comes back sends as Last-Event-ID: here the batch's cursor.",
    "data": "The name of the field that holds the batch. An event may have several lines of it.",
    "comment": "A line that begins with a colon says nothing; it shows that the connection is used.",
    "end of event": "An empty line ends an event, and hands it to the page.",
}


def event_spans(data: bytes, start: int = 0) -> list[Span]:
    """The chunks from `start` on, with each line of the events in them; raises ValueError for none."""
    return [
        line
        for span in chunk_spans(data, start)
        for line in (_lines(data, span) if span.part == "payload" else (span,))
    ]


def _lines(data: bytes, chunk: Span) -> list[Span]:
    """A chunk's lines: a batch is payload, all around it is framing."""
    spans: list[Span] = []
    at = chunk.start
    while at < chunk.end:
        ends = data.find(END_OF_LINE, at, chunk.end)
        end = chunk.end if ends < 0 else ends + 1
        name, colon, value = data[at:end].partition(b":")
        if name == b"data" and colon:
            batch = at + len(b"data: ")
            after = end - (ends >= 0)
            spans.append(Span(at, batch, "framing", "data", "data: ", WHYS["data"]))
            text = data[batch:after].decode("utf-8", "replace")
            spans.append(Span(batch, after, "payload", "body", text, "What all the bytes before it are for."))
            if after < end:
                spans.append(Span(after, end, "framing", "end of line", "LF", "Ends the field."))
        else:
            label = "end of event" if data[at:end] == END_OF_LINE else name.decode("latin-1") or "comment"
            shows = "LF" if label == "end of event" else value.decode("utf-8", "replace").strip()
            spans.append(Span(at, end, "framing", label, shows, WHYS.get(label, "A field of the event.")))
        at = end
    return spans
