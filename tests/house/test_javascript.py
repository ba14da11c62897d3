"""The page's scripts without a browser: their own tests under node, their types, and how they are put into a page."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import gradio
import numpy as np
import pytest
from fake_family import told as told_facts
from studio_hands import record

from ui import assemble, page
from ui.bring import upload
from ui.export import replay
from ui.learn.lesson import lesson
from ui.server import form as limits
from ui.server import runs
from ui.server.frames import pack_record

ROOT = assemble.HERE.parent
NODE = shutil.which("node")
# the scripts that a page begins with: the studio, a replay, a lesson as one file
ENTRIES = ("main.js", "export/replay.js", "learn/lesson/lesson.js")
needs_node = pytest.mark.skipif(NODE is None, reason="no node here: the scripts' own tests need it")


def run(*command, **more):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, **more)


# ---- under node ---------------------------------------------------------------------------------------------


@needs_node
def test_the_scripts_pass_their_own_tests():
    told = run(NODE, "--test", "tests/js")
    assert told.returncode == 0, told.stdout
    assert int(re.search(r"^# tests (\d+)$|^ℹ tests (\d+)$", told.stdout, re.M).group(0).split()[-1]) > 30


@needs_node
def test_the_browser_reads_a_step_as_the_server_packed_it():
    step = record(2, 40)
    message = {"grid": [16, 16], "vocab": 16384, "prefix": 2, "parent": None, "state": "done"}
    message["frames"] = [pack_record(step, "", 812)]
    code = """
        import { Run } from "./ui/stage/run/run.js";
        const message = JSON.parse(await new Promise((done) => {
            let all = "";
            process.stdin.on("data", (part) => { all += part; }).on("end", () => done(all));
        }));
        const run = new Run(message);
        run.take(message);
        const { tokens, set, p, h, locked, edited, masked, phase, ms } = run.frames[0];
        console.log(JSON.stringify({ tokens: [...tokens], set: [...set], p: [...p], h: [...h], locked: [...locked],
            edited, masked, phase, ms }));
    """
    told = run(NODE, "--input-type=module", "-e", code, input=json.dumps(message))
    assert told.returncode == 0, told.stderr
    got = json.loads(told.stdout)
    assert got["tokens"] == step.tokens.tolist() and got["set"] == step.committed.tolist()
    assert [[e["at"], e["from"], e["to"]] for e in got["edited"]] == step.edited.tolist()
    assert np.abs(np.array(got["p"]) / 65535 - step.confidence).max() < 1e-5
    assert np.abs(np.array(got["h"]) / 1000 - step.entropy).max() < 1e-3
    assert (got["masked"], got["phase"], got["ms"]) == (40, "unmask", 812)
    assert got["locked"] == [0] * 256


def test_the_scripts_have_the_types_that_they_say():
    """TypeScript's checker reads the JSDoc of every module. To have it: npm install --global typescript."""
    checker = shutil.which("tsc")
    if checker is None:
        pytest.skip("no tsc here: the types of the scripts need TypeScript's checker")
    told = run(checker, "--project", "ui/jsconfig.json")
    assert told.returncode == 0, told.stdout


@pytest.mark.parametrize("path", sorted(assemble.HERE.rglob("*.js")), ids=lambda path: path.name)
def test_every_script_asks_to_be_checked_and_is_of_a_size_to_be_read(path):
    lines = path.read_text().splitlines()
    assert lines[0] == "// @ts-check" and lines[1].startswith("// ")
    assert len(lines) <= 400 and max(map(len, lines)) <= 140


# ---- in a page ----------------------------------------------------------------------------------------------


def house(tmp_path, monkeypatch, **files):
    """A folder of scripts in place of the page's own."""
    for name, source in files.items():
        (tmp_path / f"{name}.js").write_text(source)
    monkeypatch.setattr(assemble, "HERE", tmp_path)


def test_every_script_reaches_a_page_after_those_it_needs():
    order = assemble.modules("main.js")
    for name in order:
        for _, path in assemble.IMPORT.findall(assemble.part(name)):
            assert order.index(assemble._resolved(name, path)) < order.index(name)
    everything = {path.relative_to(assemble.HERE).as_posix() for path in assemble.HERE.rglob("*.js")}
    assert everything == {
        name for entry in ENTRIES for name in assemble.modules(entry)
    }  # nothing lies about unused
    for entry in ENTRIES:
        assert assemble.scripts(entry).count("<script>") == len(assemble.modules(entry))


def test_the_stage_knows_no_other_feature():
    for name in assemble.modules("stage/view.js") + assemble.modules("stage/canvas/canvas.js"):
        assert name.startswith(("stage/", "layout/dom.js")), name


def test_storage_is_touched_in_one_place_alone():
    """A browser may deny it, and then each touch throws."""
    touch = re.compile(r"\b(?:localStorage|sessionStorage|indexedDB|caches)\b(?!\")|document\.cookie")
    found = {
        path.relative_to(assemble.HERE).as_posix()
        for kind in ("*.js", "*.html", "*.py")
        for path in assemble.HERE.rglob(kind)
        if touch.search(path.read_text())
    }
    assert found == set() and touch.search("localStorage.getItem(name)")
    assert "globalThis[where]" in assemble.part("layout/storage.js")


