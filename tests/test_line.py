"""The line of waiting visitors: order, places, cancelling, a full line, tabs that vanish."""

import threading
import time

import pytest

from ui import line as line_module
from ui.limits import Refused
from ui.line import Line


def test_a_free_line_lets_the_first_through_at_once():
    line = Line()
    with line.join("a") as ticket:
        assert list(ticket.places()) == [] and not ticket.cancelled
        assert (len(line), line.busy) == (0, 1)
    assert (len(line), line.busy) == (0, 0)


def test_the_others_see_how_many_are_ahead_and_move_up():
    line = Line()
    tickets = [line.join(name) for name in "abcd"]
    assert [next(t.places()) for t in tickets[1:]] == [1, 2, 3]
    line.leave(tickets[0])
    assert list(tickets[1].places()) == []
    assert [next(t.places()) for t in tickets[2:]] == [1, 2]
    line.leave(tickets[2])  # one who gives up in the middle
    assert next(tickets[3].places()) == 1


def test_waiting_comes_back_again_and_again_so_that_a_closed_tab_is_noticed(monkeypatch):
    monkeypatch.setattr(line_module, "BEAT_S", 0.01)
    line = Line()
    line.join("a")
    waiting = line.join("b").places()
    assert [next(waiting) for _ in range(3)] == [1, 1, 1]


def test_a_cancelled_visitor_stops_waiting_and_the_next_moves_up():
    line = Line()
    first, second, third = (line.join(name) for name in "abc")
    places = second.places()
    assert next(places) == 1
    assert line.cancel("b") and not line.cancel("nobody")
    assert list(places) == [] and second.cancelled
    assert next(third.places()) == 1
    line.leave(second)
    line.leave(first)
    assert list(third.places()) == [] and not third.cancelled


def test_pressing_again_gives_up_the_place_held_before():
    line = Line()
    line.join("a")
    old = line.join("b")
    line.join("c")
    new = line.join("b")
    assert old.cancelled and not new.cancelled
    assert len(line) == 2 and next(new.places()) == 2


def test_a_full_line_refuses_in_one_sentence_and_recovers():
    line = Line(places=2)
    first, second, _ = (line.join(name) for name in "abc")
    with pytest.raises(Refused, match="The studio is full, 2 visitors are waiting: try again in a minute."):
        line.join("d")
    line.leave(first)
    assert list(second.places()) == []
    line.join("d")


def test_a_ticket_that_nobody_asks_about_does_not_block_the_line(monkeypatch):
    line = Line()
    lost, waiting = line.join("lost"), line.join("b")
    monkeypatch.setattr(line_module, "STALE_S", 0.05)
    time.sleep(0.1)
    waiting.beat()
    assert list(waiting.places()) == []
    assert lost.cancelled


def test_many_threads_pass_one_at_a_time_and_none_is_lost():
    line, inside, most, done = Line(places=40), [], [], []

    def visit(name):
        with line.join(name) as ticket:
            for _ in ticket.places():
                pass
            inside.append(name)
            most.append(len(inside))
            time.sleep(0.002)
            inside.remove(name)
        done.append(name)

    threads = [threading.Thread(target=visit, args=(str(i),)) for i in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert max(most) == 1 and len(done) == 30 and (len(line), line.busy) == (0, 0)
