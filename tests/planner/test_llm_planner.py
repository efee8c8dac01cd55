"""The planner that asks a model: what comes of good, sloppy, wrong and missing replies, and of edits."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ranni.errors import InputError, PlannerError
from lib_ranni.panel.types import Box, Element, Lora, Panel, with_fields
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.llm.backend import Chat
from lib_ranni.planner.llm.cache import ReplyCache
from lib_ranni.planner.llm.editing import merged
from lib_ranni.planner.llm.manner import Manner
from lib_ranni.planner.llm.planner import LanguagePlanner
from lib_ranni.planner.llm.prompts import Prompts
from lib_ranni.planner.protocol import (
    Cancelled,
    Delta,
    Done,
    EditRequest,
    ElementReady,
    Event,
    Failed,
    PlanRequest,
    finish,
)
from tests.panel.strategies import panels


class Scripted:
    """A model that says what it is told to, in pieces of five characters; an exception is raised."""

    name = "scripted"
    model = "parrot"
    identity = "parrot at home"

    def __init__(self, *replies: str | Exception) -> None:
        self.chats: list[Chat] = []
        self._replies = list(replies)

    def stream(self, chat: Chat, cancelled: Cancelled) -> Iterator[str]:
        self.chats.append(chat)
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        for start in range(0, len(reply), 5):
            if cancelled():
                return
            yield reply[start : start + 5]


def layout(*elements: tuple[str, list[int]], base: str = "", negative: str = "") -> str:
    listed = [{"id": f"e{n}", "description": d, "box": b} for n, (d, b) in enumerate(elements, 1)]
    return json.dumps({"base": base, "negative": negative, "elements": listed}, ensure_ascii=False)


PROMPT = "two red apples to the left of a green pear"
GOOD = layout(
    ("red apple", [50, 400, 250, 600]),
    ("red apple", [300, 400, 500, 600]),
    ("green pear", [650, 350, 900, 650]),
)
ONE_APPLE = layout(("red apple", [50, 400, 250, 600]), ("green pear", [650, 350, 900, 650]))


def planned(backend: Scripted, prompt: str = PROMPT, **how: Any) -> Done:
    how.setdefault("fallback", BuiltinPlanner())
    return finish(LanguagePlanner(backend, **how).plan(PlanRequest(prompt, 1.5, 7)))


def descriptions(panel: Panel) -> list[str]:
    return [element.description for element in panel.elements]


def test_a_good_reply_is_the_plan() -> None:
    backend = Scripted(GOOD)
    events = list(LanguagePlanner(backend).plan(PlanRequest(PROMPT, 1.5, 7)))
    done = events[-1]
    assert isinstance(done, Done)
    assert descriptions(done.panel) == ["red apple", "red apple", "green pear"]
    assert done.panel.elements[2].box == Box(0.65, 0.35, 0.9, 0.65)
    assert done.panel.aspect == 1.5
    origin = done.panel.provenance
    assert (origin.planner, origin.model, origin.prompt, origin.seed) == ("scripted", "parrot", PROMPT, 7)
    assert (done.report.asked, done.report.fallback, done.report.repairs) == (1, "", ())
    assert "".join(event.text for event in events if isinstance(event, Delta)) == GOOD
    first_ready = next(n for n, event in enumerate(events) if isinstance(event, ElementReady))
    assert first_ready < len(events) / 2
    assert [e.element.description for e in events if isinstance(e, ElementReady)] == descriptions(done.panel)
    chat = backend.chats[0]
    assert chat.schema is not None
    assert chat.seed == 7
    assert PROMPT in chat.messages[-1].text
    assert "3:2" in chat.messages[-1].text


@pytest.mark.parametrize(
    "turn", ["\nUser: Prompt: a horse", "\n### Human: more", "<|im_end|>\n", "[INST] a horse"]
)
def test_what_the_model_says_for_the_user_is_not_heard(turn: str) -> None:
    horse = layout(("horse", [0, 0, 500, 500]))
    events = list(LanguagePlanner(Scripted(f"{GOOD}{turn}\n{horse}")).plan(PlanRequest(PROMPT)))
    assert isinstance(events[-1], Done)
    assert "horse" not in descriptions(events[-1].panel)
    heard = "".join(event.text for event in events if isinstance(event, Delta))
    assert len(heard) < len(GOOD) + 30


def test_what_is_wrong_goes_back_to_the_model() -> None:
    backend = Scripted(ONE_APPLE, GOOD)
    done = planned(backend)
    assert descriptions(done.panel).count("red apple") == 2
    assert done.report.asked == 2
    complaint = backend.chats[1].messages[-1].text
    assert "apple" in complaint
    assert "2" in complaint
    assert backend.chats[1].messages[-2].text == ONE_APPLE


def test_of_wrong_plans_the_least_wrong_is_kept_and_told() -> None:
    horse = layout(("horse", [650, 350, 900, 650]))
    done = planned(Scripted(horse, ONE_APPLE, horse))
    assert descriptions(done.panel) == ["red apple", "green pear"]
    assert done.report.asked == 3
    assert any("still wrong" in note and "apple" in note for note in done.report.notes)


def test_what_is_no_plan_is_asked_for_again_and_then_planned_without() -> None:
    backend = Scripted("I cannot help with that.", "", "[]")
    done = planned(backend)
    assert len(backend.chats) == 3
    assert done.report.asked == 3
    assert done.report.fallback
    assert descriptions(done.panel) == descriptions(finish(BuiltinPlanner().plan(PlanRequest(PROMPT))).panel)


def test_a_server_that_fails_is_not_asked_again() -> None:
    backend = Scripted(PlannerError("there is no server at http://127.0.0.1:1"))
    done = planned(backend)
    assert len(backend.chats) == 1
    assert done.report.fallback == "there is no server at http://127.0.0.1:1"
    with pytest.raises(PlannerError, match="no server"):
        planned(Scripted(PlannerError("there is no server")), fallback=None)


def test_an_error_of_ours_costs_no_plan(caplog: pytest.LogCaptureFixture) -> None:
    done = planned(Scripted(ZeroDivisionError("oh")))
    assert "ZeroDivisionError" in done.report.fallback
    assert done.panel.elements
    assert "the planner failed" in caplog.text


def test_the_number_of_corrections_is_bounded() -> None:
    backend = Scripted(*[ONE_APPLE] * 9)
    planned(backend, manner=Manner(asks_again=0))
    assert len(backend.chats) == 1
    planned(backend, manner=Manner(asks_again=4))
    assert len(backend.chats) == 6


@pytest.mark.parametrize("after", [0, 3])
def test_cancelling_ends_it(after: int) -> None:
    backend = Scripted(GOOD, GOOD)
    texts: list[str] = []
    events: list[Event] = []
    planner = LanguagePlanner(backend, fallback=BuiltinPlanner())
    for event in planner.plan(PlanRequest(PROMPT), lambda: len(texts) >= after):
        events.append(event)
        if isinstance(event, Delta):
            texts.append(event.text)
    assert len(texts) == after
    assert events[-1] == Failed("planning was cancelled", cancelled=True)
    assert len(backend.chats) == 1


def test_in_regions_it_asks_for_words_and_reads_the_ratio() -> None:
    reply = (
        "Recaption:\n- moon: a pale moon\nPlan: the moon is above.\n"
        "**Final split ratio:** 1;2,1,1\n"
        "**Regional Prompt:** a pale moon BREAK a red fox BREAK a white rabbit"
    )
    backend = Scripted(reply)
    done = planned(backend, "a red fox and a white rabbit under a pale moon", manner=Manner(style="regions"))
    assert backend.chats[0].schema is None
    assert "BREAK" in backend.chats[0].messages[0].text
    assert descriptions(done.panel) == ["a pale moon", "a red fox", "a white rabbit"]
    assert done.panel.elements[1].box.x1 == pytest.approx(0.5)
    assert done.panel.elements[1].box.y0 == pytest.approx(1 / 3)


def test_edits_are_asked_for_as_json_in_either_style() -> None:
    backend = Scripted(layout(("a red hat", [0, 0, 1000, 500])))
    asking = LanguagePlanner(backend, manner=Manner(style="regions"))
    before = Panel(elements=(Element(id="e1", description="a hat", box=Box(0, 0, 1, 0.5)),))
    assert descriptions(finish(asking.edit(EditRequest(before, "make it red"))).panel) == ["a red hat"]
    assert backend.chats[0].schema is not None


def test_asking_again_is_never_colder_than_asked() -> None:
    backend = Scripted("no", "no", "no")
    planned(backend, manner=Manner(temperature=1.6))
    assert [chat.temperature for chat in backend.chats] == [1.6, 1.6, 1.6]


def test_a_reply_without_regions_is_told_how_regions_are_written() -> None:
    backend = Scripted("I see a fox.", "no", "no")
    planned(backend, manner=Manner(style="regions"))
    complaint = backend.chats[1].messages[-1].text
    assert "Final split ratio" in complaint
    assert "JSON" not in complaint


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("/home/me/models/m.gguf", "m.gguf"),
        ("C:\\models\\m.gguf", "m.gguf"),
        ("org/model:8b", "org/model:8b"),
    ],
)
def test_panels_do_not_tell_where_models_lie(model: str, name: str) -> None:
    backend = Scripted(GOOD)
    backend.model = model
    assert planned(backend).panel.provenance.model == name


def test_chinese_prompts_are_asked_about_in_chinese() -> None:
    backend = Scripted(layout(("红苹果", [50, 400, 250, 600]), ("绿梨", [650, 350, 900, 650])))
    done = planned(backend, "一个红苹果在一个绿梨的左边")
    assert "画布" in backend.chats[0].messages[0].text
    assert descriptions(done.panel) == ["红苹果", "绿梨"]
    assert done.report.asked == 1


def test_a_picture_goes_with_the_prompt() -> None:
    backend = Scripted(GOOD)
    list(LanguagePlanner(backend).plan(PlanRequest(PROMPT, picture=b"\x89PNG...")))
    pictures = [message.picture for message in backend.chats[0].messages]
    assert pictures[-1] == b"\x89PNG..."
    assert not any(pictures[:-1])


def test_the_users_prompt_files_stand_in_for_ours(tmp_path: Path) -> None:
    (tmp_path / "plan_en.md").write_text("# user\nDraw {{prompt}} {{unknown}} on {{canvas}}\n", "utf-8")
    backend = Scripted(GOOD)
    planned(backend, prompts=Prompts(tmp_path))
    assert [m.text for m in backend.chats[0].messages] == [f"Draw {PROMPT} {{{{unknown}}}} on 3:2"]
    (tmp_path / "plan_en.md").write_text("no headings", "utf-8")
    with pytest.raises(InputError, match="must have headings"):
        Prompts(tmp_path).messages("plan", "x", {})
    done = planned(Scripted(), prompts=Prompts(tmp_path))
    assert "must have headings" in done.report.fallback


@pytest.mark.parametrize("purpose", ["plan", "regions", "edit", "again"])
@pytest.mark.parametrize("words", ["a cat", "一只猫"])
def test_our_prompt_files_leave_no_field_open(purpose: Any, words: str) -> None:
    fields = {"prompt": words, "canvas": "1:1", "panel": "{}", "instruction": words, "problem": "p"}
    turns = Prompts().messages(purpose, words, fields)
    assert not any("{{" in turn.text for turn in turns)
    assert turns[-1].role == "user"
    assert all(first.role != second.role for first, second in itertools.pairwise(turns))


class TestCache:
    def test_a_good_reply_is_asked_for_once(self, tmp_path: Path) -> None:
        cache = ReplyCache(tmp_path)
        assert planned(Scripted(ONE_APPLE, GOOD), cache=cache).report.asked == 2
        again = planned(Scripted(), cache=cache)
        assert again.report.asked == 0
        assert again.report.cached
        assert descriptions(again.panel) == ["red apple", "red apple", "green pear"]

    def test_another_question_or_model_is_another_entry(self, tmp_path: Path) -> None:
        cache = ReplyCache(tmp_path)
        planned(Scripted(GOOD), cache=cache)
        other = Scripted(GOOD)
        other.identity = "parrot abroad"
        planned(other, cache=cache)
        planned(Scripted(GOOD), cache=cache, manner=Manner(temperature=0.9))
        assert len(list(tmp_path.glob("*.txt"))) == 3

    def test_bad_replies_are_not_kept(self, tmp_path: Path) -> None:
        planned(Scripted("no", "no", ONE_APPLE), cache=ReplyCache(tmp_path))
        assert not list(tmp_path.iterdir())

    def test_the_longest_unused_goes_when_it_is_full(self, tmp_path: Path) -> None:
        cache = ReplyCache(tmp_path, most_bytes=250)
        backend, chats = Scripted(), [Chat((), temperature=t / 10) for t in range(4)]
        for n, chat in enumerate(chats[:2]):
            cache.put(backend, chat, str(n) * 100)
        assert cache.get(backend, chats[0]) == "0" * 100
        cache.put(backend, chats[2], "2" * 100)
        assert cache.get(backend, chats[1]) is None
        assert cache.get(backend, chats[0]) == "0" * 100
        cache.put(backend, chats[3], "3" * 1000)
        assert [path.stat().st_size for path in tmp_path.iterdir()] == [1000]

    def test_a_folder_that_cannot_be_written_costs_nothing(self, tmp_path: Path) -> None:
        blocked = tmp_path / "file"
        blocked.write_text("x")
        assert planned(Scripted(GOOD), cache=ReplyCache(blocked / "in")).report.asked == 1


def element(number: int, description: str, x0: float, **fields: Any) -> Element:
    return Element(id=f"e{number}", description=description, box=Box(x0, 0.40004, x0 + 0.2, 0.8), **fields)


PANEL = Panel(
    base="a meadow",
    elements=(
        element(1, "brown dog", 0.1, locked=True, seed=5),
        element(2, "white cat", 0.4, lora=(Lora("ink", 0.5),), colors=("#ffffff",)),
        element(3, "tree", 0.7),
    ),
)


def edited(reply: str, instruction: str = "change it", **how: Any) -> Done:
    return finish(LanguagePlanner(Scripted(*[reply] * 3), **how).edit(EditRequest(PANEL, instruction)))


class TestEditing:
    def test_what_the_model_copies_stays_bit_identical(self) -> None:
        reply = layout(
            ("brown dog", [100, 400, 300, 800]), ("white cat", [400, 400, 600, 800]), base="a meadow"
        )
        done = edited(reply, "remove the tree")
        assert done.panel.elements == PANEL.elements[:2]
        assert done.panel.provenance.edited
        assert any("tree" in note for note in done.report.notes)

    def test_what_it_changes_keeps_what_it_has_not_seen(self) -> None:
        reply = layout(
            ("brown dog", [100, 400, 300, 800]),
            ("black cat", [500, 400, 600, 500]),
            ("tree", [700, 400, 900, 800]),
            ("red ball", [0, 900, 100, 1000]),
            base="a beach",
        )
        panel = edited(reply).panel
        cat = panel.find("e2")
        assert cat is not None
        assert (cat.description, cat.box, cat.colors) == ("black cat", Box(0.5, 0.4, 0.6, 0.5), ())
        assert cat.lora == PANEL.elements[1].lora
        assert panel.elements[3].description == "red ball"
        assert panel.base == "a beach"
        assert panel.elements[0] == PANEL.elements[0]

    @pytest.mark.parametrize(
        "dog", [("black dog", [100, 400, 300, 800]), ("brown dog", [600, 0, 800, 300]), None]
    )
    def test_locked_elements_stay_whatever_it_says(self, dog: Any) -> None:
        others = [("white cat", [100, 400, 300, 800]), ("tree", [700, 400, 900, 800])]
        listed = [("e1", *dog)] if dog else []
        listed += [("e2", *others[0]), ("e3", *others[1])]
        reply = json.dumps(
            {
                "base": "a meadow",
                "negative": "",
                "elements": [{"id": i, "description": d, "box": b} for i, d, b in listed],
            }
        )
        done = edited(reply)
        assert done.panel.find("e1") == PANEL.elements[0]
        assert any("locked" in note for note in done.report.notes)

    def test_when_nothing_changes_it_asks_again_and_then_helps_itself(self) -> None:
        same = layout(
            *(
                (e.description, [round(v * 1000) for v in (e.box.x0, 0.4, e.box.x1, 0.8)])
                for e in PANEL.elements
            ),
            base="a meadow",
        )
        backend = Scripted(same, same, same)
        planner = LanguagePlanner(backend, fallback=BuiltinPlanner())
        done = finish(planner.edit(EditRequest(PANEL, "remove the tree")))
        assert "nothing was changed" in backend.chats[1].messages[-1].text
        assert "nothing was changed" in done.report.fallback
        assert descriptions(done.panel) == ["brown dog", "white cat"]

    def test_the_model_sees_the_users_own_edits(self) -> None:
        backend = Scripted(layout(("brown dog", [100, 400, 300, 800])))
        finish(LanguagePlanner(backend).edit(EditRequest(PANEL, "only the dog")))
        shown = backend.chats[0].messages[-1].text
        assert '"white cat"' in shown
        assert '"locked": true' in shown or '"locked":true' in shown
        assert "only the dog" in shown


@given(
    before=panels(),
    after=panels(),
    locks=st.lists(st.booleans(), min_size=4, max_size=4),
    share=st.booleans(),
)
def test_whatever_a_model_makes_of_a_panel_locked_elements_are_identical(
    before: Panel, after: Panel, locks: list[bool], share: bool
) -> None:
    elements = tuple(
        with_fields(element, locked=lock) for element, lock in zip(before.elements, locks, strict=False)
    )
    before = with_fields(before, elements=elements)
    if share:
        renamed = {
            element.id: with_fields(element, id=old.id)
            for element, old in zip(after.elements, before.elements, strict=False)
        }
        after = with_fields(after, elements=tuple(renamed.values()))
    panel, _ = merged(before, after)
    for element in before.elements:
        if element.locked:
            assert panel.find(element.id) == element
    assert len({element.id for element in panel.elements}) == len(panel.elements)
    assert merged(before, before) == (before, ())
