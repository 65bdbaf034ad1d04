"""gunicorn's parser in Python, held to the bounds of `rules/heads.py`, and taking turns.

Rules:
1. What behind a request came with it stays here: the next one is read from where it begins.
2. A head has a bound in all, beside those of its fields.
3. A body of many small chunks is read some of them at a time (`is_interrupted`): whoever feeds goes on later.
"""

import re
from typing import Any

from gunicorn.asgi.parser import LimitRequestHeaders, PythonProtocol

from servers.rules.heads import MAX_FIELD_BYTES, MAX_FIELDS, MAX_HEAD_BYTES

CHUNKS_AT_ONCE = 100
KEPT = b"kept"
"""Stands for what is here already."""
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
NOT_IN_A_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class _Interrupted(Exception):
    """So many chunks were read at once."""


class Parser(PythonProtocol):  # type: ignore[misc]
    """Reads one connection's requests."""

    _buffer: bytearray
    _scan_from: int

    def __init__(self, **callbacks: Any) -> None:
        super().__init__(
            **callbacks,
            limit_request_line=MAX_FIELD_BYTES,
            limit_request_fields=MAX_FIELDS,
            limit_request_field_size=MAX_FIELD_BYTES,
            permit_unconventional_http_version=True,
        )
        self._head_bytes = 0
        self._chunks_left = 0
        self.is_interrupted = False

    @property
    def unread(self) -> int:
        """Bytes that came and were not read."""
        return len(self._buffer)

    @property
    def head_bytes(self) -> int:
        """What the head has taken."""
        return self._head_bytes

    @property
    def is_reading_body(self) -> bool:
        return self._state in ("body", "chunked")

    @property
    def is_chunking(self) -> bool:
        return bool(self._state == "chunked")

    @property
    def has_begun(self) -> bool:
        """Whether anything of a next request has come, if only an empty line before it."""
        return bool(self._buffer) or self._state != "request_line" or self._empty_line_skipped

    def feed(self, data: bytes) -> None:
        self._chunks_left = CHUNKS_AT_ONCE
        self.is_interrupted = False
        try:
            super().feed(b"" if data is KEPT else data)
        except _Interrupted:
            self.is_interrupted = True

    def remaining(self) -> bytes:
        return KEPT if self.is_complete and self._buffer else b""

    def take_remaining(self) -> bytes:
        """What came and was not read."""
        kept = bytes(self._buffer)
        self._buffer.clear()
        return kept

    def reset(self) -> None:
        kept, self._buffer = self._buffer, bytearray()
        super().reset()
        self._buffer = kept
        self._head_bytes = 0

    def _find_line(self, limit: int, error: Exception) -> int:
        end = int(super()._find_line(limit, error))
        if end > limit:
            raise error
        if self._state == "chunked":
            if self._chunk_state == "size":
                self._chunks_left -= 1
                if self._chunks_left < 0:
                    self._scan_from = 0
                    raise _Interrupted
            return end
        if end >= 0:
            self._head_bytes += end + 2
        if self._head_bytes + (len(self._buffer) if end < 0 else 0) > MAX_HEAD_BYTES:
            raise LimitRequestHeaders("all of them together")
        return end

    def _is_valid_token(self, data: bytes) -> bool:
        return TOKEN.fullmatch(data) is not None

    def _has_invalid_header_chars(self, value: bytes) -> bool:
        return NOT_IN_A_VALUE.search(value) is not None
