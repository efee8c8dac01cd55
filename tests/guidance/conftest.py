"""Small panels and denoisers for the tests of guidance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_ranni.guidance.texts import PanelTexts, Text
from lib_ranni.guidance.weights import Mixing
from lib_ranni.panel.types import Box, Element

WIDTH = 16
"""Width of the texts that the small denoisers read."""


def _element(x0: float, y0: float, x1: float, y1: float, **fields: Any) -> Element:
    return Element(id="e", description="a thing", box=Box(x0, y0, x1, y1), **fields)


def _text(seed: int, length: int = 7) -> Text:
    return Text(torch.randn(length, WIDTH, generator=torch.Generator().manual_seed(seed)))


def _panel(
    elements: Sequence[Element],
    base_ratio: float = 0.2,
    seed: int = 0,
    texts: Sequence[Text] | None = None,
    negatives: Sequence[Text | None] | None = None,
    base: Text | None = None,
    feather: float = 0.0,
) -> PanelTexts:
    return PanelTexts(
        tuple(elements),
        tuple(texts or (_text(seed * 100 + n) for n in range(len(elements)))),
        tuple(negatives or (None,) * len(elements)),
        base or _text(seed * 100 + 90),
        _text(seed * 100 + 91),
        Mixing(base_ratio, feather),
    )


@pytest.fixture(scope="session")
def element() -> Callable[..., Element]:
    return _element


@pytest.fixture(scope="session")
def text() -> Callable[..., Text]:
    return _text


@pytest.fixture(scope="session")
def panel() -> Callable[..., PanelTexts]:
    return _panel


class CrossAttention(nn.Module):
    """Laid out and called as in latent-diffusion."""

    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context, width, bias=False)
        self.to_v = nn.Linear(context, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width), nn.Dropout(0.0))

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        context = x if context is None else context
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        mixed = (q @ k.transpose(2, 3) * self.scale).softmax(-1) @ v
        return self.to_out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn1 = CrossAttention(width, width, 2)
        self.attn2 = CrossAttention(width, WIDTH, 2)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = x + self.attn1(x)
        return x + self.attn2(x, context=context)


class SpatialTransformer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.transformer_blocks = nn.ModuleList([Block(width)])

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        y = x.flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            y = block(y, context)
        return y.transpose(1, 2).reshape(x.shape)


class LdmUNet(nn.Module):
    """A down and an up level with latent-diffusion's names and calling style."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Conv2d(4, 8, 3, padding=1)
        self.down = nn.Conv2d(8, 8, 3, stride=2, padding=1)
        self.input_blocks = nn.ModuleList([SpatialTransformer(8), SpatialTransformer(8)])
        self.out = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x: Tensor, timesteps: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        assert context is not None
        h = self.input_blocks[0](self.into(x), context)
        low = self.input_blocks[1](self.down(h), context)
        return self.out(h + nn.functional.interpolate(low, size=h.shape[-2:]))


@pytest.fixture(scope="session")
def ldm_unet() -> nn.Module:
    torch.manual_seed(1)
    return LdmUNet().eval().requires_grad_(False)


@pytest.fixture(scope="session")
def diffusers_unet() -> nn.Module:
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(2)
    unet = diffusers.UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
    )
    return unet.eval().requires_grad_(False)


@pytest.fixture(params=["ldm", "diffusers"])
def unet(request: pytest.FixtureRequest) -> nn.Module:
    """Each of the small denoisers in turn, with no hooks on it."""
    module = request.getfixturevalue(f"{request.param}_unet")
    assert not [name for name, part in module.named_modules() if "forward" in part.__dict__]
    return module
