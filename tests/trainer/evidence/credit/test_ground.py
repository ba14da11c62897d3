"""The ground that arms are compared on, on twelve scenes."""

import dataclasses

import pytest
import tiny_ground
import tiny_world
import torch
import torch.nn.functional as F

from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.families.weights import save_weights
from mdm_core.groups import Groups
from trainer.codec import open_codec
from trainer.evidence.credit.ambiguity import around, bits_of, twins
from trainer.evidence.credit.ground import FreeScenes, Ground, GroundData, data_of, draw, spec_of
from trainer.scenes.spec import WORLD_256
from trainer.settings.credit import GroundSettings


@pytest.fixture(scope="module", params=["lattice", "learned"])
def ground(request, tmp_path_factory):
    torch.set_num_threads(1)
    config = tiny_ground.LATTICE if request.param == "lattice" else tiny_ground.LEARNED
    return tiny_ground.tiny_ground(tmp_path_factory.mktemp(request.param), config)


def test_a_ground_holds_tokens_prompts_and_what_they_are_worth(ground):
    t = ground.tensors
    assert t["x0"].shape == (12, 64) and t["unseen_x0"].shape == (4, 64) and int(t["x0"].max()) < 32
    assert len(ground.prompts) == 12 == len(t["features"]) and t["text"].shape == (12, 40)
    assert ground.info["controls"]["real renders"]["mean"]["share"] > 0.5  # the judge knows them
    assert ground.info["fidelity"]["psnr_db"] > 0 and ground.info["codes_used"] > 1
    assert not torch.equal(t["x0"][:4], t["unseen_x0"])
    again = Ground(ground.folder)
    assert torch.equal(again.tensors["x0"], t["x0"])


def test_groups_and_neighbours_come_from_the_codes_and_are_kept(ground):
    book = open_codec(ground.folder).codebook()
    groups = ground.groups(8)
    assert groups.n_groups == 4 and groups.levels[0].width == 8
    near = ground.nearest(3).levels[0].neighbours
    assert torch.equal(near.long(), Groups.knn(book, 3).levels[0].neighbours.long())
    assert (ground.folder / "nearest_3.safetensors").exists()
    assert torch.equal(Ground(ground.folder).nearest(3).levels[0].neighbours, near)
    if ground.codec.codebook:
        assert torch.equal(ground.groups(8).group_of, Groups.kmeans(book, 4).group_of)


def test_every_epoch_has_every_scene_once_in_an_order_of_the_seed(ground):
    rows = [GroundData(str(ground.folder), 4, seed=s).open(None) for s in (0, 0, 1)]
    lots = [[source.batch(i).tokens for i in range(6)] for source in rows]
    assert all(torch.equal(a, b) for a, b in zip(lots[0], lots[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(lots[0], lots[2], strict=True))
    whole = sorted(ground.tensors["x0"].tolist())
    for epoch in (lots[0][:3], lots[0][3:]):
        assert sorted(torch.cat(epoch).tolist()) == whole
    assert torch.equal(rows[0].batch(1).tokens, lots[0][1])  # back in the first epoch
    with pytest.raises(ValueError, match="lower the batch"):
        GroundData(str(ground.folder), 13).open(None)


def test_a_twin_is_a_code_that_decodes_to_the_same_patch(ground):
    codec = open_codec(ground.folder)
    table = ground.nearest(4).levels[0].neighbours.long()
    found = twins(codec, ground.tensors["unseen_x0"], table, most=20)
    assert found["tokens"] == 20 and 0 <= found["within_1"] <= found["within_8"] <= 1
    # a decoder that does not look at its codes makes every neighbour a twin
    with torch.no_grad():
        codec.embed.weight.zero_()
    assert twins(codec, ground.tensors["unseen_x0"], table, most=20)["within_1"] == 1.0


def test_a_block_around_a_cell_decodes_as_the_picture_does(ground):
    codec = open_codec(ground.folder)
    ids = ground.tensors["unseen_x0"].long().view(4, 8, 8)
    cells = torch.tensor([[0, 3, 4], [2, 4, 3]])
    blocks, inside = around(ids, cells, codec.context)
    whole, patch = codec.decode(ids), codec.patch
    for (b, y, x), block, (row, column) in zip(cells.tolist(), blocks, inside.tolist(), strict=True):
        part = codec.decode(block[None])[0]
        a = part[row * patch : (row + 1) * patch, column * patch : (column + 1) * patch].float()
        c = whole[b, y * patch : (y + 1) * patch, x * patch : (x + 1) * patch].float()
        assert F.l1_loss(a, c) < 2.0


def test_the_entropy_of_a_model_is_measured_on_unseen_scenes(ground, tmp_path):
    folder = tiny_ground.tiny_model(tmp_path / "model", ground)
    told = bits_of(ground, folder, torch.device("cpu"))
    assert 0 < told["entropy_bits"] <= 5.001 and told["masked_bits"] > 0 and 0 <= told["accuracy"] <= 1
    save_weights(tiny_codec_of(ground, 1), folder / "image_tokenizer.safetensors")
    with pytest.raises(ValueError, match="another image tokenizer"):
        bits_of(ground, folder, torch.device("cpu"))


def tiny_codec_of(ground, seed):
    torch.manual_seed(seed)
    return ImageTokenizer(ground.codec)


def test_things_lie_anywhere_in_a_world_where_they_can(tmp_path):
    atlas = tiny_world.build(tmp_path / "atlas")
    settings = GroundSettings(world="world_256", atlas=atlas, objects=8, styles=("flat",), workers=0)
    assert spec_of(settings).snapped == 0 and spec_of(dataclasses.replace(settings, snapped=1.0)).snapped == 1
    source = FreeScenes(settings, data_of(settings), _NoWords())
    scenes = source.batch(0).scenes
    assert (scenes.xy[scenes.sprite >= 0] % WORLD_256.cell != 0).any()


class _NoWords:
    def encode(self, said):
        return torch.zeros(len(said), 0, dtype=torch.int64)


def test_what_does_not_fit_is_refused_before_the_work(tmp_path):
    codec = tiny_ground.tiny_codec(tmp_path / "codec")
    with pytest.raises(ValueError, match="128 pixels a side, and world_256 has 256"):
        draw(GroundSettings(codec=codec, out=tmp_path / "g", world="world_256"))
    with pytest.raises(ValueError, match="no finished ground"):
        Ground(tmp_path / "g")
