"""The browser's side of the page, put together from the features' own files.

Each feature keeps its JavaScript, CSS and HTML in its folder. The scripts are modules with real imports, which
`node --test` runs as they are; `scripts` turns the graph of one entry into script elements for a page that loads
nothing: the studio carries them in its head, a replay page in its body. So there is no address that a proxy's
prefix could break, and no cache that could hold old code. Of the module syntax only named imports of own files and
`export` before a declaration are allowed, and no circles: anything else is refused here, and so by the tests.
"""

import json
import re
from pathlib import Path

HERE = Path(__file__).parent
# Later sheets win over earlier ones of the same weight.
STYLES = (
    "layout/page.css",
    "layout/controls.css",
    "layout/form.css",
    "layout/tasks.css",
    "stage/stage.css",
    "hands/hands.css",
    "hands/key_sheet.css",
    "stage/time/timeline.css",
    "stage/kept/shelf.css",
    "stage/beside/beside.css",
    "inspector/inspector.css",
    "inspector/edits.css",
    "learn/learn.css",
    "learn/place/place.css",
    "learn/place/prompt.css",
    "learn/place/formula.css",
    "learn/one_token/token.css",
    "learn/forward/forward.css",
    "learn/onestep/onestep.css",
    "learn/explorer.css",
    "learn/lab.css",
    "learn/attention/attention.css",
    "learn/sampler/sampler.css",
    "prompt/prompt.css",
    "twin/twin.css",
    "learn/tour.css",
    "learn/class_mode.css",
    "export/export.css",
    "bring/bring.css",
    "stage/window.css",
    "layout/phone.css",
    "layout/fingers.css",
    "learn/place/phone.css",
)
INCLUDE = re.compile(r"<!-- ((?:[a-z_]+/)+[a-z_]+\.html) -->")
IMPORT = re.compile(r'^import \{([^}]+)\} from "(\.{1,2}/[^"\n]+)";$', re.M)
EXPORT = re.compile(r"^export ((?:async )?(?:function|class|const) (\w+))", re.M)
# only those that have their lines alone
COMMENT = re.compile(r"^[ \t]*(?:/\*\*(?:(?!\*/).)*\*/[ \t]*$|//[^\n]*)", re.M | re.S)
OTHER = re.compile(r"^(?:import|export)\b.*|\bimport\s*[(.]", re.M)


def part(name: str) -> str:
    """A file of the page, by its path in this folder."""
    return (HERE / name).read_text(encoding="utf-8")


def colour(name: str) -> str:
    """A colour of the page in the light, "#rrggbb", from its style sheet: for pictures that must match it."""
    return re.findall(rf"^\s*--cz-{name}: (#[0-9a-f]{{6}});", part("layout/page.css"), re.M)[0]


def markup(name: str) -> str:
    """A file of HTML with those that it names in comments, as <!-- stage/time/timeline.html -->, in their place."""
    return INCLUDE.sub(lambda found: markup(found[1]).strip(), part(name))


def styles(names: tuple[str, ...] = STYLES) -> str:
    """Style sheets one after another."""
    return "\n".join(map(part, names))


def modules(entry: str) -> list[str]:
    """The modules that `entry` needs and at last itself, each after those it imports; ValueError for a circle."""
    order: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"modules import each other: {' -> '.join((*above, name))}")
        if name not in order:
            for _, path in IMPORT.findall(part(name)):
                visit(_resolved(name, path), (*above, name))
            order.append(name)

    visit(entry, ())
    return order


def script(name: str) -> str:
    """A module as a function of what it imports, on the same lines; what it exports is kept under its name.

    Comments stay behind: the page is sent as it is.

    ValueError where the module says more than can be turned into that.
    """

    def given(found: re.Match[str]) -> str:
        target = _resolved(name, found[2])
        missing = set(re.split(r"[,\s]+", found[1].strip(" ,\n"))) - set(_exported(target))
        if missing:
            raise ValueError(f"{name} imports {', '.join(sorted(missing))}, which {target} does not export")
        return f"const {{{found[1]}}} = chiselModules[{json.dumps(target)}];"

    source = part(name)
    body = EXPORT.sub(r"\1", IMPORT.sub(given, source))
    body = COMMENT.sub(lambda found: "\n" * found[0].count("\n"), body)
    wrong = OTHER.search(re.sub(r"/\*.*?\*/", "", body, flags=re.S))
    if wrong or "</script" in source.lower() or "<!--" in source:
        raise ValueError(
            f"{name} cannot stand in a page: {wrong[0] if wrong else 'it would end its element'}"
        )
    return (
        f'(window.chiselModules ??= {{}})[{json.dumps(name)}] = (() => {{ "use strict"; {body}\n'
        f"return {{ {', '.join(_exported(name))} }};\n}})();\n//# sourceURL=chisel/{name}"
    )


def scripts(entry: str) -> str:
    """The script elements of `entry` and of all that it needs, each named in the browser's tools as its file."""
    return "\n".join(f"<script>{script(name)}</script>" for name in modules(entry))


def waking(piece: str, events: tuple[str, ...] = ()) -> str:
    """What a gr.HTML runs when it comes up, so that main.js ties the `piece` of that name to the stage.

    Gradio knows only those `events` of a piece that its script names.
    """
    given = f"{{ element, props, trigger, watch, server, events: {json.dumps(events)} }}"
    return f"(window.chiselPieces ??= []).push([{json.dumps(piece)}, {given}]);"


def _exported(name: str) -> list[str]:
    return [found for _, found in EXPORT.findall(part(name))]


def _resolved(name: str, path: str) -> str:
    """The module that `name` means by a relative path."""
    target = (HERE / name).parent.joinpath(path).resolve()
    if not target.is_relative_to(HERE.resolve()) or not target.is_file():
        raise ValueError(f"{name} imports {path}, which is no file of the page")
    return target.relative_to(HERE.resolve()).as_posix()
