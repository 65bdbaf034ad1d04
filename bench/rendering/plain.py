"""matplotlib without a user's settings: figures look alike wherever they are drawn.

Rules:
- `PLAIN` are matplotlib's own defaults. A user's matplotlibrc, style or `text.usetex` changes no figure of
  ours, and we change none of the user's: figures are drawn within `matplotlib.rc_context`.
- Import this before matplotlib. Some settings, such as MPLBACKEND=nonsense, let nobody import it; then it is
  imported without them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from typing import Any

try:
    import matplotlib as mpl
except (ValueError, OSError):  # whatever is in a file of settings, or cannot be read there
    for _begun in [name for name in sys.modules if name.startswith("matplotlib")]:
        del sys.modules[_begun]
    _kept = {name: os.environ.pop(name, None) for name in ("MPLBACKEND", "MATPLOTLIBRC", "MPLCONFIGDIR")}
    with tempfile.TemporaryDirectory(prefix="wirelab-") as _empty, contextlib.chdir(_empty):
        os.environ["MPLCONFIGDIR"] = _empty
        import matplotlib as mpl

        del os.environ["MPLCONFIGDIR"]
    os.environ.update({name: value for name, value in _kept.items() if value is not None})

__all__ = ["PLAIN", "mpl"]

NO_LOOKS = {"backend", "backend_fallback", "interactive"}
"""How figures are shown on a screen, which is the user's."""
PLAIN: dict[str, Any] = {name: value for name, value in mpl.rcParamsDefault.items() if name not in NO_LOOKS}
"""What a figure is drawn with where we set nothing ourselves."""
