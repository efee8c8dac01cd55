"""Every layout of LoRA files: recognized, reported, and converted to what changes the weights alike."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open

from lib_ranni.lora.jobs import Wish, convert_file
from lib_ranni.lora.layout import Target, underscored
from lib_ranni.lora.reading import read_lora
from lib_ranni.lora.report import inspect
from tests.lora import corpus
from tests.lora.corpus import Maker, Sample
from tests.lora.hosting import deviation, host_key, read_as_host

_UNTOLD = {"ldm's names with dots", "ZipLoRA of full rank"}
"""With narrow widths, these name no module that SD 2 has and SD 1 has not."""


def test_it_is_recognized(sample: Sample) -> None:
    report = inspect(read_lora(sample.path, **sample.given))
    assert (report.format, set(report.kinds)) == (sample.format, set(sample.kinds))
    if sample.name in _UNTOLD and sample.family == "sd2":
        assert (report.family, report.sure) == ("sd1", False)
    else:
        assert report.family == sample.family
    assert report.modules == len(sample.truth)
    assert (report.unmatched, [text for text in report.warnings if "left out" in text]) == ((), [])
    assert sum(block.modules for block in report.blocks) == report.modules


def test_what_the_host_would_leave_out_is_told(sample: Sample) -> None:
    report = inspect(read_lora(sample.path, **sample.given))
    assert (report.loads == report.modules) == sample.as_is
    told = " ".join(report.warnings)
    if report.loads == 0:
        assert any(text in told for text in ("matches zero modules", "fails to read it", "does not list"))
    elif not sample.as_is:
        assert f"would use {report.loads} of its {report.modules} modules" in told
    assert ("pickle" in told) == (report.container == "pickle")


def test_it_converts_to_the_same_change(sample: Sample, tmp_path: Path) -> None:
    lora = read_lora(sample.path, **sample.given)
    form = "lora" if {"loha", "lokr"} & sample.kinds else "keep"
    outcome = convert_file(lora, Wish(out=tmp_path / "out.safetensors", form=form))  # type: ignore[arg-type]
    assert outcome.verified.exact
    meant = {host_key(*module, sample.family): change for module, change in sample.truth.items()}
    found = read_as_host(Path(outcome.path))
    assert found.keys() == meant.keys()
    assert max(deviation(found[name], change) for name, change in meant.items()) <= 1e-6


def test_what_was_converted_loads_whole(sample: Sample, tmp_path: Path) -> None:
    lora = read_lora(sample.path, **sample.given)
    outcome = convert_file(lora, Wish(out=tmp_path / "out.safetensors"))
    again = inspect(read_lora(Path(outcome.path)))
    assert (again.loads, again.modules) == (len(sample.truth), len(sample.truth))
    assert (again.format, again.container, again.alpha_from in ("keys", "none")) == (
        "kohya",
        "safetensors",
        True,
    )
    assert not any("convert" in text for text in again.warnings)
    with safe_open(outcome.path, "pt") as file:
        metadata = file.metadata()
    assert metadata["source_name"] == lora.path.name
    assert metadata["ss_output_name"] == "out"
    wanted = {"sd1": ("sd_v1", "False"), "sd2": ("sd_v2", "True"), "sdxl": ("sdxl_base_v1-0", "False")}
    assert (metadata["ss_base_model_version"], metadata["ss_v2"]) == wanted[again.family or ""]


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
@pytest.mark.parametrize("make", [corpus.attention_processors, corpus.ziplora, corpus.comfy])
def test_widths_tell_the_family(family: str, make: object, tmp_path: Path) -> None:
    maker = Maker(tmp_path, family, scale=1)
    keep = (
        "down_blocks.0.attentions.1",
        "down_blocks.1.attentions.1",
        "up_blocks.3",
        "up_blocks.0.attentions.1",
    )
    maker.shapes = {m: s for m, s in maker.shapes.items() if m[0] == "unet" and m[1].startswith(keep)}
    lora = read_lora(make(maker).path)  # type: ignore[operator]
    assert (lora.family, lora.evidence.sure) == (family, True)


def test_modules_have_their_names_in_diffusers(sample: Sample) -> None:
    lora = read_lora(sample.path, **sample.given)
    assert set(lora.modules) == {Target(part, underscored(name)) for part, name in sample.truth}
