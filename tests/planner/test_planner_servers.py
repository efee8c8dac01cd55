"""The planner with real servers of a small model, where they are installed: there is always a plan."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest

from lib_ranni.panel.reading import check
from lib_ranni.panel.types import Panel
from lib_ranni.panel.writing import to_document
from lib_ranni.planner.builtin.planner import BuiltinPlanner
from lib_ranni.planner.llm.manner import Manner
from lib_ranni.planner.llm.openai import OpenAIBackend
from lib_ranni.planner.llm.planner import LanguagePlanner
from lib_ranni.planner.llm.servers import Server
from lib_ranni.planner.protocol import (
    Delta,
    Done,
    EditRequest,
    ElementReady,
    Event,
    Failed,
    PlanRequest,
    finish,
)
from tests.planner.fault_server import fault_server, refuse, reply_json, stream
from tests.planner.servers import running_server

PROMPTS = ("a red apple to the left of a green pear", "three sheep on a hill")


@pytest.fixture(scope="module")
def llama_cpp() -> Iterator[str]:
    """llama-cpp-python streams, and holds replies to the schema through a tool call."""
    with running_server("llama-cpp-python") as url:
        yield url


@pytest.fixture
def cyllama() -> Iterator[str]:
    """cyllama knows no schema, answers in one piece, and only once; then with an empty text."""
    with running_server("cyllama") as url:
        yield url


@pytest.fixture(params=["cyllama", "llama_cpp"])
def url(request: pytest.FixtureRequest) -> str:
    """The address of either."""
    return str(request.getfixturevalue(request.param))


def planner_at(url: str, tokens: int = 64, asks_again: int = 0) -> LanguagePlanner:
    manner = Manner(max_tokens=tokens, asks_again=asks_again)
    backend = OpenAIBackend(Server(url, read_timeout=60.0, retries=0))
    return LanguagePlanner(backend, manner=manner, fallback=BuiltinPlanner())


def plan_of(events: list[Event]) -> Done:
    """The plan at the end of the events, which is flawless, and the only end among them."""
    done = events[-1]
    assert isinstance(done, Done)
    assert not any(isinstance(event, (Done, Failed)) for event in events[:-1])
    assert isinstance(check(to_document(done.panel)), Panel)
    assert done.panel.elements
    assert "please report" not in done.report.fallback
    return done


def test_every_prompt_gets_its_plan(url: str) -> None:
    planner = planner_at(url)
    for seed, prompt in enumerate(PROMPTS):
        done = plan_of(list(planner.plan(PlanRequest(prompt, 1.5, seed))))
        assert done.report.asked == 1
        assert done.panel.aspect == 1.5
        assert done.panel.provenance.prompt == prompt


def test_the_text_arrives_while_it_is_written(llama_cpp: str) -> None:
    events = list(planner_at(llama_cpp).plan(PlanRequest(PROMPTS[0])))
    plan_of(events)
    texts = [event.text for event in events if isinstance(event, Delta) and event.text]
    assert len(texts) >= 10
    # The server holds it to the schema, whose first name is this.
    assert "".join(texts).lstrip("{ \n").startswith('"base"')


def test_a_whole_reply_is_one_piece(cyllama: str) -> None:
    events = list(planner_at(cyllama).plan(PlanRequest(PROMPTS[0])))
    plan_of(events)
    assert len([event for event in events if isinstance(event, Delta)]) == 1


def test_asking_again_ends(url: str) -> None:
    done = plan_of(list(planner_at(url, tokens=16, asks_again=2).plan(PlanRequest(PROMPTS[0]))))
    assert 2 <= done.report.asked <= 3
    assert done.report.fallback


def test_cancelling_in_the_middle(url: str) -> None:
    """Where nothing is streamed, while the reply is waited for."""
    begin = time.monotonic()
    texts: list[str] = []
    since: list[float] = []

    def cancelled() -> bool:
        if not since and (texts or time.monotonic() > begin + 0.5):
            since.append(time.monotonic())
        return bool(since)

    events: list[Event] = []
    for event in planner_at(url, tokens=200).plan(PlanRequest(PROMPTS[1]), cancelled):
        events.append(event)
        if isinstance(event, Delta):
            texts.append(event.text)
    assert time.monotonic() - since[0] < 1
    assert events[-1] == Failed("planning was cancelled", cancelled=True)


def test_another_planner_at_the_same_server(url: str) -> None:
    done = [plan_of(list(planner_at(url).plan(PlanRequest(PROMPTS[0], seed=1)))) for _ in range(2)]
    if done[1].report.fallback:
        assert done[1].panel.elements == finish(BuiltinPlanner().plan(PlanRequest(PROMPTS[0]))).panel.elements


def test_an_edit(url: str) -> None:
    before = finish(BuiltinPlanner().plan(PlanRequest(PROMPTS[0]))).panel
    done = plan_of(list(planner_at(url).edit(EditRequest(before, "remove the pear"))))
    assert done.panel != before


def test_eight_threads_share_a_planner(url: str) -> None:
    planner = planner_at(url, tokens=16)
    courses: dict[int, list[Event]] = {}

    def plan(number: int) -> None:
        courses[number] = list(planner.plan(PlanRequest(f"{number + 2} red balls", seed=number)))

    threads = [threading.Thread(target=plan, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert sorted(courses) == list(range(8))
    for number, events in courses.items():
        assert plan_of(events).panel.provenance.prompt == f"{number + 2} red balls"


def test_a_server_that_gives_out_costs_no_plan_that_is_there() -> None:
    """One that the model has wrong is better than none by it."""
    one = {"id": "e1", "description": "red ball", "box": [100, 100, 400, 400]}
    reply = json.dumps({"base": "", "negative": "", "elements": [one]})
    with fault_server(stream(reply), refuse("429 Too Many Requests", "no credit left")) as server:
        done = plan_of(list(planner_at(server.url, asks_again=2).plan(PlanRequest("two red balls"))))
        assert len(server.chats) == 2
    assert done.report.fallback == ""
    assert [element.description for element in done.panel.elements] == ["red ball"]
    assert any("no credit left" in note for note in done.report.notes)
    assert any("still wrong" in note for note in done.report.notes)


def test_elements_are_shown_where_they_will_be() -> None:
    """Also those that a model places in pixels of a canvas that is no square."""
    box = {"description": "red ball", "box": [0, 0, 1536, 1024]}
    with fault_server(stream(json.dumps({"base": "", "elements": [box]}))) as server:
        events = list(planner_at(server.url).plan(PlanRequest("a red ball", 1.5)))
    (shown,) = (event.element.box for event in events if isinstance(event, ElementReady))
    assert [shown] == [element.box for element in plan_of(events).panel.elements]


def test_names_and_prompts_of_any_length() -> None:
    ball = {"description": "red ball", "box": [0, 0, 500, 500]}
    models = reply_json({"data": [{"id": "m" * 50_000}]})
    with fault_server(stream(json.dumps({"base": "", "elements": [ball]})), models=models) as server:
        done = plan_of(list(planner_at(server.url).plan(PlanRequest("a red ball " * 2000))))
    assert done.report.fallback == ""
    assert done.panel.provenance.prompt.startswith("a red ball a red ball")
