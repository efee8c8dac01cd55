/**
 * The panel editor: canvas, list and fields over one store.
 *
 * @typedef {{onChange?: (document: import("./document.mjs").Panel) => void, language?: string}} EditorOptions
 * @typedef {{
 *   load(document: any): import("./document.mjs").Problem[],
 *   value(): import("./document.mjs").Panel,
 *   setAspect(width: number, height: number): void,
 *   setBackground(url: string | null): void,
 *   setLanguage(code: string): void,
 *   flush(): void,
 *   destroy(): void,
 * }} Editor
 * @typedef {{
 *   root: HTMLElement, store: Store, viewport: Viewport, canvas: Canvas,
 *   options: {snap: boolean, grid: boolean, cells: number}, language: string, size: [number, number] | null,
 *   t: (key: string, ...args: (string | number)[]) => string,
 *   redraw(): void, flush(): void, describe(): void, keepFocus(): void, zoom(factor: number): void,
 *   tell(problems: readonly import("./document.mjs").Problem[], about: import("./notice.mjs").About): void,
 * }} Context What the parts of an editor share. `zoom(0)` shows the whole canvas; `tell` shows what is wrong
 *   with a document.
 */

import { Canvas } from "./canvas.mjs";
import { replacePanel } from "./commands.mjs";
import { EMPTY_PANEL, read } from "./document.mjs";
import { html, setText, update } from "./dom.mjs";
import { clamp, rounded } from "./geometry.mjs";
import { Gestures } from "./gestures.mjs";
import { Inspector } from "./inspector.mjs";
import { Keyboard } from "./keyboard.mjs";
import { List } from "./list.mjs";
import { Notice } from "./notice.mjs";
import { Store } from "./store.mjs";
import { text } from "./strings.mjs";
import { Toolbar } from "./toolbar.mjs";
import { Viewport } from "./viewport.mjs";

/** How long changes that come one after the other are held back before `onChange` hears of them. */
const HOLD_MS = 150;
const PAUSE_MS = 1000;
const GRID_CELLS = 16;
const LEAST_STAGE_PX = 240;
const MOST_STAGE_PX = 560;

/**
 * Put an editor into `root`, which must be empty.
 *
 * `onChange` is called with the document after edits, once for a drag, never for a `load`. What `load` cannot
 * show is told, and editing waits until there is something that can be shown; it returns the problems.
 * @param {HTMLElement} root @param {EditorOptions} [options] @returns {Editor}
 */
export function createEditor(root, options = {}) {
  const parts = new Parts(root, options);
  return Object.freeze({
    load: (/** @type {any} */ document) => parts.load(document),
    value: () => parts.value(),
    setAspect: (/** @type {number} */ width, /** @type {number} */ height) => parts.setAspect(width, height),
    setBackground: (/** @type {string | null} */ url) => parts.canvas.setBackground(url),
    setLanguage: (/** @type {string} */ code) => parts.setLanguage(code),
    flush: () => parts.flush(),
    destroy: () => parts.destroy(),
  });
}

/** @implements {Context} */
class Parts {
  store = new Store();
  viewport = new Viewport();
  options = { snap: true, grid: false, cells: GRID_CELLS };
  /** @type {[number, number] | null} */ size = null;
  #onChange;
  #timer = 0;
  #pause = 0;
  /** The panel that `onChange` has last given, or `load` been given. */
  #known = EMPTY_PANEL;
  /** Panels that came from outside. @type {WeakSet<object>} */ #loaded = new WeakSet([EMPTY_PANEL]);
  #drawing = false;
  #stale = false;

