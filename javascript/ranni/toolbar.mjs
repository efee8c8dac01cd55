/** The buttons above the canvas. */

import { add, duplicate, remove, reorder } from "./commands.mjs";
import { button, html, update } from "./dom.mjs";
import { icon } from "./icons.mjs";

export class Toolbar {
  #context;
  /** @type {Map<string, HTMLButtonElement>} */ #buttons = new Map();
  node = html("div", { class: "ranni-toolbar", role: "toolbar" });

  /** @param {import("./editor.mjs").Context} context */
  constructor(context) {
    this.#context = context;
    const { store, options } = context;
    const selection = () => store.state.selection;
    /** @type {Record<string, () => unknown>[]} */
    const groups = [
      { undo: () => store.undo(), redo: () => store.redo() },
      {
        add: () => store.apply(add(context.t("new_element"))) && context.describe(),
        duplicate: () => store.apply(duplicate(selection())),
        remove: () => store.apply(remove(selection())),
        forward: () => store.apply(reorder(selection(), "forward")),
        backward: () => store.apply(reorder(selection(), "backward")),
      },
      { snap: () => (options.snap = !options.snap), grid: () => (options.grid = !options.grid) },
      {
        zoom_out: () => context.zoom(0.8),
        fit: () => context.zoom(0),
        zoom_in: () => context.zoom(1.25),
      },
    ];
    for (const group of groups) {
      const buttons = Object.entries(group).map(([name, action]) => this.#make(name, action));
      this.node.append(html("div", { class: "ranni-group", role: "group" }, ...buttons));
    }
  }

  /** @param {string} name @param {() => unknown} action */
  #make(name, action) {
    const click = () => {
      action();
      this.#context.redraw();
    };
    const made = button("", click, "tool");
    update(made, { "data-tool": name });
    made.append(icon(name));
    this.#buttons.set(name, made);
    return made;
  }

  draw() {
    const { store, options, viewport, t } = this.#context;
    const { panel, selection } = store.state;
    const open = panel.elements.some((e) => selection.includes(e.id) && !e.locked);
    /** @type {Record<string, boolean>} */
    const disabled = {
      undo: !store.canUndo,
      redo: !store.canRedo,
      duplicate: !selection.length,
      remove: !open,
      forward: !selection.length,
      backward: !selection.length,
      zoom_out: viewport.zoom <= 1,
      fit: viewport.zoom <= 1,
    };
    update(this.node, { "aria-label": t("tools") });
    for (const [name, node] of this.#buttons) {
      const pressed = name === "snap" || name === "grid" ? String(options[name]) : null;
      update(node, { title: t(name), "aria-label": t(name), "aria-pressed": pressed });
      // A button that loses the focus by being disabled would throw the keyboard user out.
      update(node, { "aria-disabled": disabled[name] ? "true" : null });
    }
  }
}
