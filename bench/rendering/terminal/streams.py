"""What is printed, whatever becomes of it: a pipe that nobody reads, a full disk, a terminal of few letters.

Rules:
- Printing never raises. What cannot be written is dropped, and `error` of the stream keeps why; results lie
  in files by then.
- A letter that the terminal does not know is replaced. Plain prints are printable (`bench.words.printable`):
  no name or message of others moves the cursor. What rich writes is seen to by `console`.
- A pipe that was closed by its reader (`| head`) is an ordinary end.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from bench.words import printable

ORDINARY = (errno.EPIPE, errno.ESHUTDOWN, errno.EIO)
"""The reader has gone; EIO is what a closed terminal gives."""


class Bare:
    """A text stream that never raises."""

    def __init__(self, raw: TextIO | None) -> None:
        self.raw = raw
        self.error: OSError | None = None
        if isinstance(raw, io.TextIOWrapper):
            raw.reconfigure(errors="replace")

    @property
    def encoding(self) -> str:
        """As which letters are written; rich asks."""
        return getattr(self.raw, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write what can be written."""
        if self.raw is not None:
            try:
                self.raw.write(text)
            except (OSError, ValueError) as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Pass on what was written."""
        if self.raw is not None:
            try:
                self.raw.flush()
            except (OSError, ValueError) as error:
                self._lose(error)

    def isatty(self) -> bool:
        """Whether somebody looks on."""
        try:
            return self.raw is not None and self.raw.isatty()
        except ValueError:
            return False

    def __getattr__(self, name: str) -> Any:
        if self.raw is None:
            raise AttributeError(name)
        return getattr(self.raw, name)

    def _lose(self, error: Exception) -> None:
        """Write no more, also not what the stream still holds when the interpreter ends."""
        if self.error is None:
            self.error = error if isinstance(error, OSError) else OSError(errno.EPIPE, str(error))
        with contextlib.suppress(OSError, ValueError, AttributeError):
            assert self.raw is not None
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.raw.fileno())
            os.close(nowhere)


class Stream(Bare):
    """What plain prints are written to."""

    def __init__(self, raw: TextIO | None) -> None:
        super().__init__(raw)
        self.bare = Bare(raw)

    def write(self, text: str) -> int:
        """Write the text without what would act on a terminal."""
        super().write(printable(text))
        return len(text)

    @property
    def lost(self) -> OSError | None:
        """Why something could not be printed that somebody waits for; None if nothing was lost."""
        error = self.error or self.bare.error
        return None if error is None or error.errno in ORDINARY else error


@contextlib.contextmanager
def printing() -> Iterator[Stream]:
    """Within, printing never raises. Gives the stream of the results."""
    _open_what_is_closed()
    before = sys.stdout, sys.stderr
    out, errors = Stream(sys.stdout), Stream(sys.stderr)
    sys.stdout, sys.stderr = out, errors
    try:
        yield out
    finally:
        out.flush()
        errors.flush()
        sys.stdout, sys.stderr = before


def bare(stream: Any) -> Any:
    """The stream under a `Stream`, for who writes a terminal's own codes."""
    return getattr(stream, "bare", stream)


def print_json(value: Any) -> None:
    """Print data for other programs: nothing of it is replaced, for JSON can write every letter in ASCII."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
        plain = printable(text) == text
    except (UnicodeEncodeError, LookupError):
        plain = False
    print(text if plain else json.dumps(value, indent=2))


def _open_what_is_closed() -> None:
    """Else the next file that is opened would be taken for the output that was closed (`>&-`)."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
