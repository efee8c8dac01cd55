/** The drawing of a panel: one focusable group for each element, handles, guides, the picture behind. */

import { grasped } from "./commands.mjs";
import { setText, svg, update } from "./dom.mjs";
import { HANDLES, bounds } from "./geometry.mjs";
import { pointNodes } from "./keypoints.mjs";

const LABEL_PX = 18;
const SHOWN_CHARACTERS = 120;
/** Boxes narrower than this have handles at their corners only. */
const SMALL_PX = 34;

/**
 * @typedef {import("./document.mjs").Element} PanelElement
 * @typedef {import("./geometry.mjs").Box} Box
 * @typedef {{node: SVGGElement, box: SVGRectElement, ring: SVGRectElement, clip: SVGSVGElement,
 *   back: SVGRectElement, label: SVGTextElement, seen: any[]}} Drawn `seen` is what it was last drawn for.
 * @typedef {{url: string | null, before: string | null, split: number, opacity: number}} Backdrop `before` lies
 *   over the picture, up to `split` of the width.
 * @typedef {{guides: readonly import("./geometry.mjs").Guide[], marquee: Box | null}} Overlay
 */

/**
 * The color that stands for the element at `index`, as in `lib_ranni.panel.preview`.
 * @param {number} index
 */
export function elementColor(index) {
  return `hsl(${Math.round((((0.58 + index * 0.6180339887) % 1) * 360 + 360) % 360)} 72% 42%)`;
}

/** Black or white, whichever reads better on an element's color. @param {number} index */
export function inkColor(index) {
  const hue = ((0.58 + index * 0.6180339887) % 1) * 360;
  return hue > 40 && hue < 195 ? "#101014" : "#ffffff";
}

/** The start of a text, on one line. @param {string} text */
export function shortened(text, most = SHOWN_CHARACTERS) {
  const line = text
    .slice(0, most * 4)
    .replace(/\s+/g, " ")
    .trim();
  const characters = [...line];
  return characters.length > most || text.length > most * 4 ? `${characters.slice(0, most).join("")}…` : line;
}

export class Canvas {
  /** @type {Map<string, Drawn>} */ #drawn = new Map();
  #page = svg("rect", { class: "ranni-page" });
  #picture = svg("image", { preserveAspectRatio: "none" });
  #before = svg("image", { preserveAspectRatio: "none" });
  #split = svg("svg", { class: "ranni-split" }, this.#before);
  #pictures = svg("g", { "aria-hidden": "true" }, this.#picture, this.#split);
  /** @type {any[]} */ #shown = [];
  #boxes = svg("g");
  #points = svg("g", { class: "ranni-points", "aria-hidden": "true" });
  #frame = svg("rect", { class: "ranni-frame" });
  #handles = svg("g", { "aria-hidden": "true" });
  #overlay = svg("g", { "aria-hidden": "true" });
  #context;

  /** @param {import("./editor.mjs").Context} context */
  constructor(context) {
    this.#context = context;
    this.node = svg(
      "svg",
      { class: "ranni-canvas", role: "listbox", tabindex: 0, "aria-multiselectable": "true" },
      this.#page,
      this.#pictures,
      this.#boxes,
      this.#overlay,
      this.#handles,
      this.#points,
    );
  }

