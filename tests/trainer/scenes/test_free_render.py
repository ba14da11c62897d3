"""Drawing at 256 pixels: sprites come out as they are, shadows lie where things stand, memory stays bounded."""

import dataclasses

import numpy as np
import pytest
import tiny_world
import torch

from trainer.scenes.atlas import Atlas
from trainer.scenes.drawing import free_triton
from trainer.scenes.drawing.bank import FreeBank, foot, reduce
from trainer.scenes.drawing.free_render import draw
from trainer.scenes.drawing.grounds import LOOKS, paint_ground
from trainer.scenes.generator import VARIANTS, SceneGenerator
from trainer.scenes.repaint import KINDS, Repainter, region_of, regions_of
from trainer.scenes.scene import SceneBatch, SceneObject
from trainer.scenes.spec import WORLD_256

STYLES = list(tiny_world.STYLES)
BARE = dataclasses.replace(WORLD_256, shadows=False)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    return Atlas.load(tiny_world.build(tmp_path_factory.mktemp("world"), 24))


def scene_of(row, size, xy, angle=0, background=6, look=0):
    batch = SceneBatch.empty(1, WORLD_256.slots)
    batch.sprite[0, 0], batch.size[0, 0], batch.angle[0, 0] = row, size, angle
    batch.xy[0, 0], batch.background[0], batch.look[0] = xy, background, look
    return batch


def blended(sprite, ground, xy):
    want, (x, y), s = ground.astype(np.float64), xy, len(sprite)
    alpha = sprite[..., 3:] / 255
    want[y : y + s, x : x + s] = sprite[..., :3] * alpha + want[y : y + s, x : x + s] * (1 - alpha)
    return want


def test_a_straight_sprite_is_the_artists(atlas):
    bank = FreeBank(atlas, BARE, styles=STYLES)
    row = bank.index(atlas.objects[3].name, "flat")
    sprite = atlas.sprite(3, "flat").astype(np.float64)
    ground = paint_ground(WORLD_256.grounds[6], 0, 256)
    for size in (192, 96, 64, 48):
        by = 192 // size
        mean = sprite.copy()
        mean[..., :3] *= mean[..., 3:] / 255
        mean = mean.reshape(size, by, size, by, 4).mean((1, 3))
        mean[..., :3] /= np.maximum(mean[..., 3:] / 255, 1e-9)
        drawn = draw(scene_of(row, size, (13, 29)), bank)[0].numpy()
        assert np.abs(drawn - blended(mean, ground, (13, 29))).max() <= 1.5, size


def test_sizes_between_are_smooth_and_keep_their_place(atlas):
    bank = FreeBank(atlas, BARE, styles=STYLES)
    row = bank.index(atlas.objects[1].name, "3d")
    for size in (58, 72, 110, 150, 190):
        for angle in (0, 9, -9):
            drawn = draw(scene_of(row, size, (30, 40), angle, background=0), bank)[0].float()
            ground = bank.ground(np.array([0]), np.array([0]))[0].float()
            ink = (drawn - ground).abs().amax(-1)
            rows, columns = torch.where(ink > 60)
            middle = torch.stack([columns, rows]).float().mean(1) + 0.5
            assert (middle - torch.tensor([30 + size / 2, 40 + size / 2])).abs().max() < 1.5
            left, right = int(columns.min()), int(columns.max()) + 1
            assert abs((right - left) - size * 178 / 192) < 3 + 0.06 * size * (angle != 0)


def test_a_snapped_sprite_looks_the_same_everywhere(atlas):
    bank = FreeBank(atlas, BARE, styles=STYLES)
    bank._grounds[:] = 90
    bank._painted[:] = True
    row = bank.index(atlas.objects[2].name, "3d", "red")
    cuts = [draw(scene_of(row, 112, at), bank)[0, at[1] :, at[0] :][:112, :112] for at in ((0, 0), (16, 80))]
    assert torch.equal(*cuts)


def test_a_thing_on_the_ground_casts_a_shadow_and_one_in_the_sky_does_not(atlas):
    bank, bare = (FreeBank(atlas, spec, styles=STYLES) for spec in (WORLD_256, BARE))
    row = bank.index(atlas.objects[0].name, "3d")
    names = [g.name for g in WORLD_256.grounds]
    for ground, at, shaded in (
        ("green", 80, True),
        ("cloudy sky", 80, False),
        ("meadow", 120, True),
        ("meadow", 8, False),
    ):
        batch = scene_of(row, 96, (80, at), background=names.index(ground), look=3)
        dark = (draw(batch, bare).int() - draw(batch, bank).int())[0]
        assert (dark.amax() > 20) == shaded and dark.amin() >= 0, ground
        if shaded:
            rows, columns = torch.where(dark.amax(-1) > 2)
            assert rows.max() > at + 92 and rows.min() > at + 60
            left, _, right, bottom = region_of(SceneObject("x", None, 96, 80, at), WORLD_256)
            assert columns.min() >= left and columns.max() < right and rows.max() < bottom


def test_scenes_are_drawn_alike_in_any_batch(atlas):
    generator = SceneGenerator(atlas, spec=WORLD_256, styles=STYLES, seed=6)
    scenes = [generator.sample() for _ in range(20)]
    bank = FreeBank(atlas, WORLD_256, styles=STYLES)
    whole = draw(generator.to_batch(scenes), bank)
    assert whole.shape == (20, 256, 256, 3) and whole.dtype == torch.uint8
    for scene, picture in zip(scenes, whole, strict=True):
        assert torch.equal(draw(generator.to_batch([scene]), bank)[0], picture)