def test_gradio_still_says_what_the_keeper_listens_for():
    """Browsers without the Navigation API know of a lost connection by these words alone."""
    words = re.search(r'const LOST = "(.+?)";', assemble.part("stage/kept/keep.js"))[1]
    scripts = (Path(gradio.__file__).parent / "templates" / "frontend" / "assets").glob("*.js")
    assert any(words in path.read_text(encoding="utf-8") for path in scripts)


def test_every_sheet_of_style_reaches_a_page():
    sheets = {path.relative_to(assemble.HERE).as_posix() for path in assemble.HERE.rglob("*.css")}
    assert sheets == {*assemble.STYLES, *replay.STYLES, *lesson.STYLES, *lesson.AFTER}


@needs_node
@pytest.mark.parametrize("entry", ENTRIES)
def test_every_script_can_be_read_as_it_stands_in_a_page(entry):
    code = "for (const source of JSON.parse(require('fs').readFileSync(0))) new Function(source);"
    told = run(
        NODE, "-e", code, input=json.dumps([assemble.script(name) for name in assemble.modules(entry)])
    )
    assert told.returncode == 0, told.stderr


@needs_node
def test_modules_work_in_a_page_as_they_do_by_themselves(tmp_path, monkeypatch):
    house(
        tmp_path,
        monkeypatch,
        low=(
            "// a comment\n/** @type {any} */ (globalThis).is = 1;\n/** said */\n"
            "export const two = 2;\nexport function double(n) {\n  return n * two;\n}\nconst own = 1;\n"
        ),
        mid=(
            'import { double } from "./low.js";\n\n/**\n * said\n */\n'
            "export class Box {\n  get four() { return double(2); }\n}\n"
        ),
        top=(
            'import {\n  double,\n  two,\n} from "./low.js";\nimport { Box } from "./mid.js";\n'
            "const own = double(two);\n"
            'console.log(own + new Box().four, new Error().stack.split("\\n")[1].trim());\n'
        ),
    )
    assert assemble.modules("top.js") == ["low.js", "mid.js", "top.js"]
    sources = re.findall(r"<script>(.*?)</script>", assemble.scripts("top.js"), re.S)
    script = "globalThis.window = globalThis;\n" + "\n".join(
        f"(0, eval)({json.dumps(source)});" for source in sources
    )
    told = run(NODE, "-e", script)
    assert told.stdout.startswith("8 "), told.stderr
    assert "chisel/top.js:7:" in told.stdout  # an error names the file and the line in it


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ('import { b } from "./b.js";\nexport const a = 1;\n', "import each other: a.js -> b.js -> a.js"),
        ('import { c } from "./c.js";\n', "no file of the page"),
        ('import { c } from "../../app.js";\n', "no file of the page"),
        ('import { none } from "./low.js";\n', "imports none, which low.js does not export"),
        ('import { low as high } from "./low.js";\n', "does not export"),
        ('import * as all from "./low.js";\n', "cannot stand in a page: import"),
        ('import low from "./low.js";\n', "cannot stand in a page: import"),
        ("export default 3;\n", "cannot stand in a page: export default"),
        ("const a = 1;\nexport { a };\n", "cannot stand in a page: export"),
        ('const late = () => import("./low.js");\n', "cannot stand in a page: import("),
        ("const here = import.meta.url;\n", "cannot stand in a page: import."),
        ('const html = "</script>";\n', "would end its element"),
        ("const html = '<!-- ';\n", "would end its element"),
    ],
)
def test_what_could_not_work_in_a_page_is_refused(source, sentence, tmp_path, monkeypatch):
    house(
        tmp_path,
        monkeypatch,
        a=source,
        b='import { a } from "./a.js";\nexport const b = a;\n',
        low="export const low = 1;\n",
    )
    with pytest.raises(ValueError, match=re.escape(sentence)):
        assemble.scripts("a.js")


@pytest.mark.parametrize("grid", [(2, 8), (8, 24)])
def test_the_head_tells_the_scripts_what_python_knows(grid):
    facts = told_facts(grid=grid, name="<b>Stripes</b>", licence='"CC0"')
    head = page.launch_arguments(facts=facts, groups=[2, 4])["head"]
    told = json.loads(unescape(re.match(r'<meta name="chisel" content="(.*?)">', head)[1]))
    assert told["grid"] == list(grid) and told["groups"] == [2, 4]
    assert [told[name] for name in ("name", "licence", "patch", "vocab", "revises")] == [
        facts.name,
        facts.licence,
        facts.patch,
        facts.vocab_size,
        False,
    ]
    assert (told["pictureBytes"], told["runBytes"]) == (upload.MAX_BYTES, runs.largest_run(grid))
    assert told["promptCharacters"] == limits.PROMPT_CHARACTERS
    facts = assemble.part("layout/facts.js")
    assert all(f"{name}:" in facts for name in told)  # the type of it names them all
