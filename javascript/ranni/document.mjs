/**
 * A panel document: what it may hold, and the reading of an untrusted one. The fields and their limits are
 * those of `lib_ranni.panel.types`; fields that are not known here survive.
 */

import { areOutside, between, clamp } from "./geometry.mjs";

export const MAX_ELEMENTS = 1000;
export const MAX_TEXT = 10_000;
export const MAX_COLORS = 5;
export const MAX_SEED = 2 ** 32 - 1;
const MAX_DEPTH = 32;
/** Half of a surrogate pair. */
const HALF = /[\ud800-\udfff]/gu;
const { freeze } = Object;
/** @type {readonly any[]} */
export const NONE = freeze([]);

/** @type {Panel} */
export const EMPTY_PANEL = freeze({ version: 1, elements: NONE });

/** What a field that is not there stands for. @type {Readonly<Record<string, any>>} */
export const DEFAULTS = {
	negative: "",
	colors: NONE,
	keypoints: NONE,
	lora: NONE,
	mask: null,
	weight: 1,
	base_ratio: null,
	start: 0,
	end: 1,
	seed: null,
	locked: false,
};

/** @type {IsObject} */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** @type {IsText} */
const isName = (value, most) => value !== "" && isShort(value, most) && value.search(HALF) < 0;

/** @type {IsText} */
const isShort = (value, most) => typeof value === "string" && [...value].length <= most;

/** @type {IsWithin} */
const isNumber = (low, high) => (value) => typeof value === "number" && value >= low && value <= high;

/** @type {IsWithin} */
const isWhole = (low, high) => (value) => Number.isInteger(value) && value >= low && value <= high;

/** @type {IsListOf} */
const isListOf = (isRight) => (value) => Array.isArray(value) && value.every((item) => isRight(item));

/** @type {IsNamed} */
const isNamed = (most, isRight) =>
	isListOf((item) => isObject(item) && isName(item.name, most) && isRight(item));

/** @type {Is} */
function isMask(value) {
	if (!isObject(value) || !isListOf(isWhole(0, 2 ** 24))(value.runs)) return false;
	const { width, height, runs } = value;
	const count = { outside: 0, inside: 0 };
	for (const [index, run] of runs.entries()) count[index % 2 ? "inside" : "outside"] += run;
	const isFull = count.outside + count.inside === width * height;
	return [width, height].every(isWhole(1, 4096)) && isFull && count.inside > 0;
}

/** @type {Must} */
const must =
	(code, isRight, ...args) =>
	(value) =>
		isRight(value) ? null : { code, args };

/** @type {All} */
const all =
	(...checks) =>
	(value) => {
		for (const check of checks) {
			const wrong = check(value);
			if (wrong) return wrong;
		}
		return null;
	};

/** @type {Optional} */
const optional = (check) => (value) => (value === null ? null : check(value));

/** @type {Limited} */
const number = (low, high) => must("number", isNumber(low, high), low, high);

const text = all(
	must("text", (value) => typeof value === "string"),
	must("long", (value) => isShort(value, MAX_TEXT), MAX_TEXT),
	must("unicode", (value) => value.search(HALF) < 0),
);

/** @type {FaultBy} */
const faultBy = (checks) => (name, value) => (Object.hasOwn(checks, name) ? checks[name](value) : null);

