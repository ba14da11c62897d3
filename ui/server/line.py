"""The line of visitors who wait for the model: who is next, how many are ahead, and a Cancel that works.

Gradio has a queue of its own, but a handler never learns its place in it and a waiting event cannot be ended
from the page. So every model event enters its handler at once and stands in this line instead:

    with line.join(session) as ticket:      # Refused when the line is full
        for ahead in ticket.places():       # ends when it is this visitor's turn, or when it was cancelled
            yield waiting(ahead)
        if not ticket.cancelled:
            ...                             # the model is ours until the block ends

One tab has one place: who presses Generate again gives up the place held before, so that extra clicks never
queue more. A program that calls the page may hold several, which are served one after another. First come, first
served.

A handler that is dropped without being closed must not hold up the line for ever, and one that works must not lose
its place, however long a single step takes. What tells them apart is who holds the thread: between two of its
answers a handler is at work (`Ticket.at_work`), and counts as alive for as long as that takes. Handed back to its
caller, or waiting, it is asked again within moments, unless nobody is there any more.
"""

import threading
import time
from collections.abc import Generator, Iterator
from typing import TypeVar

from ui.server.form import Refused

PLACES = 24
PLACES_A_PROGRAM = 8  # of them for one caller that is no tab
BEAT_S = 0.5  # how often a waiting handler comes back to its caller, so that a closed tab is noticed
# A ticket that nobody has asked about for so long belongs to nobody any more. Gradio holds all handlers back for up to
# a minute while it closes one that is in the middle of a step: it must be longer than that.
STALE_S = 90.0

Answer = TypeVar("Answer")


class Ticket:
    """A place in the line. Leaving its `with` block passes the turn on."""

    def __init__(self, line: "Line", session: str) -> None:
        self._line = line
        self.session = session
        self.cancelled = False
        self.working = False  # its handler's code runs at this moment
        self.seen = time.monotonic()

    def __enter__(self) -> "Ticket":
        return self

    def __exit__(self, *error: object) -> None:
        self._line.leave(self)

    def places(self) -> Iterator[int]:
        """How many are ahead, at once and then at least every half second, until it is this ticket's turn."""
        first = True
        while True:
            with self._line.changed:
                self.seen = time.monotonic()
                self._line.drop_stale()
                if not first and not self._ready():
                    self._line.changed.wait(BEAT_S)
                if self._ready():
                    return
                ahead = self._line.ahead(self)
            first = False
            yield ahead

    def at_work(self, answers: Generator[Answer, None, None]) -> Iterator[Answer]:
        """The answers of a handler that has the model; while it makes the next one, its place is safe."""
        try:
            while True:
                self.working = True
                try:
                    answer = next(answers)
                except StopIteration:
                    return
                finally:
                    self.beat()
                    self.working = False
                yield answer
        finally:
            self.working = True  # closing ends the model's own work, which may take a step as well
            try:
                answers.close()
            finally:
                self.working = False

    def beat(self) -> None:
        """Says that somebody still asks about this ticket."""
        self.seen = time.monotonic()

    def stale(self, oldest: float) -> bool:
        """True when nobody has asked about it since `oldest`, and its handler is not at work either."""
        return self.seen < oldest and not self.working

    def _ready(self) -> bool:
        return self.cancelled or self._line.holds(self)


class Line:
    """First come, first served; at most `places` wait while `at_once` are with the model."""

    def __init__(self, places: int = PLACES, at_once: int = 1) -> None:
        self.size, self.at_once = places, at_once
        self.changed = threading.Condition(threading.RLock())
        self._waiting: list[Ticket] = []
        self._running: list[Ticket] = []

    def __len__(self) -> int:
        """How many wait, those with the model not counted."""
        return len(self._waiting)

    @property
    def busy(self) -> int:
        """How many are with the model."""
        return len(self._running)

    def join(self, session: str, program: bool = False) -> Ticket:
        """A place at the end of the line; Refused when it is full. The tab's earlier place is given up.

        A program's earlier places stay: each of its calls has an answer of its own.
        """
        with self.changed:
            if not program:
                self.cancel(session)
            self.drop_stale()
            mine = sum(ticket.session == session for ticket in self._waiting)
            if program and mine >= PLACES_A_PROGRAM:
                raise Refused(
                    f"You have {mine} pictures waiting in line already: wait for one of them first."
                )
            if len(self._waiting) >= self.size:
                raise Refused(
                    f"The studio is full, {len(self._waiting)} visitors are waiting: try again in a minute."
                )
            ticket = Ticket(self, session)
            self._waiting.append(ticket)
            self._advance()
        return ticket

    def cancel(self, session: str) -> bool:
        """Ends the wait of the tab's ticket; False when it has none that waits or runs."""
        with self.changed:
            found = [t for t in (*self._waiting, *self._running) if t.session == session]
            for ticket in found:
                ticket.cancelled = True
                if ticket in self._waiting:
                    self._waiting.remove(ticket)
            self.changed.notify_all()
        return bool(found)

    def leave(self, ticket: Ticket) -> None:
        """Takes the ticket out of the line, wherever it stands, and calls the next."""
        with self.changed:
            for place in (self._waiting, self._running):
                if ticket in place:
                    place.remove(ticket)
            self._advance()

    def holds(self, ticket: Ticket) -> bool:
        """True while the model belongs to the ticket."""
        with self.changed:
            return ticket in self._running

    def ahead(self, ticket: Ticket) -> int:
        """How many have to finish before the ticket's turn; 0 for one that does not wait."""
        with self.changed:
            if ticket not in self._waiting:
                return 0
            return len(self._running) - self.at_once + 1 + self._waiting.index(ticket)

    def _advance(self) -> None:
        while self._waiting and len(self._running) < self.at_once:
            ticket = self._waiting.pop(0)
            ticket.seen = time.monotonic()
            self._running.append(ticket)
        self.changed.notify_all()

    def drop_stale(self) -> None:
        """Puts out tickets whose handler was dropped without being closed, waiting or between two answers."""
        oldest = time.monotonic() - STALE_S
        for place in (self._waiting, self._running):
            for ticket in [t for t in place if t.stale(oldest)]:
                ticket.cancelled = True
                place.remove(ticket)
        self._advance()
