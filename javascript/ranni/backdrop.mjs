/** The picture under the boxes: the last result, what is painted over, or a file; and the one before it. */

import { html, setText, update } from "./dom.mjs";
import { icon } from "./icons.mjs";

const KEY = "ranni_backdrop";
const KINDS = Object.freeze(["none", "result", "input", "file"]);

/** Whether a picture comes from here: from the host, or from what the page itself holds. @param {string} url */
function isOurs(url) {
  try {
    return /^data:image\//i.test(url) || new URL(url, document.baseURI).origin === location.origin;
  } catch {
    return false;
  }
}

export class Backdrop {
  #context;
  /** @type {Map<string, string | null>} */ #pictures = new Map();
  /** The result before the last. @type {string | null} */ #before = null;
  /** What is shown if it is there, and how strongly. */
  #wish = { kind: "result", opacity: 1 };
  #kind = html("select", { change: (event) => this.#want({ kind: event.target.value }) });
  #file = html("input", { type: "file", accept: "image/*", change: () => this.#opened() });
  #opacity = this.#range((opacity) => this.#want({ opacity }));
  #split = this.#range(() => this.#context.redraw());
  #controls = {
    backdrop: this.#kind,
    open_picture: this.#file,
    opacity: this.#opacity,
    compare: this.#split,
  };
  node = html("div", { class: "ranni-backdrop" });

  /** @param {import("./editor.mjs").Context} context */
  constructor(context) {
    this.#context = context;
    try {
      Object.assign(this.#wish, JSON.parse(localStorage.getItem(KEY) ?? "{}"));
    } catch {
      // Nothing that can be read is remembered.
    }
    this.#split.value = "0";
    for (const kind of KINDS) this.#kind.append(html("option", { value: kind }));
    for (const [name, control] of Object.entries(this.#controls)) {
      update(control, { "data-field": name });
      this.node.append(html("label", {}, html("span"), control));
    }
    update(/** @type {Element} */ (this.#file.parentNode), { class: "ranni-tool" });
    this.#file.before(icon("picture"));
  }

  /** @param {(value: number) => void} input */
  #range(input) {
    const hear = (/** @type {any} */ event) => input(Number(event.target.value));
    return html("input", { type: "range", min: 0, max: 1, step: 0.01, input: hear });
  }

  /** @param {{kind?: string, opacity?: number}} wish */
  #want(wish) {
    Object.assign(this.#wish, wish);
    try {
      localStorage.setItem(KEY, JSON.stringify(this.#wish));
    } catch {
      // Where nothing may be kept, it holds for this page.
    }
    this.#context.redraw();
  }

  #opened() {
    const file = this.#file.files?.[0];
    if (!file) return;
    this.destroy();
    this.#pictures.set("file", URL.createObjectURL(file));
    this.#file.value = "";
    this.#want({ kind: "file" });
  }

  /** @param {"result" | "input"} kind @param {string | null} url one from elsewhere is not shown */
  set(kind, url) {
    const next = url && isOurs(url) ? url : null;
    const last = this.#pictures.get(kind) ?? null;
    if (next === last) return;
    if (kind === "result" && last) this.#before = last;
    this.#pictures.set(kind, next);
    this.#context.redraw();
  }

  draw() {
    const { t, canvas } = this.#context;
    const { kind, opacity } = this.#wish;
    const pictures = this.#pictures;
    // Until there is a result, one sees what is painted over.
    const shown =
      (kind !== KINDS[0] && [kind, "result", "input"].find((one) => pictures.get(one))) || KINDS[0];
    const before = shown === "result" ? this.#before : null;
    const split = before ? Number(this.#split.value) : 0;
    canvas.show({ url: pictures.get(shown) ?? null, before, split, opacity });
    for (const option of this.#kind.options) {
      setText(option, t(`backdrop_${option.value}`));
      option.disabled = option.value !== KINDS[0] && !pictures.get(option.value);
    }
    this.#kind.value = shown;
    this.#opacity.value = String(opacity);
    const isThere = [[...pictures.values()].some(Boolean), true, shown !== KINDS[0], before];
    for (const [index, [name, control]] of Object.entries(this.#controls).entries()) {
      const label = /** @type {HTMLElement} */ (control.parentNode);
      label.hidden = !isThere[index];
      update(label, { title: t(name) });
      if (control.type === "range") setText(/** @type {Node} */ (label.firstChild), t(name));
      else update(control, { "aria-label": t(name) });
    }
  }

  destroy() {
    URL.revokeObjectURL(this.#pictures.get("file") ?? "");
  }
}
