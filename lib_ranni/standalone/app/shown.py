"""What the page shows of a drawing, as HTML; all foreign text is escaped."""

from __future__ import annotations

import html

from lib_ranni.standalone.app.drawing import Drawing, Kept, Progress
from lib_ranni.standalone.metadata import infotext

READY = "Ready."


def status(text: str = READY, *, failed: bool = False) -> str:
    """A line without a bar; a failure is announced at once."""
    role = "alert" if failed else "status"
    kind = "app-failed" if failed else "app-quiet"
    return _block(f'<div class="app-bar {kind}"></div>', f'<p role="{role}">{html.escape(text)}</p>')


def drawn(drawing: Drawing) -> str:
    """Where a drawing is: a bar and a line."""
    progress = drawing.progress
    if progress.stage == "failed":
        return status(progress.message, failed=True)
    share, text = _share(progress), _line(drawing)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in drawing.notes[:5])
    if share is None:
        bar = '<div class="app-bar app-busy" role="progressbar" aria-label="Progress"></div>'
    else:
        percent = round(100 * share)
        bar = (
            f'<div class="app-bar" role="progressbar" aria-label="Progress" aria-valuenow="{percent}">'
            f'<i style="width:{percent}%"></i></div>'
        )
    live = ' role="status"' if drawing.is_over else ""
    return _block(bar, f"<p{live}>{html.escape(text)}</p>" + (f"<ul>{notes}</ul>" if notes else ""))


def _block(bar: str, lines: str) -> str:
    return f'<div class="app-status">{bar}{lines}</div>'


def _share(progress: Progress) -> float | None:
    """How much is done, 0..1; None while nobody knows."""
    if progress.stage in ("planning", "waiting", "loading"):
        return None
    if progress.stage == "done":
        return 1.0
    return (progress.picture + progress.step / max(1, progress.steps)) / max(1, progress.pictures)


def _line(drawing: Drawing) -> str:
    progress, pictures = drawing.progress, len(drawing.pictures)
    if progress.stage == "planning":
        return "Planning the prompt …"
    if progress.stage == "loading":
        return "Loading the model …"
    if progress.stage == "waiting":
        ahead = drawing.ahead
        return (
            f"Waiting: {counted(ahead, 'drawing')} before this one." if ahead else "Waiting for the model …"
        )
    if progress.stage == "drawing":
        which = f"Picture {progress.picture + 1} of {progress.pictures} · " if progress.pictures > 1 else ""
        return f"{which}step {progress.step} of {progress.steps} · {progress.seconds:.1f} s"
    if progress.stage == "stopped":
        return f"Stopped; {counted(pictures, 'picture')} finished."
    return f"{counted(pictures, 'picture')} in {progress.seconds:.1f} s."


def counted(number: int, noun: str) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def picture(kept: Kept | None, address: str = "") -> str:
    """The chosen picture with its infotext and its file, which is at `address`."""
    if kept is None:
        return (
            '<div class="app-figure"></div>'
            '<p class="app-hint">Pictures appear here. '
            "Each carries the panel and the settings that draw it again.</p>"
        )
    name, source = html.escape(kept.path.name, quote=True), html.escape(address, quote=True)
    text = infotext(kept.request)
    alt = html.escape(kept.request.plain_prompt(0)[:200], quote=True)
    return (
        f'<div class="app-figure"><img src="{source}" alt="{alt}"></div>'
        f'<pre class="app-infotext" tabindex="0">{html.escape(text)}</pre>'
        f'<a class="app-file" href="{source}" download="{name}">Download {name}</a>'
    )
