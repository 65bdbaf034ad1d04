"""What every exchange has in common, whatever the transport."""

STREAM = "wire"
"""The exchange has a stream of its own, so that nobody else's notifications are in it."""
DATA = "hello"
HELD_S = 0.25
"""How long a held poll is left waiting before somebody publishes."""
