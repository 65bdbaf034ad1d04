"""The contract's rules as functions of plain values: no framework, no sockets, no clock.

Each server model asks them, so that a rule and its sentence are spelled once.
"""
