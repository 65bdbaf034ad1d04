"""Break the code on purpose, one small fault at a time, and see whether the tests notice it.

    python tests/breaks.py [NAME …]

The breaks stand in `breaks.toml` beside this file; without names, all of them are tried. Exit codes: 0 when
every break was caught, 1 when one was not, or when the tests fail without any break, 2 on wrong usage.

Rules:
- A break replaces one snippet (`old`), which stands exactly once in its `file`, by another (`new`).
- The working tree is never touched: each break has a fresh copy of the files that git knows or would add.
- The copy's code is what runs, also in child processes: it comes first on PYTHONPATH.
- The tests of `caught_by` run once without a break before anything else. A test that fails by itself would
  seem to catch every break.
- Caught means that a test failed. A file that cannot be imported any more, or tests that do not end within
  `LIMIT_S`, prove nothing about what the tests check.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_S = 180.0
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - .*)?$", re.MULTILINE)


@dataclass(frozen=True)
class Break:
    """One entry of breaks.toml. `why` says what goes wrong for a user."""

    name: str
    area: str
    file: str
    old: str
    new: str
    why: str
    caught_by: list[str]


def main() -> int:
    """Try the breaks that were named, or all."""
    listed = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    known = [Break(**entry) for entry in listed["breaks"]]
    parser = argparse.ArgumentParser(description="Break the code on purpose; the tests must notice.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="breaks to try (all)")
    names = parser.parse_args().names
    if unknown := set(names) - {one.name for one in known}:
        parser.error(f"no break is called {', '.join(sorted(unknown))}")
    breaks = [one for one in known if not names or one.name in names]
    for one in breaks:
        if (times := (ROOT / one.file).read_text().count(one.old)) != 1:
            parser.error(f"{one.name}: its snippet stands {times} times in {one.file}, and must stand once")
    begun_s = time.monotonic()
    with copied() as copy:
        for tests in dict.fromkeys(tuple(one.caught_by) for one in breaks):
            passed, said = run(copy, list(tests))
            if not passed:
                print(f"{' '.join(tests)}: fails without any break: {said}")
                return 1
    caught = [try_out(one) for one in breaks]
    print(f"{sum(caught)} of {len(caught)} breaks were caught, in {time.monotonic() - begun_s:.0f} s")
    return 0 if all(caught) else 1


def try_out(one: Break) -> bool:
    """Whether the tests notice this break. Prints which test did."""
    with copied() as copy:
        path = copy / one.file
        path.write_text(path.read_text().replace(one.old, one.new))
        passed, said = run(copy, one.caught_by)
    found = None if passed else FAILED.search(said)
    print(f"{one.name} ({one.area}): {f'caught by {found[1]}' if found else 'NOT CAUGHT'}", flush=True)
    if not passed and not found:
        print(said)
    return found is not None


@contextlib.contextmanager
def copied() -> Iterator[Path]:
    """A copy of the repository's files, tracked or not yet added, that is gone afterwards."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="wirelab-break-") as directory:
        copy = Path(directory).resolve()
        for name in filter(None, names.split("\0")):
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, copy / name)
        yield copy


def run(copy: Path, tests: list[str]) -> tuple[bool, str]:
    """Run some tests in a copy, until the first fails. Whether they passed, and what pytest said last."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(copy)}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=copy, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            return False, f"the tests did not end within {LIMIT_S:g} s"
        finally:
            # What broken code left running goes too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        return code == 0, output.read()[-2000:]


if __name__ == "__main__":
    sys.exit(main())
