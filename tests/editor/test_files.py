"""Panels kept by name, files that are opened, dropped and written, over the real routes."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from PIL import Image, PngImagePlugin

from lib_ranni.panel.types import Box, Element, Panel
from lib_ranni.panel.writing import to_document
from lib_ranni.service.request import Request, to_json
from tests.editor.driving import element, ids, load, tool, value

A = element("e1", (0.1, 0.1, 0.3, 0.3))
B = element("e2", (0.5, 0.5, 0.9, 0.9), colors=["#00ff00"])
HOSTILE = "<img src=x onerror=window.hacked=1>&amp;\u0007]]><script>window.hacked=1</script>"
PICTURED = Panel(elements=(Element(id="e5", description="a pear", box=Box(0.2, 0.2, 0.6, 0.6)),))
MENU = "dialog[open]"
NAME = f"{MENU} [aria-label=Name]"
DROP = """([name, data, types]) => {
  const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name));
  const on = document.querySelector('.ranni-canvas');
  for (const type of types)
    on.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
}"""


def picture(prompt: str = "a bowl", negative: str = "blur", request: Request | None = None) -> bytes:
    """A PNG file as the WebUI writes it."""
    quoted = json.dumps(to_json(request or Request(panels=(PICTURED,))))
    info, out = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_itxt("parameters", f"{prompt}\nNegative prompt: {negative}\nSteps: 20, Seed: 1, Ranni: {quoted}")
    Image.new("RGB", (4, 4)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def menu(page: Any) -> None:
    page.click("text=Panels")
    page.wait_for_selector(f"{MENU} >> text=regional_prompter")


def rows(page: Any) -> list[str]:
    return list(page.locator(f"{MENU} .ranni-row .ranni-name").all_inner_texts())


def has_rows(page: Any, count: int) -> None:
    page.wait_for_function("n => document.querySelectorAll('dialog .ranni-row').length === n", arg=count)


def said(page: Any, text: str, where: str = "[role=alert]") -> None:
    page.wait_for_function(
        "([s, t]) => document.querySelector(s)?.textContent.includes(t)", arg=[f"{MENU} {where}", text]
    )


def closed(page: Any) -> None:
    page.wait_for_function("!document.querySelector('dialog[open]')")


def download(page: Any, name: str) -> bytes:
    with page.expect_download() as found:
        page.click(f"{MENU} button:text-is('{name}')")
    return Path(found.value.path()).read_bytes()


def drop(
    page: Any, name: str, data: bytes, types: tuple[str, ...] = ("dragenter", "dragover", "drop")
) -> None:
    page.evaluate(DROP, [name, base64.b64encode(data).decode(), list(types)])


def keep(page: Any, *names: str) -> None:
    """Kept panels as files, without the editor."""
    page.host.panels.mkdir(exist_ok=True)
    for name in names:
        document = {"version": 1, "elements": [element("e1", (0, 0, 1, 1)) | {"description": name}]}
        (page.host.panels / f"{name}.json").write_text(json.dumps(document))


def test_a_panel_is_kept_and_loaded_by_keyboard(led_page: Any) -> None:
    load(led_page, A, B)
    led_page.focus("text=Panels")
    led_page.keyboard.press("Enter")
    led_page.wait_for_selector(MENU)
    # The field for the name has the focus.
    led_page.keyboard.type("my panel 苹果")
    led_page.keyboard.press("Enter")
    has_rows(led_page, 1)
    kept = json.loads((led_page.host.panels / "my panel 苹果.json").read_text())
    assert [e["description"] for e in kept["elements"]] == ["thing e1", "thing e2"]
    led_page.keyboard.press("Escape")
    closed(led_page)
    assert led_page.evaluate("document.activeElement.textContent") == "Panels"
    load(led_page)
    led_page.keyboard.press("Enter")
    has_rows(led_page, 1)
    led_page.keyboard.press("Shift+Tab")
    led_page.keyboard.press("Shift+Tab")
    led_page.keyboard.press("Shift+Tab")
    assert led_page.evaluate("document.activeElement.textContent") == "my panel 苹果"
    led_page.keyboard.press("Enter")
    closed(led_page)
    assert ids(led_page) == ["e1", "e2"]
    assert len(led_page.evaluate("changes")) == 1
    tool(led_page, "undo")
    assert ids(led_page) == []
    tool(led_page, "redo")
    assert ids(led_page) == ["e1", "e2"]


def test_a_name_that_is_taken_is_asked_about(led_page: Any) -> None:
    keep(led_page, "one")
    load(led_page, A)
    menu(led_page)
    led_page.fill(NAME, "one")
    for _ in range(2):
        led_page.press(NAME, "Enter")
        said(led_page, "There is a panel of this name")
    assert json.loads((led_page.host.panels / "one.json").read_text())["elements"][0]["description"] == "one"
    led_page.fill(NAME, "one ")
    assert not led_page.is_visible("text=Replace it")
    led_page.press(NAME, "Enter")
    led_page.click("text=Replace it")
    led_page.wait_for_selector("text=Replace it", state="hidden")
    kept = json.loads((led_page.host.panels / "one.json").read_text())
    assert kept["elements"][0]["description"] == "thing e1"
    assert rows(led_page) == ["one"]


def test_renaming_and_deleting_ask_in_place(led_page: Any) -> None:
    keep(led_page, "one", "two")
    menu(led_page)
    led_page.click("[aria-label='Rename: one']")
    assert led_page.input_value(f"{MENU} .ranni-row input") == "one"
    led_page.fill(f"{MENU} .ranni-row input", "two")
    led_page.keyboard.press("Enter")
    said(led_page, "There is a panel of this name")
    led_page.fill(f"{MENU} .ranni-row input", "three")
    led_page.click(f"{MENU} .ranni-row >> text=Rename")
    led_page.wait_for_selector(f"{MENU} .ranni-name:text-is('three')")
    assert rows(led_page) == ["three", "two"]
    led_page.click("[aria-label='Delete (Del): three']")
    led_page.click("[aria-label='Back: three']")
    assert rows(led_page) == ["three", "two"]
    led_page.focus("[aria-label='Delete (Del): three']")
    led_page.keyboard.press("Enter")
    assert led_page.evaluate("document.activeElement.textContent") == "Delete it"
    led_page.keyboard.press("Enter")
    has_rows(led_page, 1)
    assert [path.name for path in led_page.host.panels.iterdir()] == ["two.json"]


@pytest.mark.parametrize(("name", "why"), [("../../up", "name"), (" ", "name"), ("a\u202eb", "name")])
def test_a_name_that_cannot_be_is_refused(led_page: Any, name: str, why: str) -> None:
    load(led_page, A)
    menu(led_page)
    led_page.fill(NAME, name)
    led_page.click(f"{MENU} button:text-is('Keep')")
    said(led_page, why)
    assert not led_page.host.panels.exists()


def test_a_panel_that_is_gone_is_told_and_the_menu_stays(led_page: Any) -> None:
    keep(led_page, "one")
    load(led_page, A)
    menu(led_page)
    (led_page.host.panels / "one.json").unlink()
    led_page.click(f"{MENU} .ranni-name")
    said(led_page, "one")
    assert ids(led_page) == ["e1"]
    box = led_page.locator(MENU).bounding_box()
    led_page.mouse.click(box["x"] + 5, box["y"] + 5)
    assert led_page.is_visible(MENU)
    led_page.mouse.click(5, 5)
    closed(led_page)


def test_a_picture_is_opened_with_what_else_it_says(led_page: Any, tmp_path: Path) -> None:
    load(led_page, A)
    (tmp_path / "drawn.png").write_bytes(picture())
    menu(led_page)
    with led_page.expect_file_chooser() as chooser:
        led_page.click("text=Open a file")
    chooser.value.set_files(tmp_path / "drawn.png")
    closed(led_page)
    assert ids(led_page) == ["e5"]
    [[guidance, prompt, negative]] = led_page.evaluate("heard")
    assert (prompt, negative) == ("a bowl", "blur")
    assert guidance["mode"] == "attention"
    tool(led_page, "undo")
    assert ids(led_page) == ["e1"]


def test_a_file_is_dropped_where_it_shows(led_page: Any) -> None:
    load(led_page, A)
    drop(led_page, "x.png", picture(), ("dragenter", "dragover"))
    shown = "getComputedStyle(document.querySelector('.ranni-editor'), '::after').content"
    assert "Drop a picture or a file" in led_page.evaluate(shown)
    drop(led_page, "x.png", picture(), ("dragleave",))
    assert led_page.evaluate(shown) == "none"
    drop(led_page, HOSTILE, picture())
    led_page.wait_for_function("heard.length === 1")
    assert ids(led_page) == ["e5"]
    assert led_page.evaluate(shown) == "none"
    drop(led_page, "panel.json", json.dumps({"elements": [A, {"id": 3}]}).encode())
    led_page.wait_for_function("heard.length === 2")
    assert ids(led_page) == ["e1"]
    assert "could not be kept" in led_page.inner_text(".ranni-notice")
    assert "elements[1]" in led_page.inner_text(".ranni-notice li")


def test_a_file_without_a_panel_changes_nothing(led_page: Any) -> None:
    load(led_page, A)
    drop(led_page, "x.bin", bytes(range(256)) * 10)
    led_page.wait_for_selector(".ranni-notice")
    assert "neither" in led_page.inner_text(".ranni-notice")
    drop(led_page, "x.json", f'{{"elements": "{HOSTILE[:-1]}"}}'.encode())
    led_page.wait_for_function("!document.querySelector('.ranni-notice').textContent.includes('neither')")
    assert led_page.evaluate("window.hacked") is None
    assert len(led_page.evaluate("changes")) <= 1


def test_a_file_that_is_too_large_is_not_even_sent(led_page: Any) -> None:
    load(led_page, A)
    led_page.evaluate(
        """() => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([new Uint8Array(2 ** 25 + 1)], 'large.png'));
          const init = { dataTransfer, bubbles: true, cancelable: true };
          document.querySelector('.ranni-canvas').dispatchEvent(new DragEvent('drop', init));
        }"""
    )
    led_page.wait_for_selector(".ranni-notice")
    assert "larger than 32 MiB" in led_page.inner_text(".ranni-notice")
    assert ids(led_page) == ["e1"]


def test_json_is_the_panel(led_page: Any) -> None:
    load(led_page, A, B, base="a lawn", newer=[1])
    menu(led_page)
    assert json.loads(download(led_page, "JSON")) == value(led_page)


@pytest.mark.parametrize("name", ["rpg", "regional_prompter", "layout_json", "ranni"])
def test_other_formats_go_out_and_come_in(led_page: Any, name: str) -> None:
    load(led_page, element("e1", (0, 0, 0.5, 1)), element("e2", (0.5, 0, 1, 1)))
    menu(led_page)
    text = download(led_page, name).decode()
    led_page.fill(f"{MENU} textarea", text)
    led_page.click("text=Import text")
    closed(led_page)
    found = [e["box"]["x0"] for e in value(led_page)["elements"]]
    assert found == pytest.approx([0, 0.5], abs=0.01)
    assert len(led_page.evaluate("heard")) == 1


def test_text_that_is_no_layout_is_told(led_page: Any) -> None:
    load(led_page, A)
    menu(led_page)
    led_page.fill(f"{MENU} textarea", "hello")
    led_page.focus("text=Import text")
    led_page.keyboard.press("Enter")
    said(led_page, "no layout")
    assert ids(led_page) == ["e1"]


def test_svg_is_drawn_with_hostile_texts_as_text(led_page: Any) -> None:
    load(led_page, A | {"description": HOSTILE}, B)
    led_page.evaluate("editor.setAspect(2000, 1000)")
    menu(led_page)
    data = download(led_page, "SVG")
    root = ElementTree.fromstring(data)
    space = "{http://www.w3.org/2000/svg}"
    assert (root.get("width"), root.get("height")) == ("1024", "512")
    assert {node.tag for node in root.iter()} == {f"{space}{tag}" for tag in ("svg", "rect", "text")}
    texts = [node.text or "" for node in root.iter(f"{space}text")]
    assert texts[0].startswith("1  <img src=x onerror=window.hacked=1>&amp;]]><script>")
    boxes = [node for node in root.findall(f"{space}rect") if node.get("stroke")]
    assert [float(boxes[1].get(side) or 0) for side in ("x", "y", "width", "height")] == pytest.approx(
        [512, 256, 409.6, 204.8]
    )
    assert (boxes[1].get("fill"), led_page.evaluate("window.hacked")) == ("#00ff00", None)


def test_png_shows_the_boxes(led_page: Any) -> None:
    load(led_page, A, B)
    menu(led_page)
    drawn = Image.open(io.BytesIO(download(led_page, "PNG"))).convert("RGB")
    assert drawn.size == (1024, 1024)
    assert drawn.getpixel((480, 480)) == (255, 255, 255)
    red, green, blue = drawn.getpixel((700, 700))
    assert (red, blue) < (green, green)


def test_the_panel_is_cleared_in_one_step(led_page: Any) -> None:
    load(led_page, A, B, base="a lawn")
    menu(led_page)
    led_page.click("text=Clear the panel")
    closed(led_page)
    assert value(led_page) == {"version": 1, "elements": []}
    tool(led_page, "undo")
    assert ids(led_page) == ["e1", "e2"]


def test_keys_in_the_menu_are_not_the_editors(led_page: Any) -> None:
    load(led_page, A)
    tool(led_page, "add")
    led_page.evaluate("addEventListener('keydown', event => heard.push(event.key))")
    menu(led_page)
    led_page.focus(f"{MENU} button:text-is('Keep')")
    led_page.keyboard.press("Control+z")
    assert ids(led_page) == ["e1", "e2"]
    assert led_page.evaluate("heard") == []


def test_hostile_names_are_only_shown(led_page: Any) -> None:
    led_page.route(
        "**/ranni/v1/panels", lambda route: route.fulfill(json={"names": [HOSTILE, "x" * 500, "‮שלום"]})
    )
    led_page.click("text=Panels")
    has_rows(led_page, 3)
    assert rows(led_page)[0] == HOSTILE
    assert led_page.evaluate("window.hacked") is None
    assert led_page.locator("dialog :is(img, script)").count() == 0
    box, wide = led_page.locator(MENU).bounding_box(), led_page.evaluate("innerWidth")
    assert box["width"] <= min(430, wide)
    led_page.click("[aria-label^='Delete (Del): <img']")
    assert led_page.locator("dialog img").count() == 0


def test_a_server_that_is_gone_is_told(led_page: Any) -> None:
    led_page.route("**/ranni/v1/**", lambda route: route.abort())
    load(led_page, A)
    led_page.click("text=Panels")
    said(led_page, "does not answer")
    assert json.loads(download(led_page, "JSON"))["elements"][0]["id"] == "e1"


def test_without_a_server_json_is_read_here(led_page: Any) -> None:
    led_page.evaluate("renew({service: null})")
    drop(led_page, "panel.json", json.dumps(to_document(PICTURED)).encode())
    led_page.wait_for_function("heard.length === 1")
    assert ids(led_page) == ["e5"]
    drop(led_page, "x.png", picture())
    led_page.wait_for_selector(".ranni-notice")
    assert "not JSON" in led_page.inner_text(".ranni-notice")
    led_page.click("text=Panels")
    assert led_page.locator(f"{MENU} h3").all_inner_texts() == ["Bring in", "Export"]
    led_page.fill(f"{MENU} textarea", json.dumps({"elements": [A]}))
    led_page.click("text=Import text")
    closed(led_page)
    assert ids(led_page) == ["e1"]
