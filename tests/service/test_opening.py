"""Files that hold a panel, and files that hold harm."""

from __future__ import annotations

import io
import json
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from starlette.testclient import TestClient

from lib_ranni.errors import InputError
from lib_ranni.panel.reading import load
from lib_ranni.panel.types import Box, Element, Panel
from lib_ranni.panel.writing import to_document, to_json
from lib_ranni.service.opening import MAX_FILE, MAX_WORDS, opened
from lib_ranni.service.request import Request, Settings
from lib_ranni.service.request import to_json as request_json

HARD = 'a "red", circle:\n\\ ünïcode 红色 <img src=x onerror=hacked=1>'
PANEL = Panel(
    base="a room",
    negative="fog",
    elements=(Element(id="e1", description=HARD, box=Box(0.05, 0.3, 0.45, 0.7)),),
)
DOCUMENT = to_document(PANEL)
ASKED = Request(panels=(PANEL,), guidance=Settings(mode="latent", base_ratio=0.3))
REGIONAL_PROMPTER = (
    "a table ADDCOMM\nred apple BREAK\ngreen pear\nNegative prompt: fog\nSteps: 20, Sampler: Euler a, "
    "CFG scale: 7, Seed: 1, Size: 768x512, RP Active: True, RP Divide mode: Matrix, "
    'RP Matrix submode: Columns, RP Calc Mode: Latent, RP Ratios: "1,1", RP Base Ratios: 0.2, '
    "RP Use Base: False, RP Use Common: True"
)


def infotext(
    request: Request = ASKED, prompt: str = "a circle,\nin a room", negative: str = "blur, fog"
) -> str:
    """As the WebUI writes it: what has a comma is quoted."""
    value = json.dumps(request_json(request), ensure_ascii=False)
    return f"{prompt}\nNegative prompt: {negative}\nSteps: 20, Seed: 1, Ranni: {value}, Version: v1.10.1"


