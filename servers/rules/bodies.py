"""Bounds of a request's body, and their sentences."""

from servers.refusals import BodyIncomplete, BodyTooLarge

SHORT_BYTES = 64 * 1024
"""So much that nobody wanted is read and dropped; a longer one ends its connection."""

ECHO_FIELDS = {"Cache-Control": "no-store", "Content-Security-Policy": "sandbox"}
"""What was sent may say that it is a page: no browser is to believe it here."""


def too_large(max_bytes: int, limit: str) -> BodyTooLarge:
    """`limit` says what `max_bytes` comes from."""
    return BodyTooLarge(f"A body may take {max_bytes} bytes at the most here ({limit}).")


def incomplete(size: int, length: int | None) -> BodyIncomplete:
    """So many bytes came, and then the end. A chunked body has no length."""
    if length is None:
        return BodyIncomplete("The body ended before its last chunk.")
    return BodyIncomplete(f"The body ended after {size} of {length} bytes.")


def badly_chunked(why: str) -> str:
    return f"The body is not well chunked: {why}."
