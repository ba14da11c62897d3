"""`field=value` of a command line: split, and read as what the field of a settings dataclass takes."""

from __future__ import annotations

import ast
from typing import Any

KINDS = {  # by a field's annotation: what a value may be, and how to say it
    "int": ((int,), "a whole number, e.g. 4"),
    "float": ((int, float), "a number, e.g. 0.5"),
    "bool": ((bool,), "True or False"),
    "str": ((str,), "a word"),
    "tuple": ((tuple, list), "a list, e.g. \"('one', 'two')\" in quotes"),
}


def assignment(text: str) -> tuple[str, str]:
    """(field, text of its value); ValueError where there is no `=`."""
    field, sep, value = text.partition("=")
    if not sep:
        raise ValueError(f"override {text!r} should look like field=value")
    return field, value


def value_of(name: str, annotation: Any, text: str) -> Any:
    """The value that a text of the command line stands for; ValueError where the field can tell that it is wrong."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = text
    kinds = [k.split("[")[0] for k in str(annotation).split(" | ")]
    if ("None" in kinds and value is None) or any(k not in (*KINDS, "None") for k in kinds):
        return value
    if "str" in kinds and not isinstance(value, str):
        return text  # a folder may be called 2024
    for kind in (k for k in kinds if k != "None"):
        if isinstance(value, KINDS[kind][0]) and (kind == "bool" or not isinstance(value, bool)):
            return value
    raise ValueError(f"{name} must be {KINDS[kinds[0]][1]}, got {value!r}")
