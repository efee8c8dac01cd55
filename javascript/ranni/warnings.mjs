/** What an element will hardly get as it is, and how much of its room a description takes. */

import { shortened } from "./canvas.mjs";
import { watch } from "./dom.mjs";
import { overlap, sizeOf } from "./geometry.mjs";

/**
 * Two cells of the coarsest attention that still tells places apart; models of small pictures have finer
 * ones.
 */
const LEAST_PX = 64;
const LEAST_SHARE = 1 / 8;
/** The share of a box that another in front may cover. */
const MOST_COVERED = 0.6;
const HOLD_MS = 400;
/** As many texts are asked about at once. */
const MOST_TEXTS = 500;
/** What ends the words that name a thing. */
const END =
	/[,.;:()，。；：（）、在]|\s(?:[io]n|of|at|with|by|from|under|over|behind|near|and|that|who|which|to|for|is|wearing|holding)\s/iu;

/** @type {MainWord} */
export function mainWord(text) {
	const phrase = text.split(END).find((part) => part.trim()) ?? "";
	const word = (phrase.match(/[\p{L}\p{N}]+/gu) ?? []).at(-1)?.toLowerCase() ?? "";
	return /\p{Script=Han}$/u.test(word) ? word.slice(-1) : word.replace(/(?<=...)e?s$/, "");
}

/** @type {WarningsOf} */
export function warningsOf(elements, size, said, counts) {
	/** @type {Map<string, Fault[]>} */
	const found = new Map();
	const least = Math.floor(Math.min(LEAST_PX, ...(size ?? []).map((side) => side * LEAST_SHARE)));
	for (const [index, { id, box, description }] of elements.entries()) {
		/** @type {Fault[]} */
		const faults = [];
		/** @type {Warn} */
		const warn = (code, ...args) => faults.push({ code, args });
		const [width, height] = [sizeOf(box, "x"), sizeOf(box, "y")];
		const px = size ? [Math.round(width * size[0]), Math.round(height * size[1])] : [LEAST_PX];
		if (Math.min(...px) < least) warn("small", ...px, least);
		const word = mainWord(description);
		if (said.trim() && !said.toLowerCase().includes(word)) warn("unsaid", word);
		for (const other of elements.slice(index + 1)) {
			const share = overlap(box, other.box) / (width * height);
			if (share > MOST_COVERED) warn("covered", shortened(other.description, 40), Math.round(100 * share));
		}
		const [count, room] = counts.get(description) ?? [0, 0];
		if (count > room) warn("overlong", count, room);
		found.set(id, faults);
	}
	return found;
}

/** @type {Create<Warnings>} */
export function createWarnings(context) {
	const { store, service, prompt, gone, t } = context;
	/** @type {Counts} */
	let counts = new Map();
	let timer = 0;
	const areNew = watch();
	/** @type {Map<string, Fault[]>} */
	let found = new Map();
	gone.addEventListener("abort", () => clearTimeout(timer));

	/** Ask for what is not known, once no more of it is typed. */
	function count() {
		clearTimeout(timer);
		const texts = new Set(store.panel.elements.map((e) => e.description));
		const wanted = [...texts].filter((text) => !counts.has(text)).slice(0, MOST_TEXTS);
		if (!service || !wanted.length) return;
		const know = (/** @type {[number, number][]} */ answer) => {
			// A new map, by which it shows; the oldest go.
			counts = new Map([...counts].slice(-4 * MOST_TEXTS));
			for (const [n, text] of wanted.entries()) counts.set(text, answer[n]);
			context.redraw();
		};
		timer = window.setTimeout(() => service.tokens(wanted).then(know, () => {}), HOLD_MS);
	}

	return {
		of(id) {
			const { elements, base = "" } = store.panel;
			const said = `${prompt()} ${base}`;
			if (areNew(elements, context.size, said, counts)) {
				found = warningsOf(elements, context.size, said, counts);
				count();
			}
			return (found.get(id) ?? []).map(({ code, args }) => t(`warn_${code}`, ...args));
		},
		tokens: (text) => counts.get(text)?.join("/") ?? "",
	};
}
