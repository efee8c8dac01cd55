"""Edits by instruction against edits with ground truth, and against any text and any panel."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib_ranni.errors import EditError
from lib_ranni.panel.color_words import COLORS
from lib_ranni.panel.geometry import overlap
from lib_ranni.panel.operations import apply, read_operations
from lib_ranni.panel.reading import check
from lib_ranni.panel.types import FULL_CANVAS, Box, Element, Panel, with_fields
from lib_ranni.panel.writing import to_json
from lib_ranni.planner.builtin.editing import MAX_INSTRUCTION, read_edit
from lib_ranni.planner.builtin.editing_descriptions import described
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.protocol import Done, EditRequest, Failed, Report
from tests.panel.strategies import panels

DATA = Path(__file__).parents[1] / "data"
FILES = ("en", "zh", "held_out", "held_out_2")


def panel_of(text: str) -> Panel:
    """ "base: a room | cat #ffffff 10,20,30,40 | *lamp ..." -> a panel; boxes in percent, * locks."""
    base, elements = "", []
    for entry in text.split(" | "):
        if entry.startswith("base: "):
            base = entry.removeprefix("base: ")
            continue
        *words, box = entry.split(" ")
        colors = tuple(word for word in words if word.startswith("#"))
        description = " ".join(word for word in words if word not in colors)
        x0, y0, x1, y1 = (int(number) / 100 for number in box.split(","))
        elements.append(
            Element(
                id=f"e{len(elements) + 1}",
                description=description.lstrip("*"),
                box=Box(x0, y0, x1, y1),
                colors=colors,
                locked=description.startswith("*"),
            )
        )
    return Panel(base=base, elements=tuple(elements))


def rows(name: str) -> list[dict[str, Any]]:
    lines = (DATA / f"edits_{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _within(value: float, span: str) -> bool:
    low, _, high = span.partition("..")
    return float(low) - 1e-6 <= value <= float(high) + 1e-6


def _moved(old: Box, new: Box, way: str) -> bool:
    """Whether a box went this way and kept its other coordinate and its size."""
    dx, dy = new.center[0] - old.center[0], new.center[1] - old.center[1]
    along, across = (dx, dy) if way in {"left", "right"} else (dy, dx)
    onward = along > 0.005 if way in {"right", "down"} else along < -0.005
    same = abs(new.width - old.width) < 1e-6 and abs(new.height - old.height) < 1e-6
    return onward and same and abs(across) < 0.15


def _near(first: Box, second: Box) -> bool:
    gap_x = max(first.x0, second.x0) - min(first.x1, second.x1)
    gap_y = max(first.y0, second.y0) - min(first.y1, second.y1)
    return gap_x < 0.15 and gap_y < 0.15


def _between(box: Box, first: Box, last: Box) -> bool:
    (x, y), (u, v), (s, t) = box.center, first.center, last.center
    inner = ((x - u) * (s - u) + (y - v) * (t - v)) / ((s - u) ** 2 + (t - v) ** 2)
    return 0.2 < inner < 0.8


RELATIONS: dict[str, Callable[[Box, Box], bool]] = {
    "left_of": lambda a, b: a.center[0] < b.center[0],
    "right_of": lambda a, b: a.center[0] > b.center[0],
    "above": lambda a, b: a.center[1] < b.center[1],
    "below": lambda a, b: a.center[1] > b.center[1],
    "on": lambda a, b: a.center[1] < b.center[1] and a.x0 < b.x1 and b.x0 < a.x1,
    "near": _near,
    "apart": lambda a, b: overlap(a, b) < 0.1 * min(a.area, b.area),
}
MEASURES: dict[str, Callable[[Box, Box], float]] = {
    "area": lambda old, new: new.area / old.area,
    "width": lambda old, new: new.width / old.width,
    "height": lambda old, new: new.height / old.height,
    "x": lambda _, new: new.center[0],
    "y": lambda _, new: new.center[1],
    "left": lambda _, new: new.x0,
    "bottom": lambda _, new: new.y1,
    "shift": lambda old, new: max(abs(new.center[n] - old.center[n]) for n in (0, 1)),
}
TEXTS = {"says", "lacks", "is", "colors"}


def _text_holds(element: Element, verb: str, rest: str) -> bool:
    if verb == "says":
        return rest in element.description
    if verb == "lacks":
        return rest not in element.description
    if verb == "is":
        return element.description == rest
    return element.colors == tuple(COLORS[name] for name in rest.split(","))


def holds(expected: str, before: Panel, after: dict[str, Element]) -> bool:
    """Whether one statement about an element is true after the edit."""
    name, verb, *words = expected.split(" ")
    element, old = after.get(name), before.find(name)
    if verb == "gone":
        return element is None
    if element is None:
        return False
    box, was = element.box, old.box if old is not None else element.box
    if verb in TEXTS:
        return _text_holds(element, verb, " ".join(words))
    if verb == "moved":
        return _moved(was, box, words[0])
    if verb == "full":
        return box == FULL_CANVAS
    if verb == "between":
        return _between(box, *(after[word].box for word in words))
    if verb in MEASURES:
        return _within(MEASURES[verb](was, box), words[0])
    return RELATIONS[verb](box, after[words[0]].box)


def _untouched(before: Panel, after: dict[str, Element], expect: list[str]) -> list[str]:
    """Elements that no statement, or none of its kind, speaks of, and that are not what they were."""
    wrong = []
    for element in before.elements:
        about = {e.split(" ")[1] for e in expect if e.startswith(f"{element.id} ")}
        new = after.get(element.id)
        if "gone" in about:
            continue
        if new is None:
            wrong.append(f"{element.id} gone")
        elif new.box != element.box and not about - TEXTS:
            wrong.append(f"{element.id} box")
        elif (new.description, new.colors) != (element.description, element.colors) and not about & TEXTS:
            wrong.append(f"{element.id} text")
        elif not about and new != element:
            wrong.append(f"{element.id} changed")
    return wrong


def mistakes(row: dict[str, Any]) -> list[str]:
    """What is wrong about the outcome of an edit; nothing if all is right."""
    before, expect = panel_of(row["panel"]), list(row["expect"])
    try:
        operations = read_edit(before, row["instruction"]).operations
    except EditError as error:
        return [] if expect == ["fails"] else [f"raised {error}"]
    if expect == ["fails"]:
        return [f"did {operations}"]
    panel = apply(before, operations)
    known = {e.id for e in before.elements}
    new = [e for e in panel.elements if e.id not in known or before.find(e.id) is None]
    after = {e.id: e for e in panel.elements} | {f"n{i + 1}": e for i, e in enumerate(new)}
    count = next((int(e.split()[1]) for e in expect if e.startswith("new ")), 0)
    wrong = [] if len(new) == count else [f"{len(new)} new"]
    based = [e for e in expect if e.startswith("base ")]
    for entry in based:
        _, verb, words = entry.split(" ", 2)
        if (words in panel.base) != (verb == "says"):
            wrong.append(f"{entry}: {panel.base}")
    if not based and panel.base != before.base:
        wrong.append("base")
    others = [e for e in expect if not e.startswith(("new ", "base "))]
    wrong += [f"{e}: {after.get(e.split()[0])}" for e in others if not holds(e, before, after)]
    return wrong + _untouched(before, after, expect)


@pytest.mark.parametrize("name", FILES)
def test_edits_come_out_as_written_down(name: str) -> None:
    wrong = {row["instruction"]: found for row in rows(name) if (found := mistakes(row))}
    assert wrong == {}


def test_the_ground_truth_is_large_enough_and_in_both_languages() -> None:
    instructions = [row["instruction"] for name in FILES for row in rows(name)]
    chinese = [text for text in instructions if not text.isascii()]
    assert len(instructions) >= 280
    assert len(chinese) >= 120


def test_the_checks_see_a_wrong_outcome() -> None:
    row = {"panel": "cat 10,40,30,70 | dog 60,40,85,70", "instruction": "remove the dog"}
    assert mistakes({**row, "expect": ["e2 gone"]}) == []
    assert mistakes({**row, "expect": ["e1 gone"]}) != []
    assert mistakes({**row, "expect": ["fails"]}) != []
    assert mistakes({**row, "instruction": "make the cat red", "expect": ["e1 area 1..2"]}) != []


CAT_AND_DOG = panel_of("cat 10,40,30,70 | dog 60,40,85,70")


@pytest.mark.parametrize(
    ("panel", "instruction", "message"),
    [
        ("cat 10,40,30,70", "remove the zebra", "no “the zebra”.*“cat”.*e1"),
        ("cat 10,40,30,70 | cat 50,40,70,70", "make the cat red", "e1.*e2.*say which one"),
        ("cat 10,40,30,70", "remove the fifth cat", "only 1"),
        ("cat 10,40,30,70", "remove both cats", "needs 2"),
        ("*cat 10,40,30,70 | dog 50,40,70,70", "remove the cat", "locked"),
        ("*cat 10,40,30,70", "remove everything", "locked"),
        ("cat 10,40,30,70 | dog 50,40,70,70", "make it bigger", "could mean any"),
        ("cat 0,40,30,70", "move the cat left", "there already"),
        ("cat 0,0,100,100", "make the cat bigger", "as large as"),
        ("cat 10,0,30,30 | dog 50,0,70,30", "put the cat on the dog", "no room"),
        ("cat 10,40,30,70", "sing me a song", "“sing me a song” was not understood.*for example"),
        ("cat 10,40,30,70", "make the cat bigger than ever before in history", "not understood"),
        ("cat 10,40,30,70", "   ", "asks for nothing"),
        ("cat 10,40,30,70", "please!", "asks for nothing"),
        ("cat 10,40,30,70", "replace the cat with two dogs", "cannot become 2"),
        ("cat 10,40,30,70", "add !", "not understood|what should be there"),
        ("猫 10,40,30,70", "删除斑马", "斑马.*猫"),
        ("猫 10,40,30,70", "唱一首歌", "not understood"),
    ],
)
def test_what_cannot_be_done_is_said(panel: str, instruction: str, message: str) -> None:
    with pytest.raises(EditError, match=message):
        read_edit(panel_of(panel), instruction)


def test_each_step_sees_the_one_before() -> None:
    operations = read_edit(
        CAT_AND_DOG, "replace the dog with a horse, then make the horse black and move it up"
    ).operations
    panel = apply(CAT_AND_DOG, operations)
    assert [element.description for element in panel.elements] == ["cat", "black horse"]
    assert panel.elements[1].box.center[1] < CAT_AND_DOG.elements[1].box.center[1]


def edited(panel: Panel, instruction: str) -> tuple[Panel, Report]:
    (done,) = BuiltinPlanner().edit(EditRequest(panel, instruction))
    assert isinstance(done, Done)
    return done.panel, done.report


def test_the_planner_says_what_changed() -> None:
    panel, report = edited(CAT_AND_DOG, "remove the dog and make the cat red")
    assert report.notes == ("Removed “dog”.", "Changed “cat” to “red cat”.")
    assert panel.elements[0].colors == ("#ff0000",)
    assert panel.provenance.edited


def test_one_impossible_step_fails_the_whole_edit() -> None:
    (failed,) = BuiltinPlanner().edit(EditRequest(CAT_AND_DOG, "remove the dog and make the zebra red"))
    assert isinstance(failed, Failed)
    assert "zebra" in failed.message
    assert not failed.cancelled


def test_locked_elements_among_many_stay_and_are_named() -> None:
    before = panel_of("cat 10,40,30,70 | *dog 60,40,85,70")
    panel, report = edited(before, "make everything bigger")
    assert panel.elements[1] == before.elements[1]
    assert panel.elements[0].box.area > before.elements[0].box.area
    assert any("dog" in note and "locked" in note for note in report.notes)


def test_what_was_set_by_hand_stays_with_an_element() -> None:
    before = CAT_AND_DOG
    cat = with_fields(before.elements[0], negative="tail", weight=2.0, seed=5, extra={"glow": 1})
    before = with_fields(before, elements=(cat, before.elements[1]))
    after, _ = edited(before, "make the cat red and move it up")
    assert after.elements[0] == with_fields(
        cat, description="red cat", colors=("#ff0000",), box=after.elements[0].box
    )


@pytest.mark.parametrize(
    ("description", "words", "expected"),
    [
        ("red apple", "green", "green apple"),
        ("an orange cat", "blue", "a blue cat"),
        ("a cat", "orange", "an orange cat"),
        ("a black and white cat", "brown", "a brown cat"),
        ("dark red sports car", "light blue", "light blue sports car"),
        ("car painted red, in a garage", "blue", "car painted blue, in a garage"),
        ("boy in a blue shirt", "tall", "tall boy in a blue shirt"),
        ("old wooden chair", "metal", "metal old chair"),
        ("sad girl with red hair", "happy", "happy girl with red hair"),
        ("红苹果", "绿色", "绿色的苹果"),
        ("可爱的白色小猫", "黑色", "可爱的黑色的小猫"),
        ("戴着红色帽子的男孩", "开心", "戴着红色帽子的开心的男孩"),
        ("金鱼", "红色", "红色的金鱼"),
    ],
)
def test_attributes_take_their_place(description: str, words: str, expected: str) -> None:
    assert described(description, words).text == expected


WORDS = [
    *(
        "the",
        "a",
        "all",
        "both",
        "every",
        "it",
        "them",
        "cat",
        "dogs",
        "second",
        "left",
        "right",
        "top",
        "bigger",
    ),
    *(
        "smaller",
        "red",
        "make",
        "move",
        "put",
        "add",
        "remove",
        "replace",
        "swap",
        "turn",
        "with",
        "to",
        "of",
        "on",
    ),
    *(
        "between",
        "and",
        "then",
        ",",
        ".",
        "not",
        "as",
        "e1",
        "everything",
        "except",
        "by",
        "20%",
        "twice",
        "color",
    ),
    *(
        "把",
        "将",
        "猫",
        "狗",
        "的",
        "左边",
        "第二个",
        "只",
        "所有",
        "和",
        "之间",
        "放大",
        "缩小",
        "移到",
        "变成",
    ),
    *(
        "换成",
        "红色",
        "删除",
        "加",
        "一只",
        "在",
        "上",
        "一点",
        "，",
        "然后",
        "除了",
        "其他",
        "它",
        "都",
        "background",
    ),
]


@settings(max_examples=150)
@given(panels(), st.lists(st.sampled_from(WORDS), max_size=14), st.sampled_from(["", " "]))
def test_any_order_of_words_edits_or_raises_an_edit_error(panel: Panel, words: list[str], gap: str) -> None:
    _edit_or_refuse(panel, gap.join(words))


@settings(max_examples=150)
@given(panels(), st.text(max_size=80))
def test_any_text_edits_or_raises_an_edit_error(panel: Panel, instruction: str) -> None:
    _edit_or_refuse(panel, instruction)


NAMED = panels(most=5).map(
    lambda panel: with_fields(
        panel,
        elements=tuple(
            with_fields(e, id=f"e{n + 1}", description=["cat", "red dog", "猫", "红色的狗", "tree"][n])
            for n, e in enumerate(panel.elements)
        ),
    )
)
INSTRUCTIONS = [row["instruction"] for name in FILES for row in rows(name)]


@settings(max_examples=200)
@given(NAMED, st.sampled_from(INSTRUCTIONS), st.sampled_from(INSTRUCTIONS))
def test_real_instructions_leave_valid_panels_and_locked_elements(
    panel: Panel, first: str, second: str
) -> None:
    _edit_or_refuse(panel, first)
    _edit_or_refuse(panel, f"{first}, {second}")


def _edit_or_refuse(before: Panel, instruction: str) -> None:
    """Either an `EditError`, or a valid panel in which every locked element is as it was."""
    try:
        edit = read_edit(before, instruction)
    except EditError:
        return
    after = apply(before, edit.operations)
    assert isinstance(check(to_json(after)), Panel)
    assert [e for e in after.elements if e.locked] == [e for e in before.elements if e.locked]


@pytest.mark.parametrize(
    "piece",
    [
        "make the cat bigger and ",
        "remove ",
        "the ",
        "one of ",
        "and ",
        "a b ",
        "一点",
        "把猫放大",
        "请你",
        "的",
        "和",
        "左边的",
        "稍微",
        "除了",
        "on the cat ",
        "except everything ",
        "swap cat and ",
        "猫上的",
        "x",
    ],
)
def test_long_instructions_are_bounded(piece: str) -> None:
    with pytest.raises(EditError, match=f"at most {MAX_INSTRUCTION}"):
        read_edit(CAT_AND_DOG, (piece * 10_000)[:10_000])
    for length in (90, 400, MAX_INSTRUCTION):
        for text in (
            (piece * MAX_INSTRUCTION)[:length],
            f"remove cat {piece * MAX_INSTRUCTION}"[:length],
            "move everything " + (piece * MAX_INSTRUCTION)[: length - 30] + " left",
            "把猫" + (piece * MAX_INSTRUCTION)[: length - 3] + "斑",
        ):
            _edit_or_refuse(CAT_AND_DOG, text)


def test_many_elements_are_no_burden() -> None:
    element = CAT_AND_DOG.elements[0]
    crowd = Panel(elements=tuple(with_fields(element, id=f"e{n + 1}") for n in range(900)))
    assert len(read_edit(crowd, "make everything smaller").operations) == 900
    with pytest.raises(EditError, match="more than 1000"):
        read_edit(crowd, "make everything smaller and move everything to the right")
    assert len(read_edit(crowd, "add twenty birds").operations) == 20


def test_another_base_is_an_operation_of_its_own() -> None:
    (operation,) = read_operations([{"op": "rebase", "base": "a beach"}])
    panel = operation.apply(CAT_AND_DOG)
    assert (panel.base, panel.provenance.edited) == ("a beach", True)
    assert panel.elements == CAT_AND_DOG.elements
    assert operation.apply(panel) == panel
    (too_long,) = read_operations([{"op": "rebase", "base": "x" * 10_001}])
    with pytest.raises(EditError, match="base prompt"):
        too_long.apply(CAT_AND_DOG)


def test_an_error_of_ours_is_a_failure_and_not_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(panel: Panel, instruction: str) -> None:
        raise KeyError(instruction)

    monkeypatch.setattr("lib_ranni.planner.builtin.planner.read_edit", broken)
    (failed,) = BuiltinPlanner().edit(EditRequest(CAT_AND_DOG, "remove the dog"))
    assert isinstance(failed, Failed)
    assert "KeyError" in failed.message
