"""Prompts -> what the U-ViT reads of them: CLIP's states and pooled vector, and those of the negative prompt."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mdm_core.families.published.clip import ClipText
from mdm_core.hub.files import read_json

START, END = "<|startoftext|>", "<|endoftext|>"


class Condition(NamedTuple):
    """B prompts, and what guidance leads away from."""

    states: Tensor  # [B, T, E]
    pooled: Tensor  # [B, P]
    away_states: Tensor  # [B, T, E]
    away_pooled: Tensor  # [B, P]


class ClipTokenizer:
    """Byte pairs as CLIP reads them: lower case, words apart, each ended by its own sign.

    By the `tokenizers` library, which reads our own prompts too: its splitting into Unicode's classes and its merges
    are those that the text encoder was trained with.
    """

    def __init__(self, vocab: dict[str, int], merges: list[tuple[str, str]], pad: str, length: int):
        """vocab, merges: of the byte pairs. pad: the token behind a prompt. length: T, ends included."""
        from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

        self.length = length
        bpe = Tokenizer(models.BPE(vocab, merges, end_of_word_suffix="</w>", unk_token=END))
        bpe.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+")
        bpe.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(words, behavior="removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        bpe.add_special_tokens(
            [AddedToken(text, normalized=False, special=True) for text in {START, END, pad}]
        )
        self.bpe, self.start, self.end, self.pad = bpe, vocab[START], vocab[END], vocab[pad]

    @classmethod
    def load(cls, folder: Path, length: int) -> ClipTokenizer:
        """Of vocab.json and merges.txt, or of the one tokenizer.json; ValueError names the file that does not fit."""
        vocab, merges = _pairs(folder)
        path, pad = folder / "tokenizer_config.json", END
        if path.is_file():
            told = read_json(path)
            pad = _text_of(told.get("pad_token", pad))
            longest = told.get("model_max_length", length)
            # a number beyond all reason is how files say that they do not know
            length = min(length, longest) if isinstance(longest, int) and longest > 2 else length
        for token in (START, END, pad):
            if token not in vocab:
                raise ValueError(f"{folder} is no vocabulary of CLIP: it has no {token!r}")
        try:
            return cls(vocab, merges, pad, length)
        except Exception as error:  # noqa: BLE001  the library raises bare Exception
            raise ValueError(f"{folder} is no vocabulary of CLIP: {error}") from error

    @property
    def largest(self) -> int:
        """The largest id that a prompt can hold."""
        return max(self.bpe.get_vocab().values())

    def count(self, prompt: str) -> int:
        """Ids that `prompt` needs, without its ends."""
        return len(self.bpe.encode(prompt).ids)

    def encode(self, prompts: list[str]) -> Tensor:
        """B prompts -> ids int64 [B, T]; ValueError where one does not fit."""
        out = torch.full((len(prompts), self.length), self.pad)
        for row, encoding in zip(out, self.bpe.encode_batch(prompts), strict=True):
            ids = [self.start, *encoding.ids, self.end]
            if len(ids) > self.length:
                raise ValueError(
                    f"the prompt is too long: it needs {len(ids) - 2} text tokens and the model reads "
                    f"{self.length - 2}; please shorten it"
                )
            row[: len(ids)] = torch.tensor(ids)
        return out


class ClipPrompts:
    """The `PromptEncoder`: tokenizer and text encoder."""

    def __init__(self, tokenizer: ClipTokenizer, model: ClipText, negative: str = ""):
        """negative: what guidance leads away from where nobody says."""
        self.tokenizer, self.model, self.negative = tokenizer, model, negative
        self._away: tuple[str, Tensor, Tensor] | None = None  # the last negative prompt, which seldom changes

    @property
    def length(self) -> int:
        """Text tokens that a prompt may have."""
        return self.tokenizer.length - 2

    def count(self, prompt: str) -> int:
        """Text tokens that `prompt` has."""
        return self.tokenizer.count(prompt)

    @torch.no_grad()
    def encode(self, prompts: list[str], negative: str | None = None) -> Condition:
        """B prompts -> the condition of them; ValueError where one does not fit."""
        negative = self.negative if negative is None else negative
        states, pooled = self._read(prompts)
        away = self._away
        if away is None or away[0] != negative:
            away = self._away = (negative, *self._read([negative]))
        return Condition(states, pooled, *(x.expand(len(prompts), *x.shape[1:]) for x in away[1:]))

    def _read(self, prompts: list[str]) -> Any:
        device = self.model.text_projection.weight.device
        return self.model(self.tokenizer.encode(prompts).to(device))


def _pairs(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges of a tokenizer's folder."""
    if (folder / "vocab.json").is_file() or not (folder / "tokenizer.json").is_file():
        path = folder / "merges.txt"
        vocab: Any = read_json(folder / "vocab.json")
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            raise ValueError(f"{path} is missing from the model folder") from None
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
        merges: Any = [line.split(" ") for line in lines if line and not line.startswith("#version")]
    else:
        path = folder / "tokenizer.json"
        model = read_json(path).get("model")
        model = model if isinstance(model, dict) else {}
        vocab, merges = model.get("vocab"), model.get("merges")
        if not isinstance(merges, list):
            raise ValueError(f"{path} holds no byte pairs")
        merges = [pair.split(" ") if isinstance(pair, str) else pair for pair in merges]
    if not isinstance(vocab, dict) or not all(type(i) is int and i >= 0 for i in vocab.values()):
        raise ValueError(f"{folder} is no vocabulary of CLIP: its ids must be whole numbers")
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in merges):
        raise ValueError(f"{path} is no list of merges: each must be two parts")
    return vocab, [tuple(pair) for pair in merges]


def _text_of(token: Any) -> str:
    """A special token, which files give as a text or as an object around it; as text, whatever it is."""
    return str(token.get("content") if isinstance(token, dict) else token)
