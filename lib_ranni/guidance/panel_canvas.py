"""A panel's elements drawn for the panel conditioner: boxes, palettes and keypoints on a canvas of pixels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lib_ranni.guidance.texts import Grid
from lib_ranni.panel.color_words import says_color
from lib_ranni.panel.types import Box, Element, Mask

MARK = 1 / 40
"""Half the side of a keypoint's mark, in units of the canvas' shorter side."""


def box_mask(box: Box, size: Grid) -> Tensor:
    """(H, W) float32, 1 inside the box and 0 outside; at least one pixel, whatever border it touches."""
    height, width = size
    mask = torch.zeros(height, width)
    top, bottom = _pixels(box.y0, box.y1, height)
    left, right = _pixels(box.x0, box.x1, width)
    mask[top:bottom, left:right] = 1
    return mask


def _pixels(low: float, high: float, count: int) -> tuple[int, int]:
    first = min(max(round(low * count), 0), count - 1)
    return first, min(max(round(high * count), first + 1), count)


def element_mask(element: Element, size: Grid) -> Tensor:
    """(H, W) float32: the element's mask where it has one, else its box."""
    if element.mask is None:
        return box_mask(element.box, size)
    return _sampled(element.mask, size)


def _sampled(mask: Mask, size: Grid) -> Tensor:
    pixels = np.repeat(np.arange(len(mask.runs)) % 2, mask.runs).reshape(mask.height, mask.width)
    rows = ((np.arange(size[0]) + 0.5) * mask.height / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * mask.width / size[1]).astype(int)
    return torch.from_numpy(pixels[np.ix_(rows, columns)].astype(np.float32))


def palette(element: Element) -> Tensor | None:
    """(K, 3) the element's colors as RGB in -1..1; None if it has none."""
    if not element.colors:
        return None
    rgb = [[int(color[n : n + 2], 16) for n in (1, 3, 5)] for color in element.colors]
    return torch.tensor(rgb) / 127.5 - 1


def unsaid_palette(element: Element) -> Tensor | None:
    """(K, 3) the element's colors; None where its text says a color, which the text alone tells better."""
    return None if says_color(element.description) else palette(element)


def keypoint_marks(element: Element, size: Grid) -> Tensor | None:
    """(H, W) float32, 1 in a small square around each keypoint; None if the element has none."""
    if not element.keypoints:
        return None
    height, width = size
    reach = max(1, round(MARK * min(size)))
    marks = torch.zeros(height, width)
    for point in element.keypoints:
        row, column = min(int(point.y * height), height - 1), min(int(point.x * width), width - 1)
        marks[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = 1
    return marks
