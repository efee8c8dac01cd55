"""`generate`, `eval`, `tour` and `train`: what they print, write and draw again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from lib_ranni.panel.reading import load
from lib_ranni.panel.types import with_fields
from lib_ranni.standalone.checkpoint import Checkpoint
from lib_ranni.standalone.engine import Engine
from lib_ranni.standalone.metadata import read_png, save_png
from lib_ranni.standalone.requests import Request
from tests.standalone.drawing import difference, two
from tests.standalone.running import FAST, PROMPT, Run, descriptions


def test_generate_prints_what_it_drew(run: Run, tmp_path: Path) -> None:
    done = run("generate", PROMPT, *FAST, "--batch", 2, "--seed", 40, "--out", tmp_path / "o", "--json")
    answer = done.json
    assert set(answer) == {"images", "panel", "seeds", "seconds"}
    assert answer["seeds"] == [40, 41]
    assert [Path(path).name for path in answer["images"]] == ["00001-40.png", "00002-41.png"]
    assert descriptions(answer["panel"]) == {"e1": "red circle", "e2": "blue square"}
    assert answer["seconds"] > 0
    for path in answer["images"]:
        assert read_png(Path(path)).mode == "attention"


def test_generate_draws_a_picture_again(run: Run, tmp_path: Path) -> None:
    first = run("generate", PROMPT, *FAST, "--batch", 3, "--mode", "latent", "--json").json["images"][2]
    again = run("generate", "--from", first, "--out", tmp_path / "again", "--json").json["images"][0]
    with Image.open(first) as one, Image.open(again) as other:
        assert difference(one, other) <= 1
    assert read_png(Path(first)) == read_png(Path(again))


def test_generate_keeps_an_empty_base_when_it_draws_again(run: Run, checkpoint: Checkpoint) -> None:
    drawn = Engine(checkpoint).generate(
        Request(panels=(with_fields(two(), base=""),), steps=2, width=64, height=64, seed=5)
    )
    save_png(drawn.images[0], Path("empty.png"), drawn.request, 0)
    again = run("generate", "--from", "empty.png", "--json")
    with Image.open(again.json["images"][0]) as other:
        assert difference(drawn.images[0], other) <= 1
    assert not again.json["panel"].get("base")


def test_generate_again_with_changes(run: Run) -> None:
    first = run("generate", PROMPT, *FAST, "--seed", 3, "--json").json["images"][0]
    done = run("generate", "--from", first, "--mode", "plain", "--cfg", 2, "--negative", "fog", "--json")
    changed = read_png(Path(done.json["images"][0]))
    assert (changed.seed, changed.mode, changed.cfg, changed.negative) == (3, "plain", 2.0, "fog")
    assert (changed.steps, changed.width) == (2, 64)
    seeds = {run("generate", "--from", first, "--seed", -1, "--json").json["seeds"][0] for _ in range(2)}
    assert 3 not in seeds


def test_generate_draws_a_seed_without_one(run: Run) -> None:
    seeds = {run("generate", "x", *FAST, "--steps", 1, "--json").json["seeds"][0] for _ in range(2)}
    assert len(seeds) == 2


@pytest.mark.parametrize("kind", ["file", "stdin", "png", "report"])
def test_generate_follows_a_given_panel(run: Run, panel_file: Path, kind: str) -> None:
    stdin, source = None, str(panel_file)
    if kind == "stdin":
        source, stdin = "-", panel_file.read_bytes()
    elif kind == "png":
        source = run("generate", "--panel", panel_file, *FAST, "--json").json["images"][0]
    elif kind == "report":
        source, stdin = "-", run("show", panel_file, "--json").out.encode()
    done = run("generate", "--panel", source, *FAST, "--seed", 1, "--json", stdin=stdin)
    assert load(done.json["panel"]) == two()


def test_generate_takes_every_option(run: Run, panel_file: Path) -> None:
    words = (
        "--panel", panel_file, "--mode", "latent", "--base-ratio", 0.4, "--feather", 0.1,
        "--overlap", "blend", "--negative", "雾", "--steps", 3, "--cfg", 2.5,
        "--sampler", "euler", "--seed", 9, "--size", "72x64",
    )  # fmt: skip
    drawn = read_png(Path(run("generate", PROMPT, *words, "--json").json["images"][0]))
    assert (drawn.mode, drawn.base_ratio, drawn.feather, drawn.overlap) == ("latent", 0.4, 0.1, "blend")
    assert (drawn.negative, drawn.steps, drawn.cfg, drawn.sampler) == ("雾", 3, 2.5, "euler")
    assert (drawn.seed, drawn.width, drawn.height, drawn.prompt) == (9, 72, 64, PROMPT)


def test_generate_as_text(run: Run) -> None:
    done = run("generate", "a red circle", *FAST)
    assert done.code == 0
    assert Path(done.out.strip()).exists()
    assert "1 picture(s)" in done.err


def test_generate_with_another_model(run: Run, sd_folder: Path) -> None:
    done = run("generate", "a red circle", *FAST, "--model", sd_folder, "--device", "cpu", "--json")
    drawn = read_png(Path(done.json["images"][0]))
    assert drawn.model == str(sd_folder)
    assert run("generate", "--from", done.json["images"][0], "--json").json["seeds"] == [drawn.seed]


def test_eval_shapes(run: Run, tmp_path: Path) -> None:
    done = run("eval", "--limit", 3, "--steps", 1, "--batch", 2, "--out", tmp_path / "e", "--json")
    answer = done.json
    assert set(answer) == {"suite", "n", "modes"}
    assert (answer["suite"], answer["n"]) == ("shapes", 3)
    assert list(answer["modes"]) == ["plain", "attention", "latent"]
    for figures in answer["modes"].values():
        assert set(figures) == {"all_correct", "mean", "iou", "seconds_per_image"}
        assert all(0 <= share <= 1 for share in figures["all_correct"].values())
    assert json.loads((tmp_path / "e" / "shapes.json").read_bytes()) == answer
    assert {path.name for path in (tmp_path / "e").iterdir()} == {
        "shapes.json", "shapes.txt", "shapes.png", "shapes-failures.txt",
    }  # fmt: skip


def test_eval_some_modes_as_a_table(run: Run) -> None:
    words = ("--limit", 1, "--modes", "latent, plain,latent", "--cfg", 1, "--base-ratio", 0.5, "--steps", 1)
    done = run("eval", *words)
    assert done.code == 0
    rows = [line.split()[0] for line in done.out.splitlines()]
    assert rows[3:] == ["latent", "plain"]
    assert "outputs/eval" in done.err.replace(os.sep, "/")


def test_eval_planner(run: Run, tmp_path: Path) -> None:
    answer = run("eval", "--suite", "planner", "--limit", 20, "--out", tmp_path, "--json").json
    assert (answer["suite"], answer["n"], list(answer["modes"])) == ("planner", 20, ["builtin"])
    assert (tmp_path / "planner-failures.txt").exists()


def test_eval_genevals_rows(run: Run, tmp_path: Path) -> None:
    row = {
        "tag": "single_object",
        "prompt": "a photo of a bench",
        "include": [{"class": "bench", "count": 1}],
    }
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(row) + "\n", encoding="utf-8")
    answer = run("eval", "--suite", "planner", "--geneval", rows, "--json").json
    assert answer["modes"]["builtin"]["all_correct"] == {"single_object": 1.0}
    for content in ("{}\n", "nonsense\n", ""):
        rows.write_text(content, encoding="utf-8")
        assert "rows.jsonl" in run("eval", "--suite", "planner", "--geneval", rows).complaint
    assert "none.jsonl" in run("eval", "--suite", "planner", "--geneval", tmp_path / "none.jsonl").complaint


def test_tour(run: Run, tmp_path: Path) -> None:
    from lib_ranni.standalone.commands import tour

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tour, "PICTURES", 1)
        done = run("tour", "--out", tmp_path / "t")
    assert done.code == 0
    written = [Path(line) for line in done.out.splitlines()]
    assert [path.name for path in written] == ["sheet.png", "panel.png", "panel.json"]
    assert all(path.exists() for path in written)
    assert len(list((tmp_path / "t").glob("*-0.png"))) == 3
    assert "red circle" in done.err


def test_train_publishes_only_what_there_is(run: Run, tmp_path: Path) -> None:
    words = ("--publish-only", "--run", tmp_path / "r", "--out", tmp_path / "o")
    assert "no trained denoiser" in run("train", *words).complaint