const fieldFault = faultBy({
	description: all(
		text,
		must("description", (value) => value.trim()),
	),
	negative: text,
	colors: all(
		must(
			"colors",
			isListOf((c) => typeof c === "string" && /^#[0-9a-f]{6}$/.test(c)),
		),
		must("many_colors", (value) => value.length <= MAX_COLORS, MAX_COLORS),
	),
	keypoints: must(
		"keypoints",
		isNamed(64, ({ x, y }) => [x, y].every(isNumber(0, 1))),
	),
	lora: must(
		"lora",
		isNamed(256, ({ weight = 1 }) => isNumber(-10, 10)(weight)),
	),
	mask: optional(must("mask", isMask)),
	weight: number(0, 10),
	base_ratio: optional(number(0, 1)),
	start: number(0, 1),
	end: number(0, 1),
	seed: optional(must("seed", isWhole(0, MAX_SEED), MAX_SEED)),
	locked: must("flag", (value) => typeof value === "boolean"),
});

/** What is wrong with a value for a field of a panel, or null. */
export const panelFault = faultBy({ base: text, negative: text, aspect: number(0.1, 10) });

/** @type {ElementFault} */
export function elementFault(element, name, value) {
	const isSpan =
		name === "start" ? value < fieldOf(element, "end") : name !== "end" || value > fieldOf(element, "start");
	return fieldFault(name, value) ?? (isSpan ? null : { code: "span", args: [] });
}

/** @type {FieldOf} */
export const fieldOf = (element, name) => element[name] ?? DEFAULTS[name] ?? null;

/** @type {FreshId} */
export function freshId(taken) {
	let count = 1;
	while (taken.has(`e${count}`)) count += 1;
	return `e${count}`;
}

/** @type {Read} */
export function read(document) {
	/** @type {Problem[]} */
	const problems = [];
	/** @type {Tell} */
	const tell = (code, path, ...args) => void problems.push({ path, code, args });
	const value = decode(document, tell);
	if (Array.isArray(value)) tell("several", "", value.length);
	else if (!problems.length && !isObject(value)) tell("not_panel", "");
	if (problems.length) return { panel: null, problems };
	const members = kept(value, "", MAX_DEPTH, tell);
	if ("version" in members && members.version !== 1) tell("version", "version");
	mend(members, "", panelFault, tell);
	if ("provenance" in members && !isObject(members.provenance)) {
		tell("dropped", "provenance");
		delete members.provenance;
	}
	const elements = readElements(members.elements ?? [], tell);
	return { panel: freeze({ ...members, version: 1, elements }), problems };
}

/** @type {ReadElements} */
function readElements(value, tell) {
	if (!Array.isArray(value)) {
		tell("dropped", "elements");
		return NONE;
	}
	if (value.length > MAX_ELEMENTS) tell("many", "elements", MAX_ELEMENTS);
	const items = value.slice(0, MAX_ELEMENTS);
	const given = items.map((item) => item?.id);
	const used = new Set();
	const elements = [];
	for (const [index, item] of items.entries()) {
		const path = `elements[${index}]`;
		const element = readElement(item, path, tell);
		if (element === null) continue;
		let { id } = element;
		if (!isName(id, 64) || used.has(id)) {
			if (id !== undefined && id !== null) tell("id", `${path}.id`);
			id = freshId(new Set([...used, ...given]));
		}
		used.add(id);
		elements.push(freeze({ ...element, id }));
	}
	return freeze(elements);
}

/** @type {ReadElement} */
function readElement(item, path, tell) {
	const isDescribed = typeof item?.description === "string" && item.description.trim();
	if (!isDescribed || !isObject(item)) {
		if (isObject(item)) tell("undescribed", `${path}.description`);
		else tell("dropped", path);
		return null;
	}
	// A mask alone says where the element is.
	const place = item.box ?? (isObject(item.mask) ? { x0: 0, y0: 0, x1: 1, y1: 1 } : null);
	const box = readBox(place, `${path}.box`, tell);
	if (box === null) return null;
	/** @type {any} */
	const element = { ...item, box };
	mend(element, `${path}.`, fieldFault, tell);
	if (fieldOf(element, "start") >= fieldOf(element, "end")) {
		tell("span", `${path}.start`);
		delete element.start;
		delete element.end;
	}
	return element;
}

/** @type {ReadBox} */
function readBox(value, path, tell) {
	const given = isObject(value) ? [value.x0, value.y0, value.x1, value.y1] : [null];
	if (!given.every((side) => typeof side === "number")) {
		tell("box", path);
		return null;
	}
	// Whole numbers are thousandths.
	const isLarge = Math.max(...given) > 10 && given.every(isWhole(0, 1000));
	const [ax, ay, bx, by] = given.map((side) => (isLarge ? side / 1000 : side));
	if (0 <= ax && ax < bx && bx <= 1 && 0 <= ay && ay < by && by <= 1 && !isLarge) return freeze({ ...value });
	const isOutside = areOutside(ax, ay, bx, by);
	tell(isOutside ? "outside" : "mended_box", path);
	return isOutside ? null : between(ax, ay, bx, by, 0.005);
}

/** @type {Mend} */
function mend(record, prefix, check, tell) {
	for (const name of Object.keys(record)) {
		const wrong = check(name, record[name]);
		if (!wrong) continue;
		tell(wrong.code, prefix + name, ...wrong.args);
		const better = mended(record[name], wrong);
		if (better === undefined || check(name, better)) delete record[name];
		else record[name] = better;
	}
}

/** @type {Mended} */
function mended(value, { code, args }) {
	if (code === "number" && typeof value === "number") return clamp(value, Number(args[0]), Number(args[1]));
	if (code === "unicode" || code === "long")
		return [...value].slice(0, MAX_TEXT).join("").replace(HALF, "\ufffd");
	if (!Array.isArray(value)) return undefined;
	if (code.endsWith("colors"))
		return freeze(value.filter((c) => !fieldFault("colors", [c])).slice(0, MAX_COLORS));
	return freeze(value.map(bounded).filter((item) => !fieldFault(code, [item])));
}

const LIMITS = { weight: [-10, 10], x: [0, 1], y: [0, 1] };

/** @type {Bounded} */
function bounded(item) {
	const copy = { ...item };
	for (const [name, [low, high]] of Object.entries(LIMITS))
		if (typeof copy[name] === "number") copy[name] = clamp(copy[name], low, high);
	return freeze(copy);
}

/** @type {Decode} */
function decode(document, tell) {
	try {
		// By way of text also for objects: nothing is shared, and what JSON cannot hold shows now.
		const source = typeof document === "string" ? document : JSON.stringify(document);
		return JSON.parse(source.replace(/^\ufeff/, ""));
	} catch (error) {
		tell("json", "", String(/** @type {Error} */ (error).message).slice(0, 200));
		return null;
	}
}

/** @type {Kept} */
function kept(value, path, depth, tell) {
	if (Number.isInteger(value) && !Number.isSafeInteger(value)) tell("inexact", path);
	if (typeof value !== "object" || value === null) return value;
	if (depth === 0) {
		tell("deep", path, MAX_DEPTH);
		return null;
	}
	const members = Object.entries(value).map(([key, item]) => [
		key,
		kept(item, (path ? `${path}.${key}` : key).slice(0, 120), depth - 1, tell),
	]);
	const copy = Array.isArray(value) ? members.map(([, item]) => item) : Object.fromEntries(members);
	return depth === MAX_DEPTH ? copy : freeze(copy);
}
