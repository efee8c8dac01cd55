"""The one JSON value that says what the extension is to do, read from the tab, the API or an infotext.

    {"version": 1, "enabled": true, "panel": {...}, "guidance": {"mode": "attention", ...},
     "planner": {"name": "builtin", "seed": 1}, "memory": {"enabled": true, "key": "mine"}}

Everything may be left out. Without a panel the named planner makes one of the prompt; `panel` may be a
list with a panel for each picture of the job.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct

from lib_ranni.guidance.edit_region import FEATHER, MARGIN, MOST_CELLS
from lib_ranni.guidance.layout_noise import MOST_STRENGTH
from lib_ranni.guidance.weights import Overlap
from lib_ranni.panel import reading
from lib_ranni.panel.problems import Problem, Problems, below, shown
from lib_ranni.panel.types import MAX_SEED, MAX_TEXT, Panel
from lib_ranni.panel.writing import to_document

REQUEST_VERSION: Literal[1] = 1
MAX_PANELS = 1000

GuidedMode = Literal["attention", "latent", "panel"]
MODES: tuple[GuidedMode, ...] = ("attention", "latent", "panel")
OVERLAPS: tuple[Overlap, ...] = ("front", "blend")

MAX_CONTROL = 5.0
MAX_TIMESTEP = 1000.0
MAX_FILE_NAME = 200
MAX_KEY = 200
USUAL_CONTROL = 0.6
"""Panel control's scale in mode `panel`, as Ranni has it."""

OWN_CONDITIONER = "from the checkpoint"
"""What pages call the conditioner of no name."""

_REQUEST_FIELDS = {"version", "enabled", "panel", "guidance", "planner", "memory"}


class Hires(Struct, frozen=True, kw_only=True):
    """What the second pass of the hires fix does otherwise; a `base_ratio` of None is the first pass'."""

    enabled: bool = True
    base_ratio: float | None = None
    end: float = 1.0


class PanelControl(Struct, frozen=True, kw_only=True):
    """Ranni's panel control: it acts at timesteps t, of 1000, with stop < t <= start.

    A `scale` (0..5) of None is the mode's own. `postfix` is the label of the whole canvas, and in mode
    `panel` the end of the prompt. `conditioner` is a file's name; empty, the checkpoint's own is meant.
    """

    scale: float | None = None
    start: float = MAX_TIMESTEP
    stop: float = 600.0
    postfix: str = ""
    local_mask: bool = True
    conditioner: str = ""

    @property
    def fault(self) -> str:
        """Why it would never act, if that is so."""
        if self.stop < self.start:
            return ""
        return (
            f"is {self.stop:g}, where control starts at {self.start:g}; timesteps go down, so the start is "
            "the larger"
        )


class Settings(Struct, frozen=True, kw_only=True):
    """How the panel is followed. All ratios are 0..1; `start` and `end` are shares of a pass' steps.

    `layout_noise` (0..10) is how much text-to-image starts from noise that leans towards the colors of the
    boxes, `attention_bias` (0..1) how much words of the prompt are bound to the boxes of what they name.
    """

    mode: GuidedMode = "attention"
    base_ratio: float = 0.2
    feather: float = 0.0
    overlap: Overlap = "front"
    start: float = 0.0
    end: float = 1.0
    layout_noise: float = 0.0
    attention_bias: float = 0.0
    hires: Hires = Hires()
    control: PanelControl = PanelControl()

    @property
    def control_scale(self) -> float:
        """Panel control's scale; 0 is off, which it is where only regions were asked for."""
        if self.control.scale is None:
            return USUAL_CONTROL if self.mode == "panel" else 0.0
        return self.control.scale


class Planning(Struct, frozen=True, kw_only=True):
    """Which planner makes the panel when there is none; an empty name plans nothing."""

    name: str = ""
    seed: int | None = None


class Keep(Struct, frozen=True, kw_only=True):
    """Memory edits: pictures are remembered, and the next ones keep of them what the panel did not change.

    `margin` and `feather` are latent cells around what changed: drawn anew as well, and blended. `key` is
    a name that tells whose pictures they are; it is never written, since who knows it has the pictures.
    Whoever gives one need not say `enabled`.
    """

    enabled: bool = False
    margin: int = MARGIN
    feather: int = FEATHER
    key: str = ""


