"""The preview picture: its size, that boxes and labels show at any size, and that no text breaks it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from lib_ranni.panel import fonts
from lib_ranni.panel.preview import canvas_size, element_color, mask_picture, render
from lib_ranni.panel.types import Box, Element, Mask, Panel
from tests.panel.strategies import masks, panels

_SIZES = (64, 100, 256, 512, 1024, 2048)


def _panel(*descriptions: str, box: Box = Box(0.2, 0.25, 0.7, 0.75), aspect: float = 1.0) -> Panel:
    elements = (Element(id=f"n{n}", description=d, box=box) for n, d in enumerate(descriptions))
    return Panel(elements=tuple(elements), aspect=aspect)


def _differing(first: Image.Image, second: Image.Image) -> tuple[int, int, int, int] | None:
    box: tuple[int, int, int, int] | None = ImageChops.difference(first, second).getbbox()
    return box


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine without a scalable font."""
    monkeypatch.setattr(fonts, "_installed", tuple)
    fonts.font_for.cache_clear()
    yield
    fonts.font_for.cache_clear()


@pytest.mark.parametrize("longest_px", _SIZES)
@pytest.mark.parametrize("aspect", [0.1, 0.5, 1.0, 16 / 9, 10.0])
def test_the_longer_side_is_as_asked(longest_px: int, aspect: float) -> None:
    picture = render(_panel("a cat", aspect=aspect), longest_px)
    assert picture.size == canvas_size(_panel(aspect=aspect), longest_px)
    assert max(picture.size) == longest_px
    assert picture.width / picture.height == pytest.approx(aspect, rel=0.2 if longest_px < 256 else 0.05)


@pytest.mark.parametrize("longest_px", _SIZES)
def test_boxes_are_where_they_belong(longest_px: int) -> None:
    empty = render(_panel(box=Box(0, 0, 1, 1)), longest_px)
    full = render(_panel("x"), longest_px)
    inside = (round(0.5 * longest_px), round(0.7 * longest_px))
    assert full.getpixel(inside) != empty.getpixel((1, 1))
    assert full.getpixel((round(0.1 * longest_px), round(0.9 * longest_px))) == empty.getpixel((1, 1))
    edge = (round(0.2 * (longest_px - 1)), round(0.65 * longest_px))
    assert full.getpixel(edge) == element_color(0)


