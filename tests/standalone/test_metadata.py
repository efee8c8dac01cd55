"""PNG metadata: what a picture carries draws exactly it again; anything else is refused in one line."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from random import Random

import pytest
from PIL import Image, PngImagePlugin

from lib_ranni.errors import InputError, MetadataError
from lib_ranni.panel.types import Panel
from lib_ranni.standalone.engine import Engine
from lib_ranni.standalone.metadata import KEY, Numbering, infotext, read_png, save_png, single
from lib_ranni.standalone.requests import Request, to_json
from tests.standalone.drawing import LEFT, RIGHT, Recorder, difference, element, request, two


@pytest.fixture
def picture() -> Image.Image:
    return Image.effect_mandelbrot((64, 64), (-2, -1, 1, 1), 30).convert("RGB")


def _rich() -> Request:
    panel = Panel(
        base="室内 a room",
        negative="fog",
        elements=(element(1, "a «red» circle\n", LEFT, seed=3, negative="blue"), element(2, "🟦", RIGHT)),
        extra={"mood": ["calm", 0.5]},
    )
    return request(panel, prompt="a\nb", negative="x", mode="latent", base_ratio=0.3, width=136, height=72)


def test_the_whole_request_reads_back(tmp_path: Path, picture: Image.Image) -> None:
    save_png(picture, tmp_path / "deep" / "a.png", _rich())
    assert read_png(tmp_path / "deep" / "a.png") == _rich()
    with Image.open(tmp_path / "deep" / "a.png") as saved:
        assert saved.tobytes() == picture.tobytes()


def test_a_huge_request_reads_back(tmp_path: Path, picture: Image.Image) -> None:
    elements = tuple(element(n, f"{n} " + "long description " * 500) for n in range(60))
    big = request(Panel(elements=elements))
    save_png(picture, tmp_path / "a.png", big)
    assert read_png(tmp_path / "a.png") == big


@pytest.mark.parametrize("mode", ["plain", "attention", "latent"])
def test_the_third_of_a_batch_draws_again_alone(recorder: Recorder, tmp_path: Path, mode: str) -> None:
    other = Panel(base="a green star", elements=(element(1, "a green star", RIGHT, seed=8),))
    batch = request(two(), Panel(base="a blue square"), other, mode=mode, sampler="euler-a")
    images = recorder.generate(batch).images
    save_png(images[2], tmp_path / "a.png", batch, 2)
    alone = read_png(tmp_path / "a.png")
    assert (alone.batch, alone.seed, alone.panels) == (1, batch.seed_of(2), (other,))
    assert difference(recorder.generate(alone).images[0], images[2]) <= 1


def test_redrawing_is_identical(recorder: Recorder, tmp_path: Path) -> None:
    made = request(seed=77, sampler="dpmpp-2m-karras")
    first = recorder.generate(made).images[0]
    save_png(first, tmp_path / "a.png", made)
    second = Engine(recorder.checkpoint).generate(read_png(tmp_path / "a.png")).images[0]
    assert difference(first, second) == 0


def test_single_takes_only_pictures_there_are() -> None:
    for index in (-1, 1, 99):
        with pytest.raises(InputError, match="batch of 1"):
            single(request(), index)


def test_infotext_has_the_webuis_form(tmp_path: Path, picture: Image.Image) -> None:
    made = request(prompt="a red\ncircle", negative="fog", steps=9, cfg=2.5, seed=4, width=72)
    save_png(picture, tmp_path / "a.png", made)
    with Image.open(tmp_path / "a.png") as saved:
        text = saved.info["parameters"]
    assert text == infotext(made)
    assert text.splitlines() == [
        "a red circle",
        "Negative prompt: fog",
        "Steps: 9, Sampler: ddim, CFG scale: 2.5, Seed: 4, Size: 72x64, Ranni mode: attention, "
        "Ranni base ratio: 0.2",
    ]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _with_chunk(path: Path, picture: Image.Image, chunk: bytes) -> Path:
    """A PNG with a further chunk after its header."""
    picture.save(path)
    data = path.read_bytes()
    path.write_bytes(data[:33] + chunk + data[33:])
    return path


def _refused(path: Path) -> str:
    with pytest.raises(MetadataError) as caught:
        read_png(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_files_that_are_no_pictures_of_ours(tmp_path: Path, picture: Image.Image) -> None:
    assert "no file" in _refused(tmp_path / "missing.png")
    assert "directory" in _refused(tmp_path).lower()
    for name, data in {"empty": b"", "text": b"a red circle", "magic": b"\x89PNG\r\n\x1a\n"}.items():
        path = tmp_path / f"{name}.png"
        path.write_bytes(data)
        assert "PNG" in _refused(path)
    picture.save(tmp_path / "j.png", format="JPEG")
    assert "something else" in _refused(tmp_path / "j.png")
    picture.save(tmp_path / "foreign.png")
    assert "no request of ours" in _refused(tmp_path / "foreign.png")


def test_a_resaved_picture_has_lost_it(tmp_path: Path, picture: Image.Image) -> None:
    save_png(picture, tmp_path / "a.png", request())
    with Image.open(tmp_path / "a.png") as saved:
        saved.copy().save(tmp_path / "b.png", pnginfo=PngImagePlugin.PngInfo())
    assert "re-saved" in _refused(tmp_path / "b.png")


def test_truncated_files(tmp_path: Path, picture: Image.Image) -> None:
    save_png(picture, tmp_path / "a.png", request())
    data = (tmp_path / "a.png").read_bytes()
    for length in (20, 60, 200, len(data) // 2, len(data) - 30):
        (tmp_path / "cut.png").write_bytes(data[:length])
        _refused(tmp_path / "cut.png")


def test_damaged_files_are_read_or_refused(tmp_path: Path, picture: Image.Image) -> None:
    save_png(picture, tmp_path / "a.png", request())
    data, rng, path = (tmp_path / "a.png").read_bytes(), Random(3), tmp_path / "bad.png"
    refused = 0
    for _ in range(200):
        damaged = bytearray(data)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            assert isinstance(read_png(path), Request)
        except MetadataError:
            refused += 1
    assert refused > 100


def test_a_bomb_in_a_text_chunk(tmp_path: Path, picture: Image.Image) -> None:
    packed = zlib.compress(b" " * 200_000_000, 9)
    body = KEY.encode() + b"\0\1\0\0\0" + packed
    _refused(_with_chunk(tmp_path / "bomb.png", picture, _chunk(b"iTXt", body)))


def test_a_bomb_of_pixels(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0)
    data = (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(b""))
        + _chunk(b"IEND", b"")
    )
    (tmp_path / "big.png").write_bytes(data)
    assert "exceeds" in _refused(tmp_path / "big.png")


@pytest.mark.parametrize("text", ["", "{}", "nonsense", '{"panels": [{}], "steps": -3}', "[" * 50_000])
def test_a_chunk_of_ours_with_other_content(tmp_path: Path, picture: Image.Image, text: str) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt(KEY, text)
    picture.save(tmp_path / "a.png", pnginfo=info)
    _refused(tmp_path / "a.png")


def test_a_plain_text_chunk_is_read_as_well(tmp_path: Path, picture: Image.Image) -> None:
    made = request()
    info = PngImagePlugin.PngInfo()
    info.add_text(KEY, to_json(made), zip=True)
    picture.save(tmp_path / "a.png", pnginfo=info)
    assert read_png(tmp_path / "a.png") == made


def test_names_count_on(tmp_path: Path) -> None:
    for name in ("00007-3.png", "cat.png", "9.txt", "x-1.png"):
        (tmp_path / name).touch()
    names = Numbering(tmp_path)
    assert [names.next(5).name, names.next(6).name] == ["00008-5.png", "00009-6.png"]
    assert Numbering(tmp_path / "none").next(1).name == "00001-1.png"
