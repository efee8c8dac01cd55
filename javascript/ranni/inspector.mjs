/** The fields of what is selected: of one element, of several, or of the whole picture. */

import { align, distribute, place, setField, setPanelField } from "./commands.mjs";
import { MAX_COLORS, MAX_SEED, elementFault, fieldOf, panelFault } from "./document.mjs";
import { html, setText, update } from "./dom.mjs";
import { Field, ListField } from "./fields.mjs";
import { LEAST, box as boxOf, rounded } from "./geometry.mjs";
import { icon } from "./icons.mjs";
import { Keypoints } from "./keypoints.mjs";
import { LANGUAGES, text } from "./strings.mjs";

/** @typedef {import("./document.mjs").Element} PanelElement */

const EDGES = /** @type {const} */ (["left", "center", "right", "top", "middle", "bottom"]);

/**
 * @type {readonly (Pick<import("./fields.mjs").FieldOptions, "name" | "kind"> &
 *   Partial<import("./fields.mjs").FieldOptions>)[]}
 */
const FIELDS = [
  { name: "description", kind: "text", rows: 3 },
  { name: "negative", kind: "text", rows: 1 },
  { name: "weight", kind: "number", step: 0.05, low: 0, high: 10 },
  { name: "base_ratio", kind: "number", step: 0.05, low: 0, high: 1, empty: "usual" },
  { name: "start", kind: "number", step: 0.05, low: 0, high: 1 },
  { name: "end", kind: "number", step: 0.05, low: 0, high: 1 },
  { name: "seed", kind: "number", step: 1, low: 0, high: MAX_SEED, empty: "any" },
];

const SIDES = /** @type {const} */ (["x", "y", "width", "height"]);

export class Inspector {
  #context;
  #title = html("h3");
  #unit = html("select", { "data-field": "unit", change: () => this.draw() });
  #unitLabel = html("span");
  #colors;
  #loras;
  #mask = html("span");
  #unmask = html("button", { type: "button", class: "ranni-button", click: () => this.#removeMask() });
  #warnings = html("ul", { class: "ranni-warnings" });
  /** @type {Map<string, Field>} */ #fields = new Map();
  /** @type {Map<string, Field>} */ #sides = new Map();
  /** @type {Map<string, Field>} */ #panelFields = new Map();
  /** @type {Map<string, HTMLButtonElement>} */ #arrange = new Map();
  node = html("section", { class: "ranni-inspector" });

