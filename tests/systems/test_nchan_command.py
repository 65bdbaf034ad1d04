"""nchan's server by hand, as README shows it: what is wrong is told in a line, and nothing is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.systems.nchan import program, server

GOOD = ["127.0.0.1", "20", "25"]


@pytest.mark.parametrize("words", [[], [*GOOD[:1], "many", "25", "."], [*GOOD[:2], "soon", "."]])
def test_wrong_usage_is_told(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        server.main(words)
    assert ended.value.code == 2
    said = capfd.readouterr().err
    assert "usage: " in said
    assert "PING_INTERVAL_S" in said


def test_what_is_missing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """nginx, its module, a directory, an address of this machine, an nginx that runs."""
    monkeypatch.setattr(program, "module", lambda: None)
    assert server.main([*GOOD, str(tmp_path)]) == 2
    assert "apt-get install nginx libnginx-mod-nchan" in capfd.readouterr().err
    monkeypatch.setattr(program, "missing", lambda: None)
    for host, directory in (("127.0.0.1", tmp_path / "nowhere"), ("192.0.2.1", tmp_path)):
        assert server.main([host, *GOOD[1:], str(directory)]) == 2
        said = capfd.readouterr().err
        assert f"cannot start on {host} in {directory}: " in said
        assert said.count("\n") == 1
    broken = tmp_path / "nginx"
    broken.write_text("no program")
    broken.chmod(0o755)
    monkeypatch.setattr(program, "nginx", lambda: broken)
    assert server.main([*GOOD, str(tmp_path)]) == 2
    assert "Exec format error" in capfd.readouterr().err
    assert program.version(broken, broken) == "nginx ?, nchan ?"
