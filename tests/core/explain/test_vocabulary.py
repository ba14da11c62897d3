"""What a prompt names: synonyms, plurals, typos, word order, unknown words, other languages; what the card tells."""

import json
import time

import pytest

from mdm_core.explain.spelling import distance, plural, singular
from mdm_core.explain.vocabulary import Vocabulary
from trainer.scenes.atlas import Atlas
from trainer.scenes.words import fillers, words

STYLES = ["flat", "cartoon", "simple"]


@pytest.fixture(scope="module")
def card():
    atlas = Atlas.load()
    objects = [o.name for o in atlas.objects[:160]]
    card = {"objects": objects, "styles": STYLES, "words": words(atlas, objects, STYLES)}
    return json.loads(json.dumps(card))  # as it comes back from config.json


@pytest.fixture(scope="module")
def vocabulary(card):
    return Vocabulary.from_card(card)


def objects(vocabulary, prompt):
    return vocabulary.understand(prompt).objects


@pytest.mark.parametrize(
    "prompt, found",
    [
        ("three strawberries on a teal background", ["strawberry"]),
        ("a kitten to the left of a puppy", ["cat", "dog"]),  # synonyms
        ("two bunches of grapes", ["bunch of grapes"]),  # irregular plurals
        ("four mice", ["mouse"]),
        ("kitties", ["cat"]),  # the plural of a synonym
        ("on a beach, below a cloud, an automobile", ["cloud", "car"]),  # word order, commas
        ("T-SHIRT with a Jack-o'-Lantern", ["t-shirt", "jack-o'-lantern"]),
        ("a lightbulb above a LIGHT BULB", ["light bulb", "light bulb"]),
        ("a cat's umbrella", ["cat", "umbrella"]),
    ],
)
def test_what_the_model_was_taught_is_known_and_needs_no_hint(vocabulary, prompt, found):
    understood = vocabulary.understand(prompt)
    assert understood.objects == found
    assert understood.unknown == () and understood.sentence == ""


def test_every_caption_of_the_training_set_is_understood(vocabulary):
    """Nothing that the model was taught to read may ever be called unknown."""
    from random import Random

    from trainer.scenes import captions
    from trainer.scenes.colours import BACKGROUNDS

    rng, atlas = Random(0), Atlas.load()
    for i in range(600):
        first, second = atlas.objects[rng.randrange(160)], atlas.objects[rng.randrange(160)]
        text = captions.counted(rng, first, 1 + i % 4)
        if i % 3 == 0:
            a, b = captions.noun_phrase(rng, first, "red"), captions.noun_phrase(rng, second)
            text = captions.related(rng, a, ("left of", "right of", "above", "below")[i % 4], b)
        text = captions.ground(rng, text, BACKGROUNDS[i % len(BACKGROUNDS)])
        text = captions.finish(rng, text, STYLES[i % 3] if i % 2 else None, opener=True)
        understood = vocabulary.understand(text)
        assert understood.objects and not understood.unknown, text


@pytest.mark.parametrize(
    "typo, meant",
    [
        ("strawbery", "strawberry"),
        ("pengiun", "penguin"),
        ("pnada", "panda"),
        ("umbrela", "umbrella"),
        ("straw berry", "strawberry"),
        ("elefante", "elephant"),
    ],
)
def test_a_typo_is_offered_what_was_meant(vocabulary, typo, meant):
    understood = vocabulary.understand(f"a {typo} on teal")
    assert understood.objects == []
    assert understood.unknown[0].near[0] == meant
    assert f"Did you mean {meant}" in understood.sentence and understood.unknown[0].how == "spelling"


def test_things_that_were_not_taught_are_offered_their_kind(card):
    """The atlas names things that this model never saw: what is near them is of the same category."""
    learnt_little = Vocabulary.from_card(
        {
            "objects": ["panda", "pizza", "horse"],
            "words": {
                "objects": {
                    "panda": "animal: pandas",
                    "pizza": "food: pizzas",
                    "horse": "animal: horses, pony",
                },
                "others": {"animal": ["unicorn"]},
            },
        }
    )
    told = learnt_little.understand("a unicorn")
    assert told.unknown[0].near == ("panda", "horse")
    assert (
        told.sentence
        == "I do not know “unicorn”. Near it: panda, horse. I was taught 3 things by their English names."
    )
    assert learnt_little.understand("two ponies").objects == ["horse"]
    assert learnt_little.understand("an animal").unknown[0].near == ("panda", "horse")


