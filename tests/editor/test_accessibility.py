"""What axe finds wrong with the editor for those who use it without seeing it, or see little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.editor.driving import element, load
from tests.editor.npm import package

POINTS = [{"name": name, "x": 0.3, "y": y} for name, y in (("nose", 0.2), ("neck", 0.3))]
FULL = [
    element("e1", (0, 0.5, 1, 1), description="a meadow", locked=True),
    element("e2", (0.1, 0.1, 0.5, 0.9), description="a dancer", colors=["#ff0000"], keypoints=POINTS),
    element("e3", (0.2, 0.2, 0.23, 0.5), description="سيف", lora=[{"name": "steel", "weight": 0.5}]),
]
RUN = """async () => {
    const told = n => `${n.target} ${[...n.any, ...n.all, ...n.none].map(c => c.message).join("; ")}`;
    const { violations } = await axe.run(".ranni-editor", { resultTypes: ["violations"] });
    const grave = violations.filter(v => ["serious", "critical"].includes(v.impact));
    return grave.map(v => [v.id, ...v.nodes.map(told)]);
}"""


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package("axe-core@4.10.2", tmp_path_factory.mktemp("axe")) / "axe.min.js"


def test_axe_finds_nothing_serious(led_page: Any, axe: Path) -> None:
    page = led_page
    page.add_script_tag(path=axe)
    page.evaluate("asked.prompt = 'a meadow'")
    states = {
        "empty": lambda: load(page),
        "full": lambda: load(page, *FULL),
        "one": lambda: page.click("li[data-id=e2] .ranni-name"),
        "locked": lambda: page.click("li[data-id=e1] .ranni-name"),
        "several": lambda: page.click("li[data-id=e3] .ranni-name", modifiers=["Shift"]),
        "broken": lambda: page.evaluate("editor.load('{')"),
    }
    found = {}
    for state, reach in states.items():
        reach()
        for theme in ("light", "dark"):
            page.evaluate("theme => document.body.classList.toggle('dark', theme === 'dark')", theme)
            found[state, theme] = page.evaluate(RUN)
    page.evaluate("document.body.classList.remove('dark')")
    # It would find something.
    load(page, *FULL)
    page.eval_on_selector("[data-tool=undo]", "button => button.removeAttribute('aria-label')")
    page.eval_on_selector("[data-tool=undo]", "button => button.removeAttribute('title')")
    assert [fault[0] for fault in page.evaluate(RUN)] == ["button-name"]
    assert {key: faults for key, faults in found.items() if faults} == {}
