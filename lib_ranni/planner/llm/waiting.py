"""An asynchronous reply for a caller who waits in a thread, and may lose interest at any time."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

from lib_ranni.errors import PlannerError
from lib_ranni.planner.protocol import Cancelled

_POLL_SECONDS = 0.1


class _End:
    """The last thing in the queue: the reply is over, with an error or without."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def pieces(reply: Callable[[], AsyncIterator[str]], cancelled: Cancelled, longest: float) -> Iterator[str]:
    """What `reply` yields, as it arrives. Its errors are raised here; `PlannerError` after `longest` seconds.

    Ends as soon as the caller has cancelled, or closed this iterator, in whatever phase the reply is; what
    it holds open is closed in a thread of its own.
    """
    arrived: queue.SimpleQueue[str | _End] = queue.SimpleQueue()
    talk = _Talk(reply, arrived)
    end = time.monotonic() + longest
    talk.start()
    try:
        while not cancelled():
            if time.monotonic() > end:
                raise PlannerError(
                    f"the reply took more than {longest:g} s; ask a quicker model, or allow more time"
                )
            try:
                item = arrived.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if not isinstance(item, _End):
                yield item
            elif item.error is None:
                return
            else:
                raise item.error
    finally:
        talk.cancel()


class _Talk:
    """Runs the reply in an event loop of its own thread."""

    def __init__(
        self, reply: Callable[[], AsyncIterator[str]], arrived: queue.SimpleQueue[str | _End]
    ) -> None:
        self._reply = reply
        self._arrived = arrived
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._lock = threading.Lock()
        self._is_over = False

    def start(self) -> None:
        threading.Thread(target=self._run, name="ranni-planner", daemon=True).start()

    def cancel(self) -> None:
        """Stop, wherever it is. May be called at any time."""
        with self._lock:
            if not self._is_over:
                self._loop.call_soon_threadsafe(self._cancel_task)
                self._is_over = True

    def _cancel_task(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            self._task = self._loop.create_task(self._pump())
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass
        except Exception as problem:
            error = problem
        finally:
            with self._lock:
                self._is_over = True
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            with self._lock:
                self._loop.close()
            self._arrived.put(_End(error))

    async def _pump(self) -> None:
        async for piece in self._reply():
            self._arrived.put(piece)