def test_the_way_of_a_gpu_gives_the_same_pictures(atlas):
    """All sprites at once in memory, as on a GPU, against one at a time."""
    generator = SceneGenerator(atlas, spec=WORLD_256, styles=STYLES, seed=8)
    batch = generator.batch(24)
    one, all_ = (FreeBank(atlas, WORLD_256, styles=STYLES) for _ in range(2))
    all_._upload()
    assert torch.equal(draw(batch, one), draw(batch, all_))


@pytest.mark.parametrize("tile", [(256, 256), (64, 128)])
def test_the_kernels_give_the_same_pictures(atlas, monkeypatch, tile):
    """Interpreted here, integer by integer."""
    paint = free_triton.paint
    monkeypatch.setattr(free_triton, "paint", lambda *a: paint(*a, tile=tile))
    monkeypatch.setattr(free_triton, "PIXELS", 1 << 16)
    generator = SceneGenerator(atlas, spec=WORLD_256, styles=STYLES, seed=8)
    scenes = [generator.sample() for _ in range(12)]
    for spec in (WORLD_256, BARE):
        batch = generator.to_batch(scenes)
        assert (batch.sprite % VARIANTS > 0).any() and (batch.angle != 0).any()
        bank, same = (FreeBank(atlas, spec, styles=STYLES) for _ in range(2))
        same._upload()
        same.kernels = True
        assert torch.equal(draw(batch, same), draw(batch, bank))


def test_a_scene_of_nothing_is_its_ground(atlas):
    bank = FreeBank(atlas, WORLD_256, styles=STYLES)
    empty = SceneBatch.empty(2, WORLD_256.slots)
    for kernels in (False, True):
        bank.kernels = kernels
        assert torch.equal(draw(empty, bank), bank.ground(empty.background, empty.look))


def test_what_a_cpu_keeps_is_bounded(atlas):
    limit = 1 << 20
    bank = FreeBank(atlas, WORLD_256, styles=STYLES, cache=limit)
    generator = SceneGenerator(atlas, spec=WORLD_256, styles=STYLES, seed=9)
    for _ in range(4):
        draw(generator.batch(16), bank)
        assert bank._bytes == sum(t.nbytes for t in bank._kept.values()) <= limit
    sheets = list(atlas._sheets.values())
    assert all(isinstance(cell, bytes) for cells in sheets for cell in cells.values())
    assert sum(len(cell) for cells in sheets for cell in cells.values()) < 0.2 * 24 * 2 * 192 * 192 * 4


def test_what_the_bank_lacks_is_refused(atlas):
    bank = FreeBank(atlas, WORLD_256, 5, STYLES)
    with pytest.raises(ValueError, match="does not hold"):
        draw(scene_of(bank.rows, 96, (0, 0)), bank)
    with pytest.raises(ValueError, match="asks for larger ones"):
        draw(scene_of(0, 200, (0, 0)), bank)
    with pytest.raises(ValueError, match="holds no"):
        bank.index("panda", "cubist")
    with pytest.raises(ValueError, match="Unknown style"):
        FreeBank(atlas, WORLD_256, styles=["cubist"])


def test_pieces():
    sprite = np.zeros((16, 16, 4), np.uint8)
    sprite[4:12, 5:9] = 255
    assert foot(sprite) == (5, 9, 12) and foot(np.zeros((16, 16, 4), np.uint8)) == (0, 16, 16)
    small = reduce(torch.from_numpy(sprite)[None], 4)[0][..., None].view(torch.uint8)
    assert small.shape == (4, 4, 4) and small[1, 1].tolist() == [191] * 4 and small[0, 0].tolist() == [0] * 4


@pytest.mark.parametrize("index", range(len(WORLD_256.grounds)))
def test_a_ground_is_the_same_picture_every_time_and_each_look_another(index):
    ground = WORLD_256.grounds[index]
    looks = [paint_ground(ground, k, 64) for k in range(LOOKS)]
    assert np.array_equal(looks[2], paint_ground(ground, 2, 64))
    assert all((looks[0] != look).any() for look in looks[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_repaint_task_changes_its_region_and_nothing_else(atlas, kind):
    repainter = Repainter(atlas, seed=1, spec=WORLD_256, styles=STYLES)
    bank = FreeBank(atlas, WORLD_256, styles=STYLES)
    for _ in range(12):
        task = repainter.draw(kind)
        pair = repainter._pairs.to_batch([task.before, task.after])
        before, after = (p.numpy() for p in draw(pair, bank))
        assert np.array_equal(tiny_world.cut(before, task.region), tiny_world.cut(after, task.region))
        assert (before != after).any() and task.before.caption != task.after.caption
        change = {"add": 1, "remove": -1}.get(kind, 0)
        assert len(task.after.objects) - len(task.before.objects) == change
        boxes = regions_of(pair, WORLD_256)
        assert any(tuple(box) == task.region for boxes_of in boxes for box in boxes_of.tolist())
    with pytest.raises(ValueError, match="Unknown kind of repainting"):
        repainter.draw("paint")
