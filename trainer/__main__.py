"""Everything that the trainer does, as one command with an index.

    python -m trainer                      what there is
    python -m trainer train --help         what one of them does, with examples
    torchrun --nproc-per-node 4 -m trainer train emoji_gpu --out runs/big

Nothing but the command that was asked for is imported, and that only once its arguments are understood.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


class Command(NamedTuple):
    """A module that does it, and the class of its settings in `trainer.settings`."""

    module: str
    settings: str


# By the words of a command. Where a command has further ones, the plain word is the first.
COMMANDS = {
    "train": Command("engine.train", "training.Train"),
    "plan": Command("engine.plan", "training.Plan"),
    "tokenizer": Command("tokenizer.train", "tokenizer.TokenizerCommand"),
    "tokenizer measure": Command("tokenizer.measure", "tokenizer.Measure"),
    "tokenizer photos": Command("tokenizer.photos", "tokenizer.Photos"),
    "tokens": Command("data.make_tokens", "tokenizer.MakeTokens"),
    "judge": Command("judge.train", "judge.JudgeCommand"),
    "evaluate": Command("evaluate.__main__", "evaluate.Evaluate"),
    "evaluate prompts": Command("evaluate.prompts", "evaluate.Prompts"),
    "evaluate repaint": Command("evaluate.repaint", "evaluate.Repaint"),
    "evaluate compare": Command("evaluate.compare", "evaluate.Compare"),
    "evidence ablate": Command("evidence.ablate", "evidence.Ablate"),
    "evidence ground": Command("evidence.credit.ground", "credit.GroundSettings"),
    "evidence ambiguity": Command("evidence.credit.ambiguity", "credit.Ambiguity"),
    "evidence credit": Command("evidence.credit.study", "credit.CreditSettings"),
    "evidence healthy": Command("evidence.credit.healthy", "credit.Healthy"),
    "evidence tables": Command("evidence.tables", "evidence.Tables"),
    "evidence tune": Command("evidence.tune", "evidence.Tune"),
    "evidence freeform": Command("evidence.freeform", "evidence.Freeform"),
    "evidence failures": Command("evidence.failures", "evidence.Failures"),
    "evidence sheet": Command("evidence.sheet", "evidence.Sheet"),
    "evidence card": Command("evidence.model_card", "evidence.Card"),
    "evidence words": Command("scenes.words", "evidence.Words"),
    "evidence geneval": Command("evidence.geneval_export", "evidence.Geneval"),
    "bench": Command("bench.__main__", "bench.Operators"),
    "bench train": Command("bench.train", "bench.Training"),
    "bench scaling": Command("bench.scaling", "bench.Scaling"),
    "bench pipeline": Command("bench.pipeline", "bench.Picture"),
    "bench amused": Command("bench.families.amused", "bench.Amused"),
    "bench nl": Command("bench.families.nl_diffusion", "bench.NLDiffusion"),
    "bench speed": Command("bench.speed", "bench.Speed"),
    "atlas build": Command("art.build_atlas", "atlas.Build"),
    "atlas look": Command("art.look_at_atlas", "atlas.Look"),
}
GROUPS = {words.split()[0] for words in COMMANDS}
WIDTH = max(map(len, COMMANDS)) + 4


def about(module: str) -> str:
    """A module's text, read without importing it."""
    source = (HERE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


def summary(module: str) -> str:
    """The first line of it."""
    return about(module).splitlines()[0]


def index(group: str = "") -> str:
    """The commands, or those of one group, a line each."""
    found = {words: it for words, it in COMMANDS.items() if not group or words.split()[0] == group}
    lines = [f"  {words:{WIDTH}}{summary(it.module)}" for words, it in found.items()]
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
    run_command = importlib.import_module("trainer.command").run_command
    run_command(lambda: understood(COMMANDS[words], rest))
    module = importlib.import_module(f"trainer.{COMMANDS[words].module}")
    run_command(module.main, **getattr(module, "TOLD", {}))


def understood(command: Command, arguments: list[str]) -> None:
    """Ends with help or one sentence where these are no arguments of the command, before any of it is imported."""
    place, _, name = command.settings.rpartition(".")
    settings = getattr(importlib.import_module(f"trainer.settings.{place}"), name)
    importlib.import_module("trainer.command").ask(settings, about(command.module), arguments)


if __name__ == "__main__":
    main()
