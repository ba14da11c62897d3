"""Everything that the trainer does, as one command with an index.

    python -m trainer                      what there is
    python -m trainer train --help         what one of them does, with examples
    torchrun --nproc-per-node 4 -m trainer train emoji_gpu --out runs/big

Nothing but the command that was asked for is imported.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent

# The words of a command and the module that does it. Where a command has further ones, the plain word is the first.
COMMANDS = {
    "train": "engine.train",
    "plan": "engine.plan",
    "tokenizer": "tokenizer.train",
    "tokenizer measure": "tokenizer.measure",
    "tokenizer photos": "tokenizer.photos",
    "tokens": "data.make_tokens",
    "judge": "judge.train",
    "evaluate": "evaluate.__main__",
    "evaluate prompts": "evaluate.prompts",
    "evaluate repaint": "evaluate.repaint",
    "evaluate compare": "evaluate.compare",
    "evidence ablate": "evidence.ablate",
    "evidence tables": "evidence.tables",
    "evidence tune": "evidence.tune",
    "evidence freeform": "evidence.freeform",
    "evidence failures": "evidence.failures",
    "evidence sheet": "evidence.sheet",
    "evidence card": "evidence.model_card",
    "evidence words": "scenes.words",
    "evidence geneval": "evidence.geneval_export",
    "bench": "bench.__main__",
    "bench pipeline": "bench.pipeline",
    "bench amused": "bench.families.amused",
    "bench nl": "bench.families.nl_diffusion",
    "bench speed": "bench.speed",
    "atlas build": "art.build_atlas",
    "atlas look": "art.look_at_atlas",
}
GROUPS = {words.split()[0] for words in COMMANDS}
WIDTH = max(map(len, COMMANDS)) + 4


def summary(module: str) -> str:
    """The first line of a module's text, read without importing it."""
    text = ast.get_docstring(ast.parse((HERE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")))
    return (text or "").splitlines()[0]


def index(group: str = "") -> str:
    """The commands, or those of one group, a line each."""
    found = {words: module for words, module in COMMANDS.items() if not group or words.split()[0] == group}
    lines = [f"  {words:{WIDTH}}{summary(module)}" for words, module in found.items()]
    return "\n".join(
        ["usage: python -m trainer COMMAND ...", "", *lines, "", "--help after any of them says more."]
    )


def chosen(arguments: list[str]) -> tuple[str, list[str]]:
    """The command's words, and the arguments that are left for it; ValueError names what may have been meant."""
    first = " ".join(arguments[:2])
    if first in COMMANDS:
        return first, arguments[2:]
    if arguments[0] in COMMANDS:
        return arguments[0], arguments[1:]
    near = difflib.get_close_matches(first, COMMANDS, 1) or difflib.get_close_matches(arguments[0], GROUPS, 1)
    hint = f"did you mean {near[0]}?" if near else "python -m trainer lists them"
    raise ValueError(f"there is no command {first[:60]!r}: {hint}")


def main() -> None:
    arguments = sys.argv[1:]
    group = arguments[0] if arguments and arguments[0] in GROUPS - COMMANDS.keys() else ""
    asked = arguments[1:] if group else arguments
    if not asked or asked[0] in ("-h", "--help", "help"):
        print(index(group))
        return
    try:
        words, rest = chosen(arguments)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.argv = [f"python -m trainer {words}", *rest]  # as its help calls itself
    module = importlib.import_module(f"trainer.{COMMANDS[words]}")
    run_command = importlib.import_module("trainer.command").run_command
    run_command(module.main, **getattr(module, "TOLD", {}))


if __name__ == "__main__":
    main()
