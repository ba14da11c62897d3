"""The judge: what it is taught, how its maps are read, that its weights are the recorded ones, that it can learn."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from trainer.evaluate.generate import Artist
from trainer.evaluate.prompts import STYLES, load, near_misses
from trainer.evaluate.scoring import mistakes
from trainer.judge.detector import (
    COLOURS,
    NOTHING,
    VERIFIER_DIR,
    Detector,
    Verifier,
    load_quantised,
    overlap,
    save_quantised,
    sha256,
)
from trainer.judge.lessons import IGNORE, SIZES, SceneMaker, lesson
from trainer.judge.loop import SHARES, detection_loss
from trainer.scenes.atlas import Atlas
from trainer.scenes.drawing.render import SpriteBank

N = 12


@pytest.fixture(scope="module")
def atlas():
    return Atlas.load()


@pytest.fixture(scope="module")
def bank(atlas):
    return SpriteBank(atlas, N, list(SHARES), sizes=SIZES)


def maker(atlas, seed=0):
    return SceneMaker(atlas, N, list(SHARES), list(SHARES.values()), seed)


class Told(torch.nn.Module):
    """A stand-in that returns given maps."""

    def __init__(self, maps):
        super().__init__()
        self.maps, self.n_objects = maps, N

    def forward(self, x):
        return self.maps, torch.zeros(len(x), 3)

    parts = Detector.parts


def test_scenes_are_inside_the_picture_and_apart(atlas):
    drawn = maker(atlas).draw(400)
    used = drawn.sprite >= 0
    assert (drawn.xy[used] >= 0).all() and (drawn.xy[used] + drawn.size[used][:, None] <= 128).all()
    for b in range(400):
        slots = np.flatnonzero(used[b])
        for k, i in enumerate(slots):
            for j in slots[:k]:
                gap = np.abs(drawn.xy[b, i] - drawn.xy[b, j]).max()
                assert gap >= drawn.size[b, i], (b, drawn.xy[b], drawn.size[b])
    assert {len(np.flatnonzero(u)) for u in used} >= {0, 1, 2, 3, 4}
    again = maker(atlas).draw(400)
    assert all(
        np.array_equal(getattr(drawn, f.name), getattr(again, f.name)) for f in dataclasses.fields(drawn)
    )
    assert not np.array_equal(drawn.sprite, maker(atlas, seed=1).draw(400).sprite)


def test_whole_objects_keep_their_name_and_broken_ones_lose_it(atlas, bank):
    drawn = maker(atlas).draw(64)
    whole = lesson(drawn, bank, N, torch.Generator().manual_seed(0), broken=0.0)
    assert whole.images.shape == (64, 3, 128, 128) and 0 <= whole.images.min() <= whole.images.max() <= 255
    assert torch.equal(whole.name[whole.used], torch.from_numpy(drawn.name)[whole.used])
    assert not whole.doubtful.any()
    broken = lesson(drawn, bank, N, torch.Generator().manual_seed(0), broken=1.0)
    changed = (broken.name != whole.name) & whole.used
    assert (changed.sum(1) <= 1).all() and changed.any(1).sum() > 30, "one object of a picture, in most"
    assert set(broken.name[changed].tolist()) == {N, IGNORE}
    assert (broken.colour[changed] == IGNORE).all()


def test_peaks_become_detections():
    maps = torch.zeros(1, 1 + N + 1 + len(COLOURS) + 4, 16, 16)
    maps[:, 0] = -9.0
    maps[0, 0, 4, 3], maps[0, 1 + 5, 4, 3], maps[0, 1 + N + 1 + 2, 4, 3] = 4.0, 9.0, 9.0  # row 4, column 3
    maps[0, -4:, 4, 3] = torch.tensor([0.5, 0.0, np.log(56 / 64), np.log(56 / 64)])
    maps[0, 0, 4, 5], maps[0, 1 + 5, 4, 5] = 3.0, 9.0  # the same object from two cells further
    maps[0, -4:, 4, 5] = torch.tensor([-1.5, 0.0, np.log(56 / 64), np.log(56 / 64)])
    maps[0, 0, 12, 12], maps[0, 1 + N, 12, 12] = 2.0, 9.0  # a broken one
    maps[0, 0, 12, 2] = 1.0  # an unsure one: every name alike
    maps[0, 0, 2, 12], maps[0, 1, 2, 12] = -2.0, 9.0  # too weak to be there
    card = {"place_above": 0.4, "name_above": 0.5}
    names = [f"thing {i}" for i in range(N)]
    [found] = Verifier(Told(maps), names, card, torch.device("cpu")).detect(
        torch.zeros(1, 128, 128, 3, dtype=torch.uint8)
    )
    assert [d.name for d in found] == ["thing 5", NOTHING, NOTHING]
    assert found[0].colour == COLOURS[2] and found[0].centre == pytest.approx((32, 36))
    assert found[0].box == pytest.approx((4, 8, 60, 64))


def test_overlap():
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (10, 0, 20, 10)) == 0


def test_weights_survive_eight_bits_and_a_wrong_file_is_refused(tmp_path):
    torch.manual_seed(0)
    model = Detector(N, (16, 32, 32)).eval()
    torch.nn.init.normal_(model.head.weight, std=0.1)
    save_quantised(model, tmp_path / "verifier.safetensors")
    again = Detector(N, (16, 32, 32)).eval()
    load_quantised(again, tmp_path / "verifier.safetensors")
    x = torch.randn(2, 3, 128, 128)
    a, b = model(x)[0], again(x)[0]
    assert (a - b).abs().max() < 0.05 * a.abs().max()
    card = {
        "objects": [str(i) for i in range(N)],
        "widths": [16, 32, 32],
        "place_above": 0.4,
        "name_above": 0.5,
        "sha256": sha256(tmp_path / "verifier.safetensors"),
    }
    (tmp_path / "card.json").write_text(json.dumps(card))
    assert Verifier.load(tmp_path).names[0] == "0"
    torch.nn.init.normal_(model.head.weight, std=0.1)
    save_quantised(model, tmp_path / "verifier.safetensors")
    with pytest.raises(ValueError, match="not the verifier that its card describes"):
        Verifier.load(tmp_path)
    with pytest.raises(ValueError, match="holds no verifier"):
        Verifier.load(tmp_path / "nowhere")


def test_it_learns(atlas, bank):
    """A narrow one on one small batch: every part of the loss falls."""
    torch.manual_seed(0)
    model = Detector(N, (16, 32, 32))
    truth = lesson(maker(atlas, seed=3).draw(12), bank, N, torch.Generator().manual_seed(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3)
    history = []
    for _ in range(40):
        loss, parts = detection_loss(model, model(truth.images / 127.5 - 1)[0], truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append({k: float(v) for k, v in parts.items()})
    assert all(
        history[-1][k] < share * history[0][k]
        for k, share in {"where": 0.3, "what": 0.75, "hue": 0.75, "shape": 0.7}.items()
    ), (history[0], history[-1])


def test_the_shipped_judge_tells_right_from_wrong(atlas):
    """Real renders are accepted, near misses and broken objects refused; small, and the one that was recorded."""
    judge = Verifier.load()
    assert judge.card["bytes"] <= 5_000_000 and judge.names == [o.name for o in atlas.objects]
    prompts = load(limit=10)
    artist = Artist(atlas, len(atlas), STYLES)
    found = judge.detect(artist.draw([p.scene for p in prompts]))
    assert np.mean([not mistakes(p, f) for p, f in zip(prompts, found, strict=True)]) > 0.9
    cases = [(p, s) for p in prompts for s in near_misses(p, atlas, len(atlas)).values()]
    found = judge.detect(artist.draw([s for _, s in cases]))
    assert np.mean([bool(mistakes(p, f)) for (p, _), f in zip(cases, found, strict=True)]) > 0.9
    drawn = maker(atlas, seed=5).draw(48)
    all_styles = SpriteBank(atlas, N, list(SHARES), sizes=SIZES)
    truth = lesson(drawn, all_styles, N, torch.Generator().manual_seed(1), broken=1.0)
    wrecked = (truth.name == N).any(1) & ~truth.doubtful.any(1)
    images = truth.images.round().to(torch.uint8).permute(0, 2, 3, 1)[wrecked]
    assert np.mean([any(d.name == NOTHING for d in ds) for ds in judge.detect(images)]) > 0.8


def test_the_recorded_hash_is_older_than_every_score():
    """Each record of scores names the judge whose hash the card holds."""
    card = json.loads((VERIFIER_DIR / "card.json").read_text())
    for path in sorted((VERIFIER_DIR.parent / "evidence").glob("*.json")):
        assert json.loads(path.read_text()).get("verifier_sha256", card["sha256"]) == card["sha256"], (
            path.name
        )
