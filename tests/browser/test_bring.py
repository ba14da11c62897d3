"""What comes in by paste, and what comes from other models: grids of any shape, tokens without groups."""

import base64
import io

import numpy as np
from hands import make
from PIL import Image
from studio_hands import record

from ui.bring.upload import MAX_BYTES
from ui.record.browser import dataset, settled
from ui.server.frames import pack_record

# A paste as the browser makes it: of a picture, of words, or of both.
PASTE = """([picture, words, onto]) => {
    const clipboardData = new DataTransfer();
    if (words) clipboardData.items.add(words, "text/plain");
    if (picture) {
        const bytes = Uint8Array.from(atob(picture), (character) => character.charCodeAt(0));
        clipboardData.items.add(new File([bytes], "image.png", { type: "image/png" }));
    }
    const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
    document.querySelector(onto).dispatchEvent(event);
    return event.defaultPrevented;
}"""


def png(pixels):
    """Base64 of a PNG with these pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode()


def two_halves(side, noise=0):
    """Red on the left, blue on the right, with noise of this strength, which no PNG makes small."""
    pixels = np.zeros((side, side, 3))
    pixels[:, : side // 2, 0] = pixels[:, side // 2 :, 2] = 200
    return np.clip(pixels + np.random.default_rng(0).normal(0, noise, pixels.shape), 0, 255)


def shows_two_halves(page):
    red, blue = page.evaluate("""() => {
        const canvas = document.querySelector(".cz-canvas");
        const at = (x) => canvas.getContext("2d").getImageData(canvas.width * x, canvas.height / 2, 1, 1).data;
        return [at(0.27), at(0.73)].map((pixel) => Array.from(pixel));
    }""")
    return red[0] > red[2] + 60 and blue[2] > blue[0] + 60


def test_a_pasted_picture_goes_the_way_of_a_chosen_file(studio):
    assert studio.evaluate(PASTE, [png(two_halves(64)), "", "body"])
    assert settled(studio)["kind"] == "upload"
    assert studio.evaluate("document.body.dataset.task") == "edit" and dataset(studio)["tool"] == "mask"
    studio.wait_for_function("() => window.chisel.still()")
    assert shows_two_halves(studio)


def test_words_pasted_into_a_field_stay_words(studio):
    both = [png(two_halves(64)), "a cat", "#prompt textarea"]
    assert not studio.evaluate(PASTE, both)  # an office program sends a picture of the words along
    assert not studio.evaluate(PASTE, ["", "a cat", "body"])
    assert dataset(studio)["state"] == "idle"
    # a picture alone means the picture wherever it falls
    assert studio.evaluate(PASTE, [both[0], "", both[2]])
    assert settled(studio)["kind"] == "upload"


def test_a_picture_over_the_limit_is_made_smaller_here_before_it_is_sent(studio):
    large = png(two_halves(1900, noise=40))
    assert len(large) * 3 / 4 > MAX_BYTES
    studio.evaluate(PASTE, [large, "", "body"])
    assert settled(studio)["kind"] == "upload"
    studio.wait_for_function("() => window.chisel.still()")
    assert shows_two_halves(studio)


def test_what_is_no_picture_is_refused_in_one_sentence_though_it_says_it_is_one(studio):
    junk = base64.b64encode(b"x" * (MAX_BYTES + 1)).decode()
    studio.evaluate(PASTE, [junk, "", "body"])
    studio.locator(".up-say").filter(
        has_text="The picture is too large: files can have up to 8 MiB."
    ).wait_for()
    assert dataset(studio)["state"] == "idle"


def test_a_model_without_groups_shows_no_group(studio):
    make(studio)
    ask = "window.chisel.server.look_up"
    studio.evaluate(f"""() => {{
        const ask = {ask};
        {ask} = async (data) => ({{ ...(await ask(data)), group: [] }});
        window.chisel.select(100);
    }}""")
    studio.locator(".cz-candidates .cz-tile").first.wait_for()
    for words in ("Its group in the codebook", "Exactly this token", "Its whole group"):
        assert not studio.get_by_text(words, exact=True).is_visible(), words


def test_a_grid_of_any_shape_fits_the_stage_and_the_hand(studio):
    rows, columns, vocab = 4, 12, 16384
    frames = [pack_record(record(0, 256), "", 0)]
    for frame in frames:
        tokens = np.arange(rows * columns, dtype="<i4")
        tokens[:5] = vocab
        frame["tokens"] = base64.b64encode(tokens.tobytes()).decode()
        frame["p"] = frame["h"] = base64.b64encode(np.zeros(rows * columns, "<u2").tobytes()).decode()
        frame["locked"] = base64.b64encode(np.zeros(rows * columns, "u1").tobytes()).decode()
    told = {
        "v": 1,
        "run": "wide",
        "state": "done",
        "role": "main",
        "kind": "opened",
        "seed": 0,
        "prompt": "wide",
    }
    told |= {
        "settings": {},
        "grid": [rows, columns],
        "vocab": vocab,
        "planned": 0,
        "parent": None,
        "prefix": 0,
    }
    studio.evaluate("told => window.chisel.show(told)", {**told, "frames": frames})
    assert settled(studio)["masked"] == "5"
    box = studio.locator(".cz-canvas").bounding_box()
    assert abs(box["width"] / box["height"] - columns / rows) < 0.02
    side = box["width"] / columns
    for cell in (0, 11, 12, 30, 47):
        studio.mouse.click(
            box["x"] + (cell % columns + 0.5) * side, box["y"] + (cell // columns + 0.5) * side
        )
        studio.wait_for_function(
            "cell => document.querySelector('.cz-canvas').dataset.cell === cell", arg=str(cell)
        )
    studio.locator(".cz-canvas").press("ArrowUp")
    studio.wait_for_function("() => document.querySelector('.cz-canvas').dataset.cell === '35'")
    assert studio.locator(".cz-where").inner_text() == "Row 3, column 12"


def test_before_a_run_the_stone_has_the_models_grid(studio):
    columns = studio.evaluate("""() => {
        const canvas = document.querySelector(".cz-canvas");
        const row = canvas.getContext("2d").getImageData(0, canvas.height / 32, canvas.width, 1).data;
        const light = Array.from({ length: canvas.width }, (_, x) => row[4 * x] + row[4 * x + 1] + row[4 * x + 2]);
        const side = canvas.width / 16; // between two stones a dark joint follows right before a light edge
        return Array.from({ length: 15 }, (_, i) => {
            const near = light.slice(Math.round((i + 1) * side) - 3, Math.round((i + 1) * side) + 3);
            return Math.max(...near) - Math.min(...near);
        }).filter((step) => step > 40).length;
    }""")
    assert columns == 15


def test_what_is_hidden_is_not_shown_whatever_its_rule_says(studio):
    shown = """() => Array.from(document.querySelectorAll("[hidden]"))
        .filter((node) => getComputedStyle(node).display !== "none").map((node) => node.outerHTML.slice(0, 80))"""
    assert studio.evaluate(shown) == []
    make(studio)
    for task in ("create", "edit", "learn"):
        studio.evaluate("name => window.chisel.task(name)", task)
        assert studio.evaluate("document.querySelectorAll('[hidden]').length") > 5
        assert studio.evaluate(shown) == []
