"""A running WebUI, asked over HTTP as an API caller would."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any, NamedTuple

import httpx
import numpy as np
from PIL import Image

# The grid script's arguments after its axes: a legend, lone images too, random seeds and sub-grids not.
_GRID_OPTIONS = (True, True, False, False, False, False, False, 0)

LEFT = {"x0": 0.05, "y0": 0.3, "x1": 0.45, "y1": 0.7}
RIGHT = {"x0": 0.55, "y0": 0.3, "x1": 0.95, "y1": 0.7}


def panel(left: str = "a red circle", right: str = "a blue square", **fields: Any) -> dict[str, Any]:
    """Two things side by side; `fields` are those of the left one."""
    return {
        "elements": [
            {"id": "e1", "description": left, "box": LEFT, **fields},
            {"id": "e2", "description": right, "box": RIGHT},
        ]
    }


class Call(NamedTuple):
    """A call of the UNet: its timestep, its latent's height, and what was added to each row at most."""

    timestep: float
    height: int
    added: list[float]


class Drawn(NamedTuple):
    """What the host answered to a generation."""

    pictures: list[Image.Image]
    infotexts: list[str]
    files: list[str]
    """The PNG files in base64, as the host sent them."""

    @property
    def latents(self) -> np.ndarray:
        """The final latents (pictures, C, h, w), where the recorder was asked for them."""
        found = [re.search(r"Latents: ([^,]+), Latents size: (\d+)x(\d+)x(\d+)", t) for t in self.infotexts]
        arrays = []
        for match in found:
            assert match is not None, "the recorder was not asked for latents"
            shape = [int(side) for side in match.groups()[1:]]
            arrays.append(np.frombuffer(base64.b64decode(match[1]), np.float32).reshape(shape))
        return np.stack(arrays)

    @property
    def residuals(self) -> list[Call]:
        """Each call of the UNet, where the recorder was asked for residuals."""
        return [Call(*call) for call in json.loads(_quoted(self.infotexts[0], "Residuals"))]

    @property
    def last_alpha(self) -> float:
        """The noise schedule's last share of the picture, told along with the residuals."""
        found = re.search(r"Last alpha: ([^,]+)", self.infotexts[0])
        assert found is not None, "the recorder was not asked for residuals"
        return float(found[1])

    @property
    def exact_pixels(self) -> np.ndarray:
        """The first picture as floats in 0..1, (3, h, w), where the recorder was asked for pixels."""
        match = re.search(r"Pixels: ([A-Za-z0-9+/=]+)", self.infotexts[0])
        assert match is not None, "the recorder was not asked for pixels"
        width, height = self.pictures[0].size
        return np.frombuffer(base64.b64decode(match[1]), np.float32).reshape(3, height, width)

    @property
    def pixels(self) -> np.ndarray:
        """The first picture, (h, w, 3) as whole numbers."""
        return pixels(self.pictures[0])

    @property
    def request(self) -> dict[str, Any] | None:
        """What the first infotext says of our request."""
        return request_of(self.infotexts[0])


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB")).astype(int)


def request_of(infotext: str) -> dict[str, Any] | None:
    """The request in an infotext, as the host's own quoting wrote it."""
    text = _quoted(infotext, "Ranni")
    return json.loads(text) if text else None


def _quoted(infotext: str, key: str) -> str:
    """The text that the host quoted under a key; empty where there is none."""
    start = infotext.find(f'{key}: "')
    if start < 0:
        return ""
    text, _ = json.JSONDecoder().raw_decode(infotext[start + len(f"{key}: ") :])
    return str(text)


def encoded(picture: Image.Image) -> str:
    out = io.BytesIO()
    picture.save(out, format="PNG")
    return base64.b64encode(out.getvalue()).decode()


