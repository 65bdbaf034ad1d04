"""The terminal by way of rich, for texts that others wrote: nothing in them is markup, and nothing acts."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from bench.rendering.terminal.streams import bare
from bench.words import printable


class PlainConsole(Console):
    """A console whose texts are data."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich does, but for control characters in texts; its own codes are segments of another kind."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def console(*, errors: bool = False, **options: Any) -> PlainConsole:
    """The console of the results, or of errors and progress."""
    return PlainConsole(file=bare(sys.stderr if errors else sys.stdout), **options)
