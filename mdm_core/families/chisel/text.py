"""Prompts -> ids: a byte-level BPE (the `tokenizers` library), so that any string is a valid prompt."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mdm_core.paths import located

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD = "<pad>"  # id 0


class TextTokenizer:
    """Lower-cases, encodes, pads to `length`. Text ids are int64 [B, length]; 0 is padding."""

    def __init__(self, bpe: Tokenizer, length: int):
        self.bpe = bpe
        self.length = length

    @property
    def vocab_size(self) -> int:
        return self.bpe.get_vocab_size()

    @classmethod
    def train(cls, captions: Iterable[str], vocab_size: int = 1024, length: int = 40) -> TextTokenizer:
        """Learn merges from captions; every byte stays an id of its own."""
        from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

        bpe = Tokenizer(models.BPE())
        bpe.normalizer = normalizers.Sequence(
            [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace("  ", " "), normalizers.Strip()]
        )
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        bpe.decoder = decoders.ByteLevel()
        bpe.train_from_iterator(
            captions,
            trainers.BpeTrainer(
                vocab_size=vocab_size,
                special_tokens=[PAD],
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                show_progress=False,
            ),
        )
        return cls(bpe, length)

    @classmethod
    def load(cls, path: str | Path, length: int) -> TextTokenizer:
        """Read a saved BPE; ValueError names the file when it is missing or no BPE."""
        from tokenizers import Tokenizer

        path = located(path)
        if not path.is_file():
            raise ValueError(f"{path} is missing: the prompt vocabulary belongs to the weights")
        try:
            return cls(Tokenizer.from_file(str(path)), length)
        except Exception as error:  # the library raises bare Exception
            raise ValueError(f"{path} is no prompt vocabulary: {error}") from error

    def save(self, path: str | Path) -> None:
        self.bpe.save(str(located(path)))

    def count(self, prompt: str) -> int:
        """Ids that `prompt` needs."""
        return len(self.bpe.encode(prompt).ids)

    def words(self, prompt: str) -> list[tuple[str, int]]:
        """The words of `prompt` as they stand there, each with how many ids it takes; ids no word owns are left out.

        A word here is what the vocabulary splits text at: a run of letters, of digits, of signs.
        """
        encoding = self.bpe.encode(prompt)
        spans: dict[int, list[int]] = {}  # by word: where it begins and ends in the text, and its ids
        for word, (first, last) in zip(encoding.word_ids, encoding.offsets, strict=True):
            if word is not None:
                begin, end, ids = spans.get(word, [first, last, 0])
                spans[word] = [min(begin, first), max(end, last), ids + 1]
        return [(prompt[begin:end].strip(), ids) for begin, end, ids in spans.values()]

    def fits(self, prompt: str) -> bool:
        """Whether the model can read all of `prompt`."""
        return self.count(prompt) <= self.length

    def encode(self, prompts: str | list[str]) -> Tensor:
        """Prompts -> ids int64 [B, length]. ValueError when a prompt does not fit."""
        prompts = [prompts] if isinstance(prompts, str) else prompts
        out = torch.zeros(len(prompts), self.length, dtype=torch.int64)
        for row, encoding in zip(out, self.bpe.encode_batch(prompts), strict=True):
            ids = encoding.ids
            if len(ids) > self.length:
                raise ValueError(
                    f"the prompt is too long: it needs {len(ids)} text tokens and the model reads {self.length}; "
                    "please shorten it"
                )
            row[: len(ids)] = torch.tensor(ids)
        return out
