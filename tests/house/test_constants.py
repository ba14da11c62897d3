"""A number or colour that several rooms go by has one owner: the others ask it, and none writes it down again."""

import re
from pathlib import Path

import pytest

from mdm_core import pipeline
from mdm_core.diffusion import sampler
from trainer import checks, options
from ui import assemble
from ui.bring import upload
from ui.export import draw
from ui.server import form, guard

ROOT = Path(__file__).parents[2]


def written(pattern, *suffixes):
    """The files of the packages in which the pattern stands."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in ("mdm_core", "trainer", "ui")
        for path in (ROOT / package).rglob("*")
        if path.suffix in suffixes and re.search(pattern, path.read_text("utf-8"))
    }


def test_the_page_takes_the_prompts_and_seeds_that_the_library_takes():
    assert form.PROMPT_CHARACTERS == pipeline.MAX_PROMPT
    assert form.SEED_LAST == sampler.MAX_SEED == checks.MAX_SEED
    assert options.read_whole(0, sampler.MAX_SEED)(str(sampler.MAX_SEED)) == sampler.MAX_SEED
    assert not written(r"2\s*\*\*\s*32|4294967295|1 << 32", ".js", ".py") - {
        "mdm_core/diffusion/sampler.py",
        "mdm_core/settings.py",
        "mdm_core/ops/noise.py",  # a width of the generator's counter
        "mdm_core/pipeline.py",  # in words
        "ui/server/form.py",
    }


def test_an_upload_fits_into_a_request():
    assert upload.MAX_BYTES == guard.PICTURE_BYTES
    assert guard.PICTURE_BYTES * 4 / 3 + guard.MAX_SMALL < guard.MAX_BODY
    assert written(r"\b8 \* 2\*\*20|\b8 << 20|8 ?MiB|8388608", ".js", ".html") == set()


@pytest.mark.parametrize("name, pen", [("set", draw.NEW), ("edit", draw.EDITED)])
def test_marks_have_one_colour_on_the_page_the_canvas_and_in_files(name, pen):
    colour = assemble.colour(name)
    assert "#{:02x}{:02x}{:02x}".format(*pen) == colour
    canvas = re.search(r"MARK = \{(.*)\}", assemble.part("stage/canvas/colours.js"))[1]
    assert f'{name}: "{colour}"' in canvas
    rgb = ", ?".join(map(str, pen))
    assert written(rf"(?i){colour}|\b{rgb}\b", ".js", ".py", ".css") == {
        "ui/layout/page.css",
        "ui/stage/canvas/colours.js",
    }
