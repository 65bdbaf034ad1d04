"""RFC 6455 on the wire: the Autobahn cases, driven by kosoku, against `/echo` on every server model."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Server
from models import DEFLATING, OTHERS

pytestmark = pytest.mark.long

KOSOKU = Path(sys.executable).parent / "kosoku"
# What takes minutes for no other rule than the rest: thousands of compressed messages a case.
UNCOMPRESSED = ["--exclude", "12.*", "--exclude", "13.*"]
COMPRESSED = [f"12.{group}.{case}" for group in range(1, 6) for case in (1, 2, 5)] + [
    f"13.{group}.1" for group in range(1, 8)
]


def run_cases(server: Server, out: Path, *selection: str) -> str:
    address = server.url.replace("http", "ws") + "/echo"
    result = subprocess.run(
        [KOSOKU, "--parallelism", "4", "--outdir", out, *selection, address],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_every_case(wire_server: Server, tmp_path: Path) -> None:
    assert "301 cases passed" in run_cases(wire_server, tmp_path, *UNCOMPRESSED)


@pytest.mark.parametrize("model", [*DEFLATING, *OTHERS])
def test_permessage_deflate(serve: Callable[..., Server], tmp_path: Path, model: str) -> None:
    server = serve("--server-model", model, "--permessage-deflate")
    selection = [word for case in COMPRESSED for word in ("--include", case)]
    assert f"{len(COMPRESSED)} cases passed" in run_cases(server, tmp_path, *selection)
