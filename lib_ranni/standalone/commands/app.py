"""`lib-ranni app`: the page that plans, edits and draws, served for a browser."""

from __future__ import annotations

import os
import signal
import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from lib_ranni.errors import InputError
from lib_ranni.standalone.arguments import bounded_int
from lib_ranni.standalone.console import say, show
from lib_ranni.standalone.paths import from_user
from lib_ranni.standalone.planning import add_planner_arguments, settings_from

if TYPE_CHECKING:
    from lib_ranni.standalone.app.server import Address

SUMMARY = "plan, edit and draw in a browser"

AUTH_VARIABLE = "RANNI_AUTH"
"""Where a password may stand that shall not be on the command line, which other users can read."""


def register(parser: ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--model", type=Path, metavar="PATH", help="a checkpoint file or a diffusers folder")
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, mps (default: cuda if there is one)")
    parser.add_argument("--host", default="127.0.0.1", metavar="NAME", help="where to listen (127.0.0.1)")
    parser.add_argument(
        "--port",
        type=bounded_int(0, 65535),
        default=7870,
        metavar="N",
        help="0 takes any that is free (7870)",
    )
    parser.add_argument("--listen", action="store_true", help="let other machines in: --host 0.0.0.0")
    parser.add_argument(
        "--root-path", default="", metavar="PATH", help="where a proxy shows the app, such as /ranni"
    )
    parser.add_argument(
        "--auth",
        metavar="USER:PASSWORD",
        help=f"ask for a login; {AUTH_VARIABLE} in the environment does so too",
    )
    parser.add_argument("--panels", type=Path, metavar="DIR", help="where kept panels are")
    parser.add_argument(
        "--out", type=Path, default=Path("outputs/app"), metavar="DIR", help="for the pictures"
    )
    add_planner_arguments(parser)


def run(args: Namespace) -> int:
    """Load the model and serve until Ctrl+C."""
    with tempfile.TemporaryDirectory(prefix="ranni-app-") as folder:
        _prepare(Path(folder))
        at_rest = True
        try:
            at_rest = _serve(args)
        except KeyboardInterrupt:
            say("stopped")
    if not at_rest:
        # Python would tear the model away from under the step that is being computed, and abort.
        os._exit(0)
    return 0


def _prepare(folder: Path) -> None:
    """Gradio reads these when it is imported: where files for pages go, and that nobody is told of us."""
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # Its queue calls the app itself, which no proxy can do.
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "localhost", "::1"]))


def _serve(args: Namespace) -> bool:
    """Whether nothing is being drawn any more in the end."""
    address, auth, settings = _address(args), _auth(args), settings_from(args)
    try:
        from lib_ranni.standalone.app import page, server
    except ModuleNotFoundError as error:
        raise InputError(
            f"the app needs {error.name}, which is not installed; "
            "./run.sh app brings it where Python is 3.10 or 3.11"
        ) from error
    from lib_ranni.service.host import Connection
    from lib_ranni.standalone.app.address import listening
    from lib_ranni.standalone.app.host import AppHost, data_folder
    from lib_ranni.standalone.app.models import Models
    from lib_ranni.standalone.app.scripts import require_scripts
    from lib_ranni.standalone.app.studio import Studio

    require_scripts()
    with listening(address) as bound:
        models = Models(args.model, args.device)
        say(f"loading {models.first}")
        checkpoint = models.engine(models.first).checkpoint
        connection = Connection(args.server, args.base_url, args.llm)
        panels = from_user(args.panels) if args.panels is not None else data_folder() / "panels"
        is_open = not (address.is_loopback or auth)
        host = AppHost(settings, connection, models, panels, fixed=is_open)
        studio = Studio(models, host.planner, from_user(args.out))
        blocks = page.build(studio, host, checkpoint, args.planner)
        port = bound.getsockname()[1]
        app = server.application(blocks, host, address, port, auth)
        if not address.is_loopback:
            warning = "" if auth else " without a login; --auth USER:PASSWORD asks for one"
            say(f"other machines can reach this app{warning}")
        say("Ctrl+C stops it")
        show(f"http://{address.reachable}:{port}{address.root_path}/")
        # A service manager's way to press Ctrl+C; otherwise the folder of the pages' files would stay.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            server.serve(app, bound)
        except KeyboardInterrupt:
            say("stopped")
        return studio.close()


def _address(args: Namespace) -> Address:
    from lib_ranni.standalone.app.address import Address

    path = args.root_path.strip().strip("/")
    return Address("0.0.0.0" if args.listen else args.host, args.port, f"/{path}" if path else "")


def _auth(args: Namespace) -> str:
    pair: str = args.auth or os.environ.get(AUTH_VARIABLE, "")
    user, _, password = pair.partition(":")
    if pair and not (user.strip() == user and user and password.strip() == password and password):
        raise InputError("--auth needs a user name and a password, written USER:PASSWORD")
    return pair
