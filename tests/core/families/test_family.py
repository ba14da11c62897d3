"""The contract of a family: one that shares nothing with ours runs through the whole core, and what does not fit is
refused in one sentence. A new family is put through the same by giving its pipeline to `run_contract`."""

import ast
import collections
import dataclasses
import json
from pathlib import Path

import fake_family
import numpy as np
import pytest
import torch
from fake_family import GRID, OWN_MASK, PATCH, BookCodec, Letters, StripeCodec, Table, V, fake_pipeline, told
from family_contract import SETTINGS, run_contract
from PIL import Image

from mdm_core import conditions, families
from mdm_core.explain import outlook
from mdm_core.families.chisel.backbone import TransformerBackbone
from mdm_core.families.chisel.image_tokenizer import ImageTokenizer
from mdm_core.ops import sample_step
from mdm_core.pipeline import Pipeline
from mdm_core.settings import SCHEDULES, SampleConfig


@pytest.fixture
def pipe():
    return fake_pipeline()


def test_the_contract_is_kept_by_a_family_that_shares_nothing_with_ours(pipe, tmp_path):
    run_contract(pipe, "a tree", "oo", tmp_path)


def test_the_contract_is_kept_by_our_own(tiny, tmp_path):
    run_contract(tiny, "a cat", "two dogs", tmp_path)


def test_the_family_is_as_odd_as_it_claims(pipe):
    assert pipe.grid == GRID and pipe.patch == PATCH and pipe.image_size == (8, 32)
    assert pipe.forward.mask_id == OWN_MASK != V and pipe.facts.mask_id == V
    assert not hasattr(pipe.codec, "levels") and not hasattr(pipe.codec, "codebook")
    assert isinstance(pipe.prompts.encode(["a"], ""), dict) and not pipe.facts.card


def test_what_a_codec_gives_is_not_written_to():
    """It may be the codec's own, and from inference mode nobody may write to it."""

    class Kept(StripeCodec):
        kept = None

        def decode(self, ids):
            with torch.inference_mode():
                self.kept = super().decode(ids)
            return self.kept

    pipe = fake_pipeline(codec=Kept())
    tokens = np.full(GRID, V)
    tokens[1] = 3
    image = pipe.decode(tokens)
    assert image.getpixel((0, 0)) == (201, 196, 188) and image.getpixel((0, 7)) != (201, 196, 188)
    assert not (pipe.codec.kept[0, 0, 0].numpy() == (201, 196, 188)).any()


def test_its_own_defaults_are_used(pipe):
    run = pipe.generate("a tree", seed=1)
    assert (run.settings["steps"], run.settings["guidance"], run.settings["edit"]) == (5, 3.0, "off")
    assert pipe.settings().gumbel == SampleConfig().gumbel  # what it does not name is the sampler's own
    assert pipe.facts.defaults["gumbel"] == SampleConfig().gumbel


def test_the_bias_of_a_head_is_what_the_operator_makes_of_it(pipe):
    tokens, condition = torch.full((1, 16), V), pipe.condition("a tree")
    tokens[0, :5] = torch.arange(5)
    hidden = pipe.forward.hidden(tokens, condition, 2.0)
    plain = pipe.backbone.hidden(
        torch.where(tokens == V, OWN_MASK, tokens), condition, 2.0, torch.tensor([5 / 16])
    )
    z = plain[0] @ pipe.backbone.head_weight.t() + pipe.backbone.head_bias
    assert torch.allclose(hidden[0] @ pipe.forward.head.t(), z, atol=1e-5)
    args = dict(temperature=1.0, seed=1, step=0)
    ours = sample_step(hidden[0], pipe.forward.head, tokens[0], **args)
    theirs = sample_step(plain[0], pipe.backbone.head_weight, tokens[0], bias=pipe.backbone.head_bias, **args)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)
    assert pipe.forward.head is pipe.forward.head  # folded once, and anew when the bias changes
    pipe.backbone.head_bias[3] += 50
    assert (pipe.generate("a tree", seed=1, guidance=0.0).tokens == 3).all()


