"""Picking and joining what a prompt encoder gives, whatever its structure.

A condition of B prompts is a tensor [B, ...], or a dict, list, tuple, named tuple or dataclass of such, nested as a
family likes. Anything in it that is no tensor (None, a number, a text) goes for all prompts alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def take(condition: Any, rows: Sequence[int]) -> Any:
    """The condition of some of the prompts, in the order of `rows`."""
    return _map(lambda leaf: leaf[list(rows)], condition)


def join(conditions: Sequence[Any]) -> Any:
    """One condition of all prompts of several; ValueError where they are not built alike."""
    return _map(lambda *leaves: torch.cat(leaves), *conditions)


def check(condition: Any, count: int) -> None:
    """ValueError unless every tensor of the condition has `count` rows, and there is one."""
    found: list[int] = []
    _map(lambda leaf: found.append(len(leaf) if leaf.ndim else -1), condition)
    if set(found) != {count}:
        raise ValueError(
            f"the prompt encoder must give tensors with a row for each prompt, [{count}, ...], and gave rows of "
            f"{found} (see mdm_core.protocols)"
        )


def _map(change: Callable[..., Any], *trees: Any) -> Any:
    first = trees[0]
    if len({Tensor if isinstance(tree, Tensor) else type(tree) for tree in trees}) > 1:
        raise ValueError("the conditions of these prompts are not built alike, so they cannot share a batch")
    if isinstance(first, Tensor):
        return change(*trees)
    if isinstance(first, dict):
        if any(tree.keys() != first.keys() for tree in trees):
            raise ValueError("the conditions of these prompts name different parts")
        return type(first)((key, _map(change, *(tree[key] for tree in trees))) for key in first)
    if dataclasses.is_dataclass(first) and not isinstance(first, type):
        names = [f.name for f in dataclasses.fields(first)]
        parts = {name: _map(change, *(getattr(tree, name) for tree in trees)) for name in names}
        return dataclasses.replace(first, **parts)
    if isinstance(first, list | tuple):
        if any(len(tree) != len(first) for tree in trees):
            raise ValueError("the conditions of these prompts have different numbers of parts")
        items = [_map(change, *column) for column in zip(*trees, strict=True)]
        return type(first)(*items) if hasattr(first, "_fields") else type(first)(items)
    if any(tree != first for tree in trees):
        raise ValueError(f"the conditions of these prompts differ in more than tensors: {first!r}")
    return first
