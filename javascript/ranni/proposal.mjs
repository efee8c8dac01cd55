/** What is not in the panel yet: elements on their way, and changes to accept or to reject. */

import { shortened } from "./canvas.mjs";
import { replacePanel } from "./commands.mjs";
import { fieldOf } from "./document.mjs";
import { button, html, setText, svg } from "./dom.mjs";

/**
 * @typedef {import("./document.mjs").Panel} Panel
 * @typedef {import("./geometry.mjs").Box} Box
 * @typedef {{before: Panel, after: Panel}} Offer
 * @typedef {{kind: "added" | "gone" | "old" | "placed" | "changed", box: Box, label?: string}} Mark
 */

const SIDES = ["x0", "y0", "x1", "y1"];
/** The least shift, as a share of the canvas, that is worth a word. */
const LEAST = 0.005;

/** @param {any} a @param {any} b @param {string[]} [names] of the members that count */
const same = (a, b, names) => JSON.stringify(a, names) === JSON.stringify(b, names);
const percent = (/** @type {number} */ share) => `${Math.round(Math.abs(share) * 100)}%`;

/** A value in a sentence, whose direction it leaves alone. @param {any} value */
function shown(value) {
  if (value === null || value === "" || same(value, [])) return "–";
  const text = typeof value === "string" ? value : JSON.stringify(value).replace(/["{}[\]]+/g, " ");
  return `\u2068${shortened(text, 60)}\u2069`;
}

/** What becomes of a box, and the key of what to call it. @param {Box} a @param {Box} b */
function way(a, b) {
  const size = (/** @type {Box} */ c) => `${percent(c.x1 - c.x0)} × ${percent(c.y1 - c.y0)}`;
  if (size(a) !== size(b)) return ["resized", `${size(a)} → ${size(b)}`];
  const [dx, dy] = [(b.x0 + b.x1 - a.x0 - a.x1) / 2, (b.y0 + b.y1 - a.y0 - a.y1) / 2];
  const across = Math.abs(dx) < LEAST ? "" : `${dx < 0 ? "←" : "→"} ${percent(dx)} `;
  return ["moved", across + (Math.abs(dy) < LEAST ? "" : `${dy < 0 ? "↑" : "↓"} ${percent(dy)}`)];
}

/**
 * What turns a panel into another one: marks for the canvas, and words.
 * @param {Panel} before @param {Panel} after @param {import("./editor.mjs").Context["t"]} t
 */
export function differences(before, after, t) {
  const old = new Map(before.elements.map((e) => [e.id, e]));
  const ids = new Set(after.elements.map((e) => e.id));
  /** @type {Mark[]} */
  const marks = [];
  /** @type {string[]} */
  const words = [];
  for (const { id, box, description } of before.elements) {
    if (ids.has(id)) continue;
    marks.push({ kind: "gone", box });
    words.push(t("gone", shown(description)));
  }
  for (const e of after.elements) {
    const { box, description: label } = e;
    const was = old.get(e.id);
    if (!was) {
      marks.push({ kind: "added", box, label });
      words.push(t("added", shown(label)));
      continue;
    }
    const fields = Object.keys({ ...was, ...e }).filter(
      (name) => !same(fieldOf(was, name), fieldOf(e, name), name === "box" ? SIDES : undefined),
    );
    for (const name of fields) {
      const [from, to] = [fieldOf(was, name), fieldOf(e, name)];
      const [key, how] = way(was.box, box);
      if (name === "box") words.push(t(key, shown(label), how));
      else if (name === "description") words.push(t("changed", shown(from), shown(to)));
      else words.push(t("changed_field", shown(label), t(name), shown(from), shown(to)));
    }
    if (fields.includes("box")) marks.push({ kind: "old", box: was.box }, { kind: "placed", box, label });
    else if (fields.length) marks.push({ kind: "changed", box, label });
  }
  for (const [name, key] of Object.entries({ base: "base", negative: "panel_negative" })) {
    const [from, to] = [before[name] ?? "", after[name] ?? ""];
    if (from !== to) words.push(t("changed_field", t("whole"), t(key), shown(from), shown(to)));
  }
  const order = (/** @type {Panel} */ { elements }) =>
    elements.map((e) => e.id).filter((id) => old.has(id) && ids.has(id));
  if (!same(order(before), order(after))) words.push(t("reordered"));
  return { marks, words };
}

/** A panel in place of the present one, if the user agrees. Any change of the panel withdraws it. */
export class Proposal {
  #context;
  #ended;
  /** @type {Offer | null} */ #offered = null;
  /** @type {Mark[]} */ #marks = [];
  #layer = svg("g", { class: "ranni-ghosts", "aria-hidden": "true" });
  #title = html("h3");
  #list = html("ul");
  #accept = button("", () => this.accept(), "button ranni-go");
  #reject = button("", () => this.end("rejected"));
  #buttons = html("div", { class: "ranni-bar" }, this.#accept, this.#reject);
  node = html("section", { class: "ranni-proposal" }, this.#title, this.#list, this.#buttons);

  /** @param {import("./editor.mjs").Context} context @param {(how: string) => void} ended */
  constructor(context, ended) {
    this.#context = context;
    this.#ended = ended;
    context.canvas.node.append(this.#layer);
    context.store.subscribe(({ panel }) => {
      if (this.#offered && panel !== this.#offered.before) this.end("withdrawn");
    });
  }

  get isOpen() {
    return this.#offered !== null;
  }

  /** Show what is being planned. @param {readonly import("./document.mjs").Element[]} elements */
  sketch(elements) {
    this.#marks = elements.map(({ box, description }) => ({ kind: "added", box, label: description }));
    this.#context.canvas.node.classList.toggle("ranni-sketched", elements.length > 0);
  }

  /** Returns the number of changes; without any there is nothing to offer. @param {Panel} after */
  offer(after) {
    const before = this.#context.store.state.panel;
    const count = differences(before, after, this.#context.t).words.length;
    if (count) this.#offered = { before, after };
    return count;
  }

  accept() {
    const after = /** @type {Offer} */ (this.#offered).after;
    this.end("accepted");
    this.#context.store.apply(replacePanel(after));
    this.#context.flush();
  }

  /** @param {"accepted" | "rejected" | "withdrawn"} how */
  end(how) {
    this.#offered = null;
    this.#marks = [];
    this.#ended(how);
  }

  draw() {
    const { t } = this.#context;
    this.node.hidden = !this.#offered;
    if (this.#offered) {
      const { marks, words } = differences(this.#offered.before, this.#offered.after, t);
      this.#marks = marks;
      setText(this.#title, t("proposal", words.length));
      setText(this.#accept, t("accept"));
      setText(this.#reject, t("reject"));
      this.#list.replaceChildren(...words.map((word) => html("li", { dir: "auto" }, word)));
    }
    this.#layer.replaceChildren(...this.#marks.flatMap((mark) => this.#nodes(mark)));
  }

  /** @param {Mark} mark */
  #nodes({ kind, box, label = "" }) {
    const rect = this.#context.viewport.rect(box);
    const { x, y, width, height } = rect;
    const cross = `M${x} ${y}l${width} ${height}m0 ${-height}l${-width} ${height}`;
    const text = svg("text", { class: "ranni-label", x: 5, y: height - 6 }, shortened(label, 60));
    return [
      svg("rect", { class: `ranni-ghost ranni-${kind}`, ...rect }),
      kind === "gone" ? svg("path", { class: "ranni-ghost", d: cross }) : svg("svg", rect, text),
    ];
  }
}
