"""`lib-ranni generate`: prompt or panel -> pictures."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from lib_ranni.errors import InputError
from lib_ranni.panel.types import MAX_SEED, Panel
from lib_ranni.panel.writing import to_document
from lib_ranni.planner.protocol import PlanRequest
from lib_ranni.standalone.arguments import bounded_float, bounded_int, size, text
from lib_ranni.standalone.console import progress_bar, say, show, show_json
from lib_ranni.standalone.few_step_arguments import add_few_step_arguments, few_step_fields
from lib_ranni.standalone.planning import add_planner_arguments, plan, planner_from
from lib_ranni.standalone.sources import load_panel

if TYPE_CHECKING:
    from lib_ranni.standalone.checkpoint import Checkpoint
    from lib_ranni.standalone.engine import Engine, Generation, OnStep
    from lib_ranni.standalone.requests import Request

SUMMARY = "draw a prompt: plan its panel, or take one, and make the model follow it"

MODES = ("plain", "attention", "latent", "panel")
OVERLAPS = ("front", "blend")

GIVEN = (
    *("mode", "base_ratio", "feather", "overlap", "start", "end"),
    *("negative", "steps", "cfg", "sampler", "batch", "edit_margin", "edit_feather"),
)
GIVEN_CONTROL = ("control", "control_start", "control_stop", "local_mask", "postfix")
"""Arguments that are fields of a request under the same name."""


def register(parser: ArgumentParser) -> None:
    """Add the arguments. What is left out comes from the checkpoint's `defaults.json`."""
    parser.add_argument(
        "prompt", nargs="?", type=text, default="", help="the prompt; may be left out with --panel or --from"
    )
    parser.add_argument(
        "--panel", metavar="FILE", help="follow this panel (JSON, a PNG of ours, or -) and do not plan"
    )
    parser.add_argument(
        "--from", dest="again", type=Path, metavar="PNG", help="draw this picture's request again"
    )
    add_edit_arguments(parser)
    add_planner_arguments(parser)
    parser.add_argument("--mode", choices=MODES, help="how the model is made to follow the panel")
    parser.add_argument(
        "--base-ratio", type=bounded_float(0, 1), metavar="F", help="share of the base prompt, 0..1"
    )
    parser.add_argument(
        "--feather", type=bounded_float(0, 0.5), metavar="F", help="softness of region edges, 0..0.5"
    )
    parser.add_argument("--overlap", choices=OVERLAPS, help="who gets what two regions share")
    parser.add_argument(
        "--start", type=bounded_float(0, 1), metavar="F", help="share of the steps before elements act, 0..1"
    )
    parser.add_argument(
        "--end", type=bounded_float(0, 1), metavar="F", help="share of the steps after which none acts, 0..1"
    )
    add_control_arguments(parser)
    parser.add_argument("--negative", type=text, metavar="TEXT", help="what the pictures must not show")
    parser.add_argument("--steps", type=bounded_int(1, 1000), metavar="N")
    parser.add_argument(
        "--cfg", type=bounded_float(0, 100), metavar="F", help="guidance scale; 1 turns it off"
    )
    parser.add_argument("--sampler", metavar="NAME", help="such as ddim, euler-a, dpmpp-2m-karras")
    add_few_step_arguments(parser)
    parser.add_argument(
        "--seed",
        type=bounded_int(-1, MAX_SEED),
        metavar="N",
        help="-1 draws one (so does none, without --from)",
    )
    parser.add_argument(
        "--batch", type=bounded_int(1, 64), metavar="N", help="pictures, with seeds N, N+1, ..."
    )
    parser.add_argument("--size", type=size, metavar="WxH", help="pixels, multiples of 8")
    parser.add_argument("--model", type=Path, metavar="PATH", help="a checkpoint file or a diffusers folder")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, mps (default: cuda if there is one)")
    parser.add_argument("--out", type=Path, default=Path("outputs"), metavar="DIR")
    parser.add_argument("--json", action="store_true", help="print one JSON object on standard output")


def add_edit_arguments(parser: ArgumentParser) -> None:
    """Memory edits: of which picture, and how far around what changed."""
    parser.add_argument(
        "--edit",
        type=Path,
        metavar="PNG",
        help="keep this picture of ours and draw anew only what --panel changes in it",
    )
    for name, about in (("margin", "around what changed"), ("feather", "of soft edge around that")):
        parser.add_argument(
            f"--edit-{name}",
            type=bounded_int(0, 64),
            metavar="N",
            help=f"with --edit: cells of 8 pixels {about}",
        )


