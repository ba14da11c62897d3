"""Prompts as NL-Diffusion-Image was taught them: a chat of one question, answered by slots that hold the picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mdm_core.families.nl_diffusion.config import BodyConfig
from mdm_core.hub.files import read_json

START, END = "<|im_start|>", "<|im_end|>"
OPEN, SLOT, CLOSE = "<SPECIAL_21>", "<SPECIAL_18>", "<SPECIAL_22>"
SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language."
)
SCORE = 6.5  # of the micro-conditions: people liked the picture


class Prompt(NamedTuple):
    """One prompt as the transformer reads it."""

    ids: Tensor  # int64 [T]
    told: int  # places up to the end of the question: they are masked where no prompt is told
    first: int  # the place of the first slot


class NLPrompts:
    """The `PromptEncoder`: its condition is a list of `Prompt`, for prompts have as many ids as they need."""

    def __init__(self, tokenizer: Any, config: BodyConfig, size: int):
        """tokenizer: of the `tokenizers` library. size: pixels a side of a picture."""
        self.tokenizer, self.config, self.size = tokenizer, config, size
        special = {token: tokenizer.token_to_id(token) for token in (START, END, OPEN, SLOT, CLOSE)}
        for token, number in special.items():
            if number is None:
                raise ValueError(f"it has no {token}")
        self._slot, self._end = special[SLOT], special[END]
        added = tokenizer.get_added_tokens_decoder()
        self._special = {token.content for token in added.values() if token.special}

    @classmethod
    def load(cls, folder: Path, config: BodyConfig, size: int) -> NLPrompts:
        """Of tokenizer.json; ValueError names the file where it is none, or has ids that the model has not."""
        from tokenizers import Tokenizer

        path = folder / "tokenizer.json"
        read_json(path)
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # noqa: BLE001  the library raises bare Exception
            raise ValueError(f"{path} is no tokenizer: {error}") from error
        try:
            if max(tokenizer.get_vocab().values(), default=0) >= config.vocab_size:
                raise ValueError(f"it has more ids than the model, {config.vocab_size}")
            # a file may ask for what prompts here are not: cut, or filled up
            tokenizer.no_truncation()
            tokenizer.no_padding()
            return cls(tokenizer, config, size)
        except ValueError as error:
            raise ValueError(f"{path} is not the tokenizer of this model: {error}") from None

    def encode(self, prompts: list[str]) -> list[Prompt]:
        """B prompts -> their ids; ValueError where one is too long, or holds a sign of the chat itself."""
        return [self._encode(prompt) for prompt in prompts]

    def take(self, condition: list[Prompt], rows: Sequence[int]) -> list[Prompt]:
        """The condition of some of the prompts."""
        return [condition[row] for row in rows]

    def join(self, conditions: Sequence[list[Prompt]]) -> list[Prompt]:
        """Several conditions as one."""
        return [prompt for condition in conditions for prompt in condition]

    def text(self, prompt: str) -> str:
        """What is tokenized for a prompt."""
        size, slots = self.size, SLOT * self.config.slots
        micro = f"ORIGINAL WIDTH : {size}; ORIGINAL HEIGHT : {size}; TOP : 0; LEFT : 0; SCORE : {SCORE}"
        return (
            f"{START}system\n{SYSTEM}{END}\n"
            f"{START}user\nGenerate an image with the caption:\n {prompt} {micro}{END}\n"
            f"{START}assistant\nSure {OPEN}{slots}{CLOSE}{END}\n"
        )

    def _encode(self, prompt: str) -> Prompt:
        for token in self._special:
            if token in prompt:
                raise ValueError(f"the prompt holds {token}, which ends or opens a part of it: leave it out")
        found = self.tokenizer.encode(self.text(prompt), add_special_tokens=False).ids
        most = self.config.tokenizer_model_max_length
        if len(found) > most:
            over = len(found) - most
            raise ValueError(
                f"the prompt is too long: it needs {over} text tokens more than the model reads; please shorten it"
            )
        ends = [place for place, number in enumerate(found) if number == self._end]
        return Prompt(torch.tensor(found), ends[1] + 1, found.index(self._slot))