  /** @param {HTMLElement} root @param {EditorOptions} options */
  constructor(root, { onChange, language = "en" }) {
    this.#onChange = onChange;
    this.language = language;
    this.root = html("div", { class: "ranni-editor", role: "group", focusout: () => this.flush() });
    this.canvas = new Canvas(this);
    this.gestures = new Gestures(this, this.canvas.node);
    this.keyboard = new Keyboard(this, this.gestures);
    this.toolbar = new Toolbar(this);
    this.list = new List(this);
    this.inspector = new Inspector(this);
    this.notice = new Notice(this, () => this.#restart());
    this.emptyTitle = html("strong");
    this.emptyThen = html("span");
    this.hint = html("p", { class: "ranni-hint" });
    this.empty = html("div", { class: "ranni-empty" }, this.emptyTitle, this.emptyThen);
    this.stage = html("div", { class: "ranni-stage" }, this.canvas.node, this.empty);
    this.body = html(
      "div",
      { class: "ranni-body" },
      html("div", { class: "ranni-main" }, this.toolbar.node, this.stage, this.hint),
      html("div", { class: "ranni-side" }, this.list.node, this.inspector.node),
    );
    this.root.append(this.notice.node, this.body);
    root.append(this.root);
    this.canvas.setBackground(null);
    this.store.subscribe((state, before) => this.#changed(state.panel !== before.panel));
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(this.stage);
    this.redraw();
  }

  t = (/** @type {string} */ key, /** @type {(string | number)[]} */ ...args) =>
    text(this.language, key, ...args);

  /** @param {any} document @returns {import("./document.mjs").Problem[]} */
  load(document) {
    this.gestures.cancel();
    const { panel, problems } = read(document ?? EMPTY_PANEL);
    this.tell(problems, panel === null ? "unreadable" : "mended");
    if (panel === null) return problems;
    // A text that is typed elsewhere comes piece by piece: one step.
    this.store.apply(replacePanel(panel), "load");
    clearTimeout(this.#pause);
    this.#pause = window.setTimeout(() => this.store.seal(), PAUSE_MS);
    this.#known = this.store.state.panel;
    this.#loaded.add(this.#known);
    return problems;
  }

  /** The panel; once edited, with the aspect at which it was seen. */
  value() {
    const { panel } = this.store.state;
    if (!this.size || this.#loaded.has(panel)) return panel;
    const { aspect: _, ...rest } = panel;
    return Object.freeze(this.#aspect === 1 ? rest : { ...rest, aspect: this.#aspect });
  }

  /** @param {number} width @param {number} height */
  setAspect(width, height) {
    if (!(width > 0 && height > 0 && Number.isFinite(width / height))) return;
    this.size = [width, height];
    this.redraw();
  }

  /** @param {string} code */
  setLanguage(code) {
    this.language = code;
    this.notice.draw();
    this.redraw();
  }

  /**
   * @param {readonly import("./document.mjs").Problem[]} problems
   * @param {import("./notice.mjs").About} about
   */
  tell(problems, about) {
    this.notice.show(problems, about);
    this.body.inert = about === "unreadable";
  }

  /** What the canvas shows takes the place of a text that it cannot show. */
  #restart() {
    this.tell([], "mended");
    this.#onChange?.(this.value());
    this.canvas.focus();
  }

  /** @param {boolean} isEdit */
  #changed(isEdit) {
    if (isEdit) {
      clearTimeout(this.#timer);
      this.#timer = window.setTimeout(() => this.flush(), HOLD_MS);
    }
    this.redraw();
  }

  /** Give what is held back to `onChange` now, unless something is being dragged. */
  flush() {
    if (this.gestures.busy) return;
    clearTimeout(this.#timer);
    const { panel } = this.store.state;
    if (panel === this.#known) return;
    this.#known = panel;
    this.tell([], "mended");
    this.#onChange?.(this.value());
  }

  describe() {
    this.inspector.describe();
  }

  /** Keep the keyboard on the canvas when what had the focus is gone. */
  keepFocus() {
    const { selection } = this.store.state;
    if (
      this.root.contains(document.activeElement) &&
      this.canvas.focused === null &&
      document.activeElement !== this.canvas.node
    )
      return;
    this.canvas.focus(selection.length === 1 ? selection[0] : undefined);
  }

  /** @param {number} factor */
  zoom(factor) {
    const { width, height } = this.canvas.node.getBoundingClientRect();
    if (factor) this.viewport.zoomAbout(width / 2, height / 2, factor);
    else this.viewport.reset();
    this.redraw();
  }

  get #aspect() {
    const aspect = this.size ? this.size[0] / this.size[1] : (this.store.state.panel.aspect ?? 1);
    return clamp(rounded(aspect), 0.1, 10);
  }

  redraw() {
    // Giving the focus back while drawing may select: then once more, not within.
    this.#stale = true;
    if (this.#drawing) return;
    this.#drawing = true;
    try {
      while (this.#stale) {
        this.#stale = false;
        this.#draw();
      }
    } finally {
      this.#drawing = false;
    }
  }

  #draw() {
    const width = this.stage.clientWidth;
    const height = Math.round(clamp(width / this.#aspect, LEAST_STAGE_PX, MOST_STAGE_PX));
    if (this.stage.style.height !== `${height}px`) this.stage.style.height = `${height}px`;
    this.viewport.fit(width, height, this.#aspect);
    update(this.root, { "aria-label": this.t("editor") });
    setText(this.emptyTitle, this.t("empty_title"));
    setText(this.emptyThen, this.t("empty_then"));
    setText(this.hint, this.t("hint"));
    this.empty.hidden = this.store.state.panel.elements.length > 0;
    for (const part of [this.toolbar, this.list, this.inspector]) part.draw();
    this.canvas.draw(this.gestures.overlay);
  }

  destroy() {
    this.gestures.cancel();
    this.flush();
    clearTimeout(this.#pause);
    this.observer.disconnect();
    this.keyboard.destroy();
    this.root.remove();
  }
}
