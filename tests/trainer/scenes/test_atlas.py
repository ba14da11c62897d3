"""The sprite atlas: enough objects, in enough styles, each nameable, each licensed."""

import numpy as np
import pytest

from trainer.art.object_list import read_objects, regular_plural
from trainer.art.sprites import fit
from trainer.scenes.atlas import ATLAS_DIR, Atlas
from trainer.scenes.captions import RELATIONS, article
from trainer.scenes.colours import BACKGROUNDS, COLOUR_NAMES


@pytest.fixture(scope="module")
def atlas():
    return Atlas.load()


def test_two_hundred_objects_in_five_styles(atlas):
    styles = [sum(atlas.has(o.index, s) for s in atlas.styles) for o in atlas.objects]
    assert len(atlas) >= 200
    assert min(styles) >= 5
    assert len({o.name for o in atlas.objects}) == len(atlas)


def test_every_sprite_fills_its_cell_within_the_margin(atlas):
    for obj in atlas.objects:
        for style in atlas.styles:
            if not atlas.has(obj.index, style):
                continue
            alpha = atlas.sprite(obj.index, style)[..., 3]
            rows, columns = np.flatnonzero((alpha > 16).any(1)), np.flatnonzero((alpha > 16).any(0))
            assert alpha.shape == (96, 96)
            assert max(np.ptp(rows), np.ptp(columns)) >= 88, (obj.name, style)
            assert min(rows[0], columns[0]) >= 1 and max(rows[-1], columns[-1]) <= 94, (obj.name, style)


def test_sprites_of_a_style_differ(atlas):
    for style in atlas.styles:
        drawn = [o.index for o in atlas.objects if atlas.has(o.index, style)]
        assert len({atlas.sprite(i, style).tobytes() for i in drawn}) == len(drawn)


def test_a_word_names_one_thing_only(atlas):
    owners = {}
    for obj in atlas.objects:
        for word in {obj.name, obj.plural, *(s.lstrip("~") for s in obj.synonyms)}:
            assert owners.setdefault(word, obj.name) == obj.name
        assert atlas.find(obj.name) is obj
    styles = {w for s in atlas.styles for w in (s, *atlas.aliases[s])}
    # the fruit is called so too
    grounds = {w for b in BACKGROUNDS for w in (b.name, *b.aliases)} - {"orange"}
    assert not set(owners) & (styles | grounds | set(COLOUR_NAMES) - {"orange"} | set(RELATIONS))
    for obj in atlas.objects:  # "a blue red lantern" would be nonsense
        assert not set(obj.name.split()) & set(COLOUR_NAMES), obj.name


def test_keywords_are_published_ones_that_name_one_object(atlas):
    words = [k for o in atlas.objects for k in o.keywords]
    assert len(words) == len(set(words)) > 200


def test_licences_name_every_set(atlas):
    text = (ATLAS_DIR / "LICENSES.md").read_text(encoding="utf-8")
    for style in atlas.styles:
        assert f"@iconify-json/{atlas.packages[style]}`" in text
        assert f"| {style} |" in text
    for licence in (
        "CC BY 4.0",
        "Apache 2.0",
        "MIT",
        "Microsoft",
        "Google",
        "Twitter",
        "Ranks.com",
        "Mozilla",
    ):
        assert licence in text


def test_the_atlas_is_small():
    assert sum(p.stat().st_size for p in ATLAS_DIR.iterdir()) < 16 * 2**20


@pytest.mark.parametrize(
    "name, plural",
    [("fox", "foxes"), ("cherry", "cherries"), ("key", "keys"), ("cat", "cats"), ("dish", "dishes")],
)
def test_regular_plurals(name, plural):
    assert regular_plural(name) == plural


def test_irregular_plurals(atlas):
    plurals = {o.name: o.plural for o in atlas.objects}
    assert plurals["mouse"] == "mice" and plurals["sheep"] == "sheep" and plurals["wolf"] == "wolves"
    assert plurals["cactus"] == "cacti" and plurals["die"] == "dice" and plurals["tomato"] == "tomatoes"
    assert plurals["bunch of grapes"] == "bunches of grapes" and plurals["snowman"] == "snowmen"


@pytest.mark.parametrize(
    "noun, word",
    [("umbrella", "an"), ("unicorn", "a"), ("hourglass", "an"), ("x-ray", "an"), ("ufo", "a"), ("cat", "a")],
)
def test_articles(noun, word):
    assert article(noun) == word


def test_bad_lists_and_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no sprite atlas"):
        Atlas.load(tmp_path)
    (tmp_path / "objects.txt").write_text("1f34e|apple|fruit|\n")
    with pytest.raises(ValueError, match="wanted 5"):
        read_objects(tmp_path / "objects.txt")
    (tmp_path / "objects.txt").write_text("1f34e|apple||fruit|\n1f350|pear||fruit|apple\n")
    with pytest.raises(ValueError, match="names both"):
        read_objects(tmp_path / "objects.txt")


def test_trimming_keeps_the_aspect_and_centres():
    from PIL import Image

    image = Image.new("RGBA", (384, 384), (0, 0, 0, 0))
    image.paste((200, 0, 0, 255), (10, 20, 210, 120))  # twice as wide as high
    alpha = np.asarray(fit(image))[..., 3]
    assert (alpha[48] > 0).sum() == 92 and (alpha[:, 48] > 0).sum() == 46
    with pytest.raises(ValueError, match="nothing"):
        fit(Image.new("RGBA", (8, 8), (0, 0, 0, 0)))
