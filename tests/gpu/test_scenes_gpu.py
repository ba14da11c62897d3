"""Scenes drawn by the kernels on a GPU: the pictures of the CPU, and no waiting for them."""

import tiny_world
import torch

from trainer.scenes.atlas import Atlas
from trainer.scenes.drawing.bank import FreeBank
from trainer.scenes.drawing.free_render import draw
from trainer.scenes.generator import SceneGenerator
from trainer.scenes.spec import WORLD_256
from trainer.transfer import onto

STYLES = list(tiny_world.STYLES)


def test_pictures_are_those_of_the_cpu(tmp_path):
    atlas = Atlas.load(tiny_world.build(tmp_path, 24))
    batch = SceneGenerator(atlas, spec=WORLD_256, styles=STYLES, seed=8).batch(64)
    here, there = (FreeBank(atlas, WORLD_256, styles=STYLES, device=d) for d in ("cpu", "cuda"))
    assert there.kernels and not here.kernels
    assert torch.equal(draw(batch, there).cpu(), draw(batch, here))
    there.kernels = False
    assert torch.equal(draw(batch, there).cpu(), draw(batch, here))


def test_the_host_goes_on_while_the_gpu_works(tmp_path):
    """Drawing asks for more while what was asked before is not done: nothing in it waits for the GPU."""
    atlas = Atlas.load(tiny_world.build(tmp_path, 24))
    generator = SceneGenerator(atlas, spec=WORLD_256, styles=STYLES, seed=9)
    bank = FreeBank(atlas, WORLD_256, styles=STYLES, device="cuda")
    batch = generator.batch(64)
    draw(batch, bank)
    torch.cuda.synchronize()
    done = torch.cuda.Event()
    torch.cuda._sleep(int(2e9))  # about a second
    done.record()
    draw(batch, bank)
    onto(torch.zeros(1 << 20), torch.device("cuda"))
    assert not done.query()
    torch.cuda.synchronize()
