"""The server: one notification stream, delivered by interchangeable transports.

Read `stream.py` first: it owns all shared state. Each transport is one file that asks the
stream the same question differently, and one line in `transports.py`.
"""