@pytest.mark.parametrize("longest_px", _SIZES)
def test_labels_are_readable(longest_px: int) -> None:
    """The tag's ink grows with the picture, is at least 6 pixels high, and differs from text to text."""
    first, second = (render(_panel(text), longest_px) for text in ("HHHH", "XXXX"))
    ink = _differing(first, second)
    assert ink is not None
    assert ink[3] - ink[1] >= max(6, longest_px // 50)
    assert ink[3] <= longest_px
    white = sum(1 for pixel in first.getdata() if min(pixel) > 250)
    assert white >= 20


@pytest.mark.parametrize(
    "box", [Box(0.95, 0.95, 1, 1), Box(0, 0.99, 1, 1), Box(0.99, 0, 1, 0.01), Box(0.5, 0.5, 0.501, 0.501)]
)
def test_a_label_stays_on_the_canvas(box: Box) -> None:
    picture, other = (render(_panel(text, box=box), 512) for text in ("HHHH", "XXXX"))
    ink = _differing(picture, other)
    assert ink is not None
    assert ink[3] - ink[1] >= 10
    assert ink[2] - ink[0] >= 30


def test_labels_in_one_corner_stand_below_each_other() -> None:
    picture = render(_panel("a cat", "a dog", "a fox"), 256)
    column = [picture.getpixel((53, y)) for y in range(64, 192)]
    assert {element_color(0), element_color(1), element_color(2)} <= set(column)
    crowded = render(_panel(*["a cat"] * 60), 64)
    assert crowded.size == (64, 64)


@pytest.mark.parametrize(
    "text",
    [
        "一个红苹果",
        "りんご",
        "사과",
        "🦊 fox",
        "تفاحة",
        "a\u0301",
        "\u200d",
        "\x00\x07",
        "line\nbreak",
        "\ud800",
        "\U0010fffe",
        "W" * 10_000,
        "…" * 50,
        ". . .",
    ],
)
@pytest.mark.parametrize("longest_px", [64, 512])
def test_no_text_breaks_the_picture(text: str, longest_px: int) -> None:
    began = time.perf_counter()
    picture = render(_panel(text), longest_px)
    assert picture.size == (longest_px, longest_px)
    assert time.perf_counter() - began < 3
    assert render(Panel(base=text), longest_px).size == (longest_px, longest_px)


@pytest.mark.usefixtures("no_fonts")
@pytest.mark.parametrize("text", ["a cat", "一个红苹果", "\ud800", "é"])
def test_a_machine_without_fonts_still_labels(text: str) -> None:
    assert fonts.font_for(text, 20) is None
    picture = fonts.text_picture(text, 40)
    assert picture.getbbox() is not None
    assert picture.height >= 30
    assert render(_panel(text), 256).size == (256, 256)


@settings(max_examples=40)
@given(panels(), st.sampled_from([16, 64, 333]), st.booleans())
def test_any_panel_can_be_drawn(panel: Panel, longest_px: int, over: bool) -> None:
    background = Image.new("RGBA", (31, 17), (255, 0, 0, 128)) if over else None
    picture = render(panel, longest_px, background=background)
    assert picture.mode == "RGB"
    assert max(picture.size) == longest_px


def test_drawing_is_deterministic_and_order_matters() -> None:
    panel = _panel("a", "b")
    assert _differing(render(panel), render(panel)) is None
    turned = Panel(elements=panel.elements[::-1])
    assert _differing(render(panel), render(turned)) is not None


def test_a_background_shows_through() -> None:
    picture = render(_panel("a cat"), 128, background=Image.new("RGB", (64, 64), (0, 0, 0)))
    assert picture.getpixel((5, 120)) == (0, 0, 0)
    assert picture.getpixel((60, 80)) != (0, 0, 0)


def test_an_empty_panel_shows_its_base() -> None:
    assert _differing(render(Panel(base="a lawn")), render(Panel())) is not None


def test_masks_are_drawn_as_they_are() -> None:
    mask = Mask(2, 2, (1, 1, 2))
    assert list(mask_picture(mask).getdata()) == [0, 255, 0, 0]
    masked = Element(id="a", description="x", box=Box(0, 0, 1, 1), mask=mask)
    picture = render(Panel(elements=(masked,)), 256)
    assert picture.getpixel((192, 100)) != picture.getpixel((64, 192)) == picture.getpixel((192, 192))


@given(masks())
def test_a_mask_picture_has_the_masks_area(mask: Mask) -> None:
    picture = mask_picture(mask)
    assert picture.size == (mask.width, mask.height)
    assert picture.histogram()[255] == sum(mask.runs[1::2])


def test_neighbors_have_different_colors() -> None:
    colors = [element_color(index) for index in range(24)]
    assert len(set(colors)) == 24
    for first, second in pairwise(colors):
        assert sum(abs(a - b) for a, b in zip(first, second, strict=True)) > 60
    assert max(sum(color) for color in colors) < 3 * 200


def test_a_font_is_chosen_by_what_it_can_write() -> None:
    if not fonts._installed():
        pytest.skip("no scalable font on this machine")
    assert fonts.font_for("a cat", 20) is not None
    assert fonts.font_for("\U0010fffd", 20) is None


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_font_folders_are_known_even_without_a_home(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(fonts.sys, "platform", platform)
    monkeypatch.setattr(fonts.Path, "home", homeless)
    assert len(fonts._folders()) >= 2


def test_a_broken_font_file_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"not a font")
    monkeypatch.setattr(fonts, "_installed", lambda: (str(broken),))
    fonts.font_for.cache_clear()
    assert fonts.font_for("broken", 21) is None
    fonts.font_for.cache_clear()


def test_the_inside_is_tinted_with_the_colors_the_panel_names() -> None:
    red = Element(id="e1", description="x", box=Box(0.1, 0.1, 0.9, 0.9), colors=("#ff0000",))
    r, g, b = render(Panel(elements=(red,)), 200).getpixel((100, 120))
    assert r > g + 40
    assert r > b + 40
