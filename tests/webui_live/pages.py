"""The host's page in Chromium: its tabs, their controls, and the editor in them."""

from __future__ import annotations

from typing import Any

from tests.webui_live.host import Host

SCRIPT = "#script_txt2img_ranni"
EDITOR = f"{SCRIPT}_editor"
PLAN = f"{EDITOR} .ranni-main .ranni-bar > .ranni-go >> nth=0"
TOLD = f"{EDITOR} .ranni-bar > input"
ACCEPT = f"{EDITOR} .ranni-proposal .ranni-go"
REJECT = f"{EDITOR} .ranni-proposal .ranni-bar button:not(.ranni-go)"


def load(page: Any, host: Host, theme: str = "light") -> None:
    """Open the page and make its pictures small."""
    page.goto(f"{host.url}/?__theme={theme}", wait_until="domcontentloaded")
    page.wait_for_selector("#txt2img_prompt textarea", timeout=120_000)
    page.wait_for_function("window.onUiUpdate && document.querySelector('gradio-app')")
    page.wait_for_timeout(1500)
    for name, value in (("steps", 1), ("width", 128), ("height", 64), ("seed", 1)):
        type_in(page, f"#txt2img_{name} input[type=number]", str(value))


def type_in(page: Any, selector: str, text: str) -> None:
    """Type a number where the host hears of it."""
    page.fill(selector, text)
    page.dispatch_event(selector, "change")
    page.press(selector, "Tab")


def switch_on(page: Any, tab: str = "txt2img") -> None:
    """Tick our accordion, and open it and the panel's text."""
    script = f"#script_{tab}_ranni"
    page.check(f"{script}_enabled-visible-checkbox")
    page.wait_for_timeout(300)
    if not page.is_visible(f"{script}_json"):
        page.click(f"{script}_enabled > .label-wrap")
    page.click(f"{script}_json > .label-wrap")
    page.wait_for_selector(f"{script}_panel textarea")
    page.wait_for_selector(f"{script}_editor .ranni-editor")


def panel_text(page: Any, tab: str = "txt2img") -> str:
    """What the tab would send."""
    return str(page.input_value(f"#script_{tab}_ranni_panel textarea"))


def tell(page: Any, words: str) -> None:
    """Say what to change, and wait for the proposal."""
    page.fill(TOLD, words)
    page.press(TOLD, "Enter")
    page.wait_for_selector(f"{EDITOR} .ranni-proposal")


def generated(page: Any, tab: str = "txt2img") -> str:
    """Press Generate; the infotext below the picture."""
    before = page.inner_text(f"#html_info_{tab}")
    page.click(f"#{tab}_generate")
    page.wait_for_function(
        "([tab, old]) => { const now = document.querySelector(`#html_info_${tab}`).innerText;"
        " return now.includes('Steps: ') && now !== old; }",
        arg=[tab, before],
        timeout=120_000,
    )
    return str(page.inner_text(f"#html_info_{tab}"))
