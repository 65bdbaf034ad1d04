"""Where nginx and nchan are on this machine, and which versions they are."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/local/nginx/sbin")
"""Where nginx is, beside PATH: an ordinary user's often leaves these out."""
MODULE = "ngx_nchan_module.so"
MODULES = (
    "/usr/lib/nginx/modules",
    "/usr/lib64/nginx/modules",
    "/usr/share/nginx/modules",
    "/usr/local/lib/nginx/modules",
    "/usr/local/nginx/modules",
    "/etc/nginx/modules",
)
ASK_TIMEOUT_S = 10.0


def missing() -> str | None:
    """Why it cannot run here, in half a sentence; None if it can. Debian has both in packages."""
    if nginx() and module():
        return None
    return "it needs nginx with nchan; on Debian: apt-get install nginx libnginx-mod-nchan"


def nginx() -> Path | None:
    """The program."""
    found = shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", os.defpath), *PLACES)))
    return None if found is None else Path(found)


def module() -> Path | None:
    """The module's file."""
    return next((path for place in MODULES if (path := Path(place, MODULE)).is_file()), None)


@functools.cache
def version(program: Path, of_module: Path) -> str:
    """Both versions in one line. nchan tells its own in a status page; it stands in the module's file."""
    told = None
    # What does not run says so when it is started.
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        asked = subprocess.run(
            [program, "-v"], capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=False
        )
        told = re.search(r"nginx/([\w.]+)", asked.stderr)
    own = re.search(rb"\0(\d+\.\d+\.\d+)\0", of_module.read_bytes())
    return f"nginx {told[1] if told else '?'}, nchan {own[1].decode() if own else '?'}"
