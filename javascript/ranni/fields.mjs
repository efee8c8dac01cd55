/** One labeled input that reads a value, says what is wrong with it, and commits it. */

import { html, setText, update } from "./dom.mjs";

/**
 * @typedef {import("./document.mjs").Fault} Fault
 * @typedef {{
 *   name: string, label: string, kind: "text" | "number", rows?: number, step?: number, low?: number,
 *   high?: number, empty?: string,
 *   fault: (value: any) => Fault | null, commit: (value: any) => void, sealed: () => void,
 *   t: (key: string, ...args: (string | number)[]) => string,
 * }} FieldOptions `empty` says what no value stands for, where a field may have none; `low` and `high` bound
 *   the arrow keys.
 */

export class Field {
  #options;
  #label = html("span");
  #message = html("span", { class: "ranni-fault", role: "alert" });
  #shown = "";
  /** Whether what is being typed here causes the present redraw. */
  #typing = false;

  /** @param {FieldOptions} options */
  constructor(options) {
    this.#options = options;
    const { kind, rows, step } = options;
    const shared = {
      "data-field": options.name,
      input: () => this.#input(),
      change: () => this.#settle(),
      blur: () => this.#settle(),
    };
    this.input =
      kind === "text"
        ? html("textarea", { rows, dir: "auto", spellcheck: "false", ...shared })
        : html("input", { type: "number", step: "any", inputmode: "decimal", ...shared });
    if (kind === "number")
      this.input.addEventListener("keydown", (event) =>
        this.#step(/** @type {KeyboardEvent} */ (event), step ?? 1),
      );
    this.node = html("label", { class: `ranni-field ranni-${kind}` }, this.#label, this.input, this.#message);
  }

  /**
   * Show a value; `mixed` where several elements differ.
   * @param {any} value @param {boolean} mixed @param {boolean} disabled
   */
  draw(value, mixed, disabled) {
    const { t, label, empty } = this.#options;
    setText(this.#label, t(label));
    this.#shown = mixed || value === null ? "" : String(value);
    update(this.input, { placeholder: mixed ? t("mixed") : empty ? t(empty) : null });
    this.input.disabled = disabled;
    if (!this.#typing) this.#reset();
  }

  #reset() {
    if (this.input.value !== this.#shown) this.input.value = this.#shown;
    this.#tell(null);
  }

  #input() {
    const value = this.#value();
    const wrong = this.#options.fault(value);
    this.#tell(wrong);
    if (wrong) return;
    this.#typing = true;
    this.#options.commit(value);
    this.#typing = false;
  }

  #value() {
    const { value } = this.input;
    if (this.#options.kind === "text") return value;
    if (!value.trim())
      return this.#options.empty && !(/** @type {HTMLInputElement} */ (this.input).validity.badInput)
        ? null
        : NaN;
    return Number(value);
  }

  /** What is not valid does not stay. */
  #settle() {
    this.#reset();
    this.#options.sealed();
  }

  /** @param {KeyboardEvent} event @param {number} step */
  #step(event, step) {
    const direction = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!direction) return;
    event.preventDefault();
    const { low = -Infinity, high = Infinity } = this.#options;
    const old = Number(this.input.value) || 0;
    const next = Math.min(high, Math.max(low, old + direction * step * (event.shiftKey ? 10 : 1)));
    this.input.value = String(Math.round(next * 1e6) / 1e6);
    this.#input();
  }

  /** @param {Fault | null} wrong */
  #tell(wrong) {
    setText(this.#message, wrong ? this.#options.t(`fault_${wrong.code}`, ...wrong.args) : "");
    update(this.input, { "aria-invalid": wrong ? "true" : null });
  }
}
