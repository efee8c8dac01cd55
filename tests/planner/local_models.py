"""Language models small enough to be made for a test: a Llama of random weights, tokenizers without words."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WIDTH = 64
VOCABULARY = 259


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A token for every byte, so that a character can take several."""
    tokenizer = _tokenizer(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _with_marks(tokenizer)


def letter_tokenizer(*, knows_its_marks: bool = True) -> PreTrainedTokenizerFast:
    """A token for each of 256 characters; unless it `knows_its_marks`, `<s>` and `</s>` are spelled out."""
    letters = ["\n", *map(chr, range(32, 127)), *map(chr, range(0x4E00, 0x4E00 + 160))]
    tokenizer = _tokenizer(letters)
    tokenizer.decoder = decoders.Fuse()
    made = _with_marks(tokenizer)
    if not knows_its_marks:
        encode = made.encode
        made.encode = lambda text, **options: [number for sign in text for number in encode(sign, **options)]
    return made


def _tokenizer(letters: Iterable[str]) -> Tokenizer:
    signs = ["<s>", "</s>", "<unk>", *sorted(letters)]
    return Tokenizer(models.BPE({sign: number for number, sign in enumerate(signs)}, [], unk_token="<unk>"))


def _with_marks(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    marks = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks)


def llama(**config: Any) -> LlamaForCausalLM:
    """Two layers of four heads; the same weights every time."""
    settings = {"hidden_size": WIDTH, "intermediate_size": 96, "num_hidden_layers": 2}
    settings |= {"num_attention_heads": 4, "vocab_size": VOCABULARY, "max_position_embeddings": 2048}
    settings |= {"bos_token_id": 0, "eos_token_id": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return LlamaForCausalLM(LlamaConfig(**{**settings, "initializer_range": 0.3, **config})).eval()


def write_model(folder: Path, **config: Any) -> Path:
    """A model folder as transformers writes it; any tokens it says are text."""
    llama(**config).save_pretrained(folder, safe_serialization=True)
    letter_tokenizer().save_pretrained(folder)
    return folder