def test_the_clock_is_the_share_of_visible_cells(pipe):
    run = pipe.generate("a tree", seed=1, steps=4)
    assert pipe.backbone.times == [float((r.tokens < V).mean()) for r in run.records[:-1]]


def test_a_negative_prompt_is_taken_saved_and_looked_up(pipe, tiny):
    free, away, same = (pipe.generate("a tree", seed=1, negative=n, **SETTINGS) for n in (None, "eee", "u"))
    assert not np.array_equal(free.tokens, away.tokens) and np.array_equal(free.tokens, same.tokens)
    assert away.settings["negative"] == "eee" and "negative" not in free.settings
    seen = outlook.candidates(pipe, away, 2, 3)
    assert seen.p == pytest.approx(away.records[2].confidence[3], abs=1e-5)
    many = pipe.generate_batch(["a tree"], [1], negative="eee", **SETTINGS)
    assert np.array_equal(many[0].tokens, away.tokens)
    for negative, sentence in ((3, "must be a text"), ("#", "holds a #"), ("x" * 501, "501 characters")):
        with pytest.raises(ValueError, match=sentence):
            pipe.generate("a", negative=negative)
    with pytest.raises(ValueError, match="takes no negative prompt"):
        tiny.generate("a cat", negative="red")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_orders_and_schedules_on_a_rectangle(pipe, schedule):
    run = pipe.generate("a", seed=1, steps=5, order="halton", schedule=schedule)
    assert (run.tokens < V).all()


