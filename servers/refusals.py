"""Why a request cannot be met. `rules/problems.py` gives each kind its HTTP status."""


class Refused(Exception):
    """The request cannot be met; the text tells the client what to mend."""


class BadArgument(Refused):
    """The request asks for what is not to be had."""


class BadCursor(Refused):
    """The cursor is malformed or lies beyond the head."""


class BadName(Refused):
    """The name cannot be a stream's."""


class BadNotification(Refused):
    """The notification cannot be accepted."""


class TooLarge(BadNotification):
    """The notification exceeds a bound."""


class BodyTooLarge(Refused):
    """The request's body exceeds what is taken at its address."""


class BodyIncomplete(Refused):
    """The request's body ended too soon."""


class KeyReused(Refused):
    """The idempotency key has been used in this stream for other data."""


class UnsupportedContent(Refused):
    """The body is of a kind that is not taken."""


class NoSuchStream(Refused):
    """There is no stream of this name, and the request makes none."""


class StreamsFull(Refused):
    """There is room for no more streams, and none can make way."""


class Stopping(Refused):
    """The server stops; another will take its place."""


class SubscribersFull(Refused):
    """There is room for no more subscribers."""
