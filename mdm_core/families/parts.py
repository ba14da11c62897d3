"""What opening a model gives, whatever its family."""

from __future__ import annotations

from typing import Any, NamedTuple

from mdm_core.facts import Facts
from mdm_core.protocols import Backbone, ImageCodec, PromptEncoder


class Parts(NamedTuple):
    """The three parts of a pipeline, what everyone may know of them, and what the family keeps for itself."""

    codec: ImageCodec
    prompts: PromptEncoder
    backbone: Backbone
    facts: Facts
    config: Any = None
