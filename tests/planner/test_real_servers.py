"""The OpenAI-compatible backend against real servers of a small model, where they are installed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from lib_ranni.errors import PlannerError
from lib_ranni.planner.llm.backend import Chat, Message
from lib_ranni.planner.llm.openai import OpenAIBackend
from lib_ranni.planner.llm.servers import Server
from lib_ranni.planner.protocol import never
from tests.planner.servers import running_server

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "color": {"enum": ["red", "blue"]},
        "box": {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4},
    },
    "required": ["color", "box"],
    "additionalProperties": False,
}


def chat(text: str, **settings: Any) -> Chat:
    return Chat((Message("user", text),), **{"max_tokens": 64, "temperature": 0.0, **settings})


@pytest.fixture(scope="module")
def llama_cpp() -> Iterator[OpenAIBackend]:
    """llama-cpp-python streams, and holds replies to a schema, though not where OpenAI has it."""
    with running_server("llama-cpp-python") as url:
        yield OpenAIBackend(Server(url, read_timeout=60.0, retries=0))


@pytest.fixture
def cyllama() -> Iterator[OpenAIBackend]:
    """cyllama takes every request, ignores most of it, and answers in one piece."""
    with running_server("cyllama") as url:
        yield OpenAIBackend(Server(url, read_timeout=60.0, retries=0))


def test_a_text_arrives_in_pieces(llama_cpp: OpenAIBackend) -> None:
    pieces = [piece for piece in llama_cpp.stream(chat("Name three colors.", max_tokens=24), never) if piece]
    assert len(pieces) >= 5
    assert max(map(len, pieces)) < len("".join(pieces)) / 2


def test_the_model_is_looked_up(llama_cpp: OpenAIBackend) -> None:
    (model,) = llama_cpp.models()
    assert model.endswith(".gguf")
    assert "".join(llama_cpp.stream(chat("Hello!", max_tokens=2), never))
    assert llama_cpp.model == model


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_a_reply_keeps_to_its_schema(llama_cpp: OpenAIBackend, temperature: float) -> None:
    """Also where the model would rather say something else."""
    question = chat("Sing a song about the sea.", schema=SCHEMA, temperature=temperature, seed=1)
    reply = "".join(llama_cpp.stream(question, never))
    jsonschema.validate(json.loads(reply), SCHEMA)


def test_a_seed_decides_the_reply(llama_cpp: OpenAIBackend) -> None:
    def told(seed: int) -> str:
        question = chat("Tell me a story.", temperature=1.5, seed=seed, max_tokens=12)
        return "".join(llama_cpp.stream(question, never))

    told(1)
    first, again, other = told(1), told(1), told(2)
    assert first == again != other


def test_the_server_is_free_again_after_a_cancelled_reply(llama_cpp: OpenAIBackend) -> None:
    read: list[str] = []
    for piece in llama_cpp.stream(chat("Tell me a long story.", max_tokens=3000), lambda: len(read) > 3):
        read.append(piece)
    begin = time.monotonic()
    assert "".join(llama_cpp.stream(chat("Hello!", max_tokens=2), never))
    # The rest of the story would have taken half a minute.
    assert time.monotonic() - begin < 15


def test_a_prompt_that_is_too_long(llama_cpp: OpenAIBackend) -> None:
    """This server then ends the stream without a word."""
    with pytest.raises(PlannerError, match="nothing"):
        list(llama_cpp.stream(chat("word " * 6000), never))


def test_two_at_once(llama_cpp: OpenAIBackend) -> None:
    replies: list[str] = []

    def ask() -> None:
        replies.append("".join(llama_cpp.stream(chat("Name three colors.", max_tokens=16), never)))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(replies) == 2
    assert all(replies)


def test_a_server_that_does_not_stream(cyllama: OpenAIBackend) -> None:
    assert cyllama.models() == ("gpt-3.5-turbo",)
    question = chat("Plan a picture of a red ball. Answer with JSON.", schema=SCHEMA)
    (reply,) = cyllama.stream(question, never)
    assert len(reply) > 20


def test_a_server_that_has_nothing_more_to_say(cyllama: OpenAIBackend) -> None:
    """This one answers every request after its first with an empty text."""
    assert "".join(cyllama.stream(chat("Hello!", max_tokens=4), never))
    with pytest.raises(PlannerError, match="the model wrote nothing"):
        list(cyllama.stream(chat("Hello again!", max_tokens=4), never))
