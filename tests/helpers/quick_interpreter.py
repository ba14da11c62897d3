"""Triton's interpreter without the work whose outcome it throws away: the same operations, in half of the time."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from typing import Any

HOME = "triton.runtime.interpreter"


def quicken() -> None:
    """Once triton's interpreter is imported, and once alone; nothing where it is not, or where it is another one."""
    home: Any = sys.modules.get(HOME)
    parts = ("GridExecutor", "_LangPatchScope", "_get_np_dtype", "_patch_lang", "interpreter_builder", "tl")
    if home is None or hasattr(home, "quickened") or not all(hasattr(home, part) for part in parts):
        return
    home.quickened = True
    _patch_once_a_launch(home)
    _know_types_by_name(home)
    options: Any = getattr(home.interpreter_builder, "options", None)
    if hasattr(options, "sanitize_overflow") and not options.debug:
        # every sum of whole numbers is computed again in 64 bits, for an assertion that nothing but `debug` makes
        home.interpreter_builder.options = dataclasses.replace(options, sanitize_overflow=False)


def _patch_once_a_launch(home: Any) -> None:
    """A kernel's launch puts numpy in the place of triton.language; every function that it calls did so once more."""
    patch, launch, patched = home._patch_lang, home.GridExecutor.__call__, set[int]()

    @functools.cache
    def languages(fn: Any) -> frozenset[int]:
        known = (value for value in fn.__globals__.values() if inspect.ismodule(value))
        return frozenset(id(value) for value in known if value in (home.tl, home.tl.core))

    def patch_what_is_not(fn: Any) -> Any:
        if patched and languages(fn) <= patched:
            return home._LangPatchScope()
        scope = patch(fn)
        patched.update(languages(fn))
        return scope

    def launched(self: Any, *arguments: Any, **options: Any) -> Any:
        patched.clear()
        try:
            return launch(self, *arguments, **options)
        finally:
            patched.clear()

    home._patch_lang, home.GridExecutor.__call__ = patch_what_is_not, launched


def _know_types_by_name(home: Any) -> None:
    """A table of all types was made anew for every operand."""
    find, known = home._get_np_dtype, dict[str, Any]()

    def found(kind: Any) -> Any:
        if kind.name not in known:
            known[kind.name] = find(kind)
        return known[kind.name]

    home._get_np_dtype = found
