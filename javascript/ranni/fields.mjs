/** Labeled inputs that read a value, say what is wrong with it, and commit it. */

import { setField } from "./commands.mjs";
import { elementFault, fieldOf } from "./document.mjs";
import { button, html, setText, update } from "./dom.mjs";
import { icon } from "./icons.mjs";

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
  #aside = html("span", { class: "ranni-aside" });
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
    const parts = [this.#label, this.#aside, this.input, this.#message];
    this.node = html("label", { class: `ranni-field ranni-${kind}` }, ...parts);
  }

  /** A word beside the label. @param {string} text @param {string} title */
  aside(text, title) {
    setText(this.#aside, text);
    update(this.#aside, { title });
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

let lists = 0;

/**
 * @typedef {{member?: string, type?: "number" | "color", label?: string, read?: (text: string) => any}} Column
 *   An input for a member of each record, or for the record; with `read`, once its text is whole.
 * @typedef {{name: string, key: string, columns: readonly Column[], most?: number,
 *   fresh: (text: string, records: readonly any[]) => any, tool?: (index: number) => Element}} ListOptions
 *   `key` is that of a record's label; `fresh` makes the record of a text, undefined of none.
 */

/** A field that is a list: a row of inputs for each record, and one more to add to them. */
export class ListField {
  #context;
  #options;
  #label = html("span");
  #items = html("div", { class: "ranni-items" });
  #choices = html("datalist", { id: `ranni-choices-${(lists += 1)}` });
  #message = html("span", { class: "ranni-fault", role: "alert" });
  #adder = this.#input({ keydown: (event) => event.key === "Enter" && this.#append() });
  #add = this.#button("add", () => this.#append());
  /** @type {readonly any[]} */ #records = [];
  /** @type {HTMLInputElement[][]} */ #inputs = [];
  #seen = "";
  /** The input that causes the present redraw. @type {HTMLInputElement | null} */ #typing = null;

  /** @param {import("./editor.mjs").Context} context @param {ListOptions} options */
  constructor(context, options) {
    this.#context = context;
    this.#options = options;
    const parts = [this.#label, this.#items, this.#choices, this.#message];
    this.node = html("div", { class: `ranni-field ranni-${options.name}`, role: "group" }, ...parts);
  }

  /** What there is to choose from. @param {readonly string[]} values */
  offer(values) {
    this.#choices.replaceChildren(...values.map((value) => html("option", { value })));
  }

  /** What is typed to be added, which is then gone. */
  take() {
    const text = this.#adder.value.trim();
    this.#adder.value = "";
    return text;
  }

  /**
   * @param {readonly import("./document.mjs").Element[]} chosen @param {boolean} open
   * @param {string} [next] what no text stands for
   */
  draw(chosen, open, next) {
    const { t, language } = this.#context;
    const { name, key, columns, most = Infinity } = this.#options;
    const label = t(`add_${key}`);
    this.#records = fieldOf(chosen[0], name);
    setText(this.#label, t(name));
    update(this.node, { "aria-label": t(name) });
    update(this.#adder, { "data-field": `add_${key}`, "aria-label": t(name), placeholder: next ?? label });
    update(this.#add, { "aria-label": label, title: label });
    const seen = JSON.stringify([this.#records.length, open, language, chosen.map((e) => e.id)]);
    if (seen !== this.#seen) {
      this.#seen = seen;
      this.#inputs = [];
      const rows = this.#records.map((_, index) => this.#row(index));
      if (rows.length < most) rows.push(html("span", { class: "ranni-item" }, this.#adder, this.#add));
      this.#items.replaceChildren(...rows);
      for (const node of this.#items.querySelectorAll("input, button")) update(node, { disabled: !open });
      this.#tell(null);
    }
    for (const [index, inputs] of this.#inputs.entries())
      for (const [column, input] of inputs.entries()) {
        const { member } = columns[column];
        const value = String(member ? (this.#records[index][member] ?? 1) : this.#records[index]);
        if (input !== this.#typing && input.value !== value) input.value = value;
      }
  }

  /** @param {number} index */
  #row(index) {
    const { t, store } = this.#context;
    const { key, columns, tool } = this.#options;
    const [label, gone] = [t(key, index + 1), t(`remove_${key}`, index + 1)];
    const inputs = columns.map(({ member, type = "text", label: of, read }, column) => {
      const hear = () => {
        const { value } = input;
        const given = read ? read(value) : type === "number" && value.trim() ? Number(value) : value;
        this.#typing = input;
        const changed = (/** @type {any} */ record) => (member ? { ...record, [member]: given } : given);
        this.#commit(
          this.#records.map((record, n) => (n === index ? changed(record) : record)),
          `${column}`,
        );
        this.#typing = null;
      };
      const change = () => {
        if (read) hear();
        else this.#tell(null);
        store.seal();
        this.#context.redraw();
      };
      const input = this.#input({
        type,
        step: 0.05,
        "data-field": `${of ?? key}_${index}`,
        "aria-label": of ? `${label}: ${t(of)}` : label,
        ...(read ? {} : { input: hear }),
        change,
      });
      return input;
    });
    this.#inputs.push(inputs);
    const remove = this.#button("close", () => {
      this.#commit(this.#records.filter((_, n) => n !== index));
      this.#add.focus();
    });
    update(remove, { "aria-label": gone, title: gone });
    return html("span", { class: "ranni-item" }, ...inputs, ...(tool ? [tool(index)] : []), remove);
  }

  /** @param {import("./dom.mjs").Attributes} attributes */
  #input(attributes) {
    return html("input", { list: this.#choices.id, dir: "auto", ...attributes });
  }

  /** @param {string} name @param {() => void} click */
  #button(name, click) {
    const node = button("", click, "tool ranni-tiny");
    node.append(icon(name));
    return node;
  }

  #append() {
    const text = this.take();
    const record = this.#options.fresh(text, this.#records);
    if (record === undefined && !text) this.#adder.focus();
    else if (!this.#commit([...this.#records, record])) this.#adder.value = text;
  }

  /**
   * Whether they are right.
   * @param {readonly any[]} records @param {string} [typed] where they are being typed
   */
  #commit(records, typed) {
    const { store } = this.#context;
    const { name } = this.#options;
    const wrong = elementFault({}, name, records);
    this.#tell(wrong);
    if (!wrong) store.apply(setField(store.state.selection, name, records), typed && `${name} ${typed}`);
    return !wrong;
  }

  /** @param {Fault | null} wrong */
  #tell(wrong) {
    setText(this.#message, wrong ? this.#context.t(`fault_${wrong.code}`, ...wrong.args) : "");
    update(this.#typing ?? this.#adder, { "aria-invalid": wrong && "true" });
  }
}