  /** @param {Backdrop} backdrop */
  show({ url, before, split, opacity }) {
    const { page } = this.#context.viewport;
    // An address may be a whole picture in base 64.
    const seen = [url, before, split, opacity, ...Object.values(page)];
    if (seen.every((value, n) => value === this.#shown[n])) return;
    this.#shown = seen;
    update(this.#pictures, { opacity, display: url ? null : "none" });
    update(this.#picture, { ...page, href: url });
    update(this.#split, { ...page, width: page.width * split, display: before && split ? null : "none" });
    update(this.#before, { width: page.width, height: page.height, href: before });
    this.node.classList.toggle("ranni-pictured", Boolean(url));
  }

  /** Give an element of the panel the focus, or the canvas itself. @param {string} [id] */
  focus(id) {
    const node = (id !== undefined && this.#drawn.get(id)?.node) || this.node;
    node.focus({ preventScroll: true });
  }

  /** The id of the element that has the focus. @returns {string | null} */
  get focused() {
    const node = document.activeElement;
    return node instanceof SVGElement && this.node.contains(node) ? (node.dataset.id ?? null) : null;
  }

  /** @param {Overlay} overlay */
  draw(overlay) {
    const { store, viewport, language, t } = this.#context;
    const { panel, selection, hidden } = store.state;
    update(this.#page, viewport.page);
    update(this.node, { "aria-label": t("canvas") });
    const [chosen, unseen] = [new Set(selection), new Set(hidden)];
    const visible = panel.elements
      .map((element, index) => ({ element, index }))
      .filter(({ element }) => !unseen.has(element.id));
    const ids = new Set(visible.map(({ element }) => element.id));
    for (const [id, drawn] of this.#drawn) {
      if (!ids.has(id)) {
        drawn.node.remove();
        this.#drawn.delete(id);
      }
    }
    const view = JSON.stringify([viewport.page, language]);
    for (const { element, index } of visible) this.#drawElement(element, index, chosen.has(element.id), view);
    this.#sort(visible.map(({ element }) => element.id));
    const open = grasped(store.state);
    this.#drawHandles(open.length ? viewport.rect(bounds(open.map((e) => e.box))) : null);
    update(this.#frame, { display: open.length > 1 ? null : "none" });
    const own = selection.length === 1 ? open[0] : undefined;
    const points = visible.flatMap(({ element }) => pointNodes(element, viewport.page, element === own));
    if (points.length || this.#points.firstChild) this.#points.replaceChildren(...points);
    this.#drawOverlay(overlay);
  }

  /** @param {PanelElement} element @param {number} index @param {boolean} selected @param {string} view */
  #drawElement(element, index, selected, view) {
    const drawn = this.#drawn.get(element.id) ?? this.#make(element.id);
    const seen = [element, index, selected, view];
    if (seen.every((value, n) => value === drawn.seen[n])) return;
    drawn.seen = seen;
    const { viewport, t } = this.#context;
    const rect = viewport.rect(element.box);
    const color = elementColor(index);
    const { x0, y0, x1, y1 } = element.box;
    const states = [element.locked && t("locked"), selected && t("selected")].filter(Boolean);
    const place = [x0, y0, x1 - x0, y1 - y0].map((value) => Math.round(value * 100));
    update(drawn.node, {
      class: ["ranni-element", selected && "ranni-selected", element.locked && "ranni-locked"]
        .filter(Boolean)
        .join(" "),
      "aria-selected": String(selected),
      "aria-label": [`${index + 1} ${shortened(element.description)}`, t("place", ...place), ...states].join(
        ", ",
      ),
    });
    update(drawn.box, { ...rect, stroke: color, fill: element.colors?.[0] ?? color });
    update(drawn.ring, { x: rect.x - 4, y: rect.y - 4, width: rect.width + 8, height: rect.height + 8 });
    setText(drawn.label, `${index + 1}  ${shortened(element.description, 60)}`);
    update(drawn.label, { fill: inkColor(index) });
    update(drawn.back, { fill: color, width: this.#labelWidth(drawn) });
    update(drawn.clip, { x: rect.x, y: rect.y, width: Math.max(rect.width, 20), height: LABEL_PX });
  }

  /** @param {Drawn} drawn */
  #labelWidth(drawn) {
    const text = drawn.label.textContent ?? "";
    if (drawn.label.dataset.measured !== text) {
      const length = drawn.label.getComputedTextLength();
      // Nothing can be measured while the editor is not shown.
      if (!length) return "100%";
      drawn.label.dataset.measured = text;
      drawn.label.dataset.width = String(Math.ceil(length) + 12);
    }
    return /** @type {string} */ (drawn.label.dataset.width);
  }

  /** @param {string} id @returns {Drawn} */
  #make(id) {
    const box = svg("rect", { class: "ranni-box" });
    const ring = svg("rect", { class: "ranni-ring" });
    const back = svg("rect", { height: LABEL_PX, rx: 2 });
    const label = svg("text", { x: 6, y: 13, class: "ranni-label" });
    const clip = svg("svg", { class: "ranni-clip" }, back, label);
    const node = svg("g", { role: "option", tabindex: 0, "data-id": id }, box, clip, ring);
    const drawn = { node, box, ring, clip, back, label, seen: [] };
    this.#drawn.set(id, drawn);
    this.#boxes.append(node);
    return drawn;
  }

  /**
   * Bring the groups into the panel's order without disturbing those that are there.
   * @param {string[]} ids
   */
  #sort(ids) {
    const focused = this.focused;
    let at = this.#boxes.firstChild;
    for (const id of ids) {
      const { node } = /** @type {Drawn} */ (this.#drawn.get(id));
      if (node === at) at = node.nextSibling;
      else this.#boxes.insertBefore(node, at);
    }
    if (focused !== null && this.focused !== focused) this.focus(focused);
  }

  /** @param {{x: number, y: number, width: number, height: number} | null} rect */
  #drawHandles(rect) {
    if (!this.#handles.firstChild) {
      this.#handles.append(this.#frame);
      for (const handle of HANDLES) {
        const visible = svg("rect", { class: "ranni-handle", width: 9, height: 9, rx: 2 });
        const area = svg("rect", { class: "ranni-grip", width: 22, height: 22 });
        this.#handles.append(
          svg("g", { "data-handle": handle, style: `cursor: ${handle}-resize` }, area, visible),
        );
      }
    }
    update(this.#handles, { display: rect ? null : "none" });
    if (!rect) return;
    update(this.#frame, rect);
    for (const node of /** @type {NodeListOf<SVGGElement>} */ (this.#handles.querySelectorAll("g"))) {
      const handle = /** @type {string} */ (node.dataset.handle);
      const along = (/** @type {string} */ low, /** @type {string} */ high) =>
        handle.includes(low) ? 0 : handle.includes(high) ? 1 : 0.5;
      const [u, v] = [along("w", "e"), along("n", "s")];
      const crowded = (u === 0.5 && rect.width < SMALL_PX) || (v === 0.5 && rect.height < SMALL_PX);
      // The areas to grip lie outside of a small box, so that it can still be moved.
      const out = Math.min(rect.width, rect.height) < SMALL_PX ? 9 : 0;
      const [x, y] = [
        rect.x + u * rect.width + (u * 2 - 1) * out,
        rect.y + v * rect.height + (v * 2 - 1) * out,
      ];
      update(node, { display: crowded ? "none" : null, transform: `translate(${x} ${y})` });
      update(/** @type {Element} */ (node.firstChild), { x: -11, y: -11 });
      update(/** @type {Element} */ (node.lastChild), { x: -4.5, y: -4.5 });
    }
  }

  /** @param {Overlay} overlay */
  #drawOverlay({ guides, marquee }) {
    const { viewport } = this.#context;
    const { x, y, width, height } = viewport.page;
    const lines = guides.map(({ axis, at }) => {
      const d = axis === "x" ? `M${x + at * width} ${y}v${height}` : `M${x} ${y + at * height}h${width}`;
      return svg("path", { class: "ranni-guide", d });
    });
    const area = marquee ? [svg("rect", { class: "ranni-marquee", ...viewport.rect(marquee) })] : [];
    this.#overlay.replaceChildren(...this.#grid(), ...lines, ...area);
  }

  #grid() {
    const cells = this.#context.options.grid ? this.#context.options.cells : 0;
    if (!cells) return [];
    const { x, y, width, height } = this.#context.viewport.page;
    let path = "";
    for (let n = 1; n < cells; n += 1) {
      path += `M${x + (n / cells) * width} ${y}v${height}M${x} ${y + (n / cells) * height}h${width}`;
    }
    return [svg("path", { class: "ranni-grid", d: path })];
  }
}
