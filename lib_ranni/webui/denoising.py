"""Rows of our own through the host's denoiser, shaped as the host shapes its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from modules import prompt_parser, shared
from torch import Tensor

from lib_ranni.guidance.guides import Row
from lib_ranni.guidance.texts import Text
from lib_ranni.webui import settings
from lib_ranni.webui.encoding import CHUNK
from lib_ranni.webui.networks import ElementNetworks, Loras


def contexts_of(cond: Any) -> Tensor:
    """The texts (rows, L, D) of a conditioning: SD's list or tensor, SDXL's dict."""
    if not isinstance(cond, dict):
        return cond  # type: ignore[no-any-return]
    return cond["crossattn"] if "crossattn" in cond else cond["c_crossattn"][0]  # type: ignore[no-any-return]


def unmarked(context: Tensor) -> Tensor:
    """A text (L, D) without the column that ControlNet puts in front to tell its rows apart."""
    return context[1:] if len(context) % CHUNK == 1 and len(context) > 1 else context


def same_context(first: Tensor, second: Tensor) -> bool:
    """Whether two texts are the same, number by number."""
    return first.shape == second.shape and torch.equal(first, second)


class Predictor:
    """Runs further rows on the inputs of one step, which `on_cfg_denoiser` announced as `params`.

    `running` are those that the model is being called with.
    """

    def __init__(self, params: Any, images: int, loras: dict[Text, Loras], networks: ElementNetworks) -> None:
        self.running: tuple[Row, ...] = ()
        self._networks = networks
        self._loras = loras
        self._params = params
        self._images = images

    def replace(self, row: int, text: Text) -> bool:
        """Let the host's own row hear this text, if it is as long as the others and needs no LoRA."""
        cond = self._params.text_cond
        contexts = contexts_of(cond)
        marks = len(contexts[row]) - len(unmarked(contexts[row]))
        if text in self._loras or contexts[row][marks:].shape != text.context.shape:
            return False
        contexts[row][marks:] = text.context
        return True

    @torch.no_grad()
    def run(self, rows: Sequence[Row], first_rows: Sequence[int]) -> list[Tensor]:
        """Predictions (C, h, w) of rows, whose inputs but for the text are those of the host's rows."""
        out: dict[int, Tensor] = {}
        alike: dict[tuple[Loras, int], list[int]] = {}
        for n, row in enumerate(rows):
            alike.setdefault((self._loras.get(row.text, ()), len(row.text.context)), []).append(n)
        for (loras, _), same in alike.items():
            most = settings.most_rows(self._images, len(same))
            with self._networks.added(loras):
                for start in range(0, len(same), most):
                    call = same[start : start + most]
                    answers = self._call([rows[n] for n in call], [first_rows[n] for n in call])
                    out.update(zip(call, answers, strict=True))
        return [out[n] for n in range(len(rows))]

    def _call(self, rows: Sequence[Row], first_rows: Sequence[int]) -> Tensor:
        """One call of the model, or two of half the size where the memory does not suffice."""
        try:
            return self._answers(rows, first_rows)
        except torch.cuda.OutOfMemoryError:
            if len(rows) == 1:
                raise
        middle = len(rows) // 2
        parts = [
            self._call(rows[:middle], first_rows[:middle]),
            self._call(rows[middle:], first_rows[middle:]),
        ]
        return torch.cat(parts)

    def _answers(self, rows: Sequence[Row], first_rows: Sequence[int]) -> Tensor:
        params, index = self._params, list(first_rows)
        self.running = tuple(rows)
        try:
            answer: Tensor = params.denoiser.inner_model(
                params.x[index], params.sigma[index], cond=self._condition(rows, index)
            )
        finally:
            self.running = ()
        return answer

    def _condition(self, rows: Sequence[Row], index: list[int]) -> dict[str, Any]:
        """As the host's `make_condition_dict`; SDXL's pooled vector is that of the row's own side."""
        params = self._params
        contexts = torch.stack([self._marked(row) for row in rows]).to(params.x)
        image = params.image_cond[index]
        if isinstance(params.text_cond, dict):
            sides = (params.text_uncond["vector"], params.text_cond["vector"])
            vectors = [
                sides[0][row.image] if row.negative else sides[1][n]
                for row, n in zip(rows, index, strict=True)
            ]
            size = contexts.shape
            texts = prompt_parser.DictWithShape({"crossattn": contexts, "vector": torch.stack(vectors)}, size)
            return {**texts, "c_concat": [image]}
        if shared.sd_model.model.conditioning_key == "crossattn-adm":
            opposite = torch.tensor([row.negative for row in rows], device=image.device)
            return {
                "c_crossattn": [contexts],
                "c_adm": image.clone().index_fill_(0, opposite.nonzero()[:, 0], 0),
            }
        return {"c_crossattn": [contexts], "c_concat": [image]}

    def _marked(self, row: Row) -> Tensor:
        """The row's text with the mark that ControlNet gave to the host's text of the same side."""
        cond = self._params.text_uncond if row.negative else self._params.text_cond
        like = contexts_of(cond)[0]
        if len(like) % CHUNK != 1:
            return row.text.context
        return torch.cat([like[:1].to(row.text.context), row.text.context])
