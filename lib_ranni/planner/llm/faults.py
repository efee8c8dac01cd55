"""What a server's HTTP state means to the person who waits for a plan."""

from __future__ import annotations

import math
import time
from email.utils import parsedate_to_datetime

import httpx
import msgspec

from lib_ranni.errors import PlannerError
from lib_ranni.planner.llm.completions import error_text, quoted
from lib_ranni.planner.llm.key import Key

_PASSING = frozenset((408, 425, 500, 502, 503, 504))
_MOST_MODELS = 10


class PassingFault(Exception):
    """A fault that may be over at the next try, after `pause` seconds where the server says so."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        super().__init__(message)
        self.pause = pause


def fault_of(
    url: str, response: httpx.Response, body: bytes, model: str = "", models: tuple[str, ...] = ()
) -> PlannerError | PassingFault:
    """The error for a response that is none; `models` are those the server has instead of `model`."""
    state, said = response.status_code, _said(body)
    pause = _pause(response.headers.get("retry-after", ""))
    if response.has_redirect_location:
        target = quoted(str(httpx.URL(response.headers.get("location", "")).copy_with(query=None)))
        return PlannerError(f"{url} sends us on to {target}; put that address in if you trust it")
    if state in (401, 403):
        return PlannerError(f"{url} refuses the key ({state}: {said}); check the key for this server")
    if state == 404 and not models:
        return PlannerError(f"{url} has no such route or model ({said}); most addresses end in /v1")
    if models and model not in models:
        names = ", ".join(models[:_MOST_MODELS]) + (", ..." if len(models) > _MOST_MODELS else "")
        return PlannerError(f"{url} has no model {model!r}; it has {names}")
    if state == 429:
        wait = "" if pause is None else f"; it asks to wait {pause:.0f} s"
        return PassingFault(f"{url} has had too many requests ({said}){wait}", pause)
    if state in _PASSING:
        return PassingFault(f"{url} has a fault of its own ({state}: {said}); try again later", pause)
    if state == 413:
        return PlannerError(f"the prompt is too long for {url} ({said}); shorten it")
    return PlannerError(f"{url} refuses the request ({state}: {said})")


def cause(error: Exception, key: Key) -> str:
    """What an error of the network says, or its kind where it says nothing; it may quote the server."""
    return quoted(key.masked(str(error))) or type(error).__name__


def _said(body: bytes) -> str:
    try:
        return error_text(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = body[:2000].decode("utf-8", "replace").strip()
        return "a web page" if text.startswith("<") else error_text(text) if text else "no reason given"


def _pause(header: str) -> float | None:
    """The seconds in a Retry-After header, which holds a number or a date."""
    try:
        seconds = float(header) if header else None
    except ValueError:
        seconds = None
    if seconds is not None:
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
