"""Colours that everybody can read: contrast AA in light and dark, and maps that work with any colour vision.

Contrast is WCAG 2.2's: 4.5 for words, 3 for marks and controls. Colour vision deficiencies are simulated with the
matrices of Machado, Oliveira and Fernandes (2009) at full severity.
"""

import re

import numpy as np
import pytest

from ui import assemble, theme

CSS = assemble.part("layout/page.css")
CANVAS = assemble.part("stage/canvas/colours.js")
SHEETS = sorted(assemble.HERE.rglob("*.css"))

VISION = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}

WORDS = [  # (colour of the words, what they stand on)
    ("ink", "paper"),
    ("ink", "card"),
    ("ink", "well"),
    ("soft", "paper"),
    ("soft", "card"),
    ("soft", "well"),
    ("on-accent", "accent"),
    ("focus", "paper"),
]
MARKS = [
    ("set", "paper"),
    ("set", "card"),
    ("set", "well"),
    ("focus", "card"),
    ("accent", "paper"),
    ("switch", "paper"),
    ("edit", "paper"),
    ("edit", "card"),
]


def variables(selector):
    """{name: #rrggbb} of the rule `selector` in page.css."""
    rule = re.search(re.escape(selector) + r"\s*\{(.*?)\}", CSS, re.S).group(1)
    return dict(re.findall(r"--cz-([\w-]+):\s*(#[0-9a-f]{6})", rule))


LIGHT = variables(":root")
DARK = {**LIGHT, **variables(".dark")}


def linear(colour):
    """#rrggbb or (r, g, b) of 0..255 -> linear light, 0..1."""
    if isinstance(colour, str):
        colour = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    c = np.asarray(colour) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def luminance(colour):
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def contrast(a, b):
    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


def lab(light):
    """CIE Lab of linear RGB, D65."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(
        light, 0, 1
    )
    f = np.cbrt(xyz / [0.9505, 1.0, 1.089])
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_the_yardstick_itself():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_words_have_contrast_aa(colours):
    poor = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in WORDS}
    assert all(c >= 4.5 for c in poor.values()), poor


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_marks_and_controls_stand_out(colours):
    poor = {pair: contrast(colours[pair[0]], colours[pair[1]]) for pair in MARKS}
    assert all(c >= 3 for c in poor.values()), poor


def test_the_fields_of_the_form_have_contrast_aa():
    built = theme.build()

    def value(name, dark):
        found = getattr(built, f"{name}_dark" if dark else name)
        while found.startswith("*"):
            found = getattr(built, found[1:])
        return found

    pairs = [
        ("body_text_color", "body_background_fill"),
        ("body_text_color_subdued", "body_background_fill"),
        ("block_label_text_color", "body_background_fill"),
        ("block_info_text_color", "body_background_fill"),
        ("input_placeholder_color", "input_background_fill"),
        ("button_primary_text_color", "button_primary_background_fill"),
        ("button_primary_text_color", "button_primary_background_fill_hover"),
        ("button_secondary_text_color", "button_secondary_background_fill"),
        ("button_secondary_text_color", "button_secondary_background_fill_hover"),
    ]
    for dark in (False, True):
        for words, ground in pairs:
            got = contrast(value(words, dark), value(ground, dark))
            assert got >= 4.5, (words, ground, dark, got)


def test_every_rule_takes_its_ink_from_the_named_colours():
    """Words in a colour of their own would escape the checks above."""
    allowed = {"#4d4337", "#f0e9df"}  # the engraving on the empty stone, checked below
    for path in SHEETS:
        text = (
            re.sub(r"(?s)(:root|\.dark)\s*\{.*?\}", "", path.read_text())
            if path.name == "page.css"
            else path.read_text()
        )
        for colour in re.findall(r"[^-\w]color:\s*(#[0-9a-f]{3,6})", text):
            assert colour in allowed, f"{path.name}: {colour}"


def test_the_engraving_can_be_read_on_the_stone():
    stone = dict(re.findall(r"(light|dark): \{ base: \[([\d, ]+)\]", CANVAS))
    for name, ink in (("light", "#4d4337"), ("dark", "#f0e9df")):
        base = [int(c) for c in stone[name].split(",")]
        assert contrast(ink, base) >= 4.5


def ramp(name):
    """The colours of a map in colours.js."""
    found = re.search(rf"const {name} = (\[\[.*?\]\]);", CANVAS, re.S)
    return [[int(c) for c in stop.split(",")] for stop in re.findall(r"\[([\d, ]+)\]", found.group(1))]


@pytest.mark.parametrize("vision", VISION)
def test_the_map_of_confidence_rises_steadily_for_everyone(vision):
    light = [lab(VISION[vision] @ linear(stop))[0] for stop in ramp("CIVIDIS")]
    assert np.diff(light).min() > 6, light


@pytest.mark.parametrize("vision", VISION)
def test_new_and_edited_differ_for_everyone(vision):
    for colours in (LIGHT, DARK):
        new, edited = (lab(VISION[vision] @ linear(colours[name])) for name in ("set", "edit"))
        assert np.linalg.norm(new - edited) > 35, vision


def test_the_marks_on_the_canvas_are_those_of_the_page():
    marks = dict(re.findall(r'(set|edit): "(#[0-9a-f]{6})"', CANVAS))
    assert marks == {"set": LIGHT["set"], "edit": LIGHT["edit"]}


def test_fonts_and_pictures_come_from_here():
    for path in SHEETS:
        text = path.read_text()
        assert "@import" not in text and not re.search(r"url\((?!['\"]?data:)", text), path
