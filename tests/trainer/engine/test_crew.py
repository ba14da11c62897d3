"""The processes that stand for several devices in tests end, whatever becomes of them."""

import os
import time

from crew import Crew

MORE_THAN_A_PIPE = 1_000_000  # bytes; a pipe holds 65,536


def test_who_returns_more_than_a_pipe_holds_ends():
    assert Crew(2, bytes, MORE_THAN_A_PIPE).wait() == [bytes(MORE_THAN_A_PIPE)] * 2


def test_who_ends_by_an_error_is_told_at_once():
    assert Crew(2, os._exit, 3).wait() is None


def test_who_takes_too_long_is_ended():
    crew = Crew(2, time.sleep, 600)
    assert crew.wait(0.5) is None
    assert not any(p.is_alive() for p in crew.processes)
