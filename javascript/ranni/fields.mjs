/** Labeled inputs that read a value, say what is wrong with it, and commit it. */

import { setField } from "./commands.mjs";
import { elementFault, fieldOf } from "./document.mjs";
import { html, named, setText, translate, update } from "./dom.mjs";
import { clamp, rounded } from "./geometry.mjs";
import { tool } from "./icons.mjs";
import { Part } from "./part.mjs";

/** What has a label and inputs, and says what is wrong. */
class Labeled extends Part {
	#message = html("span", { class: "ranni-fault", role: "alert" });

	/** @type {FieldTell} */
	tell(wrong, input) {
		setText(this.#message, wrong ? this.t(`fault_${wrong.code}`, ...wrong.args) : "");
		update(input, { "aria-invalid": wrong && "true" });
	}

	/** @type {Frame} */
	frame(tag, kind, label, ...parts) {
		const attributes = { class: `ranni-field ranni-${kind}` };
		return html(tag, attributes, html("span", { "data-text": label }), ...parts, this.#message);
	}
}

export class Field extends Labeled {
	#options;
	#aside = html("span", { class: "ranni-aside" });
	#shown = "";
	/** Whether what is being typed here causes the present redraw. */
	#typing = false;

	/** @param {Context} context @param {FieldOptions} options */
	constructor(context, options) {
		super(context);
		this.#options = options;
		const { name, label = name, rows } = options;
		const settle = () => this.#settle();
		const shared = { "data-field": name, input: () => this.#input(), change: settle, blur: settle };
		this.input = rows
			? html("textarea", { rows, dir: "auto", spellcheck: "false", ...shared })
			: html("input", {
					type: "number",
					step: "any",
					inputmode: "decimal",
					keydown: (event) => this.#step(event),
					...shared,
				});
		this.node = this.frame("label", rows ? "text" : "number", label, this.#aside, this.input);
	}

	/** A word beside the label. @type {Aside} */
	aside(text, title) {
		setText(this.#aside, text);
		update(this.#aside, { title });
	}

	/** Show a value; `mixed` where several elements differ. @type {FieldDraw} */
	draw(value, mixed = false, disabled = false) {
		const { empty } = this.#options;
		this.#shown = mixed || value === null ? "" : String(value);
		update(this.input, { disabled, placeholder: mixed ? this.t("mixed") : empty && this.t(empty) });
		if (!this.#typing) this.#reset();
	}

	#reset() {
		if (this.input.value !== this.#shown) this.input.value = this.#shown;
		this.tell(null, this.input);
	}

	#input() {
		const value = this.#value;
		const wrong = this.#options.fault(value);
		this.tell(wrong, this.input);
		if (wrong) return;
		this.#typing = true;
		this.#options.commit(value);
		this.#typing = false;
	}

	get #value() {
		const { value, validity } = this.input;
		if (this.#options.rows) return value;
		if (value.trim()) return Number(value);
		return this.#options.empty && !validity.badInput ? null : NaN;
	}

	/** What is not valid does not stay. */
	#settle() {
		this.#reset();
		this.store.seal();
	}

	/** @type {OnKey} */
	#step(event) {
		const direction = { ArrowUp: 1, ArrowDown: -1 }[event.key];
		if (!direction) return;
		event.preventDefault();
		const { step = 1, low = -Infinity, high = Infinity } = this.#options;
		const by = direction * step * (event.shiftKey ? 10 : 1);
		this.input.value = String(rounded(clamp((Number(this.input.value) || 0) + by, low, high)));
		this.#input();
	}
}

let lists = 0;

/** A field that is a list: a row of inputs for each record, and one more to add to them. */
export class ListField extends Labeled {
	#options;
	#items = html("div", { class: "ranni-items" });
	#choices = html("datalist", { id: `ranni-choices-${(lists += 1)}` });
	#adder = this.#input({ keydown: ({ key }) => key === "Enter" && this.#append() });
	#add = this.#button("add", () => this.#append());
	/** @type {readonly any[]} */ #records = [];
	/** @type {HTMLInputElement[][]} */ #inputs = [];
	#seen = "";
	/** The input that causes the present redraw. @type {HTMLInputElement | null} */ #typing = null;

	/** @param {Context} context @param {ListOptions} options */
	constructor(context, options) {
		super(context);
		const { name, key } = options;
		this.#options = options;
		this.node = this.frame("div", name, name, this.#items, this.#choices);
		update(this.node, { role: "group", "data-label": name });
		update(this.#adder, { "data-field": `add_${key}`, "data-label": name });
		update(this.#add, { "data-title": `add_${key}` });
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
	 * `next` is what no text stands for.
	 * @type {(chosen: readonly PanelElement[], open: boolean, next?: string) => void}
	 */
	draw(chosen, open, next) {
		const { name, key, columns, most = Infinity } = this.#options;
		this.#records = fieldOf(chosen[0], name);
		update(this.#adder, { placeholder: next ?? this.t(`add_${key}`) });
		const ids = chosen.map((e) => e.id);
		const seen = JSON.stringify([this.#records.length, open, this.context.language, ids]);
		if (seen !== this.#seen) {
			this.#seen = seen;
			this.#inputs = [];
			const rows = this.#records.map((_, index) => this.#row(index));
			if (rows.length < most) rows.push(html("span", { class: "ranni-item" }, this.#adder, this.#add));
			this.#items.replaceChildren(...rows);
			translate(this.#items, this.t);
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
		const { key, columns, tool: more } = this.#options;
		const label = this.t(key, index + 1);
		const inputs = columns.map(({ member, type = "text", label: of, read }, column) => {
			const hear = () => {
				const { value } = input;
				const given = read ? read(value) : type === "number" && value.trim() ? Number(value) : value;
				const changed = [...this.#records];
				changed[index] = member ? { ...changed[index], [member]: given } : given;
				this.#typing = input;
				this.#commit(changed, `${column}`);
				this.#typing = null;
			};
			const change = () => {
				if (read) hear();
				else this.#tell(null);
				this.store.seal();
				this.context.redraw();
			};
			const input = this.#input({
				type,
				step: 0.05,
				"data-field": `${of ?? key}_${index}`,
				"aria-label": of ? `${label}: ${this.t(of)}` : label,
				...(!read && { input: hear }),
				change,
			});
			return input;
		});
		this.#inputs.push(inputs);
		const remove = this.#button("close", () => {
			this.#commit(this.#records.filter((_, n) => n !== index));
			this.#add.focus();
		});
		update(remove, named(this.t(`remove_${key}`, index + 1)));
		return html("span", { class: "ranni-item" }, ...inputs, more?.(index), remove);
	}

	/** @param {Attributes} attributes */
	#input(attributes) {
		return html("input", { list: this.#choices.id, dir: "auto", ...attributes });
	}

	/** @param {string} name @param {Listener} click */
	#button(name, click) {
		return tool(name, click, { class: "ranni-tool ranni-tiny" });
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
		const { name } = this.#options;
		const wrong = elementFault({}, name, records);
		this.#tell(wrong);
		if (!wrong) this.apply(setField(this.selection, name, records), typed && `${name} ${typed}`);
		return !wrong;
	}

	/** @param {Fault | null} wrong */
	#tell(wrong) {
		this.tell(wrong, this.#typing ?? this.#adder);
	}
}