def test_repaint_on_a_picture_of_another_shape(pipe):
    """The model's frame is 4:1, so a square loses most of its height, and its mask with it."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8))
    mask = Image.new("L", (96, 96))
    mask.paste(255, (36, 36, 48, 48))  # kept are rows 36..60: one row of cells, columns 3
    run = pipe.repaint(picture, mask, "oo", seed=2, **SETTINGS)
    fitted, cells = pipe.fit(picture), np.zeros(GRID, bool)
    cells[0, 3] = True
    assert fitted.size == (32, 8)
    assert np.array_equal(run.tokens[~cells], pipe.encode(picture)[~cells])
    outside = ~np.kron(cells, np.ones((4, 4), bool))
    assert np.array_equal(np.asarray(run.image)[outside], np.asarray(fitted)[outside])


def test_batches_take_what_each_picture_starts_from(pipe):
    tokens = pipe.generate("a tree", seed=1, **SETTINGS).tokens
    hole = tokens.copy()
    hole[:, :4] = V
    regions = [None, [0, 1, 2, 3, 8, 9, 10, 11]]
    free, kept = pipe.generate_batch(["oo", "oo"], [7, 7], tokens=[None, hole], region=regions, **SETTINGS)
    assert np.array_equal(kept.tokens[:, 4:], tokens[:, 4:])
    alone = pipe.generate("oo", seed=7, tokens=hole, region=regions[1], **SETTINGS)
    assert np.array_equal(alone.tokens, kept.tokens)
    assert np.array_equal(free.tokens, pipe.generate("oo", seed=7, **SETTINGS).tokens)


# ---- groups without a lattice ------------------------------------------------------------------------------


def test_no_codebook_no_groups(pipe):
    assert outlook.group_sizes(pipe) == [] and outlook.trained_size(pipe) is None
    with pytest.raises(ValueError, match=r"groups here can have \[\] codes, not 8"):
        outlook.code_groups(pipe, 8)


def test_groups_of_any_codebook_are_of_one_size_and_near_each_other():
    pipe = fake_pipeline(codec=BookCodec())
    # 27 codes have no groups of 16: two of them would be nearly all
    assert outlook.group_sizes(pipe) == [
        2,
        4,
        8,
    ]
    book = pipe.codec.codebook()
    for size in (2, 4, 8):
        groups = outlook.code_groups(pipe, size)
        assert groups is outlook.code_groups(pipe, size)
        members = [groups.members(i) for i in range(V)]
        counts = {len(m) for m in members}
        assert all(i in m for i, m in enumerate(members)) and max(counts) <= size
        assert max(counts) - min(counts) <= 1 and min(counts) >= size // 2
    near = np.mean([torch.cdist(book[i][None], book[m]).mean() for i, m in enumerate(members)])
    assert near < 0.9 * torch.cdist(book, book).mean()
    run = pipe.generate("a tree", seed=1)
    told = outlook.candidates(pipe, run, 3, 2, groups=outlook.code_groups(pipe, 4))
    assert told.centre in told.group and told.group_mass >= told.p


def test_a_large_codebook_is_grouped_in_its_widest_dimensions(monkeypatch):
    g = torch.Generator().manual_seed(0)
    flat = torch.randn(300, 32, generator=g) @ torch.randn(32, 40, generator=g)
    assert outlook.principal(flat) is flat
    monkeypatch.setattr(outlook, "LARGE_BOOK", 1000)
    fewer = outlook.principal(flat + 3)
    assert fewer.shape == (300, 32)
    # codes that lie in so many dimensions keep their distances
    apart, told = (torch.cdist(x, x) for x in (flat.double(), fewer.double()))
    assert apart.max() > 10 and torch.allclose(told, apart, rtol=1e-3, atol=1e-4)


# ---- conditions --------------------------------------------------------------------------------------------

Pair = collections.namedtuple("Pair", "a b")


@dataclasses.dataclass
class Card:
    a: torch.Tensor
    b: object = None


@pytest.mark.parametrize(
    "build",
    [
        lambda x: x,
        lambda x: {"x": x, "y": [x, x * 2]},
        lambda x: (x, None, 3, "text"),
        lambda x: Pair(x, {"z": x}),
        lambda x: Card(x, (x,)),
    ],
)
def test_conditions_of_any_structure_are_picked_and_joined(build):
    x = torch.arange(12.0).view(4, 3)
    whole, parts = build(x), [build(x[i : i + 1]) for i in range(4)]
    flat = repr
    assert flat(conditions.join(parts)) == flat(whole)
    assert flat(conditions.take(whole, [2, 0])) == flat(conditions.join([parts[2], parts[0]]))
    conditions.check(whole, 4)
    with pytest.raises(ValueError, match=r"a row for each prompt, \[3, ...\]"):
        conditions.check(whole, 3)


@pytest.mark.parametrize(
    "a,b",
    [
        ({"x": torch.zeros(1)}, {"y": torch.zeros(1)}),
        ((torch.zeros(1), 3), (torch.zeros(1), 4)),
        ((torch.zeros(1),), (torch.zeros(1), torch.zeros(1))),
        ({"x": torch.zeros(1)}, torch.zeros(1)),
        (torch.zeros(1), {"x": torch.zeros(1)}),
        (None, torch.zeros(1)),
    ],
)
def test_conditions_that_are_not_built_alike_are_refused(a, b):
    with pytest.raises(ValueError, match="of these prompts"):
        conditions.join([a, b])


def test_a_family_may_pick_and_join_by_itself(pipe):
    class Words(Letters):
        """One tuple a prompt, of its own length: no rows that anybody else could find."""

        def encode(self, prompts, negative):
            return [super(Words, self).encode([p], negative) for p in prompts]

        def take(self, condition, rows):
            return [condition[r] for r in rows]

        def join(self, parts):
            return [row for part in parts for row in part]

    class Reader(Table):
        def hidden(self, tokens, condition, guidance, progress):
            return super().hidden(tokens, conditions.join(condition), guidance, progress)

    own = Pipeline(StripeCodec(), Words(), Reader(), told())
    for a, b in zip(
        own.generate_batch(["a tree", "oo"], [1, 2]),
        pipe.generate_batch(["a tree", "oo"], [1, 2]),
        strict=True,
    ):
        assert np.array_equal(a.tokens, b.tokens)


# ---- what does not fit -------------------------------------------------------------------------------------


class Mute:
    """A codec that does not say how its pictures lie."""

    vocab_size = V
    encode, decode = StripeCodec.encode, StripeCodec.decode


def changed(**changes):
    table = Table()
    for name, value in changes.items():
        setattr(table, name, value)
    return table


@pytest.mark.parametrize(
    "build,sentence",
    [
        (lambda: Pipeline(Mute(), Letters(), Table()), "must say its grid"),
        (lambda: Pipeline(StripeCodec(), Letters(), changed(head_weight=torch.zeros(26, 6))), "head 26"),
        (lambda: Pipeline(StripeCodec(), Letters(), changed(head_bias=torch.zeros(26))), r"shape \[26\]"),
        (lambda: Pipeline(StripeCodec(), Letters(), changed(mask_id=26)), "mask_id must be .* at least 27"),
        (lambda: Pipeline(StripeCodec(), Letters(), changed(grid=(8, 2))), "grid of 2x8 .* one of 8x2"),
        (lambda: Pipeline(StripeCodec(), Letters(), Table(), told(vocab_size=28)), "facts say vocab_size 28"),
        (lambda: Pipeline(StripeCodec(), Letters(), Table(), told(grid=(4, 4))), r"facts say grid \(4, 4\)"),
        (lambda: Pipeline(StripeCodec(), Letters(), Table(), told(mask_id=30)), "holds 27 in runs and links"),
        (lambda: told(defaults={"steps": 0}), "steps must be"),
        (lambda: told(defaults={"pace": 1}), "unknown setting 'pace'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(build, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_a_condition_without_a_row_for_the_prompt_is_refused(pipe):
    class Odd(Letters):
        def encode(self, prompts, negative):
            return torch.zeros(1, 3), torch.zeros(2, 3)

    with pytest.raises(ValueError, match=r"a row for each prompt, \[1, ...\], and gave rows of \[1, 2\]"):
        Pipeline(StripeCodec(), Odd(), Table()).generate("a")


def test_our_codec_and_backbone_must_share_the_lattice(tiny):
    other = tiny.codec.config.__class__(**{**vars(tiny.codec.config), "levels": (2, 4, 4)})
    with pytest.raises(
        ValueError, match=r"lattice of the codes: levels \(2, 4, 4\), and code_levels \(4, 4, 2\)"
    ):
        Pipeline(ImageTokenizer(other), tiny.prompts, TransformerBackbone(tiny.backbone.model))


def test_parts_without_facts_have_the_samplers_defaults(tiny):
    pipe = Pipeline(tiny.codec, tiny.prompts, tiny.backbone)
    assert pipe.config is None and pipe.facts.defaults == dataclasses.asdict(SampleConfig())
    assert pipe.facts.fingerprint == tiny.facts.fingerprint and pipe.facts.grid == (4, 4)


# ---- the registry ------------------------------------------------------------------------------------------


def test_a_folder_names_its_family(monkeypatch, tmp_path):
    monkeypatch.setitem(families.FAMILIES, "stripes", fake_family.__name__)
    (tmp_path / "config.json").write_text('{"family": "stripes", "seed": 4}')
    pipe = Pipeline.from_pretrained(tmp_path, "cpu")
    assert pipe.facts.name == "Stripes" and families.facts(tmp_path).grid == GRID
    assert pipe.facts.fingerprint == fake_pipeline(4).facts.fingerprint != fake_pipeline(5).facts.fingerprint
    assert np.array_equal(pipe.generate("a tree").tokens, fake_pipeline(4).generate("a tree").tokens)


@pytest.mark.parametrize("name", ["stripes", "../chisel", "Chisel", "", 3, None, ["chisel"]])
def test_an_unknown_family_is_named_with_those_that_are_known(tmp_path, name):
    (tmp_path / "config.json").write_text(json.dumps({"family": name}))
    for call in (Pipeline.from_pretrained, families.facts):
        with pytest.raises(
            ValueError,
            match="names the family .* unknown here; known are amused, chisel, halton, meissonic, nl_diffusion",
        ) as caught:
            call(tmp_path)
        assert "\n" not in str(caught.value)


def test_only_the_registry_knows_a_family():
    """What is ours stands in families/chisel; the package's front door alone offers its classes as well."""
    root = Path(families.__file__).parents[1]
    files = [f for f in root.rglob("*.py") if f.relative_to(root).parts[0] not in ("families", "__init__.py")]
    assert len(files) > 30
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.startswith("mdm_core.families.") for name in names), file
