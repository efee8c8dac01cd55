/** What keys do on the canvas, and the clipboard. */

import { duplicate, insert, move, remove, reorder, resize, select } from "./commands.mjs";
import { read } from "./document.mjs";
import { isField } from "./dom.mjs";

/** How far an arrow key moves, as a share of the canvas; ten times as far with Shift. */
export const NUDGE = 0.005;
/** A pause after which the next arrow key is a step of its own. */
const PAUSE_MS = 1000;

/** @type {Readonly<Record<string, [number, number]>>} */
export const ARROWS = Object.freeze({
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
});

export class Keyboard {
  #context;
  #gestures;
  #pause = 0;
  #ends = new AbortController();

  /** @param {import("./editor.mjs").Context} context @param {import("./gestures.mjs").Gestures} gestures */
  constructor(context, gestures) {
    this.#context = context;
    this.#gestures = gestures;
    const { root, canvas } = context;
    root.addEventListener("keydown", (event) => this.#anywhere(event));
    canvas.node.addEventListener("keydown", (event) => this.#onCanvas(event));
    canvas.node.addEventListener("keyup", (event) => {
      if (event.key === " ") this.#space(false);
    });
    canvas.node.addEventListener("focusin", () => this.#focused());
    canvas.node.addEventListener("focusout", () => this.#space(false));
    // The clipboard's events go to the page where no text is selected.
    const { signal } = this.#ends;
    document.addEventListener("copy", (event) => this.#copy(event), { signal });
    document.addEventListener("cut", (event) => this.#copy(event), { signal });
    document.addEventListener("paste", (event) => this.#paste(event), { signal });
  }

  destroy() {
    clearTimeout(this.#pause);
    this.#ends.abort();
  }

  /** @param {boolean} held */
  #space(held) {
    this.#gestures.spaceHeld = held;
    this.#context.canvas.node.classList.toggle("ranni-panning", held);
  }

  /** Tab selects what it comes to. */
  #focused() {
    const { store, canvas } = this.#context;
    if (!this.#gestures.busy) canvas.node.classList.remove("ranni-pointed");
    const id = canvas.focused;
    if (id !== null && !this.#gestures.busy && !store.state.selection.includes(id)) store.apply(select([id]));
  }

  /** @param {KeyboardEvent} event */
  #anywhere(event) {
    // The host draws on Ctrl+Enter: it must see what is on the canvas now.
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey || event.altKey)) this.#context.flush();
    if (event.key === "Escape" && isField(event.target)) this.#leave(event);
    if (isField(event.target) || !(event.ctrlKey || event.metaKey) || event.altKey) return;
    const { store } = this.#context;
    const key = event.key.toLowerCase();
    if (key === "z" && !event.shiftKey) this.#did(event, () => store.undo());
    else if (key === "y" || key === "z") this.#did(event, () => store.redo());
  }

  /** From a field back to what it belongs to. @param {KeyboardEvent} event */
  #leave(event) {
    const { store, canvas } = this.#context;
    event.preventDefault();
    event.stopPropagation();
    canvas.focus(store.state.selection[0]);
  }

  /** @param {KeyboardEvent} event @param {() => void} action */
  #did(event, action) {
    event.preventDefault();
    event.stopPropagation();
    if (this.#gestures.busy) return;
    action();
    this.#context.keepFocus();
  }

  /** @param {KeyboardEvent} event */
  #onCanvas(event) {
    const { store, canvas } = this.#context;
    if (!["Shift", "Control", "Alt", "Meta", " "].includes(event.key))
      canvas.node.classList.remove("ranni-pointed");
    const { selection } = store.state;
    const arrow = ARROWS[event.key];
    if (event.key === "Escape") this.#escape(event);
    else if (event.ctrlKey || event.metaKey) this.#withControl(event);
    else if (arrow) this.#did(event, () => this.#nudge(event, arrow));
    else if (event.key === "Delete" || event.key === "Backspace")
      this.#did(event, () => store.apply(remove(selection)));
    else if (event.key === "Enter" && !event.altKey) this.#did(event, () => this.#context.describe());
    else if (event.key === "]") this.#did(event, () => store.apply(reorder(selection, "forward")));
    else if (event.key === "[") this.#did(event, () => store.apply(reorder(selection, "backward")));
    else if (event.key === "+" || event.key === "=") this.#did(event, () => this.#context.zoom(1.25));
    else if (event.key === "-") this.#did(event, () => this.#context.zoom(0.8));
    else if (event.key === "0") this.#did(event, () => this.#context.zoom(0));
    else if (event.key === " ") {
      event.preventDefault();
      event.stopPropagation();
      this.#space(true);
    }
  }

  /** @param {KeyboardEvent} event */
  #withControl(event) {
    const { store } = this.#context;
    const { panel, selection, hidden } = store.state;
    const key = event.key.toLowerCase();
    if (key === "a") {
      const shown = panel.elements.map((e) => e.id).filter((id) => !hidden.includes(id));
      this.#did(event, () => store.apply(select(shown)));
    } else if (key === "d") this.#did(event, () => store.apply(duplicate(selection)));
  }

  /** @param {KeyboardEvent} event */
  #escape(event) {
    const { store } = this.#context;
    const { keypoints } = this.#context;
    if (
      this.#gestures.cancel() ||
      (keypoints.placing && (keypoints.toggle(), true)) ||
      store.apply(select([]))
    ) {
      event.preventDefault();
      event.stopPropagation();
      this.#context.canvas.focus();
    }
  }

  /** @param {KeyboardEvent} event @param {[number, number]} arrow */
  #nudge(event, [x, y]) {
    const { store } = this.#context;
    const step = NUDGE * (event.shiftKey ? 10 : 1);
    const command = event.altKey ? resize : move;
    const run = event.altKey ? "resize" : "nudge";
    store.apply(command(store.state.selection, x * step, y * step), run);
    clearTimeout(this.#pause);
    this.#pause = window.setTimeout(() => store.seal(run), PAUSE_MS);
  }

  /** Whether the clipboard is ours now. */
  #isOurs() {
    const node = document.activeElement;
    return this.#context.root.contains(node) && !isField(node);
  }

  /** @param {ClipboardEvent} event */
  #copy(event) {
    const { store } = this.#context;
    const { panel, selection } = store.state;
    if (!this.#isOurs() || !selection.length || !event.clipboardData) return;
    const elements = panel.elements.filter((e) => selection.includes(e.id));
    event.clipboardData.setData("text/plain", JSON.stringify({ version: 1, elements }, null, 2));
    event.preventDefault();
    if (event.type === "cut") store.apply(remove(selection));
    this.#context.keepFocus();
  }

  /** Elements, one element, or a panel, as JSON: its elements are added. @param {ClipboardEvent} event */
  #paste(event) {
    if (!this.#isOurs() || !event.clipboardData) return;
    const source = event.clipboardData.getData("text/plain");
    if (!source.trim()) return;
    event.preventDefault();
    let value;
    try {
      value = JSON.parse(source);
    } catch {
      value = source;
    }
    if (Array.isArray(value)) value = { elements: value };
    else if (value?.box) value = { elements: [value] };
    const { panel, problems } = read(value);
    if (panel) this.#context.store.apply(insert(panel.elements));
    this.#context.flush();
    this.#context.tell(problems, "pasted");
    this.#context.keepFocus();
  }
}
