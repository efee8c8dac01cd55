"""The editor's script and style: the repository's own files, which the page loads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from lib_ranni.errors import InputError
from lib_ranni.standalone.checkpoint import ROOT

FOLDER = ROOT / "javascript"
STYLE = ROOT / "style.css"

_TYPES = {".mjs": "text/javascript", ".json": "application/json"}
"""What the system says of these may be wrong, and then a browser does not run them."""


class Scripts(StaticFiles):
    """The files of `javascript/`, asked for anew each time, so that an update is seen at once."""

    def __init__(self) -> None:
        require_scripts()
        super().__init__(directory=FOLDER)

    def file_response(self, full_path: Any, *args: Any, **kwargs: Any) -> Response:
        """A file with its type, to be checked before it is used again."""
        response = super().file_response(full_path, *args, **kwargs)
        kind = _TYPES.get(Path(full_path).suffix)
        if kind is not None:
            response.headers["Content-Type"] = f"{kind}; charset=utf-8"
        response.headers["Cache-Control"] = "no-cache"
        return response


def require_scripts() -> None:
    """Raises `InputError` where they are not there: an installed wheel has none."""
    if not (FOLDER / "ranni.mjs").exists() or not STYLE.exists():
        raise InputError(
            f"the app's script is not in {FOLDER}; run the app from a clone of the repository (./run.sh app)"
        )


def style() -> str:
    """The editor's style sheet."""
    return STYLE.read_text(encoding="utf-8")
