/** The list of elements, front first: select, reorder, lock, hide. */

import { elementColor, shortened } from "./canvas.mjs";
import { reorder, select, setField, setHidden } from "./commands.mjs";
import { html, setText, update } from "./dom.mjs";
import { icon } from "./icons.mjs";

/**
 * @typedef {import("./document.mjs").Element} PanelElement
 * @typedef {{node: HTMLLIElement, swatch: HTMLElement, name: HTMLButtonElement,
 *   mark: HTMLElement, tools: Map<string, HTMLButtonElement>, seen: string}} Row
 */

export class List {
  /** @type {Map<string, Row>} */ #rows = new Map();
  #context;
  #rowsNode = html("ul", { class: "ranni-rows" });
  #title = html("h3");
  node = html("section", { class: "ranni-list" }, this.#title, this.#rowsNode);

  /** @param {import("./editor.mjs").Context} context */
  constructor(context) {
    this.#context = context;
  }

  draw() {
    const { store, t } = this.#context;
    const { panel, selection, hidden } = store.state;
    setText(this.#title, `${t("elements")} (${panel.elements.length})`);
    this.node.hidden = panel.elements.length === 0;
    const [chosen, unseen] = [new Set(selection), new Set(hidden)];
    const ids = new Set(panel.elements.map((e) => e.id));
    for (const [id, row] of this.#rows) {
      if (!ids.has(id)) {
        row.node.remove();
        this.#rows.delete(id);
      }
    }
    const focused = document.activeElement;
    let at = this.#rowsNode.firstChild;
    for (let index = panel.elements.length - 1; index >= 0; index -= 1) {
      const element = panel.elements[index];
      const row = this.#rows.get(element.id) ?? this.#make(element.id);
      this.#drawRow(row, element, index, chosen.has(element.id), unseen.has(element.id));
      if (row.node === at) at = at.nextSibling;
      else this.#rowsNode.insertBefore(row.node, at);
    }
    if (focused instanceof HTMLElement && focused !== document.activeElement && this.node.contains(focused))
      focused.focus();
  }

  /**
   * @param {Row} row @param {PanelElement} element @param {number} index @param {boolean} chosen
   * @param {boolean} hidden
   */
  #drawRow(row, element, index, chosen, hidden) {
    const { t, language, warnings } = this.#context;
    const advice = warnings.of(element.id).join("\n");
    const locked = Boolean(element.locked);
    const name = shortened(element.description);
    const seen = JSON.stringify([name, index, chosen, hidden, locked, advice, language]);
    if (row.seen === seen) return;
    row.seen = seen;
    update(row.node, { class: chosen ? "ranni-row ranni-chosen" : "ranni-row" });
    row.node.classList.toggle("ranni-unseen", hidden);
    setText(row.name, name);
    update(row.name, { "aria-pressed": String(chosen), title: name });
    update(row.mark, { title: advice, "aria-label": advice });
    row.mark.hidden = !advice;
    setText(row.swatch, String(index + 1));
    row.swatch.style.borderColor = elementColor(index);
    for (const [tool, button] of row.tools) {
      const is = tool === "lock" ? locked : tool === "hide" ? hidden : false;
      const shown = tool === "lock" && !locked ? "unlock" : tool === "hide" && !hidden ? "show" : tool;
      const label = is ? t(tool === "lock" ? "unlock" : "show") : t(tool);
      update(button, { "aria-label": `${label}: ${name}`, title: label, "data-on": is });
      button.replaceChildren(icon(shown));
    }
    if (chosen) this.#reveal(row.node);
  }

  /** Scroll the list, and nothing around it. @param {HTMLElement} node */
  #reveal(node) {
    const rows = this.#rowsNode;
    const low = node.offsetTop + node.offsetHeight - rows.clientHeight;
    rows.scrollTop = Math.min(node.offsetTop, Math.max(low, rows.scrollTop));
  }

  /** @param {string} id @returns {Row} */
  #make(id) {
    const { store } = this.#context;
    const swatch = html("span", { class: "ranni-swatch", "aria-hidden": "true" });
    const name = html("button", {
      type: "button",
      class: "ranni-name",
      dir: "auto",
      click: (event) => this.#select(id, event),
    });
    /** @type {Record<string, () => unknown>} */
    const actions = {
      forward: () => store.apply(reorder([id], "forward")),
      backward: () => store.apply(reorder([id], "backward")),
      hide: () => store.apply(setHidden([id], !store.state.hidden.includes(id))),
      lock: () =>
        store.apply(setField([id], "locked", !store.state.panel.elements.find((e) => e.id === id)?.locked)),
    };
    const tools = new Map(
      Object.entries(actions).map(([tool, click]) => [
        tool,
        html("button", { type: "button", class: "ranni-tool", "data-tool": tool, click }),
      ]),
    );
    const mark = html("span", { class: "ranni-mark", role: "img" }, "!");
    const node = html("li", { "data-id": id }, swatch, name, mark, ...tools.values());
    const row = { node, swatch, name, mark, tools, seen: "" };
    this.#rows.set(id, row);
    return row;
  }

  /** @param {string} id @param {MouseEvent} event */
  #select(id, event) {
    const { store } = this.#context;
    const { selection } = store.state;
    const several = event.shiftKey || event.ctrlKey || event.metaKey;
    const others = selection.filter((other) => other !== id);
    store.apply(select(several ? (others.length < selection.length ? others : [...others, id]) : [id]));
  }
}
