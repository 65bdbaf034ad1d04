"""Signals that end a run, by themselves: which one is told, and when."""

import os
import signal
from collections.abc import Iterator

import pytest

from bench.trials.processes import interruption
from bench.trials.processes.interruption import Interrupted, noticed, shielded, signal_of


@pytest.fixture(autouse=True)
def no_signal_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No signal of another test came just now."""
    monkeypatch.setattr(interruption._State, "last_s", float("-inf"))
    with noticed():
        yield


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def test_the_second_of_two_signals_at_once_is_not_told_even_in_a_shield() -> None:
    """As when a terminal is closed, and whoever started the run ends it too."""
    with pytest.raises(Interrupted) as caught:
        try:
            send(signal.SIGHUP)
        finally:
            with shielded():
                send(signal.SIGTERM)
    assert signal_of(caught.value) == signal.SIGHUP


def test_what_is_shielded_is_done_whole() -> None:
    """However deep; the signal is raised once it is."""
    done = []
    with pytest.raises(Interrupted) as caught, shielded():
        with shielded():
            send(signal.SIGTERM)
            send(signal.SIGINT)
            done.append("the inner")
        done.append("the outer")
    assert signal_of(caught.value) == signal.SIGTERM
    assert done == ["the inner", "the outer"]


def test_a_later_signal_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a while and asks again is heard."""
    for number in (signal.SIGINT, signal.SIGTERM):
        monkeypatch.setattr(interruption._State, "last_s", float("-inf"))
        with pytest.raises(Interrupted) as caught:
            send(number)
        assert signal_of(caught.value) == number