def add_control_arguments(parser: ArgumentParser) -> None:
    """Panel control: how strongly and when, and whose."""
    parser.add_argument(
        "--control", type=bounded_float(0, 5), metavar="F", help="panel control's scale, 0..5; 0 is off"
    )
    parser.add_argument(
        "--control-start", type=bounded_float(0, 1000), metavar="T", help="timestep from which it acts (1000)"
    )
    parser.add_argument(
        "--control-stop", type=bounded_float(0, 1000), metavar="T", help="timestep at which it stops"
    )
    parser.add_argument("--postfix", type=text, metavar="TEXT", help="panel control's label of the canvas")
    parser.add_argument(
        "--no-local-mask",
        dest="local_mask",
        action="store_false",
        default=None,
        help="mode panel: labels' words act everywhere",
    )
    parser.add_argument(
        "--conditioner", type=Path, metavar="FILE", help="a panel conditioner for a checkpoint without one"
    )


def run(args: Namespace) -> int:
    """Plan if needed, draw, save."""
    from lib_ranni.standalone.checkpoint import load_checkpoint
    from lib_ranni.standalone.engine import Engine
    from lib_ranni.standalone.metadata import Numbering, read_png, save_png

    if args.edit is not None and (args.again is not None or not args.panel):
        raise InputError(
            "--edit takes the picture's own request and needs --panel FILE with the changed panel"
        )
    source = args.again or args.edit
    again = read_png(source) if source is not None else None
    if again is None and not args.panel and not args.prompt:
        raise InputError("there is nothing to draw: give a prompt, --panel FILE or --from PNG")
    model = args.model or (Path(again.model) if again is not None and again.model else None)
    checkpoint = load_checkpoint(model, args.device)
    if args.conditioner is not None:
        checkpoint = checkpoint.with_conditioner(args.conditioner)
    request = _request(args, checkpoint, again)
    args.out.mkdir(parents=True, exist_ok=True)
    with progress_bar("drawing") as advance:
        generation = _drawn(Engine(checkpoint), request, args.edit, advance)
    for warning in generation.warnings:
        say(f"note: {warning}")
    names = Numbering(args.out)
    paths = []
    for index, picture in enumerate(generation.images):
        path = names.next(generation.seeds[index])
        save_png(picture, path, request, index)
        paths.append(str(path))
    if args.json:
        show_json(
            {
                "images": paths,
                "panel": to_document(request.panels[0]),
                "seeds": list(generation.seeds),
                "seconds": round(generation.seconds, 3),
            }
        )
    else:
        for written in paths:
            show(written)
        say(f"{len(paths)} picture(s) in {generation.seconds:.1f} s, mode {request.mode}")
    return 0


def _request(args: Namespace, checkpoint: Checkpoint, again: Request | None) -> Request:
    """What the arguments say, over the preset, the request drawn again, the checkpoint's defaults."""
    import msgspec

    from lib_ranni.standalone.requests import checked

    defaults = checkpoint.defaults
    given = few_step_fields(args, checkpoint)
    own = {name: getattr(args, name) for name in (*GIVEN, *GIVEN_CONTROL)}
    given |= {name: value for name, value in own.items() if value is not None}
    if args.seed is not None:
        given["seed"] = args.seed if args.seed >= 0 else SystemRandom().randrange(MAX_SEED + 1)
    if args.size is not None:
        given["width"], given["height"] = args.size
    if args.model is not None:
        given["model"] = str(args.model)
    if again is None:
        request = defaults.request([], **{"seed": SystemRandom().randrange(MAX_SEED + 1), **given})
    else:
        # Its panels are drawn as they were: an empty base stays empty.
        request = _with(again, given) if args.edit is None else msgspec.structs.replace(again, **given)
    if args.panel or args.prompt:
        panel = load_panel(args.panel) if args.panel else _planned(args, request)
        edited = again if args.edit is not None else None
        panel = (
            defaults.grounded(panel) if edited is None else defaults.grounded_edit(edited.panels[0], panel)
        )
        request = msgspec.structs.replace(request, panels=(panel,), prompt=args.prompt, before=edited)
    return checked(request)


def _drawn(engine: Engine, request: Request, edited: Path | None, advance: OnStep) -> Generation:
    """Draw a request; for an edit, first the picture once more, from which its memory comes."""
    from PIL import Image

    from lib_ranni.standalone.editing import with_picture

    if edited is None or request.before is None:
        return engine.generate(request, advance)
    memories = engine.generate(request.before, advance, remember=True).memories
    with Image.open(edited) as picture:
        own = with_picture(memories[0], picture)
    if own is None:
        say(f"note: {edited} comes out otherwise on this machine; what is kept is the picture drawn again")
    return engine.generate(request, advance, memories=memories if own is None else (own,))


def _with(request: Request, given: dict[str, Any]) -> Request:
    """The request with other settings; a picture that was edited has them from its first drawing on."""
    import msgspec

    before = None if request.before is None else _with(request.before, given)
    return msgspec.structs.replace(request, before=before, **given)


def _planned(args: Namespace, request: Request) -> Panel:
    return plan(planner_from(args), PlanRequest(args.prompt, request.width / request.height)).panel