@pytest.mark.parametrize("prompt", ["ein roter Hund", "un gato rojo", "一只猫", "красный кот", "xqzzt"])
def test_other_languages_get_one_kind_sentence(vocabulary, prompt):
    understood = vocabulary.understand(prompt)
    assert understood.objects == [] and understood.unknown
    assert understood.sentence.startswith("I do not know “")
    assert "by their English names" in understood.sentence and len(understood.sentence) < 200


def test_the_span_of_a_word_is_its_place_in_the_prompt(vocabulary):
    prompt = "Draw a  Zzebrra near two PANDAS"
    understood = vocabulary.understand(prompt)
    assert [prompt[u.start : u.end] for u in understood.unknown] == ["Zzebrra", "near"]
    assert [(prompt[k.start : k.end], k.kind) for k in understood.known] == [
        ("two", "number"),
        ("PANDAS", "object"),
    ]


def test_numbers_and_places_beyond_the_model_have_neighbours(vocabulary):
    assert vocabulary.understand("five cats").unknown[0].near == ("four",)
    assert "left of" in vocabulary.understand("a cat beside a dog").unknown[0].near


@pytest.mark.parametrize("prompt", ["an orange", "an orange on a beach"])
def test_a_colour_that_is_a_thing_too_needs_no_hint(vocabulary, prompt):
    assert vocabulary.understand(prompt).sentence == ""


def test_a_background_alone_asks_for_a_thing(vocabulary):
    assert vocabulary.understand("blue background").sentence.startswith("Name a thing to draw")


def test_nothing_to_say_about_nothing(vocabulary):
    for prompt in ("", "   ", "!?", None, 7):
        understood = vocabulary.understand(prompt)
        assert understood.sentence == "" and understood.known == understood.unknown == ()


def test_a_model_that_names_nothing_leaves_prompts_in_peace():
    for broken in ({}, {"objects": 3}, {"objects": [], "words": 5}, {"words": {"objects": []}}):
        silent = Vocabulary.from_card(broken)
        assert not silent and silent.sections() == [] and silent.understand("a unicorn").sentence == ""


def test_a_card_with_names_alone_still_helps():
    plain = Vocabulary.from_card({"objects": ["panda", "cherry"], "styles": ["flat"]})
    assert plain.understand("two cherries").objects == ["cherry"]
    assert plain.understand("a pandda").unknown[0].near == ("panda",)
    assert plain.understand("a panda on teal").sentence == ""  # it may well know teal: nobody told
    assert plain.understand("xqzzt").sentence == (
        "I was taught 2 things by their English names, among them panda, cherry."
    )


def test_the_longest_prompt_is_read_at_once(vocabulary):
    began = time.process_time()
    vocabulary.understand(" ".join(f"q{i}wert" for i in range(70))[:500])
    assert time.process_time() - began < 1.5  # about 0.1 s alone


def test_the_palette_holds_every_name_once(vocabulary, card):
    sections = dict(vocabulary.sections())
    assert {"animal", "fruit", "numbers", "colours", "backgrounds", "styles", "relations"} <= set(sections)
    shown = [name for title, names in sections.items() for name in names]
    assert set(card["objects"]) <= set(shown)
    assert sections["numbers"] == ["one", "two", "three", "four"] and sections["styles"] == STYLES


def test_the_words_of_the_card_stay_small_and_true(card):
    assert len(json.dumps(card["words"])) < 20_000
    taught = set(card["objects"])
    assert not taught & {n for group in card["words"]["others"].values() for n in group}
    assert "left" in fillers() and "strawberry" not in fillers()


@pytest.mark.parametrize(
    "one, many", [("cherry", "cherries"), ("box", "boxes"), ("key", "keys"), ("cat", "cats")]
)
def test_regular_plurals_go_both_ways(one, many):
    assert plural(one) == many and singular(many) == one
    assert plural("slice of pizza") == "slices of pizza"


def test_distance_counts_letters():
    assert distance("panda", "panda", 2) == 0 and distance("pnada", "panda", 2) == 1
    assert distance("cat", "cart", 2) == 1 and distance("cat", "elephant", 2) == 3


