"""A language model in this process: loaded when first asked, one reply at a time, out of the way on request.

A host that draws pictures on the same device calls `offload_all` before it does.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from msgspec.structs import replace

from lib_ranni.errors import ModelError, PlannerError
from lib_ranni.planner.llm.backend import Chat
from lib_ranni.planner.local import chat_text, loading
from lib_ranni.planner.local.adapters import Adapter, applied, fit, read_adapter
from lib_ranni.planner.local.decoding import Sampling, TextPieces, tokens
from lib_ranni.planner.local.loading import Loaded, Precision, Quantize
from lib_ranni.planner.protocol import Cancelled

_POLL = 0.1
"""Seconds between two looks at whether a waiting caller has given up."""

_backends: weakref.WeakSet[LocalBackend] = weakref.WeakSet()


def offload_all(wait: float = 10.0) -> None:
    """Move every local model to the CPU. `wait` and the errors are those of `LocalBackend.offload`."""
    for backend in list(_backends):
        backend.offload(wait)


def _nothing() -> None:
    """No room needs to be made."""


class LocalBackend:
    """A causal language model from a folder of transformers, as a backend; `Chat.schema` is not used.

    `dtype` auto is fp16 or bf16 on a GPU and fp32 on the CPU, where a model of 7 billion weights then takes
    28 GB (14 GB in bf16). `make_room` is called before weights go to a device other than the CPU, for a host
    to put its own away. With `template` "llama2" a template in the folder is not used. May be called from
    several threads: replies are made one after the other.
    """

    name = "local"

    def __init__(
        self,
        path: str | Path,
        *,
        device: str = "auto",
        dtype: Precision = "auto",
        quantize: Quantize = "",
        sampling: Sampling | None = None,
        template: Literal["auto", "llama2"] = "auto",
        make_room: Callable[[], None] = _nothing,
    ) -> None:
        self.path = Path(path)
        self.model = self.path.name
        self.device, self.dtype, self.quantize = device, dtype, quantize
        self.sampling = sampling or Sampling()
        self.template = template
        self.make_room = make_room
        self._turn = threading.Lock()
        self._loading: Future[Loaded] | None = None
        _backends.add(self)

    @property
    def identity(self) -> str:
        """The folder and how its weights are used: what its replies depend on."""
        return f"{self.path.absolute()} {self.dtype} {self.quantize} {self.template} {self.sampling}"

    def stream(self, chat: Chat, cancelled: Cancelled) -> Iterator[str]:
        """The reply in pieces; it ends within one token or a second when the caller cancels."""
        return self.reply(chat, cancelled, None)

    def reply(self, chat: Chat, cancelled: Cancelled, adapter: Adapter | None) -> Iterator[str]:
        """As `stream`, with a LoRA in effect for this reply alone. Raises `PlannerError`."""
        if not self._take_turn(cancelled):
            return
        try:
            with self._explained():
                loaded = self._awaited(cancelled)
                if loaded is not None:
                    self._place(loaded)
                    with applied(adapter, loaded.model):
                        yield from self._pieces(loaded, chat, cancelled)
        finally:
            self._turn.release()

    def fit_note(self, adapter: Adapter) -> str:
        """What of the LoRA does not fit the model; empty while the model is not loaded, or when all fits."""
        loaded = self._present()
        return fit(adapter, loaded.model).note if loaded else ""

    def offload(self, wait: float = 10.0) -> None:
        """Move the model to the CPU, or drop it where it cannot be moved; the next reply brings it back.

        A reply under way has `wait` seconds to end, after which `PlannerError` is raised.
        """
        with self._between_replies(wait):
            loaded = self._present()
            if loaded is None:
                return
            if loaded.movable:
                loaded.model.to("cpu")
            else:
                self._loading = None
            del loaded
            _release()

    def free(self, wait: float = 10.0) -> None:
        """Drop the model; the next reply loads it anew. `wait` is as in `offload`."""
        with self._between_replies(wait):
            self._loading = None
            _release()

    def _take_turn(self, cancelled: Cancelled) -> bool:
        while not cancelled():
            if self._turn.acquire(timeout=_POLL):
                return True
        return False

    @contextmanager
    def _between_replies(self, wait: float) -> Iterator[None]:
        busy = PlannerError("the local model is still busy; cancel the plan, or wait for its end")
        if not self._turn.acquire(timeout=wait):
            raise busy
        try:
            if self._loading is not None and wait_for((self._loading,), timeout=wait).not_done:
                raise busy
            yield
        finally:
            self._turn.release()

    def _present(self) -> Loaded | None:
        loading = self._loading
        if loading is None or not loading.done() or loading.exception() is not None:
            return None
        return loading.result()

    def _awaited(self, cancelled: Cancelled) -> Loaded | None:
        """The model, loaded in a thread so that a caller can leave; None if it does. It is loaded once."""
        future = self._loading
        if future is None or (future.done() and future.exception() is not None):
            self._loading = future = Future()
            threading.Thread(target=self._load_into, args=(future,), daemon=True).start()
        while not future.done():
            if cancelled():
                return None
            wait_for((future,), timeout=_POLL)
        if future.exception() is not None:
            self._loading = None
        return future.result()

    def _load_into(self, future: Future[Loaded]) -> None:
        try:
            if self.quantize:
                self.make_room()
            device = loading.device_of(self.device)
            future.set_result(loading.load(self.path, device, self.dtype, self.quantize))
        except BaseException as error:
            # Whoever waits for the model must hear of it, whatever it was.
            future.set_exception(error)

    def _place(self, loaded: Loaded) -> None:
        device = loading.device_of(self.device)
        if loaded.movable and next(loaded.model.parameters()).device.type != device.type:
            self.make_room()
            loaded.model.to(device)

    def _pieces(self, loaded: Loaded, chat: Chat, cancelled: Cancelled) -> Iterator[str]:
        tokenizer = loaded.tokenizer
        template = None if self.template == "llama2" else chat_text.template_of(self.path)
        prompt = chat_text.token_ids(chat.messages, template, tokenizer)
        room = min(chat.max_tokens, loaded.limit - len(prompt))
        if room <= 0 or not prompt:
            raise PlannerError(
                f"the prompt has {len(prompt)} tokens, and {self.model} reads {loaded.limit} with its reply; "
                "shorten it"
            )
        if max(prompt) >= loaded.model.get_input_embeddings().num_embeddings:
            raise PlannerError(f"the tokenizer in {self.path} is of another model; download both again")

        def decode(ids: list[int]) -> str:
            text: str = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            return text

        text = TextPieces(decode)
        sampling = replace(self.sampling, temperature=chat.temperature)
        for token in tokens(loaded.model, prompt, sampling, chat.seed, cancelled):
            if token in loaded.stops:
                break
            if piece := text.add(token):
                yield piece
            room -= 1
            if not room:
                break
        if rest := text.rest():
            yield rest

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Errors of loading and computing as `PlannerError`; after want of memory the device is left."""
        try:
            yield
        except PlannerError:
            raise
        except ModelError as error:
            raise PlannerError(str(error)) from error
        except ModuleNotFoundError as error:
            needed = f"a local model needs {error.name}"
            raise PlannerError(f"{needed}; install it, or choose another planner") from error
        except Exception as error:
            # Models are other people's code, of hundreds of kinds.
            if not _wants_memory(error):
                reason = f"{type(error).__name__}: {str(error)[:200]}"
                raise PlannerError(
                    f"the local model failed ({reason}); try another dtype or device"
                ) from error
            loaded = self._present()
            size = f"its weights alone take {loaded.size / 2**30:.1f} GB; " if loaded else ""
            if loaded and loaded.movable:
                loaded.model.to("cpu")
            else:
                self._loading = None
            _release()
            raise PlannerError(
                f"there is not enough memory for {self.model}: {size}"
                "choose 4bit, fp16, a smaller model, or the CPU"
            ) from error


