"""The panel conditioner: the release's tensors, the residual by its definition, and files that hold it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lib_ranni.errors import ModelError
from lib_ranni.guidance.panel_canvas import box_mask, element_mask, keypoint_marks, palette
from lib_ranni.guidance.panel_control import (
    KNOTS,
    PREFIX,
    Painted,
    PanelConditioner,
    Widths,
    blended,
    make_conditioner,
    on_lattice,
    read_widths,
)
from lib_ranni.guidance.panel_files import read_conditioner
from lib_ranni.panel.types import Box, Element, Keypoint, Mask

SMALL = Widths((2, 3, 4, 5), 6, 8)
FULL = Widths((2, 3, 4, 5), 6, 8, colors=True, keypoints=True)

# ranni.md 2.1
RELEASED = {
    "ins_box_mapping.0": (16, 3, 3, 3),
    "ins_box_mapping.2": (16, 16, 3, 3),
    "ins_box_mapping.4": (32, 16, 3, 3),
    "ins_box_mapping.6": (32, 32, 3, 3),
    "ins_box_mapping.8": (96, 32, 3, 3),
    "ins_box_mapping.10": (96, 96, 3, 3),
    "ins_box_mapping.12": (256, 96, 3, 3),
    "ins_box_mapping.14": (320, 256, 3, 3),
    "ins_text_mapping.0": (320, 1024),
    "ins_text_mapping.2": (320, 320),
}


def trained(widths: Widths, seed: int = 0) -> PanelConditioner:
    """A conditioner in which nothing is zero."""
    torch.manual_seed(seed)
    model = PanelConditioner(widths).requires_grad_(False)
    for parameter in model.parameters():
        parameter.normal_(0, 0.3)
    return model.eval()


def element(box: Box, **fields: object) -> Element:
    return Element(id="e", description="a thing", box=box, **fields)  # type: ignore[arg-type]


def test_its_tensors_are_the_releases() -> None:
    state = PanelConditioner().state_dict()
    assert {n.removesuffix(".weight"): tuple(t.shape) for n, t in state.items() if "weight" in n} == RELEASED
    assert len(state) == 20
    assert sum(t.numel() for t in state.values()) == 1_517_200


def test_it_gives_nothing_before_training_at_the_releases_size() -> None:
    painted = Painted(box_mask(Box(0.1, 0.2, 0.6, 0.9), (768, 768)), torch.randn(1024))
    residual = PanelConditioner().merged([painted])
    assert residual.shape == (320, 96, 96)
    assert not residual.any()


@pytest.mark.parametrize("size", [(64, 64), (48, 80), (520, 72)])
def test_the_residual_is_its_definition(size: tuple[int, int]) -> None:
    """P = 1/N sum of F(M x 3 channels) + g(e) D(M), D bilinear with corners aligned."""
    model, drawing = trained(SMALL), torch.Generator().manual_seed(1)
    masks = [box_mask(Box(0.1, 0.2, 0.6, 0.9), size), box_mask(Box(0.5, 0, 1, 0.4), size), torch.ones(size)]
    vectors = torch.randn(3, 6, generator=drawing)
    got = model.merged([Painted(mask, vector) for mask, vector in zip(masks, vectors, strict=True)])
    total = torch.zeros(8, size[0] // 8, size[1] // 8)
    for mask, vector in zip(masks, vectors, strict=True):
        hint = model.ins_box_mapping(torch.stack([mask] * 3)[None])[0]
        total += hint + model.ins_text_mapping(vector)[:, None, None] * corners_aligned(mask, total.shape[1:])
    torch.testing.assert_close(got, total / 3, atol=1e-5, rtol=1e-4)


def corners_aligned(mask: Tensor, size: torch.Size) -> Tensor:
    """Bilinear samples of a mask at points that run from its first pixel's center to its last's."""
    rows = torch.linspace(0, mask.shape[0] - 1, size[0])
    columns = torch.linspace(0, mask.shape[1] - 1, size[1])

    def weights(points: Tensor, count: int) -> Tensor:
        return (1 - (points[:, None] - torch.arange(count)).abs()).clamp(min=0)

    return weights(rows, mask.shape[0]) @ mask @ weights(columns, mask.shape[1]).T


def test_order_does_not_matter_and_elements_share_the_mean() -> None:
    model = trained(SMALL)
    first = Painted(box_mask(Box(0, 0, 0.5, 0.5), (64, 64)), torch.randn(6))
    second = Painted(box_mask(Box(0.5, 0, 1, 1), (64, 64)), torch.randn(6))
    torch.testing.assert_close(model.merged([first, second]), model.merged([second, first]))
    alone = (model.merged([first]) + model.merged([second])) / 2
    torch.testing.assert_close(model.merged([first, second]), alone)


def test_a_batch_is_its_elements_one_by_one() -> None:
    """Training runs all elements at once, drawing one after another."""
    model, size = trained(FULL), (64, 48)
    boxes = [Box(0, 0, 0.5, 0.5), Box(0.2, 0.3, 0.9, 1)]
    elements = [
        element(boxes[0], colors=("#ff0000",)),
        element(boxes[1], keypoints=(Keypoint("tip", 0.5, 0.5),)),
    ]
    masks = torch.stack([element_mask(e, size) for e in elements])[:, None]
    vectors = torch.randn(2, 6)
    palettes = torch.stack([palette(elements[0]), torch.full((1, 3), float("nan"))])  # type: ignore[list-item]
    marks = torch.stack([torch.zeros(size), keypoint_marks(elements[1], size)])[:, None]  # type: ignore[list-item]
    single = [
        Painted(element_mask(e, size), v, palette(e), keypoint_marks(e, size))
        for e, v in zip(elements, vectors, strict=True)
    ]
    layout = model(masks, vectors, marks).mean(0)
    torch.testing.assert_close(model.merged(single), layout, atol=1e-5, rtol=1e-4)
    colors = model.colored(single)
    assert colors is not None
    together = model.painted_colors(masks, palettes)
    for name in ("knots", "shares", "where"):
        torch.testing.assert_close(getattr(colors, name), getattr(together, name))


def test_keypoints_act_and_their_absence_does_not() -> None:
    model, size, vector = trained(FULL), (64, 64), torch.randn(6)
    mask = box_mask(Box(0.25, 0.25, 0.75, 0.75), size)
    marks = keypoint_marks(element(Box(0, 0, 1, 1), keypoints=(Keypoint("tip", 0.3, 0.6),)), size)
    bare = model.merged([Painted(mask, vector)])
    pointed = model.merged([Painted(mask, vector, None, marks)])
    assert not torch.allclose(pointed, bare, atol=1e-3)
    without = make_conditioner({n: t for n, t in model.state_dict().items() if n[4:7] in ("box", "tex")})
    full = Painted(mask, vector, torch.ones(1, 3), marks)
    torch.testing.assert_close(without.merged([full]), bare)  # as the release
    assert without.colored([full]) is None


RED, BLUE = torch.tensor([[1.0, -1.0, -1.0]]), torch.tensor([[-1.0, -1.0, 1.0]])


def colors_of(model: PanelConditioner, *drawn: tuple[Box, Tensor | None]) -> Tensor:
    size = (64, 64)
    found = model.colored([Painted(box_mask(box, size), torch.zeros(6), colors) for box, colors in drawn])
    assert found is not None
    return found.knots[1]


def test_a_palette_colors_its_box_alone_however_many_elements_there_are() -> None:
    model = trained(FULL)
    box, other = Box(0, 0, 0.5, 1), Box(0.75, 0, 1, 1)
    alone = colors_of(model, (box, RED))
    assert alone[:, :, :3].abs().amin(0).max() > 1e-3
    assert not alone[:, :, 4:].any()
    torch.testing.assert_close(alone, colors_of(model, (box, RED), *[(other, None)] * 5))
    assert not torch.allclose(alone, colors_of(model, (box, BLUE)), atol=1e-2)
    assert model.colored([Painted(torch.ones(64, 64), torch.zeros(6))]) is None


def test_what_is_in_front_hides_palettes_behind_it() -> None:
    model = trained(FULL)
    canvas, half = Box(0, 0, 1, 1), Box(0, 0, 0.5, 1)
    red, blue = colors_of(model, (canvas, RED)), colors_of(model, (canvas, BLUE))
    over = colors_of(model, (canvas, RED), (half, BLUE))
    torch.testing.assert_close(over[:, :, :3], blue[:, :, :3])
    torch.testing.assert_close(over[:, :, 4:], red[:, :, 4:])
    bare = colors_of(model, (canvas, RED), (half, None))  # its text may say anything
    assert not bare[:, :, :3].any()
    torch.testing.assert_close(bare[:, :, 4:], red[:, :, 4:])
    torch.testing.assert_close(colors_of(model, (half, BLUE), (canvas, RED)), red)


def test_palettes_are_blended_between_timesteps() -> None:
    knots = torch.tensor([[0.0], [1.0], [4.0], [9.0], [16.0]])
    at = [blended(knots, t).item() for t in (0, 125, 250, 999.75, 1000, -1, 1001)]
    assert at == pytest.approx([0, 0.5, 1, 15.993, 16, 0, 16])
    model = trained(FULL)
    found = model.colored([Painted(torch.ones(64, 64), torch.zeros(6), RED)])
    assert found is not None
    assert found.knots.shape == (KNOTS, 8, 8, 8)
    at_900, at_100 = model.corrected([found, found], [900, 100], torch.zeros(2, 8, 8, 8))
    torch.testing.assert_close(at_900, blended(found.knots, 900))
    assert not torch.allclose(at_900, at_100, atol=1e-2)


def test_colors_are_corrected_by_what_the_picture_is_there() -> None:
    model = trained(msgspec.structs.replace(FULL, feedback=True))
    size, seen = (64, 64), torch.randn(8, 8, 8)
    canvas = Painted(torch.ones(size), torch.zeros(6))
    left = Painted(box_mask(Box(0, 0, 0.25, 1), size), torch.zeros(6), RED)
    right = Painted(box_mask(Box(0.75, 0, 1, 1), size), torch.zeros(6))
    colored = model.colored([canvas, left, right])
    assert colored is not None

    def added(x: Tensor) -> Tensor:
        return model.corrected([colored], [400], x[None])[0] - blended(colored.knots, 400)

    first, changed = added(seen), seen.clone()
    assert first[:, :, :5].abs().amax((0, 1)).min() > 1e-3  # with the canvas, on which colors leave traces
    assert not first[:, :, 6:].any()  # an element without a palette is left as it is
    changed[:, 0, 0] += 4  # a corner of the left element: its mean is another, and so are all of its cells
    moved = (added(changed) - first).abs().amax(0)
    assert moved[:, :2].amin() > 1e-6
    assert moved[0, 0] > 5 * moved[1:, :2].amax()
    assert not moved[:, 3:].any()


def test_feedback_begins_with_no_say_and_is_known_by_its_tensors() -> None:
    widths = msgspec.structs.replace(FULL, feedback=True)
    model = PanelConditioner(widths)
    assert read_widths(model.state_dict()) == widths
    canvas = Painted(torch.ones(64, 64), torch.zeros(6), RED)
    colored = model.colored([canvas])
    assert colored is not None
    same = blended(colored.knots, 500)
    assert torch.equal(model.corrected([colored], [500], torch.randn(1, 8, 8, 8))[0], same)
    state = trained(widths).state_dict()
    without = make_conditioner({name: t for name, t in state.items() if "feedback" not in name})
    assert without.widths == FULL


def test_a_palette_of_several_colors_is_their_mean() -> None:
    model, canvas = trained(FULL), Box(0, 0, 1, 1)
    both = palette(element(canvas, colors=("#ff0000", "#0000ff")))
    assert both is not None
    assert both.tolist() == [[1, -1, -1], [-1, -1, 1]]
    each = [colors_of(model, (canvas, color[None])) for color in both]
    torch.testing.assert_close(colors_of(model, (canvas, both)), (each[0] + each[1]) / 2)
    # One color beside two: what fills up the shorter palette counts for nothing.
    halves = colors_of(model, (Box(0, 0, 0.5, 1), both), (Box(0.5, 0, 1, 1), RED))
    torch.testing.assert_close(halves[:, 0, -1], each[0][:, 0, -1])


def test_masks_are_drawn_in_place_of_boxes() -> None:
    half = Mask(2, 1, (1, 1))
    drawn = element_mask(element(Box(0, 0, 1, 1), mask=half), (8, 6))
    assert torch.equal(drawn, torch.tensor([0.0, 0, 0, 1, 1, 1]).repeat(8, 1))


# What is no conditioner


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("ins_box_mapping.6.bias"), "ins_box_mapping.6.bias is missing"),
        (lambda s: s.pop("ins_box_mapping.4.weight"), "ins_box_mapping.4.weight"),
        (lambda s: s.pop("ins_text_mapping.0.weight"), "ins_text_mapping.0.weight"),
        (lambda s: s.update({"ins_box_mapping.16.weight": torch.zeros(1)}), "16.weight is unknown"),
        (
            lambda s: s.update({"ins_text_mapping.2.weight": torch.zeros(8, 9)}),
            r"is \(8, 9\) instead of \(8, 8\)",
        ),
        (lambda s: s["ins_box_mapping.0.bias"].fill_(float("nan")), "not finite"),
        (
            lambda s: s.update({"ins_color_mapping.0.weight": torch.zeros(8, 64)}),
            "mapping.0.bias is",
        ),
        (lambda s: s.clear(), "no panel conditioner"),
    ],
)
def test_whatever_does_not_fit_is_named_and_nothing_is_loaded_in_part(change, message: str) -> None:
    state = trained(SMALL).state_dict()
    change(state)
    with pytest.raises(ModelError, match=message):
        make_conditioner(state)


@pytest.mark.parametrize("widths", [SMALL, FULL])
@pytest.mark.parametrize("form", ["bare", "prefixed", "wrapped"])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_files_of_every_form_give_the_same_conditioner(
    tmp_path: Path, form: str, suffix: str, widths: Widths
) -> None:
    """Of its own, inside a whole checkpoint, and in the wrapper that upstream's loader let load nothing."""
    model = trained(widths)
    state: dict[str, Tensor] = model.state_dict()
    if form != "bare":
        state = {PREFIX + name: t for name, t in state.items()}
        state["model.diffusion_model.out.2.bias"] = torch.zeros(4)
    path = tmp_path / f"x{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": state, "step": 3} if form == "wrapped" else state, path)
    else:
        save_file(state, str(path))
    loaded = read_conditioner(path)
    assert loaded.widths == widths
    assert all(torch.equal(t, loaded.state_dict()[n]) for n, t in model.state_dict().items())


