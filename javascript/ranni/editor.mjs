/**
 * The panel editor: canvas, list and fields over one store.
 *
 * @typedef {{
 *   onChange?: (document: import("./document.mjs").Panel) => void, language?: string,
 *   service?: import("./service.mjs").Service | null, prompt?: () => string, planner?: () => string,
 *   told?: (guidance: any, prompt: string | null, negative: string | null) => void,
 * }} EditorOptions Without a `service` nothing is planned or kept. `told` hears what a file that is opened says
 *   besides its panel.
 * @typedef {{
 *   load(document: any): import("./document.mjs").Problem[],
 *   value(): import("./document.mjs").Panel,
 *   setAspect(width: number, height: number): void,
 *   setResult(url: string | null): void,
 *   setInput(url: string | null): void,
 *   setLanguage(code: string): void,
 *   flush(): void,
 *   destroy(): void,
 * }} Editor
 * @typedef {{
 *   root: HTMLElement, store: Store, viewport: Viewport, canvas: Canvas, warnings: Warnings,
 *   keypoints: import("./keypoints.mjs").Keypoints,
 *   options: {snap: boolean, grid: boolean, cells: number}, language: string, size: [number, number] | null,
 *   t: (key: string, ...args: (string | number)[]) => string,
 *   service: import("./service.mjs").Service | null, prompt: () => string, planner: () => string,
 *   told: NonNullable<EditorOptions["told"]>, aspect: number, busy: boolean,
 *   value(): import("./document.mjs").Panel, replace(panel: import("./document.mjs").Panel): void,
 *   redraw(): void, flush(): void, describe(): void, keepFocus(): void, zoom(factor: number): void,
 *   tell(problems: readonly import("./document.mjs").Problem[], about: import("./notice.mjs").About): void,
 * }} Context What the parts of an editor share. `zoom(0)` shows the whole canvas; `tell` shows what is wrong
 *   with a document; `replace` is one step; `busy` while something is dragged.
 */

import { Backdrop } from "./backdrop.mjs";
import { Canvas } from "./canvas.mjs";
import { START, replacePanel } from "./commands.mjs";
import { EMPTY_PANEL, read } from "./document.mjs";
import { html, setText, update } from "./dom.mjs";
import { clamp, rounded } from "./geometry.mjs";
import { Files } from "./files.mjs";
import { Gestures } from "./gestures.mjs";
import { Inspector } from "./inspector.mjs";
import { Keyboard } from "./keyboard.mjs";
import { List } from "./list.mjs";
import { Notice } from "./notice.mjs";
import { Planning } from "./planning.mjs";
import { Store } from "./store.mjs";
import { text } from "./strings.mjs";
import { Toolbar } from "./toolbar.mjs";
import { Viewport } from "./viewport.mjs";
import { Warnings } from "./warnings.mjs";

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
    setResult: (/** @type {string | null} */ url) => parts.backdrop.set("result", url),
    setInput: (/** @type {string | null} */ url) => parts.backdrop.set("input", url),
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
  #frame = 0;
  /** The selection that the list and the fields were last drawn for. */
  #chosen = "";
  #stale = false;

  /** @param {HTMLElement} root @param {EditorOptions} options */
  constructor(root, { onChange, language = "en", service, prompt, planner, told }) {
    this.#onChange = onChange;
    this.language = language;
    this.service = service ?? null;
    this.prompt = prompt ?? (() => "");
    this.planner = planner ?? (() => "");
    this.told = told ?? (() => {});
    this.root = html("div", { class: "ranni-editor", role: "group", focusout: () => this.flush() });
    /** @type {Warnings} */
    this.warnings = new Warnings(this);
    /** @type {Canvas} */
    this.canvas = new Canvas(this);
    this.backdrop = new Backdrop(this);
    this.gestures = new Gestures(this, this.canvas.node);
    this.keyboard = new Keyboard(this, this.gestures);
    this.toolbar = new Toolbar(this);
    this.list = new List(this);
    /** @type {Inspector} */
    this.inspector = new Inspector(this);
    this.planning = new Planning(this);
    this.files = new Files(this);
    this.planning.bar.append(this.files.button);
    this.notice = new Notice(this, () => this.#restart());
    this.emptyTitle = html("strong");
    this.emptyThen = html("span");
    this.hint = html("p", { class: "ranni-hint" });
    this.empty = html("div", { class: "ranni-empty" }, this.emptyTitle, this.emptyThen);
    this.stage = html("div", { class: "ranni-stage" }, this.canvas.node, this.empty);
    this.body = html(
      "div",
      { class: "ranni-body" },
      html(
        "div",
        { class: "ranni-main" },
        this.planning.bar,
        this.toolbar.node,
        this.stage,
        this.backdrop.node,
        this.planning.node,
        this.hint,
      ),
      html("div", { class: "ranni-side" }, this.list.node, this.inspector.node),
    );
    this.root.append(this.notice.node, this.body);
    root.append(this.root);
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
    this.#pause = window.setTimeout(() => this.store.seal("load"), PAUSE_MS);
    this.#known = this.store.state.panel;
    this.#loaded.add(this.#known);
    return problems;
  }

  /** @param {import("./document.mjs").Panel} panel */
  replace(panel) {
    this.gestures.cancel();
    // Its elements have nothing to do with those that are selected or hidden.
    this.store.apply((state) =>
      replacePanel(panel)(state) === state ? state : Object.freeze({ ...START, panel }),
    );
    this.flush();
  }

  /** The panel; once edited, with the aspect at which it was seen. */
  value() {
    const { panel } = this.store.state;
    if (!this.size || this.#loaded.has(panel)) return panel;
    const { aspect: _, ...rest } = panel;
    return Object.freeze(this.aspect === 1 ? rest : { ...rest, aspect: this.aspect });
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

  get keypoints() {
    return this.inspector.keypoints;
  }

  /** Whether something is being dragged. @returns {boolean} */
  get busy() {
    return this.gestures.busy;
  }

  /** Width / height of the canvas. */
  get aspect() {
    const aspect = this.size ? this.size[0] / this.size[1] : (this.store.state.panel.aspect ?? 1);
    return clamp(rounded(aspect), 0.1, 10);
  }

  /** Now; while something is dragged, once before the next frame. */
  redraw() {
    if (this.busy) this.#frame ||= requestAnimationFrame(() => this.#redraw());
    else this.#redraw();
  }

  #redraw() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
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
    const height = Math.round(clamp(width / this.aspect, LEAST_STAGE_PX, MOST_STAGE_PX));
    if (this.stage.style.height !== `${height}px`) this.stage.style.height = `${height}px`;
    this.viewport.fit(width, height, this.aspect);
    update(this.root, { "aria-label": this.t("editor") });
    setText(this.emptyTitle, this.t("empty_title"));
    setText(this.emptyThen, this.t("empty_then"));
    setText(this.hint, this.t("hint"));
    this.empty.hidden = this.store.state.panel.elements.length > 0;
    const chosen = this.store.state.selection.join();
    if (this.busy && chosen === this.#chosen) this.inspector.drawSides();
    else for (const part of [this.toolbar, this.list, this.inspector, this.planning, this.files]) part.draw();
    this.#chosen = chosen;
    this.backdrop.draw();
    this.canvas.draw(this.gestures.overlay);
  }

  destroy() {
    this.gestures.cancel();
    this.planning.destroy();
    this.flush();
    clearTimeout(this.#pause);
    cancelAnimationFrame(this.#frame);
    this.warnings.destroy();
    this.backdrop.destroy();
    this.observer.disconnect();
    this.keyboard.destroy();
    this.root.remove();
  }
}
