"""The memories that a host keeps: for each user and tab their own, as many as fit, the oldest going first."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock

from lib_ranni.errors import MissingError
from lib_ranni.guidance.memory import Memory

MOST_BYTES = 512 * 2**20
MOST_EACH = 32
"""Bounds of a store unless its host sets others: all memories together, and how many one owner has."""


@dataclass
class _Chain:
    """What an owner looks at, and what an undo took back."""

    present: str = ""
    undone: list[str] = field(default_factory=list)


class MemoryStore:
    """Memories by owner (any text that tells users and tabs apart) and name. Safe with several threads.

    An edit's result is a memory as well, so that edits follow one another; `undo` goes back along them.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, most_each: int = MOST_EACH) -> None:
        self._most_bytes, self._most_each = most_bytes, max(1, most_each)
        self._memories: OrderedDict[tuple[str, str], Memory] = OrderedDict()
        self._chains: dict[str, _Chain] = {}
        self._lock = Lock()

    @property
    def nbytes(self) -> int:
        """How much room all memories take."""
        with self._lock:
            return self._total()

    def limit(self, most_bytes: int) -> None:
        """Another bound for all memories together; what is over it goes at once."""
        with self._lock:
            self._most_bytes = most_bytes
            self._make_room("")

    def put(self, owner: str, memory: Memory) -> bool:
        """Keep a finished picture as the owner's present one.

        False if it alone is over the bound: then the owner has no present one, since an older is not it.
        """
        with self._lock:
            if memory.nbytes > self._most_bytes:
                self._chains.pop(owner, None)
                return False
            self._memories[owner, memory.name] = memory
            self._memories.move_to_end((owner, memory.name))
            self._chains[owner] = _Chain(memory.name)
            self._make_room(owner)
            return True

    def get(self, owner: str, name: str) -> Memory | None:
        """An owner's memory, which becomes the last to go; None if it is gone or never was."""
        with self._lock:
            return self._get(owner, name)

    def of(self, owner: str) -> list[Memory]:
        """All that an owner has, the last kept or asked for at the end."""
        with self._lock:
            return [memory for key, memory in self._memories.items() if key[0] == owner]

    def present(self, owner: str) -> Memory | None:
        """The picture an owner drew, edited or went back to last; None if there is none."""
        with self._lock:
            chain = self._chains.get(owner)
            return None if chain is None else self._get(owner, chain.present)

    def undo(self, owner: str) -> Memory:
        """Back to the picture that the present one is an edit of. Raises `MissingError` if it is not kept."""
        with self._lock:
            chain = self._chains.get(owner, _Chain())
            now = self._get(owner, chain.present)
            earlier = self._get(owner, now.before) if now is not None else None
            if now is None or earlier is None:
                raise MissingError("there is no earlier picture to go back to")
            chain.undone.append(now.name)
            chain.present = earlier.name
            return earlier

    def redo(self, owner: str) -> Memory:
        """The picture that the last `undo` left. Raises `MissingError` if there is none."""
        with self._lock:
            chain = self._chains.get(owner, _Chain())
            later = self._get(owner, chain.undone[-1]) if chain.undone else None
            if later is None:
                raise MissingError("there is no later picture to go forward to")
            chain.present = chain.undone.pop()
            return later

    def forget(self, owner: str) -> None:
        """Drop all that an owner has."""
        with self._lock:
            for key in [key for key in self._memories if key[0] == owner]:
                del self._memories[key]
            self._chains.pop(owner, None)

    def _get(self, owner: str, name: str) -> Memory | None:
        memory = self._memories.get((owner, name))
        if memory is not None:
            self._memories.move_to_end((owner, name))
        return memory

    def _total(self) -> int:
        return sum(memory.nbytes for memory in self._memories.values())

    def _make_room(self, owner: str) -> None:
        own = [key for key in self._memories if key[0] == owner]
        for key in own[: max(0, len(own) - self._most_each)]:
            del self._memories[key]
        while self._total() > self._most_bytes:
            self._memories.popitem(last=False)
        left = {key[0] for key in self._memories}
        self._chains = {name: chain for name, chain in self._chains.items() if name in left}
