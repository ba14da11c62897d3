"""The line of waiting visitors: order, places, cancelling, a full line, tabs that vanish."""

import threading
import time

import pytest
from studio_hands import Pipe, form
from studio_hands import Tab as Request

from ui.server import line as line_module
from ui.server.form import Refused
from ui.server.line import Line
from ui.server.studio import Studio


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


# ---- one long step --------------------------------------------------------------------------------------------


def at_rest(monkeypatch, seconds=0.15):
    """A line whose patience is short."""
    monkeypatch.setattr(line_module, "STALE_S", seconds)
    monkeypatch.setattr(line_module, "BEAT_S", seconds / 10)
    return Line()


def test_a_step_may_take_many_times_longer_than_the_line_waits(monkeypatch):
    """A lent GPU, a compilation, a large picture: the model stays with who works, and the next has it afterwards."""
    line, inside, most, order = at_rest(monkeypatch), [], [], []

    def carving(name):
        for step in range(2):
            inside.append(name)
            most.append(len(inside))
            time.sleep(0.6)  # four times as long as the line is patient
            inside.remove(name)
            yield step

    def visit(name):
        with line.join(name) as ticket:
            for _ in ticket.places():
                pass
            assert not ticket.cancelled
            assert list(ticket.at_work(carving(name))) == [0, 1] and not ticket.cancelled
        order.append(name)

    threads = [threading.Thread(target=visit, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
        time.sleep(0.05)
    for thread in threads:
        thread.join(timeout=20)
    assert order == ["a", "b", "c"] and max(most) == 1 and (len(line), line.busy) == (0, 0)


def test_the_studio_keeps_the_model_for_a_tab_whose_steps_take_long(monkeypatch):
    at_rest(monkeypatch)

    class Slow(Pipe):
        def stream(self, prompt, **settings):
            for record in super().stream(prompt, **settings):
                time.sleep(0.5)
                yield record

    studio, out = Studio(Slow), {}

    def visit(name):
        out[name] = list(studio.generate(form(), None, Request(name)))

    threads = [threading.Thread(target=visit, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    for thread in threads:
        thread.join(timeout=30)
    assert [out[name][-1][0]["state"] for name in "ab"] == ["done", "done"]
    assert sum(answer[0]["state"] == "waiting" for answer in out["b"]) > 20


def test_a_handler_dropped_between_two_answers_does_not_block_the_line(monkeypatch):
    """It holds the model, was not closed, and something still refers to it: nobody asks it for its next answer."""
    line = at_rest(monkeypatch)

    def handler():
        with line.join("lost") as ticket:
            yield from ticket.at_work(step for step in range(9))

    lost = handler()
    assert next(lost) == 0 and line.busy == 1
    with line.join("next") as ticket:
        began = time.monotonic()
        assert list(ticket.places()) and not ticket.cancelled
        assert time.monotonic() - began < 5
        lost.close()
        assert line.holds(ticket)


def test_a_handler_that_is_dropped_in_the_middle_of_a_step_goes_when_the_step_is_over(monkeypatch):
    """Gradio gives up closing a handler after a minute of one step and lets go of it."""
    line, go_on = at_rest(monkeypatch), threading.Event()

    def steps():
        go_on.wait(20)
        yield 0

    def handler():
        with line.join("lost") as ticket:
            yield from ticket.at_work(steps())

    thread = threading.Thread(target=lambda: next(handler()))
    thread.start()
    time.sleep(0.05)
    with line.join("next") as ticket:
        places = ticket.places()
        for _ in range(20):  # longer than the line is patient
            assert next(places) == 1
        go_on.set()
        thread.join(timeout=20)
        assert list(places) in ([], [1]) and not ticket.cancelled and line.holds(ticket)


def test_a_step_that_fails_is_no_work_any_more(monkeypatch):
    line = at_rest(monkeypatch)

    def steps():
        yield 0
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError), line.join("a") as ticket:
        list(ticket.at_work(steps()))
    assert line.busy == 0 and not ticket.working


# ---- programs -------------------------------------------------------------------------------------------------


def test_a_programs_jobs_wait_for_each_other_and_stop_ends_them_all():
    line = Line()
    jobs = [line.join("client", program=True) for _ in range(3)]
    assert not any(job.cancelled for job in jobs)
    assert [next(job.places()) for job in jobs[1:]] == [1, 2]
    line.leave(jobs[0])
    assert list(jobs[1].places()) == []
    assert line.cancel("client") and all(job.cancelled for job in jobs[1:])


def test_one_program_cannot_fill_the_line():
    line = Line()
    jobs = [line.join("client", program=True) for _ in range(line_module.PLACES_A_PROGRAM + 1)]
    with pytest.raises(Refused, match="You have 8 pictures waiting in line already"):
        line.join("client", program=True)
    line.join("another")
    line.leave(jobs[0])
    assert not line.join("client", program=True).cancelled
