"""The part of a page that says which language model is asked: chosen, tried out, kept."""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import gradio as gr
import msgspec

from lib_ranni.errors import PlannerError, RanniError
from lib_ranni.planner.llm.backend import Chat, Message
from lib_ranni.planner.llm.servers import PRESETS, Server
from lib_ranni.service.host import Connection, Host

OWN = "own address"
"""The choice of a server that is none of the known ones."""

_PATIENCE = {"connect_timeout": 5.0, "read_timeout": 60.0, "total_timeout": 90.0, "retries": 0}
"""How long a test waits: a model that has to be loaded first takes a while."""

_QUESTION = Chat((Message("user", "Answer with one word: are you there?"),), temperature=0.0, max_tokens=256)
"""A model that thinks needs some tokens before it writes."""


_MOST_MODELS = 1000


class Trial(NamedTuple):
    """What came of a test: how it went, in words, and the server's models."""

    text: str
    models: tuple[str, ...]


def build(host: Host, identify: Callable[[str], str]) -> None:
    """The accordion; `identify` makes a component's id of its name."""
    with gr.Accordion("Language model", open=False, elem_id=identify("connection")):
        with gr.Row():
            server = gr.Dropdown(
                [*PRESETS, OWN],
                value=lambda: host.connection().server or OWN,
                label="Server",
                elem_id=identify("server"),
            )
            base_url = gr.Textbox(
                value=lambda: host.connection().base_url,
                label="Its address",
                placeholder="empty: the server's usual one",
                max_lines=1,
                elem_id=identify("base_url"),
            )
            model = gr.Dropdown(
                [],
                value=lambda: host.connection().model,
                label="Model",
                allow_custom_value=True,
                elem_id=identify("model"),
            )
        key = gr.Textbox(
            label="Key (kept on this machine, and not shown again)",
            type="password",
            placeholder="empty: the one that is kept",
            elem_id=identify("key"),
        )
        with gr.Row():
            save = gr.Button("Save the connection", size="sm", elem_id=identify("save_connection"))
            test = gr.Button("Test the connection", size="sm", elem_id=identify("test_connection"))
            forget = gr.Button("Forget the key", size="sm", elem_id=identify("forget_key"))
        status = gr.HTML(elem_id=identify("connection_status"))
    values = [server, base_url, model]
    for component in (*values, key, status):
        component.do_not_save_to_config = True
    acts: dict[str, Any] = {"api_name": False, "show_progress": "hidden"}
    save.click(_saving(host), inputs=[*values, key], outputs=[key, status], **acts)
    forget.click(_forgetting(host), inputs=[], outputs=[key, status], **acts)
    test.click(
        _testing(host), inputs=[*values, key], outputs=[model, status], **{**acts, "show_progress": "minimal"}
    )


def connection_of(server: str | None, base_url: str | None, model: str | None) -> Connection:
    """The connection that the components say."""
    name = "" if server == OWN else server or ""
    return Connection(name, (base_url or "").strip(), (model or "").strip())


def try_out(server: Server) -> Trial:
    """Ask a server for its models and for a short reply.

    Raises `PlannerError` whose message says what is wrong.
    """
    from lib_ranni.planner.llm.openai import OpenAIBackend

    asked = msgspec.structs.replace(server, **_PATIENCE)
    models: tuple[str, ...] = ()
    try:
        models = OpenAIBackend(asked).models()
        remark = f"it has {len(models)} model{'s' * (len(models) != 1)}"
    except PlannerError:
        # A server need not list any, so a reply may come all the same.
        if not asked.model:
            raise
        remark = "it does not list its models"
    # One that is not named is the first, which the backend would look up once more.
    backend = OpenAIBackend(msgspec.structs.replace(asked, model=asked.model or next(iter(models), "")))
    start = time.monotonic()
    answered = threading.Event()
    for piece in backend.stream(_QUESTION, answered.is_set):
        if piece.strip():
            answered.set()
    seconds = time.monotonic() - start
    return Trial(f"{backend.model} at {server.url} begins to answer after {seconds:.1f} s; {remark}", models)


def _saving(host: Host) -> Callable[..., tuple[Any, str]]:
    def save(server: str, base_url: str, model: str, key: str) -> tuple[Any, str]:
        connection = connection_of(server, base_url, model)
        try:
            host.save_connection(connection, key if key.strip() else None)
            url = host.server().url
        except RanniError as error:
            return gr.update(), _line(str(error))
        return "", _line(f"saved: {connection.model or 'the usual model'} at {url}")

    return save


def _forgetting(host: Host) -> Callable[[], tuple[str, str]]:
    def forget() -> tuple[str, str]:
        try:
            host.save_connection(host.connection(), "")
            url = host.server().url
        except RanniError as error:
            return "", _line(str(error))
        return "", _line(f"the key for {url} is forgotten")

    return forget


def _testing(host: Host) -> Callable[..., tuple[Any, str]]:
    # No generator that says that it is at work: the WebUI can be started without what these need.
    def tried(server: str, base_url: str, model: str | None, key: str) -> tuple[Any, str]:
        try:
            trial = try_out(host.server(connection_of(server, base_url, model), key.strip()))
        except RanniError as error:
            return gr.update(), _line(str(error))
        choices = list(dict.fromkeys([*([model] if model else []), *trial.models]))[:_MOST_MODELS]
        return gr.update(choices=choices), _line(trial.text)

    return tried


def _line(text: str) -> str:
    return f'<p role="status">{html.escape(text)}</p>'
