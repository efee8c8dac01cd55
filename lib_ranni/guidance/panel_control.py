"""Ranni's panel conditioner: boxes and texts of a panel as one residual behind the UNet's first convolution.

For elements n with drawn box M_n (H, W) and label vector e_n, the full canvas with the postfix being one,

    P = 1/N * sum over n of [ F(M_n) + g(e_n) * D(M_n) ]        (channels, H/8, W/8)

where F is a stack of convolutions, g two linear layers and D a resize. The tensors are those of the
released `ranni_sdv21_v1`. The paper's colors and keypoints, which the release lacks, are further terms,
whose last layers start at zero; a file without them loads as one that ignores both. Keypoints are of the
same kind, Q(points_n). Palettes are a residual of their own,

    R_t = C_t + S * f(h, mean of h over what shows there, C_t)
    C_t = c_t(palette_n) of the frontmost element n at a place, with the edges of D(M_n)

In a mean over elements a color would be told the more faintly the more elements there are. c has a value of
its own for some timesteps and is blended between them: what is where is settled at high noise levels, while
a hue can still turn at low ones, where the picture so far says most of it. So f looks at it, as what the
first convolution makes of it, h: what turns a wrong hue back is too much for a right one. S is 1 but on
elements without a palette. A file without f loads as one that never looks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from msgspec import Struct
from torch import Tensor, nn

from lib_ranni.errors import ModelError

PREFIX = "panel_conditioner."
"""Before the conditioner's names in a checkpoint that holds a UNet as well."""

CELL_PX = 8
"""Pixels of a latent cell along each side."""

BOX, TEXT, COLOR, POINT = "ins_box_mapping", "ins_text_mapping", "ins_color_mapping", "ins_point_mapping"
FEEDBACK = "ins_color_feedback"
LATTICE = 4
"""Colors along each side of the cube that a palette is told by."""
KNOTS = 5
"""Timesteps from 0 to 1000 at which palettes have values of their own."""
_LAST_TIMESTEP = 1000
_CONVOLUTIONS = 8
_HALVING = (2, 4, 6)
"""Which of the convolutions halve the grid."""
_GAIN = 1.8
"""Spread of a convolution's output over its input's that SiLU brings back to about 1."""


class Widths(Struct, frozen=True):
    """Sizes of a conditioner; the defaults are the release's.

    `hint` are the channels at full, half, quarter and eighth resolution, `text` the width of a label vector,
    `out` that of the UNet's first block. `colors` and `keypoints` say whether it has those terms, `feedback`
    whether colors look at the picture.
    """

    hint: tuple[int, int, int, int] = (16, 32, 96, 256)
    text: int = 1024
    out: int = 320
    colors: bool = False
    keypoints: bool = False
    feedback: bool = False


class Painted(Struct, frozen=True):
    """One element as the conditioner takes it.

    `mask` (H, W) is 1 inside and 0 outside, `vector` (text width,) its label, `palette` (K, 3) its colors in
    -1..1 or None, `points` (H, W) its keypoints' marks or None.
    """

    mask: Tensor
    vector: Tensor
    palette: Tensor | None = None
    points: Tensor | None = None


def _hint_stack(inputs: int, hint: Sequence[int], out: int) -> nn.Sequential:
    """Eight 3 by 3 convolutions, three of stride 2, with SiLU between them; the last starts at zero.

    The others start at the gain that keeps a signal's size: by torch's own default a few marked pixels are
    lost on their way through, and training never finds them.
    """
    full, half, quarter, eighth = hint
    channels = [inputs, full, full, half, half, quarter, quarter, eighth, out]
    layers: list[nn.Module] = []
    for n in range(_CONVOLUTIONS):
        stride = 2 if n in _HALVING else 1
        layer = nn.Conv2d(channels[n], channels[n + 1], 3, stride, padding=1)
        nn.init.normal_(layer.weight, std=_GAIN / math.sqrt(9 * channels[n]))
        layers += [layer, nn.SiLU()]
    return nn.Sequential(*layers[:-2], _zeroed(layers[-2]))


def _vector_stack(inputs: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, out), nn.SiLU(), _zeroed(nn.Linear(out, out)))


def _color_stack(out: int) -> nn.Sequential:
    table = nn.Linear(LATTICE**3, out)
    nn.init.normal_(table.weight)  # few of its inputs are not zero
    return nn.Sequential(table, nn.SiLU(), _zeroed(nn.Linear(out, KNOTS * out)))


def _feedback(out: int) -> nn.Sequential:
    hidden = 2 * out
    return nn.Sequential(nn.Conv2d(3 * out, hidden, 1), nn.SiLU(), _zeroed(nn.Conv2d(hidden, out, 1)))


