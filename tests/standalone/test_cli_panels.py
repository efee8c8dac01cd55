"""`plan`, `edit` and `show`: what they print, and how they are piped into one another."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from lib_ranni.panel.reading import load
from lib_ranni.panel.types import Panel
from lib_ranni.panel.writing import to_json
from tests.standalone.drawing import two
from tests.standalone.running import FAST, PROMPT, Run, descriptions


def test_plan_prints_one_panel(run: Run) -> None:
    done = run("plan", PROMPT, "--json")
    panel = load(done.json)
    assert [element.description for element in panel.elements] == ["red circle", "blue square"]
    assert panel.elements[0].box.x1 <= panel.elements[1].box.x0
    assert done.err == ""


def test_plan_reads_prompts_one_a_line(run: Run) -> None:
    lines = "\ufeffa red circle\r\n\n  两只猫  \na green star".encode() + b"\n\xff\xfe a dog\n"
    done = run("plan", "-", "--json", stdin=lines)
    assert done.code == 0
    panels = [load(line) for line in done.out.splitlines()]
    assert [len(panel.elements) for panel in panels[:3]] == [1, 2, 1]
    assert [panel.provenance.prompt for panel in panels[:3]] == ["a red circle", "两只猫", "a green star"]
    assert len(panels) == 4


def test_plan_as_text(run: Run) -> None:
    done = run("plan", PROMPT)
    assert done.code == 0
    assert "red circle" in done.out
    assert done.out.splitlines()[-1].startswith("base")


def test_plan_knows_the_canvas(run: Run) -> None:
    assert load(run("plan", "a cat", "--size", "768x512", "--json").json).aspect == pytest.approx(1.5)


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        " ",
        "😀",
        "x" * 10_000,
        "a cat\x00\x1b[2J",
        "\u202eabc",
        '"""\'\'',
        "a \udcff cat",
        "((((",
        "-"[:0],
    ],
)
def test_plan_takes_any_prompt(run: Run, prompt: str) -> None:
    assert isinstance(load(run("plan", prompt, "--json").json), Panel)


def test_what_the_planner_notes_goes_to_standard_error(run: Run) -> None:
    done = run("plan", "word " * 4000, "--json")
    assert "10000 characters" in done.err
    assert load(done.json)


def test_edit_applies_operations_in_their_order(run: Run, panel_file: Path) -> None:
    done = run(
        "edit", panel_file, "--move", "e1", "-0.1,0.05", "--replace", "e2", "a green star",
        "--add", "a yellow circle", "0.1,0.1,0.3,0.3", "--attribute", "e3", "a pink circle",
        "--resize", "e3", "0.4,0.2", "--remove", "e1", "--json",
    ).json  # fmt: skip
    assert set(done) == {"panel", "changes"}
    assert descriptions(done["panel"]) == {"e2": "a green star", "e3": "a pink circle"}
    box = load(done["panel"]).elements[1].box
    assert (box.width, box.height) == (pytest.approx(0.4), pytest.approx(0.2))
    assert len(done["changes"]) >= 3


def test_edit_order_matters(run: Run, panel_file: Path) -> None:
    removed = run("edit", panel_file, "--remove", "e1", "--move", "e1", "0.1,0")
    assert "no element 'e1'" in removed.complaint
    assert (
        run("edit", panel_file, "--move", "e1", "0.1,0", "--remove", "e1", "e2", "--json").json["panel"][
            "elements"
        ]
        == []
    )


@pytest.mark.parametrize(
    ("words", "center"),
    [
        (("--move", "e1", "@0.5,0.5"), (0.5, 0.5)),
        (("--resize", "e1", "0.5", "--move", "e1", "-.1,-0.05"), (0.15, 0.45)),
        (("--resize", "e1", "0.5", "--move", "e1", "-1e-1,.05"), (0.15, 0.55)),
    ],
)
def test_edit_moves(run: Run, panel_file: Path, words: Sequence[str], center: tuple[float, float]) -> None:
    panel = load(run("edit", panel_file, *words, "--json").json["panel"])
    assert panel.elements[0].box.center == pytest.approx(center)


def test_edit_writes_a_file_and_says_what_changed(run: Run, panel_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "p.json"
    done = run("edit", panel_file, "--add", "a green star", "--out", out)
    assert (done.code, done.out.strip()) == (0, str(out))
    assert "green star" in done.err
    assert len(load(out.read_bytes()).elements) == 3
    assert "Nothing changed." in run("edit", panel_file).err


def test_edits_can_be_piped(run: Run, panel_file: Path) -> None:
    first = run("edit", panel_file, "--remove", "e1", "--json")
    second = run("edit", "-", "--add", "a green star", "--json", stdin=first.out.encode())
    assert list(descriptions(second.json["panel"]).values()) == ["a blue square", "a green star"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--move", "e9", "0.1,0"), "e1, e2"),
        (("--move", "e1"), "2 words"),
        (("--move", "e1", "far"), "numbers"),
        (("--move", "e1", "nan,0"), "finite"),
        (("--resize", "e1", "-2"), "positive"),
        (("--resize", "e1", "1,2,3"), "1 or 2 numbers"),
        (("--add", "a cat", "2,2,3,3"), "outside"),
        (("--add", " "), "description"),
        (("--add", "a", "cat", "there"), "quote"),
        (("--replace", "e1", ""), "description"),
        (("--remove",), "--remove"),
        (("--paint", "e1"), "--paint"),
    ],
)
def test_edit_refuses(run: Run, panel_file: Path, words: Sequence[str], said: str) -> None:
    assert said in run("edit", panel_file, *words).complaint


def test_edit_leaves_a_locked_element_alone(run: Run, tmp_path: Path) -> None:
    document = json.loads(to_json(two()))
    document["elements"][0]["locked"] = True
    (tmp_path / "p.json").write_text(json.dumps(document), encoding="utf-8")
    assert "locked" in run("edit", tmp_path / "p.json", "--remove", "e1").complaint


def test_show_a_file_and_its_preview(run: Run, panel_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "preview.png"
    answer = run("show", panel_file, "--out", out, "--size", 200, "--json").json
    assert load(answer["panel"]) == two()
    assert answer["preview"] == str(out)
    with Image.open(out) as preview:
        assert max(preview.size) == 200
    assert run("show", panel_file, "--json").json["preview"] is None
    assert "a red circle" in run("show", panel_file).out


def test_show_a_picture_with_its_boxes(run: Run, panel_file: Path, tmp_path: Path) -> None:
    picture = run("generate", "--panel", panel_file, *FAST, "--json").json["images"][0]
    renamed = Path(picture).rename(tmp_path / "without-suffix")
    assert load(run("show", renamed, "--json").json["panel"]) == two()
    assert run("show", renamed, "--over", "--out", tmp_path / "over.png").code == 0
    with Image.open(tmp_path / "over.png") as over:
        assert over.size == (512, 512)
    assert "--over needs" in run("show", panel_file, "--over").complaint


def test_show_mends_and_says_so(run: Run) -> None:
    done = run("show", "-", "--json", stdin=b'{"elements": [{"description": "a cat", "box": [0, 0, 2, 1]}]}')
    assert load(done.json["panel"]).elements[0].description == "a cat"
    assert "mended: elements[0]" in done.err


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"[1]", b"3", b"\xff\xfe\x00", b"[" * 100_000, b'{"panel": 3', b'"\\ud800"']
)
def test_show_refuses_what_is_no_panel(run: Run, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.json").write_bytes(content)
    assert "p.json" in run("show", tmp_path / "p.json").complaint
    assert run("show", "-", stdin=content).complaint
