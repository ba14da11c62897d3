"""The builder of atlases: pieces, and a whole build from made-up packages, which needs neither npm nor node."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mdm_core.explain.vocabulary import Vocabulary
from trainer.art.art_sets import IconSet, open_set
from trainer.art.build_atlas import PLANS, AtlasPlan, Style, build
from trainer.art.look_at_atlas import contact_sheet, distances, nearest_pairs
from trainer.art.sprites import fit, near_lossless
from trainer.scenes.atlas import ATLAS_DIR, Atlas
from trainer.scenes.spec import WORLD_256
from trainer.scenes.words import words

PLAN = AtlasPlan("list.txt", "art.md", 32, 2, 64, (Style("solid", ("dense",), "@made/up"),), rows=1)
CODES = [f"{0x1F400 + i:x}" for i in range(23)]


def write_art(root, codes=CODES):
    """A package of one picture a code, emojibase's data, a list and its licences."""
    art = root / "node_modules/@made/up"
    (art / "assets").mkdir(parents=True)
    (art / "package.json").write_text('{"version": "1.2.3"}')
    for i, code in enumerate(codes):
        image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
        ImageDraw.Draw(image).ellipse((4, 4 + i, 60, 60 - i), fill=(10 * i, 255 - 10 * i, 90, 255))
        name = code + "-fe0f" if i == 0 else code
        image.save(art / "assets" / f"{name}.webp", lossless=True)
    data = root / "node_modules/emojibase-data/en"
    data.mkdir(parents=True)
    tags = [
        {"hexcode": c.upper(), "label": f"thing {i}", "tags": ["all", f"tag{i}"]} for i, c in enumerate(codes)
    ]
    (data / "data.json").write_text(json.dumps(tags))
    (root / "list.txt").write_text("\n".join(f"{c}|thing{i}||toy||round" for i, c in enumerate(codes)))
    (root / "art.md").write_text("all mine")


def test_a_build_can_be_read_and_gives_the_same_bytes_again(tmp_path):
    write_art(tmp_path)
    for name in ("one", "two"):
        build(tmp_path, PLAN, tmp_path / name, kept(tmp_path, name), tmp_path)
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert files == ["LICENSES.md", "index.json", "solid-0.webp", "solid-1.webp"]
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()

    atlas = Atlas.load(tmp_path / "one")
    assert len(atlas) == 23 and atlas.cell == 32 and atlas.styles == ["solid"]
    assert atlas.objects[3].broader == ("round",) and atlas.objects[3].keywords == ("tag3",)
    first = atlas.sprite(5, "solid")
    assert list(atlas._sheets) == ["solid-0.webp"], "the first objects lie in the first sheet"
    assert first[16, 16].tolist() == [50, 205, 90, 255]
    assert np.abs(np.subtract(atlas.means[5, "solid"], (50, 205, 90))).max() <= 2
    assert atlas.sprite(22, "solid")[16, 16].tolist() == [220, 35, 90, 255]
    assert list(atlas._sheets) == ["solid-0.webp", "solid-1.webp"]


def kept(root, name):
    (root / f"kept-{name}").mkdir()
    return root / f"kept-{name}"


def test_what_is_kept_is_not_made_again_and_a_missing_picture_is_left_out(tmp_path):
    write_art(tmp_path)
    (tmp_path / "node_modules/@made/up/assets" / f"{CODES[1]}.webp").unlink()
    keep = kept(tmp_path, "a")
    build(tmp_path, PLAN, tmp_path / "one", keep, tmp_path)
    assert not Atlas.load(tmp_path / "one").has(1, "solid")
    sprite = keep / f"@made+up-1.2.3-{CODES[2]}-32-2.png"
    Image.new("RGBA", (32, 32), (1, 2, 3, 255)).save(sprite)
    build(tmp_path, PLAN, tmp_path / "two", keep, tmp_path)
    assert Atlas.load(tmp_path / "two").sprite(2, "solid")[0, 0].tolist() == [1, 2, 3, 255]


def test_a_broader_word_leads_a_visitor_to_the_objects_it_may_mean(tmp_path):
    write_art(tmp_path, CODES[:4])
    build(tmp_path, PLAN, tmp_path / "out", kept(tmp_path, "c"), tmp_path)
    atlas = Atlas.load(tmp_path / "out")
    taught = ["thing1", "thing3"]
    card = {"objects": taught, "styles": ["solid"], "words": words(atlas, taught, ["solid"])}
    (unknown,) = Vocabulary.from_card(card).understand("a round").unknown
    assert unknown.word == "round" and unknown.near == ("thing1", "thing3")


