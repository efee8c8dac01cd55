"""Ranni's two turns, with answers as its model writes them, and its prompt files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lib_ranni.errors import PlannerError
from lib_ranni.panel.types import Box
from lib_ranni.planner.llm.backend import Chat, Message
from lib_ranni.planner.local import prompt_files
from lib_ranni.planner.local.prompt_files import FOLDER, UPSTREAM, filled, read_prompts
from lib_ranni.planner.local.ranni import RanniPlanner
from lib_ranni.planner.protocol import (
    Cancelled,
    Delta,
    Done,
    EditRequest,
    ElementReady,
    Event,
    Failed,
    PlanRequest,
    never,
)
from tests.planner.local_models import WIDTH, write_model

_BOXES = "(dog,[192,384,384,768]),(cat,[576,576,192,384])"


class _Recorded:
    """A backend that gives the same answer every time, sign by sign, and keeps what it is asked."""

    name = "recorded"

    def __init__(self, answer: str | Exception, model: str = "llama") -> None:
        self.answer = answer
        self.model = self.identity = model
        self.chats: list[Chat] = []

    def stream(self, chat: Chat, cancelled: Cancelled) -> Iterator[str]:
        self.chats.append(chat)
        if isinstance(self.answer, Exception):
            raise self.answer
        for sign in self.answer:
            if cancelled():
                return
            yield sign


def _plan(
    elements: str | Exception,
    boxes: str | Exception = _BOXES,
    prompt: str = "A dog and a cat",
    **request: object,
) -> list[Event]:
    planner = RanniPlanner(_Recorded(elements), _Recorded(boxes))
    return list(planner.plan(PlanRequest(prompt, **request)))  # type: ignore[arg-type]


def _done(events: list[Event]) -> Done:
    assert isinstance(events[-1], Done), events[-1]
    return events[-1]


def _failure(events: list[Event]) -> Failed:
    assert isinstance(events[-1], Failed), events[-1]
    return events[-1]


def test_two_turns_make_a_panel() -> None:
    elements, boxes = _Recorded("(dog, 1), (cat, 1)", "llama+element"), _Recorded(_BOXES, "llama+bbox")
    events = list(RanniPlanner(elements, boxes).plan(PlanRequest("A dog and a cat", seed=15)))
    done = _done(events)
    dog, cat = done.panel.elements
    assert (dog.description, dog.box) == ("dog", Box(0.0, 0.0, 0.5, 1.0))
    assert (cat.description, cat.box) == ("cat", Box(0.625, 0.5, 0.875, 1.0))
    assert (done.panel.base, done.panel.aspect) == ("A dog and a cat", 1.0)
    made = done.panel.provenance
    assert (made.planner, made.model, made.prompt, made.seed) == (
        "ranni",
        "llama+bbox",
        "A dog and a cat",
        15,
    )
    assert (done.report.asked, done.report.repairs) == (2, ())
    assert "".join(e.text for e in events if isinstance(e, Delta)) == f"(dog, 1), (cat, 1){_BOXES}"
    ready = [n for n, event in enumerate(events) if isinstance(event, ElementReady)]
    assert [events[n] for n in ready] == [ElementReady(dog), ElementReady(cat)]
    # The dog is told while the cat is still being written.
    assert isinstance(events[ready[0] + 1], Delta)


def test_turns_are_asked_with_the_settings_and_texts_of_ranni() -> None:
    elements, boxes = _Recorded("(red apple, 2), (big, old table, 1)"), _Recorded("(table,[1,2,3,4])")
    planner = RanniPlanner(elements, boxes)
    list(planner.plan(PlanRequest("2 red apples {} on a table", seed=9)))
    texts = read_prompts()
    for backend, system in ((elements, texts.element_system), (boxes, texts.box_system)):
        (chat,) = backend.chats
        assert (chat.seed, chat.temperature, chat.max_tokens, chat.schema) == (9, 1.0, 1024, None)
        assert [message.role for message in chat.messages] == ["system", "user"]
        assert chat.messages[0].text == system
        assert "2 red apples {} on a table" in chat.messages[1].text
    assert "red apple,red apple,big old table" in boxes.chats[0].messages[1].text


@pytest.mark.parametrize(
    ("answer", "labels"),
    [
        ("(dog, two)", ["dog", "dog"]),
        ("* dog (2)\n* cat (1)", ["dog", "dog", "cat"]),
        ("Sure (as you asked): (dog, 1)", ["dog"]),
        ("(a, b, 2)", ["a, b", "a, b"]),
        ("(dog, 1", ["dog"]),
        ("(dog (black), 1)", ["dog (black)"]),
    ],
)
def test_every_element_gets_a_box_whatever_the_answers(answer: str, labels: list[str]) -> None:
    events = _plan(answer, "(tree,[384,384,100,100])")
    descriptions = [element.description for element in _done(events).panel.elements]
    assert descriptions == ["tree", *labels]
    assert any("no box to" in note for note in _done(events).report.notes)


def test_what_does_not_fit_is_in_the_report() -> None:
    report = _done(_plan("(dog, 99), (cat, 0)", "(dog,[9,9]),(dog,[-50,384,200,200])", aspect=1.5)).report
    notes = " | ".join(report.notes)
    for words in ("99 of dog", "cat with the number 0", "no box to dog (23)", "stretched"):
        assert words in notes
    assert "four numbers" in report.repairs[0]
    assert "box 2" in report.repairs[1]


def test_the_aspect_is_that_of_the_request() -> None:
    assert _done(_plan("(dog, 1)", aspect=1.5)).panel.aspect == 1.5
    assert _done(_plan("(dog, 1)", aspect=99.0)).panel.aspect == 10


@pytest.mark.parametrize(
    ("elements", "boxes", "request_changes", "words"),
    [
        ("no parens", _BOXES, {}, "named no element"),
        ("", _BOXES, {}, "named no element"),
        ("(dog, 1)", "I cannot place it", {}, "no box like"),
        ("(dog, 1)", "(dog,[1,2,3])", {}, "no box like"),
        (PlannerError("no folder; download it"), _BOXES, {}, "no folder; download it"),
        ("(dog, 1)", PlannerError("no LoRA"), {}, "no LoRA"),
        (KeyError("oh"), _BOXES, {}, "KeyError"),
        ("(dog, 1)", _BOXES, {"prompt": " \n"}, "write a prompt"),
        ("(dog, 1)", _BOXES, {"picture": b"\x89PNG"}, "cannot see"),
    ],
)
def test_a_plan_that_cannot_be_made_says_why(
    elements: str | Exception, boxes: str | Exception, request_changes: dict[str, object], words: str
) -> None:
    failure = _failure(_plan(elements, boxes, **request_changes))  # type: ignore[arg-type]
    assert words in failure.message
    assert not failure.cancelled


def test_odd_prompts_are_planned() -> None:
    done = _done(_plan("(dog, 1)", prompt="a \ud83d dog " + "x" * 20_000))
    assert done.panel.base.startswith("a \N{REPLACEMENT CHARACTER} dog")
    assert any("first 10000 characters" in note for note in done.report.notes)


@pytest.mark.parametrize("after", [0, 5, 25, 60])
def test_cancelling_ends_either_turn(after: int) -> None:
    elements, boxes = _Recorded("(dog, 1), (cat, 1)"), _Recorded(_BOXES)
    events: list[Event] = []
    for event in RanniPlanner(elements, boxes).plan(PlanRequest("x"), lambda: len(events) >= after):
        events.append(event)
    assert _failure(events).cancelled
    assert len(events) <= after + 2
    assert len(boxes.chats) == (after > len("(dog, 1), (cat, 1)"))


def test_an_endless_answer_is_cut() -> None:
    class Endless(_Recorded):
        def stream(self, chat: Chat, cancelled: Cancelled) -> Iterator[str]:
            while True:
                yield "(dog,[100,100,50,50]),"

    done = _done(list(RanniPlanner(_Recorded("(dog, 1)"), Endless("")).plan(PlanRequest("x"))))
    assert len(done.panel.elements) == 64


def test_edits_are_refused_with_another_planner_to_choose() -> None:
    panel = _done(_plan("(dog, 1)")).panel
    (event,) = RanniPlanner(_Recorded(""), _Recorded("")).edit(EditRequest(panel, "move the dog"))
    assert isinstance(event, Failed)
    assert "choose a planner" in event.message


def test_real_models_take_their_loras_in_turn(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "llama")
    lora = {
        f"model.layers.0.self_attn.q_proj.lora_{side}.weight": torch.ones(shape)
        for side, shape in {"A": (4, WIDTH), "B": (WIDTH, 4)}.items()
    }
    torch.save(lora, tmp_path / "box.pth")
    planner = RanniPlanner.from_files(folder, None, tmp_path / "box.pth", device="cpu")
    events = list(planner.plan(PlanRequest("a dog", seed=3)))
    # Random weights say something, mostly nonsense, and it is read to its end.
    assert sum(isinstance(event, Delta) for event in events) > 5
    assert isinstance(events[-1], (Done, Failed))
    assert (planner.elements.model, planner.boxes.model) == ("llama", "llama+box")
    asked = Chat((Message("user", "a dog"),), seed=1, max_tokens=30)
    bare, adapted = ("".join(b.stream(asked, never)) for b in (planner.elements, planner.boxes))
    assert bare != adapted


def test_our_texts_are_told_from_those_of_ranni() -> None:
    texts = read_prompts()
    assert not texts.is_upstream
    assert set(texts.foreign) == set(UPSTREAM)
    note = _done(_plan("(dog, 1)")).report.notes[0]
    assert all(f"{name}.txt" in note for name in UPSTREAM)
    assert str(FOLDER) in note


def test_the_texts_of_ranni_are_recognized(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = {
        "element_system": "Name things.",
        "element_user": 'Of "{}".',
        "box_system": "Place them.\n",
        "box_user": "Caption: {}\nElements: {}.\n",
    }
    digests = {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in own.items()}
    monkeypatch.setattr(prompt_files, "UPSTREAM", digests)
    # As an editor on Windows may save them, one with a newline more and one with a newline less.
    for name, text in own.items():
        changed = {"element_system": f"{text}\n", "box_system": text.strip()}.get(name, text)
        (tmp_path / f"{name}.txt").write_bytes(changed.replace("\n", "\r\n").encode())
    texts = read_prompts(tmp_path)
    assert texts.is_upstream
    assert texts.note == ""
    assert {name: getattr(texts, name) for name in own} == own
    assert texts.ask_boxes("a {} dog", "dog") == "Caption: a {} dog\nElements: dog.\n"
    planner = RanniPlanner(_Recorded("(dog, 1)"), _Recorded(_BOXES), tmp_path)
    assert not any("LoRA" in note for note in _done(list(planner.plan(PlanRequest("x")))).report.notes)
    (tmp_path / "box_user.txt").unlink()
    assert read_prompts(tmp_path).foreign == ("box_user",)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("element_user", b"no place for the caption"),
        ("box_user", b"only {} one"),
        ("box_system", b"\xff\xfe\x00"),
        ("element_system", b" \n"),
        ("element_system", b"x" * 200_000),
    ],
)
def test_texts_that_cannot_serve_fail_the_plan(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / f"{name}.txt").write_bytes(data)
    planner = RanniPlanner(_Recorded("(dog, 1)"), _Recorded(_BOXES), tmp_path)
    assert f"{name}.txt" in _failure(list(planner.plan(PlanRequest("x")))).message


def test_values_stand_where_the_braces_were() -> None:
    assert filled("a {} b {} c {}", "{}", "2") == "a {} b 2 c {}"
