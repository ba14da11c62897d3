"""The pipeline end to end on random weights: streaming, repaint, heal, batches, and clear refusals."""

import numpy as np
import pytest
from PIL import Image

from mdm_core.images.regions import as_cells, composite
from mdm_core.pipeline import Pipeline
from mdm_core.protocols import Backbone, ImageCodec, PromptEncoder


def test_generate_gives_a_picture_and_its_story(tiny):
    run = tiny.generate("a cat", seed=1, steps=6)
    assert run.image.size == (32, 32) and run.tokens.shape == (4, 4)
    assert run.records[0].phase == "start" and run.records[0].step == 0
    assert sum(r.phase == "unmask" for r in run.records) == 6
    assert run.settings["seed"] == 1 and run.settings["steps"] == 6


def test_same_seed_same_picture_other_seed_other_picture(tiny):
    a, b, c = (tiny.generate("a cat", seed=s, steps=4).tokens for s in (1, 1, 2))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_batch_equals_one_by_one(tiny):
    prompts, seeds = ["a cat", "two dogs", "red"], [5, 9, 2]
    for run, prompt, seed in zip(tiny.generate_batch(prompts, seeds, steps=5), prompts, seeds, strict=True):
        assert np.array_equal(run.tokens, tiny.generate(prompt, seed=seed, steps=5).tokens)


def test_guidance_and_prompt_matter(tiny):
    base = tiny.generate("a cat", seed=1, steps=4, guidance=0.0).tokens
    assert not np.array_equal(base, tiny.generate("a cat", seed=1, steps=4, guidance=5.0).tokens)
    assert not np.array_equal(base, tiny.generate("red", seed=1, steps=4, guidance=0.0).tokens)


def test_stream_yields_what_generate_returns(tiny):
    records = list(tiny.stream("a cat", seed=4, steps=5))
    assert np.array_equal(records[-1].tokens.reshape(4, 4), tiny.generate("a cat", seed=4, steps=5).tokens)


def test_repaint_changes_only_the_region_and_keeps_pixels(tiny):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8))
    region = np.zeros((4, 4), bool)
    region[1:3, 2:4] = True
    run = tiny.repaint(photo, region, "a cat", seed=2, steps=4)
    before = tiny.encode(photo)
    assert np.array_equal(run.tokens[~region], before[~region])
    outside = np.kron(~region, np.ones((8, 8), bool))
    assert np.array_equal(np.asarray(run.image)[outside], np.asarray(tiny.fit(photo))[outside])
    assert not np.array_equal(np.asarray(run.image), np.asarray(tiny.fit(photo)))


def test_locked_cells_survive_a_repaint(tiny):
    tokens = tiny.generate("a cat", seed=1, steps=4).tokens
    region, lock = np.ones((4, 4), bool), np.zeros((4, 4), bool)
    lock[0, 0] = lock[3, 1] = True
    run = tiny.repaint(tokens, region, "two dogs", seed=3, locked=lock, steps=4)
    assert np.array_equal(run.tokens[lock], tokens[lock])
    assert run.records[-1].locked.sum() == 2


def test_heal_edits_only_within_the_region(tiny):
    tokens = tiny.generate("a cat", seed=1, steps=4).tokens
    broken = tokens.copy()
    broken[0, :] = (broken[0, :] + 5) % 32
    region = np.zeros((4, 4), bool)
    region[0] = True
    run = tiny.heal(broken, "a cat", region=region, edit_threshold=0.0)
    assert np.array_equal(run.tokens[1:], broken[1:]) and run.n_edits > 0
    assert all(r.phase in ("start", "polish") for r in run.records)


def test_masked_cells_are_drawn_in_the_mask_colour(tiny):
    tokens = np.full((4, 4), 32)
    tokens[0, 0] = 3
    pixels = np.asarray(tiny.decode(tokens))
    assert (pixels[8:, :] == (201, 196, 188)).all() and not (pixels[:8, :8] == (201, 196, 188)).all()


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1", "LA", "I;16"])
def test_any_picture_mode_and_size_is_encoded(tiny, mode):
    picture = (
        Image.new("L", (37, 90), 120).convert(mode) if mode != "I;16" else Image.new("I;16", (37, 90), 120)
    )
    assert tiny.encode(picture).shape == (4, 4)
    assert tiny.encode(Image.new("RGB", (1, 1))).shape == (4, 4)


def test_transparency_is_flattened_on_white(tiny):
    assert np.asarray(tiny.fit(Image.new("RGBA", (32, 32), (255, 0, 0, 0)))).min() == 255


