"""What every process of the laboratory is started in: one environment, one directory, one copy of the code.

Rules:
- A child inherits the variables that `INHERITED` names, and nothing else: a variable that was set for another
  purpose (GUNICORN_CMD_ARGS, PYTHONPATH, LD_PRELOAD, …) must not decide what is measured. What was inherited,
  what was set and what was left out is recorded in run.json, by name, since values hold paths and people.
- A child imports the code that the harness itself runs, whatever the working directory holds: Python's safe
  path is on (PYTHONSAFEPATH), and the working directory is the one that holds our packages. An interpreter is
  asked once whether this is so (`environment`). PYTHONPATH is set only if they would not be found otherwise.
- So the commit in run.json, which is that of `CODE`, names the code that was measured.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.errors import UsageError

CODE = Path(__file__).absolute().parents[3]
"""The directory that holds the packages of this code, by the name under which Python found it."""
INHERITED = re.compile(
    r"PATH|HOME|LANG|LANGUAGE|LC_[A-Z]+|TZ|TMPDIR|VIRTUAL_ENV|SSL_CERT_FILE|SSL_CERT_DIR|LD_LIBRARY_PATH"
)
"""What a program needs to start and to write words and times. Some Pythons do not start without
LD_LIBRARY_PATH."""
WORDS = re.compile(r"LANG|LANGUAGE|LC_[A-Z]+|TZ")
"""Those whose values are neither paths nor people: run.json keeps them."""
LEFT_OUT = re.compile(
    r"(PYTHON|GUNICORN_|WIRELAB_|GEVENT|LOCUST_|FLASK_|WERKZEUG_|LD_|MALLOC_|GLIBC_|GIT_|NODE_).*"
    r"|WEB_CONCURRENCY|SENDFILE|PORT|FORWARDED_ALLOW_IPS"
)
"""What would have changed a child: run.json names those that were set and left out."""
PACKAGES = ("bench", "clients", "servers")
ASK_TIMEOUT_S = 60.0
_ASK = (
    "import importlib.util, json; "
    f"print(json.dumps([importlib.util.find_spec(name).origin for name in {PACKAGES!r}]))"
)


@functools.cache
def _environment() -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if INHERITED.fullmatch(name)}
    # gunicorn adds the working directory to the places to import from, by the name that PWD gives it.
    clean |= {"PYTHONSAFEPATH": "1", "PWD": str(CODE)}
    for environ in (clean, clean | {"PYTHONPATH": str(CODE)}):
        if _imports_this_code(environ):
            return environ
    raise UsageError(
        f"{sys.executable} does not import {', '.join(PACKAGES)} from where this command did: install "
        "wirelab into its environment, and run the command of that"
    )


def environment() -> dict[str, str]:
    """The environment of every child. Raises UsageError if children would run other code than the harness."""
    return dict(_environment())


def recorded() -> dict[str, Any]:
    """The environment of every child, as run.json keeps it."""
    environ = environment()
    inherited = sorted(name for name in environ if INHERITED.fullmatch(name))
    return {
        "inherited": inherited,
        "words": {name: environ[name] for name in inherited if WORDS.fullmatch(name)},
        "set": sorted(environ.keys() - inherited),
        "left_out": sorted(
            name for name in os.environ if LEFT_OUT.fullmatch(name) and not INHERITED.fullmatch(name)
        ),
    }


def _imports_this_code(environ: dict[str, str]) -> bool:
    """Does a child with this environment find each of our packages in `CODE`?"""
    asked = subprocess.run(
        [sys.executable, "-c", _ASK],
        cwd=CODE,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=ASK_TIMEOUT_S,
        check=False,
    )
    try:
        origins = json.loads(asked.stdout)
        return all(
            Path(origin).samefile(CODE / name / "__init__.py")
            for origin, name in zip(origins, PACKAGES, strict=True)
        )
    except (ValueError, TypeError, OSError):
        return False