def png(chunks: dict[str, str] | None = None, *, compressed: bool = False, size: int = 4) -> bytes:
    info, out = PngImagePlugin.PngInfo(), io.BytesIO()
    for name, text in (chunks or {}).items():
        info.add_itxt(name, text, zip=compressed)
    Image.new("RGB", (size, size)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def with_exif(kind: str, comment: bytes) -> bytes:
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x8769] = {0x9286: comment}
    Image.new("RGB", (4, 4)).save(out, kind, exif=exif)
    return out.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def huge_png(width: int, height: int, *chunks: bytes) -> bytes:
    """A small file that says it is a picture of this size."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def check_ours(found: dict[str, Any], format: str = "picture") -> None:
    assert load(found["panel"]) == PANEL
    assert found["format"] == format
    assert (found["guidance"]["mode"], found["guidance"]["base_ratio"]) == ("latent", 0.3)
    assert found["problems"] == []
    assert (found["prompt"], found["negative"]) == ("a circle,\nin a room", "blur"), "the panel adds its own"


@pytest.mark.parametrize("compressed", [False, True])
def test_a_png_of_the_webui(client: TestClient, compressed: bool) -> None:
    data = png({"parameters": infotext()}, compressed=compressed)
    answer = client.post("open", content=data, headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code == 200
    check_ours(answer.json())


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + infotext().encode("utf-16-be"),
        b"UNICODE\0" + infotext().encode("utf-16-le"),
        b"\0" * 8 + infotext().encode(),
    ],
)
def test_jpeg_and_webp_of_the_webui(kind: str, comment: bytes) -> None:
    check_ours(opened(with_exif(kind, comment)))


def test_an_infotext_as_a_text_file() -> None:
    check_ours(opened(infotext().encode()), "infotext")


def test_a_picture_of_the_command_line(tmp_path: Path) -> None:
    from lib_ranni.standalone import metadata, requests

    asked = requests.Request(
        panels=(PANEL,), prompt="a circle", negative="blur", mode="latent", base_ratio=0.5
    )
    metadata.save_png(Image.new("RGB", (8, 8)), tmp_path / "a.png", asked)
    found = opened((tmp_path / "a.png").read_bytes())
    assert load(found["panel"]) == PANEL
    assert found["guidance"] == {"mode": "latent", "base_ratio": 0.5, "feather": 0.0, "overlap": "front"}
    assert (found["prompt"], found["negative"]) == ("a circle", "blur")
    plain = requests.Request(panels=(PANEL,), mode="plain")
    metadata.save_png(Image.new("RGB", (8, 8)), tmp_path / "b.png", plain)
    assert "mode" not in opened((tmp_path / "b.png").read_bytes())["guidance"]


def test_a_picture_of_regional_prompter() -> None:
    found = opened(png({"parameters": REGIONAL_PROMPTER}))
    assert found["format"] == "regional_prompter"
    assert [e["description"] for e in found["panel"]["elements"]] == [
        "a table, red apple",
        "a table, green pear",
    ]
    assert (found["panel"]["aspect"], found["guidance"]["mode"]) == (1.5, "latent")
    assert (found["prompt"], found["negative"]) == (found["panel"]["base"], None)


def test_a_picture_of_forge_couple() -> None:
    mapping = "[[0.0, 1.0, 0.0, 1.0, 0.25], [0.0, 0.5, 0.0, 1.0, 1.0], [0.5, 1.0, 0.0, 1.0, 1.0]]"
    found = opened(
        png(
            {
                "parameters": "a table\nred apple\ngreen pear\nNegative prompt: fog\nSteps: 20, "
                "Size: 768x512, forge_couple: True, forge_couple_compatibility: False, "
                rf'forge_couple_mode: Advanced, forge_couple_separator: \n, forge_couple_mapping: "{mapping}"'
            }
        )
    )
    assert (found["format"], found["problems"]) == ("forge_couple", [])
    assert [e["description"] for e in found["panel"]["elements"]] == ["red apple", "green pear"]
    assert (found["guidance"]["base_ratio"], found["prompt"]) == (0.2, "a table")


def test_a_picture_of_tiled_diffusion() -> None:
    box = {
        "enable": True,
        "x": 0.5,
        "y": 0,
        "w": 0.5,
        "h": 1,
        "prompt": "green pear",
        "blend_mode": "Background",
    }
    settings = json.dumps({"Method": "MultiDiffusion", "Region control": {"Region 2": box}})
    found = opened(png({"parameters": f"a table\nSteps: 20, Size: 768x512, Tiled Diffusion: {settings}"}))
    assert (found["format"], found["problems"]) == ("tiled_diffusion", [])
    assert [e["description"] for e in found["panel"]["elements"]] == ["a table, green pear"]
    assert (found["guidance"]["mode"], found["prompt"]) == ("latent", "a table")


@pytest.mark.parametrize(
    ("text", "format"),
    [
        (to_json(PANEL), "panel"),
        ("\ufeff" + to_json(PANEL, indent=2), "panel"),
        (request_json(ASKED), "request"),
        (json.dumps({"panels": [DOCUMENT, {}], "mode": "latent"}), "request"),
        ("(red apple,[200,400,300,300]),(green pear,[560,400,300,300])", "ranni"),
        ("a table ADDCOMM\nred apple BREAK\ngreen pear", "regional_prompter"),
    ],
)
def test_texts_of_every_format(text: str, format: str) -> None:
    found = opened(text.encode())
    assert found["format"] == format
    assert found["panel"]["elements"]


def test_the_first_of_several_panels_is_read_and_that_is_told() -> None:
    found = opened(json.dumps({"panel": [DOCUMENT, {"elements": []}]}).encode())
    assert found["panel"] == DOCUMENT
    assert "2 panels" in found["problems"][0]["message"]


def test_a_request_may_have_members_of_both_kinds() -> None:
    both = {"panels": None, "panel": DOCUMENT, "guidance": {"feather": 0.25, "other": 1}}
    found = opened(json.dumps(both).encode())
    assert found["panel"] == DOCUMENT
    assert found["guidance"]["feather"] == 0.25
    assert "other" not in found["guidance"]


def test_a_panel_with_faults_is_mended_and_they_are_told() -> None:
    faulty = {
        "version": 1,
        "elements": [{"id": "e1", "description": "x", "box": {"x0": 0, "y0": 0, "x1": 9, "y1": 1}}],
    }
    found = opened(json.dumps(faulty).encode())
    assert found["panel"]["elements"][0]["box"]["x1"] == 1
    assert found["problems"][0]["path"].startswith("elements[0].box")


def test_a_panel_longer_than_foreign_layouts_may_be() -> None:
    many = tuple(Element(id=f"e{n}", description="x" * 5000, box=Box(0, 0, 1, 1)) for n in range(400))
    found = opened(to_json(Panel(elements=many)).encode())
    assert len(found["panel"]["elements"]) == 400


NO_PANEL = {
    "nothing": b"",
    "bytes of no kind": bytes(range(256)),
    "a text that is no layout": b"hello",
    "a png without texts": png(),
    "a png with a plain infotext": png({"parameters": "a cat\nSteps: 20, Seed: 1"}),
    "a png drawn in tiles": png({"parameters": 'a\nSteps: 1, Tiled Diffusion: {"Method": "MultiDiffusion"}'}),
    "a png that forge couple gave up": png({"parameters": "a\nSteps: 20, forge_couple: ERROR"}),
    "an infotext whose request is broken": png({"parameters": 'a cat\nSteps: 20, Ranni: "{\\"panel\\": "'}),
    "a request without a panel": png({"parameters": 'a\nSteps: 1, Ranni: "{\\"version\\": 1}"'}),
    "a broken request of the command line": png({"ranni": "{"}),
    "the head of a png": png({"parameters": infotext()})[:20],
    "a cut text of a png": png({"parameters": infotext()})[:200],
    "a jpeg without texts": with_exif("JPEG", b""),
    "the head of a jpeg": b"\xff\xd8\xff\xe1\xff\xff" + b"Exif\0\0" + b"\xff" * 100,
    "a webp without texts": b"RIFF\0\0\0\0WEBPVP8X",
    "a webp whose exif is cut": b"RIFF\xff\xff\xff\xffWEBPEXIF\xff\xff\xff\xffExif\0\0II*\0\xff\xff",
    "a picture of billions of pixels": huge_png(2**31 - 1, 2**31 - 1),
    "ten megabytes of json": b'{"elements": [' + b'"",' * 3_300_000 + b'""]}',
    "json that is nested deep": b"[" * 100_000,
    "an object that is nested deep": b'{"panel": ' * 50_000,
    "a text that unpacks to a hundred megabytes": huge_png(
        4, 4, chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"x" * 10**8))
    ),
    "many texts": huge_png(4, 4, *(chunk(b"tEXt", b"a%d\0" % n + b"x" * 70_000) for n in range(200))),
    "a text longer than a panel": huge_png(
        4, 4, chunk(b"tEXt", b"parameters\0" + b"x, " * (MAX_WORDS // 3 + 1))
    ),
}


@pytest.mark.parametrize("name", NO_PANEL)
def test_what_holds_no_panel_is_refused_with_a_reason(client: TestClient, name: str) -> None:
    start = time.monotonic()
    answer = client.post("open", content=NO_PANEL[name])
    assert answer.status_code == 422
    assert len(answer.json()["error"]) > 20
    assert time.monotonic() - start < 5


def test_a_picture_that_is_cut_within_its_pixels_still_tells() -> None:
    data = png({"parameters": infotext()}, size=64)
    check_ours(opened(data[: data.index(b"IDAT") + 8]))


def test_a_file_that_is_too_large(client: TestClient) -> None:
    answer = client.post("open", content=b"x" * (MAX_FILE + 1))
    assert answer.status_code == 413
    assert "32 MiB" in answer.json()["error"]


_SEEDS = [
    png({"parameters": infotext()}),
    with_exif("JPEG", b"UNICODE\0" + infotext().encode("utf-16-be")),
    with_exif("WEBP", b"UNICODE\0" + infotext().encode("utf-16-be")),
    infotext().encode(),
    request_json(ASKED).encode(),
    REGIONAL_PROMPTER.encode(),
]


@settings(max_examples=150)
@given(
    data=st.sampled_from(_SEEDS),
    changes=st.lists(st.tuples(st.integers(0, 4000), st.binary(max_size=4), st.integers(0, 8)), max_size=6),
    end=st.none() | st.integers(0, 2000),
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow tells of damaged EXIF in this way
def test_damaged_files_are_read_or_refused(
    data: bytes, changes: list[tuple[int, bytes, int]], end: int | None
) -> None:
    for place, put, dropped in changes:
        place %= len(data) + 1
        data = data[:place] + put + data[place + dropped :]
    try:
        found = opened(data[:end])
    except InputError:
        return
    load(found["panel"])
    json.dumps(found)


@pytest.mark.parametrize("seed", ["12345", "-1", "1e3", "1" * 21, "seven"])
def test_a_picture_tells_its_seed(seed: str) -> None:
    text = infotext().replace("Seed: 1,", f"Seed: {seed},")
    assert opened(text.encode())["seed"] == (12345 if seed == "12345" else None)
    own = json.dumps({"panels": [DOCUMENT], "seed": int(seed) if seed.isdecimal() else seed})
    wanted = int(seed) if seed == "12345" else None
    assert opened(png({"ranni": own}))["seed"] == wanted
    assert opened(json.dumps(DOCUMENT).encode())["seed"] is None