  /** @param {import("./editor.mjs").Context} context */
  constructor(context) {
    this.#context = context;
    this.keypoints = new Keypoints(context);
    this.#colors = new ListField(context, {
      name: "colors",
      key: "color",
      most: MAX_COLORS,
      columns: [{ type: "color" }, { label: "color_name", read: (name) => this.#hexOf(name) }],
      fresh: (name, old) => (name ? this.#hexOf(name) : (old[old.length - 1] ?? "#808080")),
    });
    this.#loras = new ListField(context, {
      name: "lora",
      key: "lora_one",
      columns: [{ member: "name" }, { member: "weight", type: "number", label: "weight" }],
      fresh: (name) => (name ? { name, weight: 1 } : undefined),
    });
    // Without an answer, names are typed.
    const ask = () =>
      context.service?.loras().then(
        (names) => this.#loras.offer(names),
        () => {},
      );
    this.#loras.node.addEventListener("focusin", ask, { once: true });
    const { store, t } = context;
    const shared = { t, sealed: () => this.#sealed() };
    for (const options of FIELDS) {
      const { name } = options;
      const fault = (/** @type {any} */ value) => this.#fault(name, value);
      const commit = (/** @type {any} */ value) =>
        void store.apply(setField(store.state.selection, name, value), `field ${name}`);
      this.#fields.set(name, new Field({ ...options, ...shared, label: name, fault, commit }));
    }
    for (const side of SIDES) {
      const fault = (/** @type {any} */ value) => this.#sideFault(side, value);
      const commit = (/** @type {any} */ value) => this.#setSide(side, value);
      this.#sides.set(
        side,
        new Field({ ...shared, name: side, label: side, kind: "number", step: 1, fault, commit }),
      );
    }
    for (const [name, label, rows] of /** @type {[string, string, number][]} */ ([
      ["base", "base", 3],
      ["negative", "panel_negative", 2],
    ])) {
      const fault = (/** @type {any} */ value) => panelFault(name, value);
      const commit = (/** @type {any} */ value) =>
        void store.apply(setPanelField(name, value), `panel ${name}`);
      this.#panelFields.set(
        name,
        new Field({ ...shared, name: `panel_${name}`, label, kind: "text", rows, fault, commit }),
      );
    }
    this.#build();
  }

  #build() {
    const { store } = this.#context;
    for (const edge of EDGES) {
      this.#arrange.set(
        `align_${edge}`,
        html("button", { click: () => store.apply(align(store.state.selection, edge)) }),
      );
    }
    for (const axis of /** @type {const} */ (["x", "y"])) {
      this.#arrange.set(
        `distribute_${axis}`,
        html("button", { click: () => store.apply(distribute(store.state.selection, axis)) }),
      );
    }
    for (const [name, button] of this.#arrange) {
      update(button, { type: "button", class: "ranni-tool", "data-tool": name });
      button.append(icon(name));
    }
    this.#unit.append(html("option", { value: "percent" }, "%"), html("option", { value: "px" }, "px"));
    const field = (/** @type {string} */ name) => /** @type {Field} */ (this.#fields.get(name)).node;
    this.parts = {
      panel: html("div", {}, ...[...this.#panelFields.values()].map((f) => f.node)),
      arrange: html("div", { class: "ranni-group ranni-arrange", role: "group" }, ...this.#arrange.values()),
      words: html("div", {}, field("description"), this.#warnings, field("negative")),
      box: html(
        "div",
        { class: "ranni-numbers ranni-place" },
        ...[...this.#sides.values()].map((f) => f.node),
        html("label", { class: "ranni-field" }, this.#unitLabel, this.#unit),
      ),
      colors: this.#colors.node,
      numbers: html(
        "div",
        { class: "ranni-numbers" },
        ...["weight", "base_ratio", "seed", "start", "end"].map(field),
      ),
      loras: this.#loras.node,
      keypoints: this.keypoints.node,
      mask: html("div", { class: "ranni-buttons" }, this.#mask, this.#unmask),
    };
    this.node.append(this.#title, ...Object.values(this.parts));
  }

  /** Go to the description, ready to be written over. */
  describe() {
    const { input } = /** @type {Field} */ (this.#fields.get("description"));
    if (this.parts?.words.hidden) return;
    input.focus({ preventScroll: true });
    input.select();
  }

  #chosen() {
    const { panel, selection } = this.#context.store.state;
    return panel.elements.filter((e) => selection.includes(e.id));
  }

  #sealed() {
    this.#context.store.seal();
  }

  /** Only where things lie, while they are dragged. */
  drawSides() {
    const chosen = this.#chosen();
    if (chosen.length !== 1) return;
    for (const [side, field] of this.#sides)
      field.draw(this.#inUnit(side, this.#side(chosen[0], side)), false, Boolean(chosen[0].locked));
  }

  draw() {
    const { t, size } = this.#context;
    const { panel } = this.#context.store.state;
    const chosen = this.#chosen();
    const parts = /** @type {NonNullable<typeof this.parts>} */ (this.parts);
    const [some, one] = [chosen.length > 0, chosen.length === 1];
    setText(
      this.#title,
      one ? t("one", panel.elements.indexOf(chosen[0]) + 1) : some ? t("several", chosen.length) : t("whole"),
    );
    parts.panel.hidden = some;
    for (const part of [parts.words, parts.colors, parts.numbers, parts.loras]) part.hidden = !some;
    parts.box.hidden = !one;
    parts.arrange.hidden = chosen.length < 2;
    for (const [name, field] of this.#panelFields) field.draw(panel[name] ?? "", false, false);
    const open = chosen.some((e) => !e.locked);
    this.keypoints.draw(one ? chosen[0] : null, open);
    this.#drawAdvice(one ? chosen[0] : null, open);
    if (!some) return;
    for (const [name, field] of this.#fields) {
      const values = chosen.map((e) => (name === "description" ? e.description : fieldOf(e, name)));
      field.draw(
        values[0],
        values.some((value) => value !== values[0]),
        !open,
      );
    }
    for (const [name, button] of this.#arrange) {
      update(button, {
        title: t(name),
        "aria-label": t(name),
        disabled: name.startsWith("distribute") && chosen.length < 3,
      });
    }
    this.#colors.offer(t("color_names").split(" "));
    this.#colors.draw(chosen, open);
    this.#loras.draw(chosen, open);
    setText(this.#unitLabel, t("unit"));
    update(this.#unit, { hidden: !size });
    this.drawSides();
  }

  /** What there is to know of one element. @param {PanelElement | null} one @param {boolean} open */
  #drawAdvice(one, open) {
    const { t, warnings } = this.#context;
    const { mask, id, description } = one ?? /** @type {any} */ ({ id: "", description: "" });
    this.#fields.get("description")?.aside(warnings.tokens(description), t("tokens"));
    this.#warnings.replaceChildren(...warnings.of(id).map((word) => html("li", { dir: "auto" }, word)));
    if (this.parts) this.parts.mask.hidden = !mask;
    if (mask) setText(this.#mask, t("mask_size", mask.width, mask.height));
    setText(this.#unmask, t("remove_mask"));
    this.#unmask.disabled = !open;
  }

  #removeMask() {
    const { store, canvas } = this.#context;
    store.apply(setField(store.state.selection, "mask", null));
    canvas.focus(store.state.selection[0]);
  }

  /** What `#rrggbb` a color's name, or another way to write it, stands for. @param {string} name */
  #hexOf(name) {
    const word = name.trim().toLowerCase();
    const index = this.#context.t("color_names").split(" ").indexOf(word);
    const color = text(LANGUAGES[0], "color_names").split(" ")[index] ?? word;
    const paint = html("canvas").getContext("2d");
    if (!paint || !CSS.supports("color", color)) return undefined;
    paint.fillStyle = color;
    return String(paint.fillStyle);
  }

  /**
   * What is wrong with a value for the elements that would take it.
   * @param {string} name @param {any} value
   */
  #fault(name, value) {
    for (const element of this.#chosen()) {
      const wrong = element.locked ? null : elementFault(element, name, value);
      if (wrong) return wrong;
    }
    return null;
  }

  /** @param {PanelElement} element @param {string} side */
  #side({ box }, side) {
    return { x: box.x0, y: box.y0, width: box.x1 - box.x0, height: box.y1 - box.y0 }[side] ?? 0;
  }

  /** How many of the shown unit the canvas has along a side. @param {string} side */
  #scale(side) {
    const { size } = this.#context;
    if (this.#unit.value !== "px" || !size) return 100;
    return side === "x" || side === "width" ? size[0] : size[1];
  }

  /** @param {string} side @param {number} value */
  #inUnit(side, value) {
    const digits = this.#unit.value === "px" ? 1 : 100;
    return Math.round(value * this.#scale(side) * digits) / digits;
  }

  /** @param {string} side @param {number} value */
  #sideFault(side, value) {
    const [element] = this.#chosen();
    const isSize = side === "width" || side === "height";
    const low = isSize ? LEAST : 0;
    const high = isSize
      ? 1 - this.#side(element, side === "width" ? "x" : "y")
      : 1 - this.#side(element, side === "x" ? "width" : "height");
    const [least, most] = [this.#inUnit(side, low), this.#inUnit(side, high)];
    return value >= least && value <= most ? null : { code: "number", args: [least, most] };
  }

  /** @param {string} side @param {number} value */
  #setSide(side, value) {
    const [{ id, box }] = this.#chosen();
    const to = value / this.#scale(side);
    const width = box.x1 - box.x0;
    const height = box.y1 - box.y0;
    const changed = {
      x: () => boxOf(to, box.y0, Math.min(1, to + width), box.y1),
      y: () => boxOf(box.x0, to, box.x1, Math.min(1, to + height)),
      width: () => boxOf(box.x0, box.y0, Math.min(1, rounded(box.x0 + to)), box.y1),
      height: () => boxOf(box.x0, box.y0, box.x1, Math.min(1, rounded(box.y0 + to))),
    }[side];
    if (changed) this.#context.store.apply(place(new Map([[id, changed()]])), `field ${side}`);
  }
}
