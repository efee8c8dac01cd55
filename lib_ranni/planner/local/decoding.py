"""From token ids to a reply: choosing each token, and turning tokens into text as they arrive.

The loop is our own because a picture may be drawn in another thread meanwhile: `generate` of transformers
draws from the random numbers of the whole process, this one from a generator of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from lib_ranni.errors import PlannerError
from lib_ranni.panel.types import Seed
from lib_ranni.planner.protocol import Cancelled

if TYPE_CHECKING:
    from torch import Generator, Tensor

_CHUNK = 256
"""How many tokens of a prompt are read between two looks at whether the caller still waits."""
_MOST_PENDING = 8
"""How many tokens may wait to become a character; UTF-8 needs four at most."""


class Sampling(Struct, frozen=True):
    """How a token is chosen: the `top_k` likeliest, of these as many as together reach `top_p`.

    A temperature of 0 takes the likeliest. `top_k` 0 and `top_p` 1 leave nothing out.
    """

    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 0.95


def choose(scores: Tensor, sampling: Sampling, generator: Generator) -> int:
    """The id of the next token, drawn from scores of shape (vocabulary,).

    `generator` lives on the CPU, so that one seed means the same draws on every device.
    """
    import torch

    if sampling.temperature <= 0:
        return int(scores.argmax())
    count = min(sampling.top_k or len(scores), len(scores))
    best, ids = scores.float().topk(count)
    shares = (best / sampling.temperature).softmax(-1).cpu()
    if not shares.isfinite().all():
        raise PlannerError("the model computed no numbers (NaN); set the planner's dtype to bf16 or fp32")
    shares[shares.cumsum(-1) - shares >= sampling.top_p] = 0
    shares[0].clamp_(min=torch.finfo(shares.dtype).tiny)
    return int(ids[int(torch.multinomial(shares, 1, generator=generator))])


def tokens(
    model: Any, prompt: Sequence[int], sampling: Sampling, seed: Seed | None, cancelled: Cancelled
) -> Iterator[int]:
    """The model's reply to a prompt, token by token without end; it ends when the caller cancels.

    `model` is a causal language model of transformers with a key-value cache.
    """
    import torch

    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    feed = _feeder(model)
    scores = None
    for start in range(0, len(prompt), _CHUNK):
        if cancelled():
            return
        scores = feed(prompt[start : start + _CHUNK])
    while scores is not None and not cancelled():
        token = choose(scores, sampling, generator)
        yield token
        scores = feed([token])


def _feeder(model: Any) -> Callable[[Sequence[int]], Tensor]:
    """A function that has the model read more tokens and returns its scores for the one after them."""
    import torch

    cache: Any = None

    # Inference mode belongs to the thread: held across a `yield`, it would reach into the caller's code.
    @torch.inference_mode()
    def feed(ids: Sequence[int]) -> Tensor:
        nonlocal cache
        batch = torch.tensor([list(ids)], device=model.get_input_embeddings().weight.device)
        out = model(input_ids=batch, past_key_values=cache, use_cache=True, return_dict=True)
        cache = getattr(out, "past_key_values", None)
        if cache is None:
            raise PlannerError(
                f"a {model.config.model_type} model has no key-value cache to go on from; "
                "choose another model, or serve it and choose the planner for servers"
            )
        scores: Tensor = out.logits[0, -1]
        return scores

    return feed


class TextPieces:
    """Tokens to text, piece by piece; joined, the pieces are the text of all tokens, if that is valid UTF-8.

    `decode` turns ids into text. A character that takes several tokens comes out whole.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        # Before `_read` all is told. Decoding begins a little earlier, at `_from`: what a token looks like
        # depends on the one before it.
        self._from = self._read = 0

    def add(self, token: int) -> str:
        """The text that this token completes."""
        self._ids.append(token)
        piece = self._new()
        if piece.endswith("\N{REPLACEMENT CHARACTER}") and len(self._ids) - self._read < _MOST_PENDING:
            return ""
        return self._told(piece)

    def rest(self) -> str:
        """What is left when no more tokens come."""
        return self._told(self._new())

    def _new(self) -> str:
        told = self._decode(self._ids[self._from : self._read])
        return self._decode(self._ids[self._from :])[len(told) :]

    def _told(self, piece: str) -> str:
        if piece:
            self._from, self._read = self._read, len(self._ids)
        return piece