class Request(Struct, frozen=True, kw_only=True):
    """What is asked for. `panels` is empty, one for all pictures, or one for each."""

    enabled: bool = True
    panels: tuple[Panel, ...] = ()
    guidance: Settings = Settings()
    planner: Planning = Planning()
    memory: Keep = Keep()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is to be done, so that the host must draw as if we were not there."""
        drawn = any(panel.elements for panel in self.panels)
        return not self.enabled or not (drawn or self.planner.name or self.memory.enabled)


class Reading(Struct, frozen=True):
    """A request, mended where needed, and all that was wrong with it."""

    request: Request
    problems: tuple[Problem, ...] = ()


def read_arguments(args: tuple[Any, ...]) -> Reading:
    """The script's arguments: `(enabled, value)` from the tab, `({...},)` or `(True, {...})` from the API.

    Never raises. A value is a dict, its JSON text, or nothing.
    """
    switch: Any = None
    values = list(args[:2])
    if values and (isinstance(values[0], bool) or (values[0] is None and len(values) == 2)):
        switch = values.pop(0)
    reading = read(values[0] if values else None)
    if switch is None:
        return reading
    enabled = bool(switch) and reading.request.enabled
    request = msgspec.structs.replace(reading.request, enabled=enabled)
    return Reading(request, reading.problems if switch else ())  # what is switched off need not be right


def read(value: Any) -> Reading:
    """A request from JSON text or what it decodes to. Never raises; nothing means not enabled."""
    if value is None or value == "" or value == {}:
        return Reading(Request(enabled=False))
    problems = Problems()
    if isinstance(value, (str, bytes)):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            problems.add("", f"this is not JSON: {error}", "ignored")
            return Reading(Request(enabled=False), problems.all())
    if not isinstance(value, dict):
        problems.add("", f"a request is a JSON object, not {shown(value)}", "ignored")
        return Reading(Request(enabled=False), problems.all())
    for name in sorted(str(key) for key in value if key not in _REQUEST_FIELDS):
        known = f"ignored; known: {_listed(_REQUEST_FIELDS)}"
        problems.add(below("", name), "is not a field of a request", known)
    version = value.get("version", REQUEST_VERSION)
    if version != REQUEST_VERSION:
        problems.add(
            "version", f"is {shown(version)}, this extension reads {REQUEST_VERSION}", "read as that"
        )
    request = Request(
        enabled=problems.flag("enabled", value.get("enabled", True)),
        panels=_panels(value.get("panel"), problems),
        guidance=read_settings(value.get("guidance"), problems),
        planner=_planning(value.get("planner"), problems),
        memory=_memory(value.get("memory"), problems),
    )
    return Reading(request, problems.all())


def to_json(request: Request) -> str:
    """The request as one line of JSON, without what is at its default and without the key to its memory."""
    request = msgspec.structs.replace(request, memory=msgspec.structs.replace(request.memory, key=""))
    panels = [to_document(panel) for panel in request.panels]
    document: dict[str, Any] = {"version": REQUEST_VERSION}
    if panels:
        document["panel"] = panels[0] if len(panels) == 1 else panels
    for name in ("guidance", "planner", "memory"):
        if fields := _changed(getattr(request, name)):
            document[name] = fields
    if not request.enabled:
        document["enabled"] = False
    return msgspec.json.encode(document).decode("utf-8")


def _changed(settings: Struct) -> dict[str, Any]:
    """What differs from the defaults. msgspec's own omission asks for the default's very object."""
    usual, found = type(settings)(), {}
    for name in settings.__struct_fields__:
        value = getattr(settings, name)
        if value != getattr(usual, name):
            found[name] = _changed(value) if isinstance(value, Struct) else value
    return found


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _panels(value: Any, problems: Problems) -> tuple[Panel, ...]:
    if value is None or value == "" or value == []:
        return ()
    several = isinstance(value, list)
    documents = value if several else [value]
    if len(documents) > MAX_PANELS:
        problems.add(
            "panel", f"has {len(documents)} panels, at most {MAX_PANELS} are allowed", "rest dropped"
        )
        documents = documents[:MAX_PANELS]
    panels = []
    for index, document in enumerate(documents):
        where = f"panel[{index}]" if several else "panel"
        result = reading.read(document)
        for problem in result.problems:
            path = f"{where}.{problem.path}" if problem.path else where
            problems.add(path, problem.message, problem.repair)
        panels.append(result.panel or Panel())
    return tuple(panels)


def _object(path: str, value: Any, known: type[Struct], problems: Problems) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        problems.add(path, f"must be an object, not {shown(value)}", "ignored")
        return {}
    names = set(known.__struct_fields__)
    for name in sorted(str(key) for key in value if key not in names):
        problems.add(below(path, name), "is not a setting", f"ignored; known: {_listed(names)}")
    return value


def _choice(path: str, value: Any, choices: tuple[str, ...], problems: Problems) -> Any:
    if value in choices:
        return value
    problems.add(path, f"must be one of {', '.join(choices)}, not {shown(value)}", f"set to {choices[0]}")
    return choices[0]


def read_settings(value: Any, problems: Problems) -> Settings:
    """The `guidance` object of a request, mended where needed."""
    given = _object("guidance", value, Settings, problems)
    usual = Settings()

    def number(name: str, high: float = 1.0) -> float:
        default = float(getattr(usual, name))
        return problems.number(f"guidance.{name}", given.get(name, default), 0.0, high, default)

    return Settings(
        mode=_choice("guidance.mode", given.get("mode", usual.mode), MODES, problems),
        base_ratio=number("base_ratio"),
        feather=number("feather", 0.5),
        overlap=_choice("guidance.overlap", given.get("overlap", usual.overlap), OVERLAPS, problems),
        start=number("start"),
        end=number("end"),
        layout_noise=number("layout_noise", MOST_STRENGTH),
        attention_bias=number("attention_bias"),
        hires=_hires(given.get("hires"), problems),
        control=_control(given.get("control"), problems),
    )


def _hires(value: Any, problems: Problems) -> Hires:
    given = _object("guidance.hires", value, Hires, problems)
    ratio = given.get("base_ratio")
    if ratio is not None:
        ratio = problems.number("guidance.hires.base_ratio", ratio, 0.0, 1.0, Settings().base_ratio)
    return Hires(
        enabled=problems.flag("guidance.hires.enabled", given.get("enabled", True)),
        base_ratio=ratio,
        end=problems.number("guidance.hires.end", given.get("end", 1.0), 0.0, 1.0, 1.0),
    )


def _control(value: Any, problems: Problems) -> PanelControl:
    given = _object("guidance.control", value, PanelControl, problems)
    usual = PanelControl()

    def number(name: str, high: float, default: float) -> float:
        return problems.number(f"guidance.control.{name}", given.get(name, default), 0.0, high, default)

    def text(name: str, most: int) -> str:
        return problems.text(f"guidance.control.{name}", given.get(name, ""), most)

    control = PanelControl(
        scale=None if given.get("scale") is None else number("scale", MAX_CONTROL, USUAL_CONTROL),
        start=number("start", MAX_TIMESTEP, usual.start),
        stop=number("stop", MAX_TIMESTEP, usual.stop),
        postfix=text("postfix", MAX_TEXT),
        local_mask=problems.flag("guidance.control.local_mask", given.get("local_mask", usual.local_mask)),
        conditioner=text("conditioner", MAX_FILE_NAME),
    )
    if not control.fault:
        return control
    problems.add("guidance.control.stop", control.fault, "start and stop set to the usual")
    return msgspec.structs.replace(control, start=usual.start, stop=usual.stop)


def _planning(value: Any, problems: Problems) -> Planning:
    given = _object("planner", value, Planning, problems)
    name = problems.text("planner.name", given.get("name", ""), 64)
    return Planning(name=name, seed=problems.whole("planner.seed", given.get("seed"), 0, MAX_SEED))


def _memory(value: Any, problems: Problems) -> Keep:
    given, usual = _object("memory", value, Keep, problems), Keep()

    def cells(name: str, default: int) -> int:
        number = problems.whole(f"memory.{name}", given.get(name, default), 0, MOST_CELLS)
        return default if number is None else number

    key = problems.text("memory.key", given.get("key", ""), MAX_KEY)
    return Keep(
        enabled=problems.flag("memory.enabled", given.get("enabled", bool(key))),
        margin=cells("margin", usual.margin),
        feather=cells("feather", usual.feather),
        key=key,
    )
