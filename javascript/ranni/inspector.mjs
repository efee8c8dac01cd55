/** The fields of what is selected: of one element, of several, or of the whole picture. */

import { align, arrange, distribute, setField, setPanelField } from "./commands.mjs";
import { MAX_COLORS, MAX_SEED, elementFault, fieldOf, panelFault } from "./document.mjs";
import { button, html, setLines, setText, tool, update } from "./dom.mjs";
import { createField, createListField } from "./fields.mjs";
import { AXES, EDGES, LEAST, sizeOf, withSpan } from "./geometry.mjs";
import { createKeypoints } from "./keypoints.mjs";
import { hexOf } from "./pictures.mjs";
import { LANGUAGES, text } from "./strings.mjs";

const SHARE = { step: 0.05, low: 0, high: 1 };

/** @type {Record<string, Partial<FieldOptions>>} */
const FIELDS = {
	description: { rows: 3 },
	negative: { rows: 1 },
	weight: { ...SHARE, high: 10 },
	base_ratio: { ...SHARE, empty: "usual" },
	seed: { step: 1, low: 0, high: MAX_SEED, empty: "any" },
	start: SHARE,
	end: SHARE,
};

/** The axis of a side of a box, and whether it is a size. @type {Record<string, [Axis, boolean]>} */
const SIDES = { x: ["x", false], y: ["y", false], width: ["x", true], height: ["y", true] };

/** @type {Along} */
const along = (box, axis, isSize) => (isSize ? sizeOf(box, axis) : box[`${axis}0`]);

/** @param {Record<string, {node: HTMLElement}>} fields */
const nodesOf = (fields) => Object.values(fields).map(({ node }) => node);