class Host:
    """The WebUI at a URL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.Client(base_url=url, timeout=900)
        names = self.get("/sdapi/v1/scripts").json()["txt2img"]
        # It is on unless told otherwise, and would choose among the braces in our texts.
        self._lively = [name for name in names if name.startswith("dynamic prompts")]

    def close(self) -> None:
        self._client.close()

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.send(path, json.dumps(body).encode())  # NaN and infinity too

    def send(self, path: str, data: bytes) -> httpx.Response:
        return self._client.post(path, content=data, headers={"Content-Type": "application/json"})

    def get(self, path: str) -> httpx.Response:
        return self._client.get(path)

    def generation(
        self, kind: str = "txt2img", request: Any = None, recorder: Any = None, **fields: Any
    ) -> httpx.Response:
        """POST a generation; `request` is our script's argument, `recorder` that of the tests' own."""
        body: dict[str, Any] = {
            "prompt": "plain background",
            "steps": 6,
            "cfg_scale": 4,
            "seed": 1,
            "width": 128,
            "height": 128,
            "sampler_name": "Euler",
            **fields,
        }
        scripts = self._quiet()
        scripts |= body.pop("alwayson_scripts", {})
        if request is not None:
            args = request if isinstance(request, list) else [request]
            scripts["Ranni"] = {"args": args}
        if recorder is not None:
            scripts["Ranni recorder"] = {"args": [recorder]}
        body["alwayson_scripts"] = scripts
        return self.post(f"/sdapi/v1/{kind}", body)

    def grid(self, *axes: tuple[str, Any] | None, typed: bool = False) -> dict[str, Any]:
        """The fields of a generation that draw a grid: an axis is its name, and its values or their list.

        A list is chosen from a dropdown, unless values are typed wherever that can be.
        """
        scripts = self.get("/sdapi/v1/script-info").json()
        grid = next(s for s in scripts if s["name"] == "x/y/z plot" and not s["is_img2img"])
        labels = grid["args"][0]["choices"]
        values: list[Any] = []
        for axis in (*axes, None, None)[:3]:
            name, given = axis or ("", "")
            texts = [given, []] if isinstance(given, str) else ["", given]
            values += [labels.index(f"[Ranni] {name}") if name else 0, *texts]
        return {"script_name": "x/y/z plot", "script_args": [*values, *_GRID_OPTIONS, typed]}

    def draw(self, kind: str = "txt2img", request: Any = None, recorder: Any = None, **fields: Any) -> Drawn:
        """Like `generation`, and it must succeed."""
        answer = self.generation(kind, request, recorder, **fields)
        return self._drawn(answer)

    def redraw(self, infotext: str, kind: str = "txt2img", **fields: Any) -> Drawn:
        """What the host makes of an infotext alone, and must make."""
        body = {"infotext": infotext, "alwayson_scripts": self._quiet(), **fields}
        return self._drawn(self.post(f"/sdapi/v1/{kind}", body))

    def press(self, button: str, *values: Any) -> list[Any]:
        """Press a button of the page, by its id, with the values of its inputs; what its outputs become.

        Of a button that answers in several pieces, the last.
        """
        config = self.get("/config").json()
        number = next(c["id"] for c in config["components"] if c["props"].get("elem_id") == button)
        index = next(n for n, found in enumerate(config["dependencies"]) if number in found["targets"])
        body = {"fn_index": index, "data": list(values), "session_hash": "pressed"}
        last: list[Any] = []
        while (answer := self.post("/run/predict", body).json()).get("is_generating"):
            last = answer["data"]
        return last or answer["data"]

    def _quiet(self) -> dict[str, Any]:
        return {name: {"args": [False]} for name in self._lively}

    @staticmethod
    def _drawn(answer: httpx.Response) -> Drawn:
        assert answer.status_code == 200, answer.text[:500]
        body = answer.json()
        images = [Image.open(io.BytesIO(base64.b64decode(image))) for image in body["images"]]
        return Drawn(images, json.loads(body["info"])["infotexts"], body["images"])
