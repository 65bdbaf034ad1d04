"""What all parts of a summary have in common."""

from __future__ import annotations

import msgspec

Number = int | float


class Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Part of a summary. It cannot be changed, and a dict of another form cannot become one."""
