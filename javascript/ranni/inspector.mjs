/** The fields of what is selected: of one element, of several, or of the whole picture. */

import { align, arrange, distribute, setField, setPanelField } from "./commands.mjs";
import { MAX_COLORS, MAX_SEED, elementFault, fieldOf, panelFault } from "./document.mjs";
import { button, html, setLines, setText, update } from "./dom.mjs";
import { Field, ListField } from "./fields.mjs";
import { LEAST, box as boxOf, sizeOf } from "./geometry.mjs";
import { tool } from "./icons.mjs";
import { Keypoints } from "./keypoints.mjs";
import { Part } from "./part.mjs";
import { hexOf } from "./pictures.mjs";
import { LANGUAGES, text } from "./strings.mjs";

const EDGES = /** @type {const} */ (["left", "center", "right", "top", "middle", "bottom"]);

/** @type {Record<string, Partial<FieldOptions>>} */
const FIELDS = {
	description: { rows: 3 },
	negative: { rows: 1 },
	weight: { step: 0.05, low: 0, high: 10 },
	base_ratio: { step: 0.05, low: 0, high: 1, empty: "usual" },
	seed: { step: 1, low: 0, high: MAX_SEED, empty: "any" },
	start: { step: 0.05, low: 0, high: 1 },
	end: { step: 0.05, low: 0, high: 1 },
};

/** The axis of a side of a box, and whether it is a size. @type {Record<string, [Axis, boolean]>} */
const SIDES = { x: ["x", false], y: ["y", false], width: ["x", true], height: ["y", true] };

/** The place or the size of a box along an axis. @type {Along} */
const along = (box, axis, isSize) => (isSize ? sizeOf(box, axis) : box[`${axis}0`]);

/** @param {Record<string, {node: HTMLElement}>} fields */
const nodesOf = (fields) => Object.values(fields).map(({ node }) => node);

