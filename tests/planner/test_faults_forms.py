"""A server that refuses a part of the request is asked again without it, once for all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lib_ranni.planner.llm.backend import Chat, Message
from lib_ranni.planner.protocol import never
from tests.planner.asking import asked, assert_nothing_left, backend, fault
from tests.planner.fault_server import fault_server, refuse, reply_json, stream

SCHEMA = {"type": "object", "properties": {"base": {"type": "string"}}}
PANEL = Chat((Message("user", "a ball"),), schema=SCHEMA, seed=7, max_tokens=64)


@pytest.fixture(autouse=True)
def _nothing_left_behind(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert_nothing_left(caplog)


def test_from_schema_to_tool_to_words() -> None:
    refusal = refuse("400 Bad Request", "response_format json_schema is not supported")
    no_tools = refuse("400 Bad Request", "tools are not supported")
    with fault_server(refusal, no_tools, stream("{}")) as server:
        model = backend(server.url)
        assert "".join(model.stream(PANEL, never)) == "{}"
        assert "".join(model.stream(PANEL, never)) == "{}"
    first, second, third, later = server.chats
    assert first["response_format"]["json_schema"]["schema"] == SCHEMA
    assert second["tools"][0]["function"]["parameters"] == SCHEMA
    assert "response_format" not in second
    assert not {"response_format", "tools", "tool_choice"} & third.keys()
    assert later == third


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        ("Unrecognized request argument supplied: seed", {"seed"}),
        ("'temperature' does not support 0.2 with this model", {"temperature"}),
        ("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", {"max_tokens"}),
    ],
)
def test_a_parameter_is_left_out(words: str, gone: set[str]) -> None:
    with fault_server(refuse("400 Bad Request", words), stream("{}")) as server:
        assert asked(server, PANEL) == "{}"
        first, second = server.chats
    assert first.keys() - second.keys() == gone
    assert second["response_format"] == first["response_format"]
    if "max_tokens" in gone:
        assert second["max_completion_tokens"] == first["max_tokens"] == 64


def test_a_server_that_refuses_everything_is_given_up() -> None:
    for words in ("seed max_tokens response_format tools temperature stream", "no"):
        with fault_server(refuse("422 Unprocessable Entity", words)) as server:
            assert words in fault(server, PANEL)
            assert len(server.chats) <= 10


def test_validation_as_fastapi_tells_it() -> None:
    detail = [{"loc": ["body", "response_format"], "msg": "extra fields not permitted"}]
    with fault_server(reply_json({"detail": detail}, "422 x"), stream("{}")) as server:
        assert asked(server, PANEL) == "{}"
        assert "tools" in server.chats[1]