class Colored(Struct, frozen=True):
    """Palettes of a panel on its canvas: C at the knots (KNOTS, out, h, w), the share of each cell that each
    element shows there (N, h, w), and where they may be corrected, S (h, w).
    """

    knots: Tensor
    shares: Tensor
    where: Tensor

    def to(self, device: torch.device) -> Colored:
        """The same on another device."""
        return Colored(self.knots.to(device), self.shares.to(device), self.where.to(device))


def blended(knots: Tensor, timestep: float) -> Tensor:
    """C_t: (KNOTS, ...) to (...), between the values at the two nearest knots."""
    place = min(max(timestep / _LAST_TIMESTEP, 0.0), 1.0) * (KNOTS - 1)
    below = min(int(place), KNOTS - 2)
    return torch.lerp(knots[below], knots[below + 1], place - below)


def _resized(masks: Tensor, grid: Sequence[int]) -> Tensor:
    """D: (N, 1, H, W) to (N, 1, h, w)."""
    return F.interpolate(masks, tuple(grid), mode="bilinear", align_corners=True)


def _shown(cells: Tensor) -> Tensor:
    """Covered shares of cells (N, h, w), back to front, to those not hidden by what is in front."""
    hidden = (1 - cells.flip(0)).cumprod(0).flip(0)
    return cells * torch.cat([hidden[1:], torch.ones_like(cells[:1])])


def _means(shares: Tensor, seen: Tensor) -> Tensor:
    """(C, h, w): at each cell, the mean of `seen` (C, h, w) over what shows there, by shares (N, h, w)."""
    shown = shares.flatten(1).to(seen)
    means = seen.flatten(1) @ shown.T / shown.sum(1).clamp(min=1e-3)
    return (means @ shown).view_as(seen)


def on_lattice(colors: Tensor) -> Tensor:
    """(..., 3) RGB in -1..1 to (..., LATTICE³): shares of the nearest colors of a cube; they sum to 1.

    Three numbers tell neighboring hues apart too late in training; a table of colors does at once.
    """
    axis = torch.linspace(-1, 1, LATTICE, device=colors.device, dtype=colors.dtype)
    near = (1 - (colors[..., None] - axis).abs() * (LATTICE - 1) / 2).clamp(min=0)
    red, green, blue = near.unbind(-2)
    cube = red[..., :, None, None] * green[..., None, :, None] * blue[..., None, None, :]
    return cube.flatten(-3)


