"""The picture under the boxes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.editor.driving import spot

RED, GREEN, BLUE = "ff0000", "00ff00", "0000ff"


def _url(color: str) -> str:
    return (
        "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' width='8' height='8'>"
        f"<rect width='8' height='8' fill='%23{color}'/></svg>"
    )


def _give(page: Any, name: str, url: str | None) -> None:
    page.evaluate("([name, url]) => editor[name](url)", [name, url])


def _shown(page: Any) -> list[str]:
    found = page.eval_on_selector_all(
        ".ranni-canvas image",
        "all => all.filter(i => i.getBoundingClientRect().width).map(i => i.getAttribute('href'))",
    )
    return list(found)


def _slide(page: Any, name: str, keys: list[str]) -> None:
    page.focus(f"[data-field={name}]")
    for key in keys:
        page.keyboard.press(key)


@pytest.fixture
def fresh(page: Any) -> Any:
    page.evaluate("() => { localStorage.clear(); renew(); }")
    yield page
    page.evaluate("localStorage.clear()")


def test_a_result_comes_under_the_boxes_unless_one_wants_none(fresh: Any) -> None:
    assert not fresh.is_visible("[data-field=backdrop]")
    _give(fresh, "setInput", _url(BLUE))
    assert _shown(fresh) == [_url(BLUE)]
    _give(fresh, "setResult", _url(RED))
    assert _shown(fresh) == [_url(RED)]
    fresh.select_option("[data-field=backdrop]", "none")
    assert _shown(fresh) == []
    fresh.evaluate("renew()")
    _give(fresh, "setResult", _url(RED))
    assert _shown(fresh) == []
    fresh.select_option("[data-field=backdrop]", "result")
    _slide(fresh, "opacity", ["Home", "PageUp"])
    opacity = fresh.get_attribute(".ranni-canvas g:has(> image)", "opacity")
    assert 0 < float(opacity) < 0.5
    fresh.evaluate("renew()")
    _give(fresh, "setResult", _url(GREEN))
    assert _shown(fresh) == [_url(GREEN)]
    assert fresh.get_attribute(".ranni-canvas g:has(> image)", "opacity") == opacity
    _give(fresh, "setResult", None)
    assert _shown(fresh) == []


def test_the_last_two_results_are_compared(fresh: Any) -> None:
    _give(fresh, "setResult", _url(RED))
    assert not fresh.is_visible("[data-field=compare]")
    _give(fresh, "setResult", _url(GREEN))
    assert _shown(fresh) == [_url(GREEN)]
    _slide(fresh, "compare", ["End"])
    assert _shown(fresh) == [_url(GREEN), _url(RED)]
    width = "n => document.querySelectorAll('.ranni-page, .ranni-split')[n].getBoundingClientRect().width"
    fresh.eval_on_selector(
        "[data-field=compare]",
        "r => { r.value = 0.25; r.dispatchEvent(new Event('input', {bubbles: true})); }",
    )
    split = float(fresh.get_attribute(".ranni-split", "width"))
    assert split == pytest.approx(fresh.evaluate(width, 0) / 4, abs=1)
    fresh.select_option("[data-field=backdrop]", "none")
    assert not fresh.is_visible("[data-field=compare]")


def test_a_file_is_opened_and_its_address_given_back(fresh: Any) -> None:
    fresh.evaluate(
        "() => { window.revoked = []; const old = URL.revokeObjectURL;"
        " URL.revokeObjectURL = url => { revoked.push(url); old.call(URL, url); }; }"
    )
    picture = {
        "name": "<b>.svg",
        "mimeType": "image/svg+xml",
        "buffer": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }
    fresh.set_input_files("[data-field=open_picture]", picture)
    (first,) = _shown(fresh)
    assert first.startswith("blob:")
    fresh.set_input_files("[data-field=open_picture]", picture)
    (second,) = _shown(fresh)
    assert first in fresh.evaluate("revoked")
    fresh.evaluate("editor.destroy()")
    assert second in fresh.evaluate("revoked")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/x.png",
        "//example.com/x.png",
        "javascript:alert(1)",
        "data:text/html,x",
        "http://[",
    ],
)
def test_pictures_from_elsewhere_are_not_shown(fresh: Any, url: str) -> None:
    _give(fresh, "setResult", url)
    assert _shown(fresh) == []
    assert fresh.faults == []


def test_what_is_remembered_may_be_broken(fresh: Any) -> None:
    for kept in ("{", "[]", '{"kind": "__proto__", "opacity": {}}', "7"):
        fresh.evaluate("kept => { localStorage.setItem('ranni_backdrop', kept); renew(); }", kept)
        _give(fresh, "setResult", _url(RED))
        assert _shown(fresh) == [_url(RED)]


def test_the_picture_follows_zoom(fresh: Any) -> None:
    _give(fresh, "setResult", _url(RED))
    fresh.click("[data-tool=zoom_in]")
    page, picture = (
        fresh.locator(f".ranni-canvas {of}").first.bounding_box() for of in (".ranni-page", "image")
    )
    assert page == pytest.approx(picture, abs=2)
    assert spot(fresh, 0, 0)[0] == pytest.approx(picture["x"], abs=2)
