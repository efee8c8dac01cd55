"""The txt2img tab without a browser: what its Generate button sends, over the host's own websocket."""

from __future__ import annotations

import io
import json
import uuid
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from websockets.sync.client import connect

from tests.webui_live.host import Host, pixels


class Shown(NamedTuple):
    """What the tab shows after a generation."""

    picture: np.ndarray
    infotext: str
    log: str
    """HTML under the picture: warnings, and errors that cost it."""


class Tab:
    """The txt2img tab as the page that was just loaded has it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        config = host.get("/config").json()
        self._config = config
        self._components = components = {c["id"]: c["props"] for c in config["components"]}
        found = [
            (n, d)
            for n, d in enumerate(config["dependencies"])
            if d["js"] == "submit"
            and "txt2img_gallery" in [components[o].get("elem_id") for o in d["outputs"]]
        ]
        self._function, submit = found[0]
        self._names = [components[i].get("elem_id") or str(i) for i in submit["inputs"]]
        # A dropdown for several choices sends a list, though its empty value reads null.
        self._values = [
            []
            if components[i].get("multiselect") and components[i].get("value") is None
            else components[i].get("value")
            for i in submit["inputs"]
        ]

    def generate(self, **values: Any) -> Shown:
        """Press Generate with these controls changed, named by their element ids."""
        data = list(self._values)
        data[0] = f"task({uuid.uuid4().hex})"
        for name, value in values.items():
            data[self._names.index(name)] = value
        return self._shown(self._sent(self._function, data))

    def press(self, button: str, **values: Any) -> dict[str, Any]:
        """Press a button of ours, its inputs named by the ends of their element ids; what it shows last."""
        whole = {n: props.get("elem_id") or "" for n, props in self._components.items()}
        found = [
            (n, d)
            for n, d in enumerate(self._config["dependencies"])
            if any(whole.get(target) == f"script_txt2img_ranni_{button}" for target in d["targets"])
        ]
        number, dependency = found[0]
        data = []
        for component in dependency["inputs"]:
            name = whole[component].removeprefix("script_txt2img_ranni_")
            data.append(values.get(name, self._components[component].get("value")))
        return self._sent(number, data)

    def _sent(self, function: int, data: list[Any]) -> dict[str, Any]:
        session = {"session_hash": uuid.uuid4().hex, "fn_index": function}
        output: dict[str, Any] = {}
        with connect(f"{self._host.url.replace('http', 'ws', 1)}/queue/join", max_size=None) as socket:
            while True:
                message = json.loads(socket.recv(timeout=300))
                if message["msg"] == "send_hash":
                    socket.send(json.dumps(session))
                elif message["msg"] == "send_data":
                    socket.send(json.dumps({**session, "data": data}))
                elif message["msg"] == "process_completed":
                    # What ends a function that yields repeats nothing of it.
                    return message["output"] if message["output"].get("data") else output
                elif message["msg"] == "process_generating":
                    output = message["output"]

    def _shown(self, output: dict[str, Any]) -> Shown:
        assert "data" in output, output
        gallery, info, _, log = output["data"]
        assert gallery, log
        file = self._host.get(f"/file={gallery[0]['name']}")
        assert file.status_code == 200
        picture = Image.open(io.BytesIO(file.content))
        return Shown(pixels(picture), json.loads(info)["infotexts"][0], log)
