"""Reading a text file that others wrote: whatever it is, it ends, and what is wrong with it is one phrase."""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
"""What a file in another encoding begins with; the mark of UTF-32 begins as that of UTF-16 does."""


class Unreadable(Exception):
    """The file cannot be read; the message goes on from its name."""


def read_text(path: Path, most_bytes: int) -> str:
    """The text of a regular file in UTF-8, with or without a byte order mark. Raises Unreadable; a pipe or a
    device is refused rather than waited for."""
    data = read_bytes(path, most_bytes)
    encoding = next((name for mark, name in ENCODINGS if data.startswith(mark)), None)
    if encoding is None and b"\0" in data[:4]:
        encoding = "UTF-16 or UTF-32"
    if encoding is not None:
        raise Unreadable(f"is in {encoding}: save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unreadable(
            f"is not UTF-8 (byte 0x{data[error.start]:02x} in line {line}): save it as UTF-8"
        ) from None


def read_bytes(path: Path, most_bytes: int) -> bytes:
    """The bytes of a regular file. Raises Unreadable."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise Unreadable("is not a regular file")
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read(most_bytes + 1)
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise Unreadable(f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(data) > most_bytes:
        raise Unreadable(f"is larger than {most_bytes:,} bytes")
    return data
