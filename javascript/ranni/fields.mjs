/** Labeled inputs that read a value, say what is wrong with it, and commit it. */

import { setField } from "./commands.mjs";
import { elementFault, fieldOf } from "./document.mjs";
import { html, named, setText, tool, translate, update, watch } from "./dom.mjs";
import { clamp, rounded } from "./geometry.mjs";

/** A place to say what is wrong with an input. @param {Texts} t */
function faults(t) {
	const node = html("span.fault", { role: "alert" });
	/** @type {(wrong: Fault | null, input: Element) => void} */
	const tell = (wrong, input) => {
		setText(node, wrong ? t(`fault_${wrong.code}`, ...wrong.args) : "");
		update(input, { "aria-invalid": wrong && "true" });
	};
	return { node, tell };
}

/** What is being typed, valid or not, stays when something else is drawn anew. @param {Element} input */
const isFocused = (input) => document.activeElement === input;

/** @type {CreateField} */
export function createField({ store, t }, options) {
	const { name, label = name, rows, empty, step = 1, low = -Infinity, high = Infinity } = options;
	const fault = faults(t);
	const aside = html("span.aside");
	const input = rows
		? html("textarea", { rows, dir: "auto", spellcheck: "false" })
		: html("input", { type: "number", step: "any", inputmode: "decimal", keydown: nudge });
	const tag = /** @type {const} */ (`label.field.${rows ? "text" : "number"}`);
	let shown = "";
	/** Whether what is being typed here causes the present redraw. */
	let isTyping = false;
	update(input, { "data-field": name, input: commit, change: settle, blur: settle });

	function reset() {
		if (input.value !== shown) input.value = shown;
		fault.tell(null, input);
	}

	function read() {
		const { value, validity } = input;
		if (rows) return value;
		if (value.trim()) return Number(value);
		return empty && !validity.badInput ? null : NaN;
	}

	function commit() {
		const value = read();
		const wrong = options.fault(value);
		fault.tell(wrong, input);
		if (wrong) return;
		isTyping = true;
		options.commit(value);
		isTyping = false;
	}

	/** What is not valid does not stay. */
	function settle() {
		reset();
		store.seal();
	}

	/** @param {KeyboardEvent} event */
	function nudge(event) {
		const direction = { ArrowUp: 1, ArrowDown: -1 }[event.key];
		if (!direction) return;
		event.preventDefault();
		const by = direction * step * (event.shiftKey ? 10 : 1);
		input.value = String(rounded(clamp((Number(input.value) || 0) + by, low, high)));
		commit();
	}

	return {
		node: html(tag, html("span", { "data-text": label }), aside, input, fault.node),
		input,
		aside(text, title) {
			setText(aside, text);
			update(aside, { title });
		},
		draw(value, isMixed = false, disabled = false) {
			const now = isMixed || value === null ? "" : String(value);
			const isDraft = now === shown && isFocused(input);
			shown = now;
			update(input, { disabled, placeholder: isMixed ? t("mixed") : empty && t(empty) });
			if (!isTyping && !isDraft) reset();
		},
	};
}

let lists = 0;

/** @type {CreateListField} */
export function createListField(context, { name, key, columns, most = Infinity, fresh, tool: more }) {
	const { store, t } = context;
	const fault = faults(t);
	const items = html("div.items");
	const choices = html("datalist", { id: `ranni-choices-${(lists += 1)}` });
	const choosing = { list: choices.id, dir: "auto" };
	const adder = html("input", choosing, {
		"data-field": `add_${key}`,
		"data-label": name,
		keydown: (event) => event.key === "Enter" && append(),
	});
	const plus = tool("add", append, { "data-title": `add_${key}` });
	/** @type {readonly any[]} */
	let records = [];
	/** @type {HTMLInputElement[][]} */
	let inputs = [];
	/** The input that causes the present redraw. @type {HTMLInputElement | null} */
	let typing = null;
	/** What each input has last been given. @type {Map<HTMLInputElement, string>} */
	const given = new Map();
	const isOther = watch();

	/** @param {Fault | null} wrong */
	const tell = (wrong) => fault.tell(wrong, typing ?? adder);

	/** @type {CommitRecords} */
	function commit(changed, typed) {
		const wrong = elementFault({}, name, changed);
		tell(wrong);
		if (!wrong) store.apply(setField(store.selection, name, changed), typed && `${name} ${typed}`);
		return !wrong;
	}

	function take() {
		const text = adder.value.trim();
		adder.value = "";
		return text;
	}

	function append() {
		const text = take();
		const record = fresh(text, records);
		if (record === undefined && !text) adder.focus();
		else if (!commit([...records, record])) adder.value = text;
	}

	/** @param {number} index */
	function makeRow(index) {
		const label = t(key, index + 1);
		const cells = columns.map(({ member, type = "text", label: of, read }, column) => {
			const hear = () => {
				const { value } = cell;
				const meant = read ? read(value) : type === "number" && value.trim() ? Number(value) : value;
				const record = member ? { ...records[index], [member]: meant } : meant;
				typing = cell;
				commit(
					records.map((old, n) => (n === index ? record : old)),
					`${column}`,
				);
				typing = null;
			};
			const change = () => {
				if (read) hear();
				else tell(null);
				given.delete(cell);
				store.seal();
				context.redraw();
			};
			const cell = html("input", choosing, {
				type,
				step: 0.05,
				"data-field": `${of ?? key}_${index}`,
				"aria-label": of ? `${label}: ${t(of)}` : label,
			});
			update(cell, read ? { change } : { change, input: hear });
			return cell;
		});
		inputs.push(cells);
		const remove = () => {
			commit(records.filter((_, n) => n !== index));
			plus.focus();
		};
		return html(
			"span.item",
			...cells,
			more?.(index),
			tool("close", remove, named(t(`remove_${key}`, index + 1))),
		);
	}

	return {
		node: html(
			`div.field.${name}`,
			{ role: "group", "data-label": name },
			html("span", { "data-text": name }),
			items,
			choices,
			fault.node,
		),
		offer: (values) => choices.replaceChildren(...values.map((value) => html("option", { value }))),
		take,
		draw(chosen, isOpen, next) {
			records = fieldOf(chosen[0], name);
			update(adder, { placeholder: next ?? t(`add_${key}`) });
			if (isOther(records.length, isOpen, context.language, JSON.stringify(chosen.map((e) => e.id)))) {
				inputs = [];
				given.clear();
				const rows = records.map((_, index) => makeRow(index));
				if (rows.length < most) rows.push(html("span.item", adder, plus));
				items.replaceChildren(...rows);
				translate(items, t);
				for (const node of items.querySelectorAll("input, button")) update(node, { disabled: !isOpen });
				tell(null);
			}
			for (const [index, cells] of inputs.entries())
				for (const [column, cell] of cells.entries()) {
					const { member } = columns[column];
					const value = String(member ? (records[index][member] ?? 1) : records[index]);
					const isDraft = cell === typing || (given.get(cell) === value && isFocused(cell));
					if (!isDraft && cell.value !== value) cell.value = value;
					given.set(cell, value);
				}
		},
	};
}
