"""Captions as token ids, with room for words the checkpoint has never seen."""

from __future__ import annotations

from random import Random

import torch
from transformers import CLIPTokenizer

from lib_ranni.standalone.training.architecture import TEXT_LENGTH

UNKNOWN_WORD = "something"
"""Stands for every unseen word in training; its embedding is copied to all unseen tokens at export."""


class CaptionTokens:
    """Tokenises captions, remembering each word, because a training run repeats few words very often."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        self.bos: int = tokenizer.bos_token_id
        self.eos: int = tokenizer.eos_token_id
        self.seen: set[int] = {self.bos, self.eos}
        self._tokenizer = tokenizer
        self._words: dict[str, list[int]] = {}

    def _word(self, word: str) -> list[int]:
        if word not in self._words:
            ids = self._tokenizer(word, add_special_tokens=False)["input_ids"]
            self._words[word] = ids
            self.seen.update(ids)
        return self._words[word]

    def ids_of(self, text: str) -> list[int]:
        """The tokens of a text's words alone."""
        return [i for word in text.replace(",", " ,").split() for i in self._word(word)]

    def __call__(self, captions: list[str]) -> torch.Tensor:
        """(len(captions), 77) token ids: start, words, then end to the end of the row."""
        rows = []
        for text in captions:
            ids = [self.bos, *self.ids_of(text)[: TEXT_LENGTH - 2]]
            rows.append(ids + [self.eos] * (TEXT_LENGTH - len(ids)))
        return torch.tensor(rows)


def with_unknown_words(text: str, rng: Random) -> str:
    """Insert one to three words without meaning, so that the model learns to ignore them."""
    words = text.split()
    for _ in range(rng.randint(1, 3)):
        words.insert(rng.choice((0, len(words), rng.randint(0, len(words)))), UNKNOWN_WORD)
    return " ".join(words)
