"""A part of a page in a real gradio app, pressed over HTTP as the page does it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.testclient import TestClient

from tests.service.plain_host import PlainHost


class Part:
    """A part that `build` makes, in a page of its own. `texts` are all answers."""

    def __init__(self, host: PlainHost, build: Callable[[Any, Callable[[str], str]], None]) -> None:
        import gradio as gr

        with gr.Blocks(analytics_enabled=False) as blocks:
            build(host, lambda name: f"part_{name}")
        blocks.enable_queue = False
        self._blocks = blocks
        self._client = TestClient(gr.routes.App.create_app(blocks))
        self.texts: list[str] = []

    @property
    def config(self) -> Any:
        return json.loads(self._got("/config"))

    def _got(self, path: str) -> str:
        answer = self._client.get(path)
        self.texts.append(answer.text)
        return answer.text

    def loaded(self) -> dict[str, Any]:
        """What the page shows when it is opened."""
        names = {c["id"]: c["props"].get("elem_id") for c in self.config["components"]}
        shown = {}
        for number, dependency in enumerate(self.config["dependencies"]):
            if dependency["trigger"] == "load":
                [output] = dependency["outputs"]
                shown[names[output]] = self._sent(number, [])[0]
        return shown

    def press(self, button: str, *data: Any) -> list[Any]:
        """The outputs of a button."""
        ids = {c["props"].get("elem_id"): c["id"] for c in self.config["components"]}
        number = next(
            n for n, d in enumerate(self.config["dependencies"]) if ids[f"part_{button}"] in d["targets"]
        )
        return self._sent(number, list(data))

    def _sent(self, number: int, data: list[Any]) -> list[Any]:
        body = {"fn_index": number, "data": data, "session_hash": "page"}
        answer = self._client.post("/run/predict", json=body)
        self.texts.append(answer.text)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["data"])