def test_half_precision_runs_in_float32(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_file({name: t.half() for name, t in trained(SMALL).state_dict().items()}, str(path))
    assert {p.dtype for p in read_conditioner(path).parameters()} == {torch.float32}


class Harm:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("harm",)


def test_a_harmful_pickle_is_refused_unrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"ins_box_mapping.0.weight": Harm()}, "bad.pth")
    with pytest.raises(ModelError, match="cannot be loaded safely"):
        read_conditioner(Path("bad.pth"))
    assert not Path("harm").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.pth", None, "there is no file"),
        ("x.txt", b"hello", "neither"),
        ("x.pth", b"hello", "cannot be loaded safely"),
        ("x.safetensors", b"hello", "not a whole"),
    ],
)
def test_files_of_another_kind_are_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_conditioner(tmp_path / name)


def test_a_checkpoint_without_one_says_so(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    save_file({"model.diffusion_model.out.2.bias": torch.zeros(4)}, str(path))
    with pytest.raises(ModelError, match="has no panel conditioner"):
        read_conditioner(path)


def test_colors_are_told_by_the_nearest_of_a_cube() -> None:
    colors = torch.tensor([[-1.0, -1, -1], [1, -1, 1 / 3], [0.2, -0.7, 0.9]])
    shares = on_lattice(colors)
    torch.testing.assert_close(shares.sum(-1), torch.ones(3))
    assert shares[0].nonzero().flatten().tolist() == [0]
    assert shares[1].argmax() == 3 * 16 + 0 + 2
    corners = torch.cartesian_prod(*[torch.linspace(-1, 1, 4)] * 3)
    torch.testing.assert_close(shares @ corners, colors)