class AdaptedBackend:
    """A local model with a LoRA; several share one model and take turns. The LoRA is read when first used."""

    name = LocalBackend.name

    def __init__(self, backend: LocalBackend, lora: str | Path) -> None:
        self.backend = backend
        self.lora = Path(lora)
        self.model = f"{backend.model}+{self.lora.stem}"
        self._adapter: Adapter | None = None

    @property
    def identity(self) -> str:
        """The model's identity and the LoRA's file."""
        return f"{self.backend.identity} {self.lora.absolute()}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know about how the LoRA fits, once a reply has been made."""
        adapter = self._adapter
        if adapter is None:
            return ()
        if not adapter.pairs:
            return (f"{self.lora.name} changes nothing: the bare model answers",)
        note = self.backend.fit_note(adapter)
        return (f"{self.lora.name}: {note}",) if note else ()

    def stream(self, chat: Chat, cancelled: Cancelled) -> Iterator[str]:
        """The reply in pieces, as that of `LocalBackend.stream`. Raises `PlannerError`."""
        if self._adapter is None:
            try:
                self._adapter = read_adapter(self.lora)
            except ModelError as error:
                raise PlannerError(str(error)) from error
        yield from self.backend.reply(chat, cancelled, self._adapter)


def _wants_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def _release() -> None:
    """Give the device back what is not used any more."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
