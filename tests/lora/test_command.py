"""`lib-ranni lora`: what it prints, what it writes, and how it complains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib_ranni.standalone.cli import main
from tests.lora import corpus
from tests.lora.corpus import Maker


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    return corpus.diffusers_pipeline(Maker(tmp_path, "sd1")).path


def _json(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    capsys.readouterr()
    assert main(["lora", *words, "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_inspect_tells_people(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lora", "inspect", str(pipeline)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "diffusers in safetensors" in out
    assert "19 modules (unet 16, te1 3), 0 of them load as the file is" in out
    assert "rank 4; alpha 4" in out
    assert "  ! as it is, it matches zero modules" in out
    assert "    up3.2            1 module   rank 4" in out


def test_inspect_tells_programs(pipeline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = _json(capsys, "inspect", str(pipeline), str(pipeline))
    assert first == second
    assert (first["format"], first["family"], first["modules"], first["loads"]) == ("diffusers", "sd1", 19, 0)
    assert first["ranks"] == {"4": 19}
    assert first["sha256"]


def test_convert_writes_and_verifies(
    pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "converted.safetensors"
    assert main(["lora", "convert", str(pipeline), "--out", str(out)]) == 0
    printed, said = capsys.readouterr()
    assert printed == f"{out}\n"
    assert "19 modules for sd1; largest deviation 0.0e+00" in said
    (report,) = _json(capsys, "inspect", str(out))
    assert (report["format"], report["loads"], report["warnings"]) == ("kohya", 19, [
        "its widths are those of no model known here; it fits only the checkpoint it was made for"
    ])  # fmt: skip
    assert main(["lora", "convert", str(pipeline), "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert (
        main(["lora", "convert", str(pipeline), "--out", str(out), "--replace", "--precision", "fp16"]) == 0
    )
    (report,) = _json(capsys, "inspect", str(out))
    assert report["dtypes"] == ["float16"]


def test_convert_filters_and_cuts(pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("convert", str(pipeline), "--out", str(tmp_path), "--blocks", "up*", "--rank", "2")
    assert main(["lora", *words, "--replace", "--json"]) == 0
    out, err = capsys.readouterr()
    outcome = json.loads(out)
    # Every pipeline's file has the same name; the folder's is the LoRA's.
    assert (outcome["modules"], outcome["path"]) == (3, str(tmp_path / f"{tmp_path.name}.safetensors"))
    assert 0 < outcome["loss"] < 1
    assert "note: left out 16 of 19 modules, by their blocks" in err
    assert "cutting the rank left out up to" in err


def test_alpha_that_is_nowhere_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = corpus.diffsynth(Maker(tmp_path, "sdxl")).path
    out = tmp_path / "out.safetensors"
    assert main(["lora", "convert", str(path), "--out", str(out)]) == 2
    err = capsys.readouterr().err
    assert "does not say its alpha" in err
    assert "--alpha" in err
    assert not out.exists()
    assert main(["lora", "convert", str(path), "--alpha", "4", "--out", str(out)]) == 0


def test_merge_takes_weights_and_blocks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = corpus.b_lora(Maker(tmp_path, "sdxl")).path
    out = tmp_path / "both.safetensors"
    words = [
        "merge",
        f"{path}=0.5",
        str(path),
        "--blocks",
        "content",
        "--blocks",
        "style=2",
        "--out",
        str(out),
    ]
    (outcome,) = _json(capsys, *words)
    assert (outcome["modules"], outcome["family"], outcome["loss"]) == (16, "sdxl", 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("inspect", "none.safetensors"), "cannot be read"),
        (("convert", "x", "--out", "y", "--blocks", "up="), "cannot be read"),
        (("merge", "a=1e9", "--out", "y"), "weight must be in"),
        (("merge", "a", "--out", "y", "--blocks", "x", "--blocks", "y"), "2 times for 1 files"),
        (("merge", "a", "--out", "y", "--method", "best"), "invalid choice"),
        (("convert", "x"), "--out"),
        ((), "ACTION"),
    ],
)
def test_bad_usage_is_one_line(
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["lora", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.count("\n") == 1
