"""Turns at the model: one job runs at a time, the others wait in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable


class Job:
    """Work that waits for its turn. What it raises is kept in `error`."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._work = work
        self._over = threading.Event()
        self.error: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Whether it has run, or will never."""
        return self._over.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the end; whether it has come."""
        return self._over.wait(seconds)

    def run(self) -> None:
        """Do the work."""
        try:
            self._work()
        except Exception as error:
            # Its frames would keep the tensors of a picture that failed until the page draws another.
            self.error = error.with_traceback(None)
        finally:
            self._over.set()

    def drop(self) -> None:
        """It will not run any more."""
        self._over.set()


class Turns:
    """A queue of jobs, and the one thread that runs them. It begins with the first job."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, job: Job) -> None:
        """Put a job at the end of the queue."""
        with self._changed:
            self._jobs.append(job)
            if self._thread is None:
                # A daemon: a program that ends does not wait for a picture.
                self._thread = threading.Thread(target=self._serve, name="ranni-turns", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def leave(self, job: Job) -> None:
        """Take a job that still waits out of the queue; one that runs goes on."""
        with self._changed:
            if job in self._jobs:
                self._jobs.remove(job)
                job.drop()
                self._changed.notify_all()

    def ahead(self, job: Job) -> int:
        """How many jobs must end before this one begins; 0 when it runs or is over."""
        with self._changed:
            if job not in self._jobs:
                return 0
            return self._jobs.index(job) + (self._running is not None)

    def rest(self, seconds: float) -> bool:
        """Wait until no job runs or waits; whether that has come."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs and self._running is None, seconds)

    def _serve(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs)
                self._running = job = self._jobs.popleft()
            job.run()
            with self._changed:
                self._running = None
                self._changed.notify_all()
