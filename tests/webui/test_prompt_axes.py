"""Axes that write a cell's prompt: prompts of a set, and blocks of LoRAs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lib_ranni.errors import InputError
from tests.webui.fake_host import Host, installed

GRID = SimpleNamespace(
    AxisOption=lambda label, type, apply, **rest: SimpleNamespace(label=label, type=type, apply=apply, **rest)
)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    folder = tmp_path / "models" / "Ranni" / "prompts"
    folder.mkdir(parents=True)
    rows = [f"thing {n} with many words that are far too long for a label\tAnimals" for n in range(9)]
    (folder / "PartiPrompts.tsv").write_text("Prompt\tCategory\n" + "\n".join(rows) + "\nshort\n")
    (folder / "colors_val.txt").write_text("a red, round apple\n")
    with installed(Host(None, tmp_path)) as made:  # type: ignore[arg-type]
        yield made


def prompts(host: Host, values: str) -> tuple[Any, list[Any]]:
    """The axis, and its values as the grid makes them."""
    from lib_ranni.webui import prompt_axes

    axis = prompt_axes.prompt_set_option(GRID)
    return axis, [axis.type(value) for value in axis.prepare(values)]


def test_an_expression_is_an_axis_of_prompts(host: Host) -> None:
    axis, values = prompts(host, "parti:Category=Animals;n=2;seed=1, colors_val")
    assert values == prompts(host, "parti:Category=Animals;n=2;seed=1, colors_val")[1]
    p = SimpleNamespace(prompt="", comments=[])
    p.comment = p.comments.append
    axis.confirm(p, values)
    assert p.comments == ["Ranni: PartiPrompts.tsv: 1 row left out (not 2 cells)"]
    drawn = []
    for value in values:
        axis.apply(p, value, values)
        drawn.append(p.prompt)
    assert len(drawn) == 3
    assert drawn[2] == "a red, round apple"
    labels = [axis.format_value(p, axis, value) for value in values]
    assert labels[2] == "a red, round apple (1)"
    assert labels[0].endswith("with many words that... (" + labels[0].rpartition("(")[2])
    assert max(map(len, labels)) < 60


def test_the_jobs_prompt_may_say_where_it_goes(host: Host) -> None:
    axis, [value] = prompts(host, "colors_val")
    p = SimpleNamespace(prompt="oil painting of {prompt} <lora:ink:1>")
    axis.apply(p, value, [value])
    assert p.prompt == "oil painting of a red, round apple <lora:ink:1>"


@pytest.mark.parametrize(
    ("text", "literal"),
    [
        ("a (red) cat", r"a \(red\) cat"),
        ("[a|b] and \\", r"\[a|b\] and \\"),
        ("<lora:x:1> <3", "< lora:x:1> <3"),
        ("a cat AND a dog BREAK BRAND", "a cat and a dog break BRAND"),
    ],
)
def test_words_stay_words(host: Host, text: str, literal: str) -> None:
    from lib_ranni.webui import prompt_axes

    assert prompt_axes.literal(text) == literal


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ("", "write an expression such as"),
        ("../../config", "no prompt set"),
        ("parti:Category=Cats", "Category is, among others: 'Animals'"),
        ("parti:n=0", "whole number"),
    ],
)
def test_what_gives_no_prompts_is_refused(host: Host, values: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        prompts(host, values)


def test_a_grid_has_an_end(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "models" / "Ranni" / "prompts" / "many.txt"
    path.write_text("a cat\n" * 1001)
    with pytest.raises(InputError, match="more than 1000 prompts"):
        prompts(host, "many")


def test_the_folder_is_a_setting(host: Host, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.txt").write_text("a dog")
    host.shared.opts.ranni_prompt_sets = str(tmp_path / "mine")
    assert [value.text for value in prompts(host, "own")[1]] == ["a dog"]


@pytest.mark.parametrize(
    ("prompt", "value", "expected"),
    [
        ("a <lora:ink:0.8> b", "content", "a <lora:ink:0.8:blocks=content> b"),
        ("<lora:ink>", "style=0.5,down*", "<lora:ink:1:blocks=style@0.5,down*>"),
        ("<lora:ink:1:blocks=x:te=0>", "mid", "<lora:ink:1:te=0:blocks=mid>"),
        ("<lora:ink:1:blocks=x>", "all", "<lora:ink:1>"),
        ("<lora:ink:1> <lyco:oil:1>", "oil:mid", "<lora:ink:1> <lyco:oil:1:blocks=mid>"),
        ("<hypernet:ink:1>", "mid", "<hypernet:ink:1>"),
    ],
)
def test_blocks_are_written_into_the_tags(host: Host, prompt: str, value: str, expected: str) -> None:
    from lib_ranni.webui import prompt_axes

    axis = prompt_axes.blocks_option(GRID)
    p = SimpleNamespace(prompt=prompt, hr_prompt="")
    axis.apply(p, axis.type(value), [value])
    assert (p.prompt, p.hr_prompt) == (expected, "")
    p = SimpleNamespace(prompt="", hr_prompt=prompt)
    axis.apply(p, value, [value])
    assert p.hr_prompt == expected


def test_blocks_are_checked_before_anything_is_drawn(host: Host) -> None:
    from lib_ranni.webui import prompt_axes

    axis = prompt_axes.blocks_option(GRID)
    p = SimpleNamespace(prompt="<lora:ink:1:blocks=unet>")
    axis.confirm(p, ["all", "unet", "ink:style@0.5"])
    for value, complaint in (
        ("(x)", "is no block"),
        ("oil:mid", "no <lora:oil>"),
        ("style@x", "must be a number"),
    ):
        with pytest.raises(InputError, match=complaint):
            axis.confirm(p, [value])
    with pytest.raises(InputError, match=r"no <lora:\.\.\.> to filter"):
        axis.confirm(SimpleNamespace(prompt="a cat"), ["mid"])
