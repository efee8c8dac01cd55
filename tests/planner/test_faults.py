"""What a server can do wrong: each fault has its own message, in time, and none shows the key."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate

import pytest

from lib_ranni.errors import PlannerError
from lib_ranni.planner.llm.backend import Chat, Message
from lib_ranni.planner.llm.openai import OpenAIBackend
from lib_ranni.planner.llm.servers import Server
from lib_ranni.planner.protocol import never
from tests.planner.asking import HELLO, asked, assert_nothing_left, backend, endless_pings, fault
from tests.planner.fault_server import (
    DONE,
    STREAM,
    Connection,
    Play,
    black_hole,
    completion,
    event,
    fault_server,
    head,
    raw,
    refuse,
    reply,
    reply_json,
    stream,
    unused_port,
)


@pytest.fixture(autouse=True)
def _nothing_left_behind(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert_nothing_left(caplog)


def endless(connection: Connection) -> None:
    connection.send(STREAM)
    while True:
        connection.send(event("more and " * 1000))


FIFTY_MB = b'{"choices": [' + b" " * 50_000_000 + b"]}"
TLS_ALERT = b"\x15\x03\x03\x00\x02\x02\x28"

FAULTS: dict[str, tuple[Play, str]] = {
    "no first byte": (raw(20.0), "sent nothing for 0.5 s"),
    "silence after the head": (raw(STREAM, 20.0), "sent nothing for 0.5 s"),
    "silence in the middle": (raw(STREAM, event("a"), 20.0), "sent nothing for 0.5 s"),
    "a byte a second": (raw(STREAM, b"d", 1.0, b"a", 1.0, b"t"), "sent nothing for 0.5 s"),
    "closes at once": (raw(), "closed the connection"),
    "closes in the head": (raw(b"HTTP/1.1 200 OK\r\nContent-Ty"), "closed the connection"),
    "closes in the body": (
        raw(head(Content_Length="500"), b'{"choices": [{"mess'),
        "broke off",
    ),
    "closes in a chunk": (
        raw(head(kind="text/event-stream", Transfer_Encoding="chunked"), b"40\r\ndata: {"),
        "broke off",
    ),
    "chunks without lengths": (
        raw(head(kind="text/event-stream", Transfer_Encoding="chunked"), b"zz\r\nnonsense\r\n\r\n"),
        "broke off",
    ),
    "TLS": (raw(TLS_ALERT), "does not speak HTTP"),
    "not HTTP": (raw(b"220 mail.example ESMTP\r\n"), "does not speak HTTP"),
    "a head without end": (raw(b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 200_000), "does not speak HTTP"),
    "a web page": (reply(b"<html>Welcome</html>", kind="text/html"), "text/html instead of JSON"),
    "no JSON": (reply(b"{'choices': nothing}"), "not JSON"),
    "half of a UTF-8 character": (reply(b'{"choices": "\xe2\x82'), "not JSON"),
    "JSON nested deep": (reply(b"[" * 100_000), "not JSON"),
    "an event that is no JSON": (raw(STREAM, b"data: hello\n\n", DONE), "not JSON"),
    "an empty body": (reply(b""), "not JSON"),
    "an empty stream": (raw(STREAM), "wrote nothing"),
    "only [DONE]": (raw(STREAM, DONE), "wrote nothing"),
    "JSON that is no reply": (reply_json(["hello"]), "not a chat completion"),
    "an error in a good state": (reply_json({"error": {"message": "out of memory"}}), "out of memory"),
    "an error in the stream": (raw(STREAM, event("a"), b'data: {"error": "lost"}\n\n'), "error: lost"),
    "no choices": (reply_json({"object": "list", "data": []}), "no choices"),
    "empty choices": (reply_json({"choices": []}), "wrote nothing"),
    "no content": (completion(None), "wrote nothing"),
    "no tokens left": (completion("", "length"), "allow more tokens"),
    "no tokens left in the stream": (raw(STREAM, event("", "length"), DONE), "used all of its tokens"),
    "the content filter": (completion("", "content_filter"), "content filter"),
    "the content filter in the stream": (raw(STREAM, event("a"), event("", "content_filter")), "filter"),
    "a refusal": (completion(None, refusal="I cannot draw that"), "refuses: I cannot draw that"),
    "a refusal in the stream": (raw(STREAM, event("", refusal="I cannot")), "refuses: I cannot"),
    "a bad request": (refuse("400 Bad Request", "context length exceeded"), "context length exceeded"),
    "a wrong key": (refuse("401 Unauthorized", "no such key"), "refuses the key (401: no such key)"),
    "a key without rights": (refuse("403 Forbidden", "not yours"), "check the key"),
    "a wrong route": (refuse("404 Not Found", "Not Found"), "end in /v1"),
    "an unknown model": (refuse("404 Not Found", "model 'first' not found"), "model 'first' not found"),
    "too slow for the server": (refuse("408 Request Timeout", "slow"), "(408: slow)"),
    "too large": (refuse("413 Payload Too Large", "huge"), "the prompt is too long"),
    "too many requests": (refuse("429 Too Many Requests", "slow down"), "too many requests (slow down)"),
    "a fault of the server": (refuse("500 Internal Server Error", "oops"), "fault of its own (500: oops)"),
    "a proxy's page": (reply(b"<html>", "502 Bad Gateway", "text/html"), "(502: a web page)"),
    "an error without words": (reply(b"", "503 Service Unavailable", "text/plain"), "no reason given"),
    "an error of binary data": (reply(b"\xff\xfe\x00", "418 Teapot", ""), "refuses the request (418"),
    "50 MB": (reply(FIFTY_MB), "far too long"),
    "an endless stream": (endless, "far too long"),
    "an endless wait": (endless_pings, "more than 5 s"),
    "a gzip bomb": (
        reply(gzip.compress(FIFTY_MB), Content_Encoding="gzip"),
        "compresses its replies unasked",
    ),
    "a gzip bomb as an error": (
        reply(gzip.compress(FIFTY_MB), "500 Internal Server Error", Content_Encoding="gzip"),
        "fault of its own",
    ),
    "sent on to nowhere": (reply(b"", "302 Found"), "refuses the request (302"),
    "a broken address to go to": (reply(b"", "307 Temporary Redirect", Location="http://a:b/"), "location"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_says_what_it_is(name: str) -> None:
    play, words = FAULTS[name]
    with fault_server(play) as server:
        begin = time.monotonic()
        message = fault(server)
        assert words in message
        # The longest wait that any of them may cost, with room for a busy machine.
        assert time.monotonic() - begin < 8
        assert len(server.chats) == 1


def test_what_a_server_says_is_quoted_in_one_short_line() -> None:
    with fault_server(refuse("418 Teapot", "long\n\t\x1b[31m " * 10_000)) as server:
        message = fault(server)
    assert len(message) < 500
    assert message.isprintable()


WELL: dict[str, tuple[Play, str]] = {
    "pieces": (stream("a", " red", " ball"), "a red ball"),
    "a slow first byte": (raw(0.3, STREAM, event("a"), DONE), "a"),
    "a slow reply": (stream("a", " red", " ball", pause=0.3), "a red ball"),
    "a slow drip": (raw(STREAM, *[part for byte in event("ab") for part in (bytes([byte]), 0.002)]), "ab"),
    "one JSON reply instead of a stream": (completion("a ball"), "a ball"),
    "JSON without a content type": (reply(b'{"choices": [{"message": {"content": "a"}}]}', kind=""), "a"),
    "comments and pings": (raw(STREAM, b": ping\n\n", event("a"), b": ping\n\n", event("b"), DONE), "ab"),
    "CRLF": (raw(STREAM, (event("a") + event("b") + DONE).replace(b"\n", b"\r\n")), "ab"),
    "named events": (raw(STREAM, b"event: message\nid: 1\nretry: 10\n" + event("a"), DONE), "a"),
    "data over several lines": (
        raw(STREAM, b'data: {"choices": [\ndata: {"delta": {"content": "a"}}\ndata: ]}\n\n', DONE),
        "a",
    ),
    "no space after data": (raw(STREAM, event("a").replace(b"data: ", b"data:"), b"data:[DONE]\n\n"), "a"),
    "no [DONE]": (raw(STREAM, event("a"), event("b", "stop")), "ab"),
    "a stream that just ends": (raw(STREAM, event("a"), event("b")), "ab"),
    "more after [DONE]": (raw(STREAM, event("a"), DONE, event("b")), "a"),
    "open after [DONE]": (raw(STREAM, event("a"), DONE, 20.0), "a"),
    "usage at the end": (raw(STREAM, event("a"), b'data: {"choices": [], "usage": {}}\n\n', DONE), "a"),
    "a cut reply": (raw(STREAM, event("a", "length"), DONE), "a"),
    "a character in two packets": (
        raw(STREAM, b'data: {"choices": [{"delta": {"content": "\xe7', 0.1, b'\x90\x83"}}]}\n\n', DONE),
        "球",
    ),
    "bytes that are no UTF-8": (
        raw(STREAM, b'data: {"choices": [{"delta": {"content": "a\xffb"}}]}\n\n', DONE),
        "a\ufffdb",
    ),
    "separators that JSON allows": (
        raw(STREAM, 'data: {"choices": [{"delta": {"content": "a\u2028b\u0085c"}}]}\n\n'.encode(), DONE),
        "a\u2028b\u0085c",
    ),
    "a tool call": (completion(None, "tool_calls", tool_calls=[{"function": {"arguments": "{}"}}]), "{}"),
    "a tool call in pieces": (
        raw(
            STREAM,
            event("", tool_calls=[{"function": {"name": "write_panel", "arguments": ""}}]),
            event("", tool_calls=[{"function": {"arguments": '{"a"'}}]),
            event("", tool_calls=[{"function": {"arguments": ": 1}"}}]),
            DONE,
        ),
        '{"a": 1}',
    ),
    "parts of content": (completion([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "ab"),
    "chunked": (
        raw(
            head(kind="text/event-stream", Transfer_Encoding="chunked"),
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(event("a")), event("a")),
        ),
        "a",
    ),
}


@pytest.mark.parametrize("name", WELL)
def test_what_is_well_meant_is_read(name: str) -> None:
    play, text = WELL[name]
    with fault_server(play) as server:
        assert asked(server) == text


def test_text_arrives_in_pieces_as_it_is_sent() -> None:
    gate = threading.Event()

    def play(connection: Connection) -> None:
        connection.send(STREAM + event("first"))
        assert gate.wait(10)
        connection.send(event(" second") + DONE)

    with fault_server(play) as server:
        pieces = backend(server.url, read_timeout=10.0, total_timeout=20.0).stream(HELLO, never)
        assert next(pieces) == "first"
        gate.set()
        assert "".join(pieces) == " second"


def test_no_server_and_no_way_to_it() -> None:
    nowhere = f"http://127.0.0.1:{unused_port()}/v1"
    with pytest.raises(PlannerError, match=r"there is no server at http://127\.0\.0\.1"):
        list(backend(nowhere).stream(HELLO, never))
    with black_hole() as url, pytest.raises(PlannerError, match=r"cannot be reached within 0\.5 s"):
        list(backend(url, connect_timeout=0.5).stream(HELLO, never))


def test_tls_with_a_server_that_has_none() -> None:
    with fault_server(stream("a")) as server:
        url = server.url.replace("http", "https")
        with pytest.raises(PlannerError, match=r"there is no server at https.*SSL"):
            list(backend(url, connect_timeout=0.5).stream(HELLO, never))
        assert server.requests == []


def test_a_server_of_this_machine_is_not_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with fault_server(stream("stolen")) as proxy, fault_server(stream("a")) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert asked(server) == "a"
        assert proxy.accepted == 0


class TestRetries:
    def test_a_passing_fault_is_tried_again(self) -> None:
        busy = refuse("503 Service Unavailable", "loading model", Retry_After="0")
        with fault_server(busy, busy, stream("well")) as server:
            assert asked(server, retries=2) == "well"
            assert len(server.chats) == 3

    def test_a_closed_connection_is_tried_again(self) -> None:
        with fault_server(raw(), stream("well")) as server:
            assert asked(server, retries=1) == "well"

    @pytest.mark.parametrize("status", ["408 x", "429 x", "500 x", "502 x", "503 x", "504 x"])
    def test_tries_are_bounded(self, status: str) -> None:
        with fault_server(refuse(status, "busy", Retry_After="0")) as server:
            assert "busy" in fault(server, retries=2)
            assert len(server.chats) == 3

    @pytest.mark.parametrize("status", ["400 x", "401 x", "403 x", "404 x", "413 x", "418 x"])
    def test_what_will_not_pass_is_not_tried_again(self, status: str) -> None:
        with fault_server(refuse(status, "no")) as server:
            fault(server, retries=3)
            assert len(server.chats) == 1

    def test_text_that_has_been_shown_is_not_asked_for_twice(self) -> None:
        broken = raw(head(kind="text/event-stream", Content_Length="9000"), event("a"))
        with fault_server(broken, stream("b")) as server:
            assert "broke off" in fault(server, retries=3)
            assert len(server.chats) == 1

    @pytest.mark.parametrize("wait", ["1", "a date", "3600"])
    def test_the_server_says_how_long_to_wait(self, wait: str) -> None:
        if wait == "a date":
            wait = formatdate(time.time() + 600, usegmt=True)
        with fault_server(refuse("429 x", "later", Retry_After=wait), stream("well")) as server:
            if wait == "1":
                begin = time.monotonic()
                assert asked(server, retries=1) == "well"
                assert time.monotonic() - begin >= 0.9
            else:
                assert "asks to wait" in fault(server, retries=1)
                assert len(server.chats) == 1

    @pytest.mark.parametrize("wait", ["soon", "-5", "1e400", "nan", "\xd9\xa3"])
    def test_a_pause_that_is_no_time(self, wait: str) -> None:
        with fault_server(refuse("429 x", "later", Retry_After=wait)) as server:
            assert "too many requests" in fault(server, retries=1)
            assert len(server.chats) <= 2

    def test_all_tries_together_have_a_limit(self) -> None:
        with fault_server(refuse("503 x", "busy", Retry_After="1")) as server:
            message = fault(server, retries=50, total_timeout=1.5)
            assert "more than 1.5 s" in message
            assert len(server.chats) <= 3


class TestModels:
    def test_the_first_model_is_asked_when_none_is_named(self) -> None:
        with fault_server(stream("a")) as server:
            model = OpenAIBackend(Server(server.url))
            assert "".join(model.stream(HELLO, never)) == "a"
            assert model.model == server.chats[0]["model"] == "first"
            assert model.models() == ("first", "second")

    def test_an_unknown_model_is_told_with_those_there_are(self) -> None:
        unknown = refuse("404 Not Found", "The model `third` does not exist")
        with fault_server(unknown) as server, pytest.raises(PlannerError, match="it has first, second"):
            list(OpenAIBackend(Server(server.url, model="third")).stream(HELLO, never))

    @pytest.mark.parametrize(
        ("models", "words"),
        [
            (reply_json({"data": []}), "has no models"),
            (reply_json({"data": 3}), "does not list its models"),
            (reply(b"<html>", kind="text/html"), "not JSON"),
            (refuse("404 Not Found", "Not Found"), "end in /v1"),
        ],
    )
    def test_no_model_to_be_had(self, models: Play, words: str) -> None:
        with fault_server(stream("a"), models=models) as server:
            assert words in fault(server, model="")
            assert server.chats == []


def test_eight_at_once() -> None:
    """Threads share a backend: each gets its own reply, and what one has learned the next ones know."""

    def play(connection: Connection) -> None:
        asked_for = connection.request.document
        if "response_format" in asked_for:
            refuse("400 Bad Request", "response_format is not supported")(connection)
        else:
            stream("you said ", asked_for["messages"][0]["content"], pause=0.05)(connection)

    replies: dict[int, str] = {}
    with fault_server(play) as server:
        model = backend(server.url, read_timeout=10.0, total_timeout=20.0)

        def ask(number: int) -> None:
            chat = Chat((Message("user", f"number {number}"),), schema={"type": "object"})
            replies[number] = "".join(model.stream(chat, never))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert replies == {number: f"you said number {number}" for number in range(8)}
        before = len(server.chats)
        assert before <= 16
        ask(9)
        assert len(server.chats) == before + 1


def test_a_connection_that_was_closed_between_two_requests() -> None:
    """Each reply has its own connection, so one that a server has closed meanwhile is never used."""
    with fault_server(stream("a")) as server:
        model = backend(server.url)
        assert ["".join(model.stream(HELLO, never)) for _ in range(3)] == ["a", "a", "a"]
        assert server.accepted == 3