/** @type {Create<Inspector>} */
export function createInspector(context) {
	const { store, warnings, t } = context;
	const title = html("h3");
	const unit = html(
		"select",
		{ "data-field": "unit", change: draw },
		html("option", { value: "percent" }, "%"),
		html("option", { value: "px" }, "px"),
	);
	const mask = html("span");
	const unmask = button("remove_mask", () => {
		store.apply(setField(store.selection, "mask", null));
		context.canvas.focus(store.selection);
	});
	const advice = html("ul.warnings");
	const keypoints = createKeypoints(context);
	const colors = createListField(context, {
		name: "colors",
		key: "color",
		most: MAX_COLORS,
		columns: [{ type: "color" }, { label: "color_name", read: colorOf }],
		fresh: (name, old) => (name ? colorOf(name) : (old.at(-1) ?? "#808080")),
	});
	const loras = createListField(context, {
		name: "lora",
		key: "lora_one",
		columns: [{ member: "name" }, { member: "weight", type: "number", label: "weight" }],
		fresh: (name) => (name ? { name, weight: 1 } : undefined),
	});
	// Without an answer, names are typed.
	const ask = () => context.service?.loras().then(loras.offer, () => {});
	loras.node.addEventListener("focusin", ask, { once: true });

	/** @type {MakeFields} */
	const make = (names, options) =>
		Object.fromEntries(names.map((name) => [name, createField(context, { name, ...options(name) })]));
	const fields = make(Object.keys(FIELDS), (name) => ({
		...FIELDS[name],
		fault: (value) => faultOf(name, value),
		commit: (value) => store.apply(setField(store.selection, name, value), `field ${name}`),
	}));
	const sides = make(Object.keys(SIDES), (side) => ({
		fault: (value) => sideFault(side, value),
		commit: (value) => setSide(side, value),
	}));
	const panelFields = make(["base", "negative"], (name) => ({
		name: `panel_${name}`,
		label: name === "base" ? name : "panel_negative",
		rows: name === "base" ? 3 : 2,
		fault: (value) => panelFault(name, value),
		commit: (value) => store.apply(setPanelField(name, value), `panel ${name}`),
	}));
	/** @type {(name: string, command: (selection: Ids) => Command) => HTMLButtonElement} */
	const arranger = (name, command) => tool(name, () => store.apply(command(store.selection)));
	const aligners = EDGES.map((edge) => arranger(`align_${edge}`, (selection) => align(selection, edge)));
	const distributors = AXES.map((axis) =>
		arranger(`distribute_${axis}`, (selection) => distribute(selection, axis)),
	);
	const { description, negative, ...numbers } = fields;
	const parts = {
		panel: html("div", ...nodesOf(panelFields)),
		arrange: html("div.group.arrange", { role: "group" }, ...aligners, ...distributors),
		words: html("div", description.node, advice, negative.node),
		box: html(
			"div.numbers.place",
			...nodesOf(sides),
			html("label.field", html("span", { "data-text": "unit" }), unit),
		),
		colors: colors.node,
		numbers: html("div.numbers", ...nodesOf(numbers)),
		loras: loras.node,
		keypoints: keypoints.node,
		mask: html("div.buttons", mask, unmask),
	};

	/** What `#rrggbb` a color's name, or another way to write it, stands for. @type {HexOf} */
	function colorOf(name) {
		const word = name.trim().toLowerCase();
		const index = t("color_names").split(" ").indexOf(word);
		return hexOf(text(LANGUAGES[0], "color_names").split(" ")[index] ?? word);
	}

	/** What is wrong with a value for the elements that would take it. @type {FieldFault} */
	function faultOf(name, value) {
		const open = store.chosen.filter((e) => !e.locked);
		return open.map((e) => elementFault(e, name, value)).find(Boolean) ?? null;
	}

	/** @type {Scale} */
	function scale(axis) {
		const { size } = context;
		return unit.value === "px" && size ? size[AXES.indexOf(axis)] : 100;
	}

	/** @type {InUnit} */
	function inUnit(value, axis) {
		const digits = unit.value === "px" ? 1 : 100;
		return Math.round(value * scale(axis) * digits) / digits;
	}

	/** @type {FieldFault} */
	function sideFault(side, value) {
		const [axis, isSize] = SIDES[side];
		const most = 1 - along(store.chosen[0].box, axis, !isSize);
		const limits = [inUnit(isSize ? LEAST : 0, axis), inUnit(most, axis)];
		return value >= limits[0] && value <= limits[1] ? null : { code: "number", args: limits };
	}

	/** @type {SetSide} */
	function setSide(side, value) {
		const [axis, isSize] = SIDES[side];
		const to = value / scale(axis);
		const [{ id }] = store.chosen;
		const command = arrange([id], (boxes) =>
			boxes.map((box) => {
				const low = isSize ? box[`${axis}0`] : to;
				const high = Math.min(1, low + (isSize ? to : sizeOf(box, axis)));
				return withSpan(box, axis, low, high);
			}),
		);
		store.apply(command, `field ${side}`);
	}

	function drawSides() {
		const [one, another] = store.chosen;
		if (!one || another) return;
		for (const [side, field] of Object.entries(sides)) {
			const [axis, isSize] = SIDES[side];
			field.draw(inUnit(along(one.box, axis, isSize), axis), false, Boolean(one.locked));
		}
	}

	function draw() {
		const { chosen, panel } = store;
		const [one] = chosen.length === 1 ? chosen : [null];
		const isSome = chosen.length > 0;
		const isOpen = chosen.some((e) => !e.locked);
		const several = isSome ? t("several", chosen.length) : t("whole");
		setText(title, one ? t("one", panel.elements.indexOf(one) + 1) : several);
		parts.panel.hidden = isSome;
		for (const part of [parts.words, parts.colors, parts.numbers, parts.loras]) part.hidden = !isSome;
		parts.box.hidden = !one;
		parts.arrange.hidden = chosen.length < 2;
		for (const [name, field] of Object.entries(panelFields)) field.draw(panel[name] ?? "");
		keypoints.draw(one, isOpen);
		drawAdvice(one);
		if (!isSome) return;
		for (const [name, field] of Object.entries(fields)) {
			const values = chosen.map((e) => fieldOf(e, name));
			const isMixed = values.some((value) => value !== values[0]);
			field.draw(values[0], isMixed, !isOpen);
		}
		for (const node of distributors) node.disabled = chosen.length < 3;
		unmask.disabled = !isOpen;
		colors.offer(t("color_names").split(" "));
		colors.draw(chosen, isOpen);
		loras.draw(chosen, isOpen);
		unit.hidden = !context.size;
		drawSides();
	}

	/** What there is to know of one element. @param {PanelElement | null} one */
	function drawAdvice(one) {
		description.aside(warnings.tokens(one?.description ?? ""), t("tokens"));
		setLines(advice, warnings.of(one?.id ?? ""));
		parts.mask.hidden = !one?.mask;
		if (one?.mask) setText(mask, t("mask_size", one.mask.width, one.mask.height));
	}

	return {
		node: html("section.inspector", title, ...Object.values(parts)),
		keypoints,
		draw,
		drawSides,
		describe() {
			if (parts.words.hidden) return;
			description.input.focus({ preventScroll: true });
			description.input.select();
		},
	};
}