def test_the_sentence_is_the_join_of_its_parts(vocabulary):
    understood = vocabulary.understand("a pandda and a Pandda, a helicoptre, a qqzzt")
    offered = [part for part in understood.parts if not isinstance(part, str)]
    # each where it stands first
    assert [(u.start, u.word) for u in offered] == [
        (2, "pandda"),
        (25, "helicoptre"),
    ]
    assert all(u in understood.unknown and u.near for u in offered)
    texts = [part if isinstance(part, str) else ", ".join(part.near) for part in understood.parts]
    assert understood.sentence == "".join(texts)
    assert understood.sentence.startswith("I do not know “pandda”. Did you mean panda?")
    assert "qqzzt" in understood.sentence
    assert vocabulary.understand("a panda").parts == ()


# ---- by meaning first -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole():
    atlas = Atlas.load()
    objects = [o.name for o in atlas.objects]
    return Vocabulary.from_card(
        {"objects": objects, "styles": STYLES, "words": words(atlas, objects, STYLES)}
    )


@pytest.mark.parametrize(
    "word, near",
    [
        ("hat", {"top hat", "sun hat"}),  # the head of a name of several words
        ("cup", {"cup of coffee"}),
        ("ball", {"soccer ball", "basketball"}),
        ("cakes", {"birthday cake", "slice of cake"}),
        ("goldfish", {"fish"}),
        ("shoe", {"sneaker"}),  # another word for it
        ("Mars", {"globe"}),
        ("lorry", {"delivery truck", "car"}),
        ("spectacles", {"pair of glasses"}),
    ],
)
def test_what_is_offered_for_a_word_is_near_by_meaning(whole, word, near):
    (unknown,) = whole.understand(f"a {word}").unknown
    assert near <= set(unknown.near) and unknown.how == "meaning"
    assert not {"cat", "bat", "bell"} & set(unknown.near)


@pytest.mark.parametrize("word", ["sad", "woman", "robot", "hello"])
def test_nothing_is_offered_where_nothing_is_near(whole, word):
    understood = whole.understand(word)
    assert [u.near for u in understood.unknown] == [()] and understood.nothing


def test_our_table_offers_only_names_that_a_model_knows(whole):
    from mdm_core.explain import kin

    known = {t.name for t in whole.things}
    table = kin._lines()
    for word, names in table.items():
        assert word == word.lower().strip() and not (names and not known & set(names)), word
    assert set(kin._SIGNS.values()) <= known


def test_an_emoji_is_told_by_the_name_that_the_model_reads(whole):
    for obj in Atlas.load().objects:
        text = "".join(chr(int(code, 16)) for code in obj.code.split("-"))
        understood = whole.understand(f"{text}\ufe0f")
        assert [(u.near, u.how) for u in understood.unknown] == [((obj.name,), "sign")], obj.name
    both = whole.understand("🍓 and 🐼")
    assert both.nothing and both.sentence.startswith(
        "I read words, not signs. For 🍓 write strawberry. For 🐼 write panda."
    )


@pytest.mark.parametrize(
    "prompt, said",
    [
        ("a cat without a dog", "It cannot read “without”"),
        ("no dogs on a beach", "It cannot read “no”"),
        ("an apple, not red", "It cannot read “not”"),
        ("a red apple and two green pears", "“two pears” beside another thing"),
        ("two cats and three dogs", "“three dogs” beside another thing"),
        ("a car, a cat and a dog", "one or two kinds of things; here are 3"),
    ],
)
def test_the_limits_of_the_grammar_are_said(whole, prompt, said):
    understood = whole.understand(prompt)
    assert said in understood.sentence and not understood.nothing


@pytest.mark.parametrize(
    "prompt",
    ["three strawberries on a teal background", "a panda left of an umbrella", "one cat above one dog"],
)
def test_what_the_captions_say_has_no_limit_to_be_told(whole, prompt):
    assert whole.understand(prompt).parts == ()


def test_a_world_that_counts_two_kinds_is_not_told_that_it_cannot(card):
    world = Vocabulary.from_card({**card, "words": {**card["words"], "counts": 2}})
    assert world.understand("two cats and three dogs").sentence == ""
    assert world.understand("two cats, three dogs and two cars").sentence
