"""Errors that any room may raise and the command line tells in one sentence."""

from __future__ import annotations

DAMAGE = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What code raises that meets files which say what no run says, in a way that nobody foresaw."""


class UsageError(Exception):
    """Something that the user can mend by asking differently; the message says how."""


class RunDirectoryError(UsageError):
    """The directory is not a run that can be read; the message says what to do about it."""


class ScenarioError(UsageError):
    """The scenario cannot be run; the message names the key and says what is allowed."""
