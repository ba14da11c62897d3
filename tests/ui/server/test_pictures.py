"""Pictures of a streaming run: decoded and sent where that is cheap, asked for where it is not."""

import numpy as np
import pytest
from studio_hands import Pipe, Tab, form, record

from ui.bring.opening import Opening
from ui.server.frames import PICTURES, light, pack_record
from ui.server.picture import QUICK_S, SHARE, Pace
from ui.server.studio import Studio


class Clock:
    """A clock that stands still unless it is moved."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def busy(self, seconds, made="x"):
        """Work that takes so long."""

        def work():
            self.now += seconds
            return made

        return work


def share_of(decoding, step, steps):
    """(pictures made, share of the whole time that they took) of a run."""
    clock = Clock()
    pace, made, spent = Pace(clock), 0, 0.0
    for _ in range(steps):
        clock.busy(step)()
        if pace.allows:
            before = clock.now
            pace.spend(clock.busy(decoding))
            made, spent = made + 1, spent + clock.now - before
    return made, spent / clock.now


def test_quick_pictures_are_all_made():
    assert share_of(QUICK_S * 0.99, 0.001, 40)[0] == 40


@pytest.mark.parametrize(("decoding", "step"), [(4.0, 1.0), (0.5, 0.01), (2.0, 2.0), (30.0, 0.2)])
def test_slow_pictures_leave_most_of_the_time_to_the_model(decoding, step):
    made, share = share_of(decoding, step, 400)
    assert 1 <= made < 400
    assert share <= max(SHARE + 0.01, decoding / (400 * step + decoding) + 1e-9)


def test_slow_pictures_are_all_made_where_the_model_is_slower_still():
    assert share_of(1.0, 3.0, 20)[0] == 20


def test_a_step_with_nothing_to_see_is_no_measure():
    clock = Clock()
    pace = Pace(clock)
    pace.spend(clock.busy(50.0, ""))
    assert pace.allows


@pytest.mark.parametrize("sizes", [[5, 5, 5], [1, 1, 20], [20, 1, 1], [9, 9], [0, 12, 0, 12], [30]])
def test_a_message_carries_the_newest_pictures_and_no_more_than_fit(sizes):
    frames = [{"k": k, "image": "x" * size} for k, size in enumerate(sizes)]
    sent = light(frames, 12)
    assert [f["k"] for f in sent] == list(range(len(sizes)))
    assert sent[-1]["image"] == frames[-1]["image"]  # what is looked at now always goes
    kept = [f["image"] for f in sent if f["image"]]
    assert sum(map(len, kept)) <= max(12, sizes[-1])
    for before, after in zip(frames, sent, strict=True):
        assert after["image"] in (before["image"], None)
        assert before["image"] or after["image"] == ""  # nothing to see is not the same as not sent
    assert frames[0]["image"] == "x" * sizes[0]  # the run keeps its own


class Slow(Pace):
    """Decoding takes too long for any step but the first."""

    @property
    def allows(self):
        return self._cost == 0


def test_a_run_that_is_slow_to_decode_ends_with_its_picture_and_tells_the_others_when_asked(monkeypatch):
    monkeypatch.setattr("ui.server.studio.Pace", Slow)
    pipe = Pipe()
    decoded = []
    decode = pipe.decode
    pipe.decode = lambda tokens: (decoded.append(np.array(tokens)), decode(tokens))[1]
    studio = Studio(lambda: pipe)
    out = [o[0] for o in studio.generate(form(), None, Tab()) if isinstance(o[0], dict) and "frames" in o[0]]
    images = [frame["image"] for frame in out[-1]["frames"]]
    assert images[0] == "" and images[1] and images[2] and len(decoded) == 2
    assert [f["image"] is None for f in out[-2]["frames"]] == [False, False, True]  # as it streamed
    run = studio.store.get(out[-1]["run"])
    picture = next(f for f in studio.functions() if f.__name__ == "picture")
    assert picture({"run": run.id, "step": 1})["image"] == images[1]
    for wrong in (None, {}, {"run": run.id}, {"run": run.id, "step": 3}, {"run": "x", "step": 1}):
        assert set(picture(wrong)) == {"error"}


def test_a_long_run_from_a_file_is_not_decoded_whole(monkeypatch):
    monkeypatch.setattr("ui.server.studio.Pace", Slow)
    studio = Studio(Pipe)
    run = Opening(studio)._run(None, [record(k, 200 - k) for k in range(40)])
    frames = studio.framed(run, run.records)
    assert [k for k, frame in enumerate(frames) if frame["image"]] == [39]
    assert [frame["k"] for frame in frames] == list(range(40))


def test_ordinary_messages_are_as_they_were():
    frames = [pack_record(record(k, 9), "x" * 40_000, 0) for k in range(20)]
    assert light(frames) == frames and PICTURES > 20 * 40_000
