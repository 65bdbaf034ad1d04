"""Bounds of a request's head, and when it is read."""

import re

MAX_FIELDS = 100
MAX_FIELD_BYTES = 8190
MAX_HEAD_BYTES = 32 * 1024
TOO_LARGE = (
    f"A request's head may take {MAX_HEAD_BYTES} bytes at the most, in {MAX_FIELDS} fields of "
    f"{MAX_FIELD_BYTES} bytes each (limit_request_fields, limit_request_field_size)."
)
LINE_TOO_LARGE = f"A request's first line may take {MAX_FIELD_BYTES} bytes at the most (limit_request_line)."
END = b"\r\n\r\n"
BARE_LF = re.compile(rb"(?<!\r)\n")


class Head(bytearray):
    """A head as it comes, and what came behind it."""

    def is_read(self, piece: bytes) -> bool:
        """Add what came. True once there is nothing more to wait for: the head is whole, or will never be."""
        searched = max(0, len(self) - len(END) + 1)
        self.extend(piece)
        return (
            self.find(END, searched) >= 0
            or len(self) >= MAX_HEAD_BYTES
            or BARE_LF.search(self, searched) is not None
        )
