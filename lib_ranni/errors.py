"""Every error this library raises on purpose.

    RanniError
    ├── InputError            what the caller gave cannot be used
    │   ├── PanelError        a panel document has problems, each with its path
    │   ├── EditError         an edit cannot be applied to this panel
    │   ├── MissingError      nothing is kept under this name
    │   ├── TakenError        another thing is kept under this name
    │   ├── MismatchError     what is remembered of a picture does not fit what is asked for
    │   ├── MetadataError     a picture does not carry a readable request
    │   └── LoraError         a LoRA file cannot be read, converted or merged as asked
    ├── ModelError            a checkpoint is missing, damaged or of a kind we cannot drive
    ├── PlannerError          a planner could not produce a panel
    └── GuidanceError         guidance and the denoiser do not fit together

The message of each says what is wrong and what to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lib_ranni.panel.problems import Problem


class RanniError(Exception):
    """Base of all errors raised by lib_ranni."""


class InputError(RanniError):
    """The caller's input cannot be used as it is."""


class PanelError(InputError):
    """A panel document has problems; `problems` lists all of them with their paths."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        shown = "; ".join(str(problem) for problem in problems[:3])
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        super().__init__(f"the panel cannot be used: {shown}{more}")


class EditError(InputError):
    """An edit names an element that is not there, is locked, or would leave the canvas."""


class MissingError(InputError):
    """Nothing is kept under the name that was given."""


class TakenError(InputError):
    """Something else is kept under the name that was given."""


class MismatchError(InputError):
    """A picture's memory was made with other settings than the request that builds on it."""


class MetadataError(InputError):
    """A picture carries no request of ours, or one that cannot be read."""


class LoraError(InputError):
    """A LoRA file is damaged, no LoRA, or cannot be converted or merged as it was asked."""


class ModelError(RanniError):
    """A checkpoint is missing, damaged, or of a kind that cannot be driven."""


class PlannerError(RanniError):
    """A planner could not produce a panel."""


class GuidanceError(RanniError):
    """The guidance and the denoiser do not fit together."""
