"""The folder of hostile documents: each file's name says what becomes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_ranni.errors import PanelError
from lib_ranni.panel.preview import render
from lib_ranni.panel.reading import check, load, read, repair
from lib_ranni.panel.types import Panel
from lib_ranni.panel.writing import to_json

_FOLDER = Path(__file__).parents[1] / "data" / "hostile_panels"
_FILES = sorted(_FOLDER.glob("*.json"))

# Places that the problems of a mended file must name, among others.
_PLACES = {
    "everything_is_null": {"base", "aspect", "provenance", "elements[0].description"},
    "everything_is_text": {
        "elements[0].box.x0",
        "elements[0].box.y1",
        "elements[0].weight",
        "elements[0].seed",
        "elements[0].locked",
        "elements[0].colors",
    },
    "pixels": {"elements[0].box"},
    "thousandths": {"elements[0].box"},
    "upside_down": {"elements[0].box"},
    "huge_numbers": {"elements[0].box.x0", "elements[0].weight", "elements[0].seed"},
    "no_box": {"elements[0].box"},
    "blank_descriptions": {"elements[0].description", "elements[1].description"},
    "same_id": {"elements[1].id", "elements[3].id"},
    "id_is_an_object": {"elements[0].id"},
    "repeated_elements": {"elements[1]", "elements[5]"},
    "from_the_future": {"version"},
    "version_is_text": {"version"},
    "elements_is_an_object": {"elements"},
    "elements_of_all_types": {f"elements[{n}]" for n in range(5)} | {"elements[5].description"},
    "bad_masks": {f"elements[{n}].mask" for n in range(6)},
    "bad_colors": {f"elements[0].colors[{n}]" for n in range(8)},
    "bad_points_and_loras": {
        "elements[0].keypoints[0]",
        "elements[0].keypoints[2].x",
        "elements[0].lora[1].weight",
    },
    "deep_unknown_field": {"deep" + "[0]" * 32},
    "big_unknown_number": {"big"},
    "long_texts": {"elements[0].description", "elements[0].negative"},
    "duplicate_keys": {"elements", "aspect"},
}


def _named(fate: str) -> list[object]:
    return [pytest.param(path, id=path.stem) for path in _FILES if path.name.startswith(fate)]


def test_every_file_has_a_fate_and_every_mended_one_its_places() -> None:
    assert len(_FILES) >= 25
    assert {path.name.split("_")[0] for path in _FILES} == {"refused", "mended", "fine"}
    assert {path.stem.removeprefix("mended_") for path in _FILES if path.stem.startswith("mended_")} == set(
        _PLACES
    )


@pytest.mark.parametrize("path", _named("refused_"))
def test_refused_files_are_no_panels(path: Path) -> None:
    data = path.read_bytes()
    (problem,) = read(data).problems
    assert (problem.path, bool(problem.message)) == ("", True)
    for function in (load, repair):
        with pytest.raises(PanelError, match="the panel cannot be used"):
            function(data)


@pytest.mark.parametrize("path", _named("mended_"))
def test_mended_files_name_their_faults_and_read_cleanly_afterwards(path: Path) -> None:
    data = path.read_bytes()
    reading = repair(data)
    assert {problem.path for problem in reading.problems} >= _PLACES[path.stem.removeprefix("mended_")]
    with pytest.raises(PanelError):
        load(data)
    assert isinstance(reading.panel, Panel)
    assert check(to_json(reading.panel)) == reading.panel
    assert max(render(reading.panel, 128).size) == 128


@pytest.mark.parametrize("path", _named("fine_"))
def test_odd_files_that_are_fine(path: Path) -> None:
    panel = load(path.read_bytes())
    assert load(to_json(panel)) == panel
    assert max(render(panel, 128).size) == 128