def test_parts_meet_their_protocols(tiny):
    assert isinstance(tiny.codec, ImageCodec) and isinstance(tiny.prompts, PromptEncoder)
    assert isinstance(tiny.backbone, Backbone)


@pytest.mark.parametrize(
    "call,sentence",
    [
        (lambda p: p.generate(""), "the prompt is empty"),
        (lambda p: p.generate("   \n"), "the prompt is empty"),
        (lambda p: p.generate(None), "the prompt is empty"),
        (lambda p: p.generate("x" * 10_000), "10,000 characters"),
        (lambda p: p.generate("qz" * 40), "too long"),
        (lambda p: p.generate("a cat", seed=-1), "seed must be"),
        (lambda p: p.generate("a cat", seed=2**32), "seed must be"),
        (lambda p: p.generate("a cat", seed=1.5), "seed must be"),
        (lambda p: p.generate("a cat", steps=0), "steps must be"),
        (lambda p: p.generate("a cat", steps=10_000), "steps must be"),
        (lambda p: p.generate("a cat", step=3), "unknown setting 'step'"),
        (lambda p: p.generate("a cat", region=np.zeros((3, 3), bool)), "region must be"),
        (lambda p: p.generate("a cat", region=[0] * 8 + [1] * 8), "name each cell once"),
        (lambda p: p.generate("a cat", region=[[True], [True, False]]), "rows of different lengths"),
        (lambda p: p.generate("a cat", top_p="x"), "top_p must be"),
        (lambda p: p.generate("a cat", edit_window=None), "edit_window must be"),
        (lambda p: p.generate("a cat", edit_window=("a", "b")), "edit_window must be"),
        (lambda p: p.generate_batch([], []), "at least one prompt"),
        (lambda p: p.generate("a cat", locked=[99]), "cell numbers from 0 to 15"),
        (lambda p: p.generate("a cat", tokens=np.zeros((2, 2), int)), "shape 4x4"),
        (lambda p: p.generate("a cat", tokens=np.full((4, 4), 99)), "token ids must lie"),
        (lambda p: p.repaint(np.zeros((4, 4), int), None, "a cat"), "region is empty"),
        (lambda p: p.heal(np.full((4, 4), 32), "a cat"), "some are masked"),
        (lambda p: p.heal(np.zeros((4, 4), int), "a cat", edit="remask"), "edit must be 'overwrite'"),
        (lambda p: p.encode("photo.png"), "expected a PIL image"),
        (lambda p: p.decode(np.zeros((3, 3), int)), "tokens must have shape"),
        (lambda p: p.generate_batch(["a", "b"], [1]), "equally many"),
        (lambda p: p.generate_batch("ab", [1, 2]), "must be a list"),
        (lambda p: p.generate_batch(["a", "b"], [1, 1], region=[None]), "one for each of the 2 prompts"),
    ],
)
def test_bad_input_gets_one_sentence(tiny, call, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        call(tiny)
    assert "\n" not in str(caught.value)


def test_errors_come_at_the_call_not_at_the_first_step(tiny):
    with pytest.raises(ValueError):
        tiny.stream("", steps=3)


def test_any_string_is_a_valid_prompt(tiny):
    for prompt in ("日本", "🦊", "\x00a", "É"):
        assert tiny.generate(prompt, steps=1).tokens.shape == (4, 4)


def test_regions_in_every_form():
    cells = np.zeros((4, 4), bool)
    cells[1, 2] = True
    pixels = np.zeros((32, 32), bool)
    pixels[15, 16] = True  # one pixel touches the cell
    for form in (cells, cells.reshape(-1), [6], np.array([6]), pixels, Image.fromarray(pixels)):
        assert np.array_equal(as_cells(form, (4, 4), 32), cells)
    assert not as_cells(None, (4, 4), 32).any() and not as_cells([], (4, 4), 32).any()


def test_composite_keeps_every_pixel_outside():
    a, b = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (32, 32), "blue")
    cells = np.zeros((4, 4), bool)
    cells[:, 2:] = True
    out = np.asarray(composite(a, b, cells))
    assert (out[:, :16] == (255, 0, 0)).all() and (out[:, 28:] == (0, 0, 255)).all()
    assert (np.diff(out[0, 14:26, 2].astype(int)) >= 0).all()  # the seam rises smoothly


def test_missing_model_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="is no model folder"):
        Pipeline.from_pretrained(tmp_path / "nowhere")


def test_a_device_that_is_not_there_is_named():
    for device in ("tpu", "meta9x", "cuda:77"):
        with pytest.raises(ValueError, match=f"the device '{device}' cannot be used here"):
            Pipeline.from_pretrained(device=device)
