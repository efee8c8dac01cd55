"""Variants such as `{red|blue}` and `__wildcards__` in a panel's texts, chosen for each picture.

Only where the extension Dynamic Prompts is switched on for the job: it chose the prompts before us, and
the texts of the panel then follow its library, its wildcards and its notation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lib_ranni.panel.types import Panel, with_fields

_TITLE = "Dynamic Prompts"

Expand = Callable[[str, int], str]
"""(text, seed) -> text."""


def expansion(p: Any) -> Expand | None:
    """What expands a text as Dynamic Prompts does, if it is installed and switched on for this job."""
    script = _script(p)
    if script is None:
        return None
    from dynamicprompts.generators import RandomPromptGenerator
    from dynamicprompts.parser.config import ParserConfig
    from modules import shared

    names = ("variant_start", "variant_end", "wildcard_wrap")
    chosen = {name: getattr(shared.opts, f"dp_parser_{name}", "") for name in names}
    config = ParserConfig(**{name: value for name, value in chosen.items() if value})
    wildcards = getattr(script, "_wildcard_manager", None)

    def expand(text: str, seed: int) -> str:
        made = RandomPromptGenerator(wildcards, seed=seed, parser_config=config).generate(text, 1)
        return str(made[0]) if made else ""

    return expand


def expanded(panels: Sequence[Panel], seeds: Sequence[int], expand: Expand) -> tuple[Panel, ...]:
    """A panel for each picture, with its texts chosen by the picture's seed; one if all are the same."""
    made = [_chosen(panels[n % len(panels)], seed, expand) for n, seed in enumerate(seeds)]
    alike = all(panel == made[0] for panel in made)
    return tuple(made[:1] if alike else made)


def _chosen(panel: Panel, seed: int, expand: Expand) -> Panel:
    """The same seed must not choose the same place in every element's list: each has one of its own."""
    elements = []
    for n, element in enumerate(panel.elements):
        own = seed + 2 * n + 1
        words = expand(element.description, own) or element.description
        elements.append(with_fields(element, description=words, negative=expand(element.negative, own + 1)))
    base, negative = expand(panel.base, seed), expand(panel.negative, seed)
    return with_fields(panel, elements=tuple(elements), base=base, negative=negative)


def _script(p: Any) -> Any | None:
    runner = getattr(p, "scripts", None)
    for script in getattr(runner, "alwayson_scripts", ()):
        if str(script.title()).startswith(_TITLE):
            arguments = p.script_args[script.args_from : script.args_to]
            return script if len(arguments) > 0 and arguments[0] is True else None
    return None
