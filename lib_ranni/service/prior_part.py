"""The part of a page where a latent prior is estimated, from a folder or from what is drawn next."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import gradio as gr
from torch import Tensor

from lib_ranni.errors import InputError, RanniError
from lib_ranni.planner.protocol import Cancelled
from lib_ranni.sampling.prior_files import save_prior
from lib_ranni.sampling.priors import FEW, Prior, Statistics
from lib_ranni.service.latent_statistics import Gathering, pictures_in, show_pictures
from lib_ranni.service.panels import checked_name

MOST = 100_000
"""Pictures of one prior."""

_PAUSE = 0.5


class PriorSource(Protocol):
    """What the part asks of the program it runs in."""

    @property
    def priors(self) -> Path:
        """The folder of the priors; it need not exist."""
        ...

    @property
    def gathering(self) -> Gathering:
        """What takes note of the pictures that are drawn."""
        ...

    def encode(self, pixels: Tensor) -> Tensor:
        """A picture (1, 3, h, w) in -1..1 to its scaled latents, by the model that is loaded."""
        ...

    def side(self) -> int:
        """The side of the pictures that the model is made for."""
        ...

    def vae(self) -> str:
        """A hash of the autoencoder, empty where none is known."""
        ...

    def require_folders(self) -> None:
        """Raise `InputError` where users must not name folders of the machine."""
        ...

    def interrupted(self) -> Cancelled:
        """What tells whether the host was told to stop since this call."""
        ...


def build(source: PriorSource, identify: Callable[[str], str], *, streams: bool) -> None:
    """The accordion. Without `streams` (a server without a queue) progress is not shown as it comes."""
    with gr.Accordion("Latent prior", open=False, elem_id=identify("prior")):
        with gr.Row():
            name = gr.Textbox(label="Name of the prior", max_lines=1, elem_id=identify("prior_name"))
            count = gr.Number(1000, label="Pictures at most", precision=0, elem_id=identify("prior_count"))
        folder = gr.Textbox(
            label="Folder of pictures",
            placeholder="as the model should draw them; 256 or more",
            max_lines=1,
            elem_id=identify("prior_folder"),
        )
        with gr.Row():
            estimate = gr.Button("Estimate from the folder", size="sm", elem_id=identify("estimate_prior"))
            gather = gr.Button("Estimate from the next pictures", size="sm", elem_id=identify("gather_prior"))
            stop = gr.Button("Stop and save", size="sm", elem_id=identify("stop_prior"))
        status = gr.HTML(elem_id=identify("prior_status"))
    for component in (name, count, folder, status):
        component.do_not_save_to_config = True
    kind = _streamed if streams else _at_once
    acts: dict[str, Any] = {"outputs": [status], "api_name": False, "show_progress": "hidden"}
    estimate.click(kind(from_folder(source)), inputs=[name, count, folder], **acts)
    following = from_next(source) if streams else begun(source)
    gather.click(kind(following), inputs=[name, count], **acts)
    stop.click(_at_once(stopped(source)), inputs=[name], **acts)


def from_folder(source: PriorSource) -> Callable[[str, float, str], Iterator[str]]:
    """Encode the pictures of a folder; the status as it changes."""

    def estimate(name: str, count: float, folder: str) -> Iterator[str]:
        source.require_folders()
        name, most = checked_name(name.strip()), _count(count)
        if not folder.strip():
            raise InputError("name a folder of pictures")
        pictures = pictures_in(Path(folder.strip()).expanduser())[:most]
        seen, interrupted = Statistics(), source.interrupted()
        for done in show_pictures(seen, source.encode, pictures, source.side()):
            yield bar("encoding", done, len(pictures))
            if interrupted():
                break
        yield _saved(source, name, seen.prior(f"{seen.count} pictures", name))

    return estimate


def from_next(source: PriorSource) -> Callable[[str, float], Iterator[str]]:
    """Take note of the next pictures that are drawn; the status as it changes."""

    def gather(name: str, count: float) -> Iterator[str]:
        name, gathering = checked_name(name.strip()), source.gathering
        gathering.start(_count(count))
        while gathering.wanted > 0 and gathering.done < gathering.wanted:
            yield bar("drawn, without hires fix", gathering.done, gathering.wanted)
            time.sleep(_PAUSE)
        if gathering.wanted:
            yield _saved(source, name, gathering.stop())

    return gather


def begun(source: PriorSource) -> Callable[[str, float], Iterator[str]]:
    """As `from_next`, for a server that cannot show progress: it is saved by `stopped`."""

    def begin(name: str, count: float) -> Iterator[str]:
        checked_name(name.strip())
        source.gathering.start(_count(count))
        yield _line("the next pictures count; draw them, and press Stop and save")

    return begin


def stopped(source: PriorSource) -> Callable[[str], Iterator[str]]:
    """Save what was taken note of so far."""

    def stop(name: str) -> Iterator[str]:
        yield _saved(source, checked_name(name.strip()), source.gathering.stop())

    return stop


def bar(what: str, done: int, total: int) -> str:
    """A progress bar with its words."""
    return (
        f'<p role="status"><progress value="{done}" max="{total}"></progress> {what}: {done} of {total}</p>'
    )


def _saved(source: PriorSource, name: str, prior: Prior) -> str:
    digest = save_prior(prior, source.priors / f"{name}.safetensors", source.vae())
    few = f"; {FEW} or more make a prior of no single picture" if prior.count < FEW else ""
    means = ", ".join(f"{float(mean.mean()):.3f}" for mean in prior.mean)
    return _line(f"{name} ({digest}) is saved: {prior.count} pictures, mean {means}{few}")


def _count(count: float) -> int:
    if not 2 <= count <= MOST:
        raise InputError(f"a latent prior takes 2 to {MOST} pictures")
    return int(count)


def _streamed(action: Callable[..., Iterator[str]]) -> Callable[..., Iterator[str]]:
    def handle(*values: Any) -> Iterator[str]:
        try:
            yield from action(*values)
        except (RanniError, OSError) as error:
            yield _line(str(error))

    return handle


def _at_once(action: Callable[..., Iterator[str]]) -> Callable[..., str]:
    def handle(*values: Any) -> str:
        return ["", *_streamed(action)(*values)][-1]

    return handle


def _line(text: str) -> str:
    return f'<p role="status">{html.escape(text)}</p>'
