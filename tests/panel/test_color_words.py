"""Whether a text says a color."""

from __future__ import annotations

import pytest

from lib_ranni.panel.color_words import COLORS, says_color


@pytest.mark.parametrize("word", COLORS)
def test_every_word_of_the_list_is_a_color(word: str) -> None:
    assert says_color(f"a {word} vase")
    assert says_color(word.upper())


@pytest.mark.parametrize(
    "text", ["红色的圆", "一只黑的猫", "米色沙发", "a dark-red car", "a (blue:1.3) door"]
)
def test_colors_are_found_where_they_stand(text: str) -> None:
    assert says_color(text)


@pytest.mark.parametrize("text", ["", "a circle", "一个圆", "a tanned man", "a reddish stone", "a bored cat"])
def test_other_words_are_none(text: str) -> None:
    assert not says_color(text)