def _zeroed(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class PanelConditioner(nn.Module):
    """The network. `forward` gives each element's own share; `merged` is what the UNet is given."""

    def __init__(self, widths: Widths | None = None) -> None:
        super().__init__()
        self.widths = w = Widths() if widths is None else widths
        self.ins_box_mapping = _hint_stack(3, w.hint, w.out)
        self.ins_text_mapping = _vector_stack(w.text, w.out)
        self.ins_color_mapping = _color_stack(w.out) if w.colors else None
        self.ins_point_mapping = _hint_stack(1, w.hint, w.out) if w.keypoints else None
        self.ins_color_feedback = _feedback(w.out) if w.colors and w.feedback else None

    def forward(self, masks: Tensor, vectors: Tensor, marks: Tensor | None = None) -> Tensor:
        """(N, 1, H, W) masks and (N, text) vectors to each element's share of P, (N, out, H/8, W/8).

        `marks` (N, 1, H, W) are keypoints, all zero where an element has none.
        """
        features: Tensor = self.ins_box_mapping(masks.expand(-1, 3, -1, -1))
        values = self.ins_text_mapping(vectors)
        features = features + values[:, :, None, None] * _resized(masks, features.shape[-2:])
        if marks is not None and self.ins_point_mapping is not None:
            has = marks.flatten(1).amax(1) > 0
            if bool(has.any()):
                pointed = self.ins_point_mapping(marks[has]).to(features)
                features = features.index_add(0, has.nonzero()[:, 0], pointed)
        return features

    def painted_colors(self, masks: Tensor, palettes: Tensor) -> Colored:
        """(N, 1, H, W) masks, the canvas and then back to front, and (N, K, 3) palettes, on H/8 by W/8 cells.

        Palettes are colors, rows of NaN where there is none. An element without hides those behind it, too.
        """
        if self.ins_color_mapping is None:
            raise ValueError("this panel conditioner has no part for colors")
        there = ~palettes.isnan().any(-1, keepdim=True)
        each: Tensor = self.ins_color_mapping(on_lattice(palettes.nan_to_num())) * there
        values = each.sum(1) / there.sum(1).clamp(min=1)  # the mean over an element's colors
        shares = _shown(_resized(masks, (masks.shape[-2] // CELL_PX, masks.shape[-1] // CELL_PX))[:, 0])
        painted = torch.einsum("nc,nhw->chw", values, shares.to(values))
        correctable = there.any(1)[:, 0]
        correctable[0] = True  # strong colors in boxes leave their traces around them
        where = shares[correctable].sum(0)
        return Colored(painted.view(KNOTS, -1, *painted.shape[1:]), shares, where)

    def corrected(self, colored: Sequence[Colored], timesteps: Sequence[float], seen: Tensor) -> Tensor:
        """R (B, out, h, w) of pictures for which the first convolution gave `seen` (B, out, h, w).

        Where it has been trained to, it looks at what a picture is at each place and on the mean over what
        shows there: an element, or the canvas around them all.
        """
        each = zip(colored, timesteps, strict=True)
        colors = torch.stack([blended(one.knots, timestep) for one, timestep in each])
        if self.ins_color_feedback is None:
            return colors
        seen = seen.to(colors)
        whole = torch.stack([_means(one.shares, own) for one, own in zip(colored, seen, strict=True)])
        feedback = self.ins_color_feedback.to(colors.device)
        correction: Tensor = feedback(torch.cat([seen, whole, colors], 1))
        return colors + torch.stack([one.where for one in colored])[:, None] * correction

    @torch.no_grad()
    def colored(self, elements: Sequence[Painted]) -> Colored | None:
        """Palettes of the canvas and of elements from back to front; None where none can act."""
        palettes = [element.palette for element in elements]
        longest = max((len(colors) for colors in palettes if colors is not None), default=0)
        if self.ins_color_mapping is None or not longest:
            return None
        like = next(self.parameters())
        padded = like.new_full((len(elements), longest, 3), math.nan)
        for row, colors in zip(padded, palettes, strict=True):
            if colors is not None:
                row[: len(colors)] = colors.to(like)
        masks = torch.stack([element.mask for element in elements])[:, None].to(like)
        return self.painted_colors(masks, padded)

    @torch.no_grad()
    def merged(self, elements: Sequence[Painted]) -> Tensor:
        """P (out, H/8, W/8) float32: the mean over all elements, the full canvas' among them.

        They are run one after another: at full resolution a channel of each takes much memory.
        """
        like = next(self.parameters())
        total: Tensor | None = None
        for element in elements:
            points = element.points
            part = self(
                element.mask[None, None].to(like),
                element.vector[None].to(like),
                None if points is None else points[None, None].to(like),
            )[0]
            total = part if total is None else total + part
        if total is None:
            raise ModelError("there is nothing to condition on; the full canvas always is one element")
        return total / len(elements)


def read_widths(tensors: Mapping[str, Tensor]) -> Widths:
    """The sizes of a conditioner by the shapes of its tensors, without prefix."""
    try:
        hint = [tensors[f"{BOX}.{2 * n}.weight"].shape[0] for n in (0, 2, 4, 6)]
        out, text = tensors[f"{TEXT}.0.weight"].shape
    except (KeyError, IndexError, ValueError) as error:
        raise ModelError(
            f"this is no panel conditioner, a tensor is missing or misshapen ({error}); "
            "give a checkpoint such as ranni_sdv21_v1, or a file of its panel_conditioner tensors"
        ) from error
    full, half, quarter, eighth = hint
    parts = (any(name.startswith(part) for name in tensors) for part in (COLOR, POINT, FEEDBACK))
    return Widths((full, half, quarter, eighth), text, out, *parts)


def own_tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """A conditioner's tensors, without prefix, out of a whole checkpoint's or a file of its own."""
    wrapped = state.get("state_dict")
    if isinstance(wrapped, Mapping):
        state = wrapped
    own = {name.removeprefix(PREFIX): t for name, t in state.items() if name.startswith(PREFIX)}
    if own:
        return own
    parts = (BOX, TEXT, COLOR, POINT, FEEDBACK)
    return {name: t for name, t in state.items() if name.split(".", 1)[0] in parts}


def make_conditioner(state: Mapping[str, Tensor]) -> PanelConditioner:
    """The conditioner in a state dict, in float32, for inference.

    Raises `ModelError` when a tensor is missing, unknown, misshapen or not finite: nothing is loaded in part.
    """
    tensors = own_tensors(state)
    widths = read_widths(tensors)
    with torch.device("meta"):
        expected = {name: t.shape for name, t in PanelConditioner(widths).state_dict().items()}
    faults = [f"{name} is missing" for name in sorted(expected.keys() - tensors.keys())]
    faults += [f"{name} is unknown" for name in sorted(tensors.keys() - expected.keys())]
    for name in sorted(expected.keys() & tensors.keys()):
        if tensors[name].shape != expected[name]:
            faults.append(f"{name} is {tuple(tensors[name].shape)} instead of {tuple(expected[name])}")
        elif not bool(tensors[name].float().isfinite().all()):
            faults.append(f"{name} holds numbers that are not finite")
    if faults:
        more = f"; and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ModelError(f"the panel conditioner cannot be used: {'; '.join(faults[:3])}{more}")
    conditioner = PanelConditioner(widths)
    conditioner.load_state_dict({name: t.float() for name, t in tensors.items()})
    return conditioner.eval().requires_grad_(False)