export class Inspector extends Part {
	#title = html("h3");
	#unit = html(
		"select",
		{ "data-field": "unit", change: () => this.draw() },
		html("option", { value: "percent" }, "%"),
		html("option", { value: "px" }, "px"),
	);
	#mask = html("span");
	#unmask = button("remove_mask", () => this.#removeMask());
	#warnings = html("ul", { class: "ranni-warnings" });
	keypoints = new Keypoints(this.context);
	#colors = new ListField(this.context, {
		name: "colors",
		key: "color",
		most: MAX_COLORS,
		columns: [{ type: "color" }, { label: "color_name", read: (name) => this.#hexOf(name) }],
		fresh: (name, old) => (name ? this.#hexOf(name) : (old.at(-1) ?? "#808080")),
	});
	#loras = new ListField(this.context, {
		name: "lora",
		key: "lora_one",
		columns: [{ member: "name" }, { member: "weight", type: "number", label: "weight" }],
		fresh: (name) => (name ? { name, weight: 1 } : undefined),
	});
	#fields = this.#make(Object.keys(FIELDS), (name) => ({
		...FIELDS[name],
		fault: (value) => this.#fault(name, value),
		commit: (value) => this.apply(setField(this.selection, name, value), `field ${name}`),
	}));
	#sides = this.#make(Object.keys(SIDES), (side) => ({
		fault: (value) => this.#sideFault(side, value),
		commit: (value) => this.#setSide(side, value),
	}));
	#panelFields = this.#make(["base", "negative"], (name) => ({
		name: `panel_${name}`,
		label: name === "base" ? name : "panel_negative",
		rows: name === "base" ? 3 : 2,
		fault: (value) => panelFault(name, value),
		commit: (value) => this.apply(setPanelField(name, value), `panel ${name}`),
	}));
	/** @type {Record<string, HTMLButtonElement>} */ #arrange = {};
	#parts;
	node = html("section", { class: "ranni-inspector" }, this.#title);

	/** @param {Context} context */
	constructor(context) {
		super(context);
		// Without an answer, names are typed.
		const ask = () =>
			context.service?.loras().then(
				(names) => this.#loras.offer(names),
				() => {},
			);
		this.#loras.node.addEventListener("focusin", ask, { once: true });
		const put = (/** @type {string} */ name, /** @type {(selection: Ids) => Command} */ command) =>
			(this.#arrange[name] = tool(name, () => this.apply(command(this.selection))));
		for (const edge of EDGES) put(`align_${edge}`, (selection) => align(selection, edge));
		for (const axis of /** @type {const} */ (["x", "y"]))
			put(`distribute_${axis}`, (selection) => distribute(selection, axis));
		const { description, negative, ...numbers } = this.#fields;
		const unit = html("label", { class: "ranni-field" }, html("span", { "data-text": "unit" }), this.#unit);
		/** @type {(kind: string, ...children: Node[]) => HTMLElement} */
		const part = (kind, ...children) => html("div", { class: kind }, ...children);
		this.#parts = {
			panel: part("", ...nodesOf(this.#panelFields)),
			arrange: part("ranni-group ranni-arrange", ...Object.values(this.#arrange)),
			words: part("", description.node, this.#warnings, negative.node),
			box: part("ranni-numbers ranni-place", ...nodesOf(this.#sides), unit),
			colors: this.#colors.node,
			numbers: part("ranni-numbers", ...nodesOf(numbers)),
			loras: this.#loras.node,
			keypoints: this.keypoints.node,
			mask: part("ranni-buttons", this.#mask, this.#unmask),
		};
		update(this.#parts.arrange, { role: "group" });
		this.node.append(...Object.values(this.#parts));
	}

	/** @type {InspectorMake} */
	#make(names, options) {
		return Object.fromEntries(
			names.map((name) => [name, new Field(this.context, { name, ...options(name) })]),
		);
	}

	/** Go to the description, ready to be written over. */
	describe() {
		const { input } = this.#fields.description;
		if (this.#parts.words.hidden) return;
		input.focus({ preventScroll: true });
		input.select();
	}

	/** Only where things lie, while they are dragged. */
	drawSides() {
		const [one, another] = this.chosen;
		if (!one || another) return;
		for (const [side, field] of Object.entries(this.#sides))
			field.draw(this.#inUnit(side, along(one.box, ...SIDES[side])), false, Boolean(one.locked));
	}

	draw() {
		const { t, chosen } = this;
		const { panel } = this.state;
		const parts = this.#parts;
		const [one] = chosen.length === 1 ? chosen : [null];
		const isSome = chosen.length > 0;
		const several = isSome ? t("several", chosen.length) : t("whole");
		setText(this.#title, one ? t("one", panel.elements.indexOf(one) + 1) : several);
		parts.panel.hidden = isSome;
		for (const part of [parts.words, parts.colors, parts.numbers, parts.loras]) part.hidden = !isSome;
		parts.box.hidden = !one;
		parts.arrange.hidden = chosen.length < 2;
		for (const [name, field] of Object.entries(this.#panelFields)) field.draw(panel[name] ?? "");
		const isOpen = chosen.some((e) => !e.locked);
		this.keypoints.draw(one, isOpen);
		this.#drawAdvice(one, isOpen);
		if (!isSome) return;
		for (const [name, field] of Object.entries(this.#fields)) {
			const values = chosen.map((e) => fieldOf(e, name));
			const isMixed = values.some((value) => value !== values[0]);
			field.draw(values[0], isMixed, !isOpen);
		}
		for (const [name, node] of Object.entries(this.#arrange))
			update(node, { disabled: name.startsWith("distribute") && chosen.length < 3 });
		this.#colors.offer(t("color_names").split(" "));
		this.#colors.draw(chosen, isOpen);
		this.#loras.draw(chosen, isOpen);
		this.#unit.hidden = !this.context.size;
		this.drawSides();
	}

	/** What there is to know of one element. @type {DrawAdvice} */
	#drawAdvice(one, isOpen) {
		const { warnings } = this.context;
		const { mask, id, description } = one ?? { id: "", description: "", mask: null };
		this.#fields.description.aside(warnings.tokens(description), this.t("tokens"));
		setLines(this.#warnings, warnings.of(id));
		this.#parts.mask.hidden = !mask;
		if (mask) setText(this.#mask, this.t("mask_size", mask.width, mask.height));
		this.#unmask.disabled = !isOpen;
	}

	#removeMask() {
		const { selection } = this.state;
		this.apply(setField(selection, "mask", null));
		this.context.canvas.focus(selection[0]);
	}

	/** What `#rrggbb` a color's name, or another way to write it, stands for. @param {string} name */
	#hexOf(name) {
		const word = name.trim().toLowerCase();
		const index = this.t("color_names").split(" ").indexOf(word);
		const color = text(LANGUAGES[0], "color_names").split(" ")[index] ?? word;
		return hexOf(color);
	}

	/** What is wrong with a value for the elements that would take it. @param {string} name @param {any} value */
	#fault(name, value) {
		const open = this.chosen.filter((e) => !e.locked);
		return open.map((e) => elementFault(e, name, value)).find(Boolean) ?? null;
	}

	/** How many of the shown unit the canvas has along a side. @param {string} side */
	#scale(side) {
		const { size } = this.context;
		return this.#unit.value === "px" && size ? size[SIDES[side][0] === "x" ? 0 : 1] : 100;
	}

	/** @param {string} side @param {number} value */
	#inUnit(side, value) {
		const digits = this.#unit.value === "px" ? 1 : 100;
		return Math.round(value * this.#scale(side) * digits) / digits;
	}

	/** @type {SideFault} */
	#sideFault(side, value) {
		const [axis, isSize] = SIDES[side];
		const most = 1 - along(this.chosen[0].box, axis, !isSize);
		const limits = [this.#inUnit(side, isSize ? LEAST : 0), this.#inUnit(side, most)];
		return value >= limits[0] && value <= limits[1] ? null : { code: "number", args: limits };
	}

	/** @type {SetSide} */
	#setSide(side, value) {
		const [axis, isSize] = SIDES[side];
		const to = value / this.#scale(side);
		/** @type {(box: Box) => Box} */
		const changed = (box) => {
			const low = isSize ? box[`${axis}0`] : to;
			const high = Math.min(1, low + (isSize ? to : sizeOf(box, axis)));
			return axis === "x" ? boxOf(low, box.y0, high, box.y1) : boxOf(box.x0, low, box.x1, high);
		};
		const [{ id }] = this.chosen;
		this.apply(
			arrange([id], (boxes) => boxes.map(changed)),
			`field ${side}`,
		);
	}
}
