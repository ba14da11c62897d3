"""The curated list of the world: the objects of the shipped atlas first, every word one thing, every merge recorded."""

import re

import pytest

from trainer.art.build_atlas import PLANS
from trainer.art.object_list import read_left_out, read_objects
from trainer.scenes.atlas import ATLAS_DIR
from trainer.scenes.captions import RELATIONS, WORDS
from trainer.scenes.colours import BACKGROUNDS, COLOUR_NAMES

SAME_PLURAL = {
    "fish",
    "sheep",
    "pufferfish",
    "moai",
    "deer",
    "shrimp",
    "squid",
    "dango",
    "moose",
    "bison",
    "trout",
    "jellyfish",
    "fried shrimp",
}


@pytest.fixture(scope="module")
def world():
    return read_objects(ATLAS_DIR / PLANS["world"].objects)


def words(obj):
    return {obj["name"], obj["plural"], *(s.lstrip("~") for s in obj["synonyms"])}


def test_the_world_begins_with_the_shipped_objects_under_their_names(world):
    shipped = read_objects(ATLAS_DIR / PLANS["emoji"].objects)
    assert len(world) >= 800
    for old, new in zip(shipped, world, strict=False):
        assert [old[k] for k in ("code", "name", "plural", "category")] == [
            new[k] for k in ("code", "name", "plural", "category")
        ]
        assert set(old["synonyms"]) <= set(new["synonyms"]), "a prompt of today would mean nothing"


def test_no_name_holds_a_colour_or_is_a_ground_a_number_or_a_relation(world):
    grounds = {w for b in BACKGROUNDS for w in (b.name, *b.aliases)}
    styles = {w for s in PLANS["world"].styles for w in (s.name, *s.aliases)}
    taken = (grounds | styles | set(COLOUR_NAMES) | set(RELATIONS) | set(WORDS.values())) - {"orange"}
    for obj in world:
        assert not words(obj) & taken, obj["name"]
        # "a blue red lantern" would be nonsense; a tangerine is an orange, and was before
        spoken = {w for form in words(obj) - {"orange", "oranges"} for w in form.split()}
        assert not spoken & {*COLOUR_NAMES, "black", "white", "brown"}, obj["name"]


def test_words_are_plain_lower_case_english_and_said_once(world):
    for obj in world:
        for word in (obj["name"], obj["plural"], *obj["synonyms"], *obj["broader"], obj["category"]):
            assert re.fullmatch(r"~?[a-z0-9][a-z0-9'\-]*( [a-z0-9'\-]+)*", word), (obj["name"], word)
        assert len(obj["synonyms"]) == len(set(obj["synonyms"])), obj["name"]
        assert not {*obj["synonyms"]} & {obj["name"], *obj["broader"]}, obj["name"]


def test_plurals_end_where_english_ends_them(world):
    """Of the thing, not of what it is of; the same as the name only where English says so."""
    for obj in world:
        name, plural = obj["name"], obj["plural"]
        assert (name == plural) == (name in SAME_PLURAL), name
        head, joint, tail = re.match(
            r"(.*?)( of | with | on | in | behind | over | at |$)(.*)", name
        ).groups()
        if joint and name not in ("jack-o'-lantern", "statue of liberty"):
            assert plural.endswith(joint + tail) and not plural.startswith(head + joint), (name, plural)
    plurals = {o["name"]: o["plural"] for o in world}
    assert plurals["ox"] == "oxen" and plurals["goose"] == "geese" and plurals["tooth"] == "teeth"
    assert plurals["field mouse"] == "field mice" and plurals["scarf"] == "scarves"
    assert plurals["fork and knife"] == "forks and knives" and plurals["fly"] == "flies"


def test_broader_words_lead_to_several_objects(world):
    shared = {}
    for obj in world:
        for word in obj["broader"]:
            shared.setdefault(word, set()).add(obj["name"])
    assert shared["hat"] >= {"top hat", "sun hat", "graduation cap", "baseball cap"}
    assert shared["bird"] >= {"owl", "parrot", "flamingo", "eagle"}
    names = {o["name"] for o in world}
    others = {w for o in world for w in words(o) - {o["name"]}}
    for word, objects in shared.items():
        assert len(objects | ({word} & names)) >= 2, word
        assert word not in others, f"{word} already names one thing"


def test_what_is_left_out_is_not_in_and_what_it_is_merged_with_is(world):
    left_out = read_left_out(ATLAS_DIR / "world_left_out.txt")
    names = {o["name"] for o in world}
    assert not {o["code"] for o in world} & set(left_out)
    merges = [re.match(r"as ([^:,;]+)", reason) for reason in left_out.values()]
    assert sum(m is not None for m in merges) > 60
    assert all(m[1] in names for m in merges if m)


@pytest.mark.parametrize(
    "lines, reason",
    [
        ("1f34e|apple||fruit||fruit\n1f350|pear||fruit||", "alone"),
        ("1f34e|apple||fruit||pome\n1f350|pear||fruit|pome|\n1f34a|quince||fruit||pome", "names pear"),
        ("1f34e|apple||fruit||\n1f34e|pear||fruit||", "listed twice"),
        ("apple|apple||fruit||", "lacks a code point"),
        ("1f34e|||fruit||", "lacks a code point, a name"),
        ("1f34e|apple||fruit||a|b", "wanted 5 or 6"),
    ],
)
def test_bad_lists_are_refused(tmp_path, lines, reason):
    (tmp_path / "list.txt").write_text(lines)
    with pytest.raises(ValueError, match=reason):
        read_objects(tmp_path / "list.txt")


def test_a_bad_record_of_what_is_left_out_is_refused(tmp_path):
    (tmp_path / "left_out.txt").write_text("1f34f|green apple\n")
    with pytest.raises(ValueError, match="reason"):
        read_left_out(tmp_path / "left_out.txt")


def test_licences_name_every_set_of_the_world():
    text = (ATLAS_DIR / PLANS["world"].licences).read_text(encoding="utf-8")
    for style in PLANS["world"].styles:
        package = style.package if style.package.startswith("@") else f"@iconify-json/{style.package}"
        assert re.search(rf"^\| {style.name} \|.*`{package}` \d+\.\d+\.\d+ \|$", text, re.MULTILINE), (
            style.name
        )
    for licence in ("CC BY 4.0", "Apache 2.0", "MIT", "Permission is hereby granted"):
        assert licence in text