@pytest.mark.parametrize("name, smooth", [("emoji", (1, 1)), ("world", (4, 12))])
def test_the_plans_are_those_of_the_shipped_atlases(name, smooth):
    plan = PLANS[name]
    index = json.loads((plan.folder / "index.json").read_text(encoding="utf-8"))
    assert index["cell"] == plan.cell and (plan.smooth, plan.edge) == smooth
    assert (plan.folder / "LICENSES.md").read_bytes() == (ATLAS_DIR / plan.licences).read_bytes()
    assert len(index["objects"]) == {"emoji": 311, "world": 806}[name]
    assert sum(file.stat().st_size for file in plan.folder.iterdir()) < 45 * 2**20
    assert [(s["name"], s["aliases"], s["package"]) for s in index["styles"]] == [
        (s.name, list(s.aliases), s.package) for s in plan.styles
    ]


def test_the_world_is_drawn_in_3d_and_in_five_styles_more():
    plan = PLANS["world"]
    assert tuple(style.name for style in plan.styles) == WORLD_256.styles
    assert plan.cell == 192 and len(plan.styles) >= 6 and plan.styles[0].name == "3d"
    spoken = [w for s in plan.styles for w in (s.name, *s.aliases)]
    assert len(spoken) == len(set(spoken)), "a word names one style only"


def test_icons_are_found_by_code_by_old_name_and_by_label(tmp_path):
    root = tmp_path / "node_modules/@iconify-json/fxemoji"
    root.mkdir(parents=True)
    icons = {n: {"body": f"<{n}/>"} for n in ("bunny", "apple", "pear-1")} | {
        "wide": {"body": "", "width": 30, "left": 2}
    }
    aliases = {"pomme": {"parent": "apple"}, "lost": {"parent": "gone"}}
    (root / "icons.json").write_text(
        json.dumps({"icons": icons, "aliases": aliases, "width": 24, "height": 24})
    )
    (root / "chars.json").write_text('{"1f34e": "pomme"}')
    (root / "package.json").write_text('{"version": "9.9.9"}')
    art = open_set(tmp_path, "fxemoji")
    assert isinstance(art, IconSet) and art.version == "9.9.9"
    assert art.find("1f34e", []) == "apple"
    assert art.find("1f430", ["rabbit face"]) == "bunny"
    assert art.find("1f350", ["Pear"]) == "pear-1"
    assert art.find("1f3c0", ["apple"]) is None, "the list says: no such picture, whatever the name leads to"
    assert art.find("1f999", ["llama"]) is None and art.find("1f998", ["lost"]) is None
    assert 'viewBox="2 0 30 24"' in art.svg("wide") and "<apple/>" in art.svg("apple")


def test_a_sprite_fits_any_cell():
    image = Image.new("RGBA", (300, 300), (0, 0, 0, 0))
    image.paste((200, 0, 0, 255), (10, 20, 210, 120))
    alpha = np.asarray(fit(image, 192, 4))[..., 3]
    assert alpha.shape == (192, 192) and (alpha[96] > 0).sum() == 184 and (alpha[:, 96] > 0).sum() == 92


def test_near_lossless_moves_no_value_by_more_than_half_a_step():
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (40, 40, 4), dtype=np.uint8), "RGBA")
    ramp = np.full((40, 40, 4), 255, np.uint8)
    ramp[..., :3] = np.arange(40, dtype=np.uint8)[None, :, None]
    for sprite, most in ((noise, 6), (Image.fromarray(ramp, "RGBA"), 2)):
        before, after = (np.asarray(s).astype(int) for s in (sprite, near_lossless(sprite, 4, 12)))
        seen = before[..., 3] > 0
        assert np.abs(after - before)[seen].max() == most
        assert (after[(before == 255) & seen[..., None]] == 255).all()
        assert len(np.unique(after[seen])) < len(np.unique(before[seen]))
    assert near_lossless(noise, 1, 1) is noise
    clear = Image.new("RGBA", (8, 8), (9, 9, 9, 0))
    assert not np.asarray(near_lossless(clear, 4, 12)).any()


def test_look_alikes_are_found_mirrored_ones_too(tmp_path):
    write_art(tmp_path)
    assets = tmp_path / "node_modules/@made/up/assets"
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    ImageDraw.Draw(image).polygon([(0, 0), (60, 10), (0, 63)], fill="red")
    image.save(assets / f"{CODES[4]}.webp", lossless=True)
    image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(assets / f"{CODES[9]}.webp", lossless=True)
    (assets / f"{CODES[7]}.webp").unlink()
    build(tmp_path, PLAN, tmp_path / "out", kept(tmp_path, "b"), tmp_path)
    atlas = Atlas.load(tmp_path / "out")
    apart = distances(atlas)
    assert apart[4].argmin() == 9 and apart[4, 9] < 0.2 < np.delete(apart[4], 9).min()
    assert np.isinf(apart[7]).all(), "nothing to compare where no style draws it"
    pairs = nearest_pairs(atlas, 253)
    assert [p[0] for p in pairs] == sorted(p[0] for p in pairs)
    assert len(pairs) == 253 and ("thing4", "thing9") in [p[1:] for p in pairs if p[0] < 0.2]
    sheet = contact_sheet(atlas, "solid", range(3, 23), columns=5, side=40)
    assert sheet.size == (200, 4 * 66)
