/** What an element will hardly get as it is, and how much of its room a description takes. */

import { shortened } from "./canvas.mjs";
import { overlap, sizeOf } from "./geometry.mjs";
import { Part } from "./part.mjs";

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

/**
 * The tokens of texts, and the room for them.
 * @typedef {ReadonlyMap<string, readonly [number, number]>} Counts
 */

/**
 * The word that names what is described, without grammar: the last before more is said of it.
 * @param {string} text
 */
export function mainWord(text) {
	const phrase = text.split(END).find((part) => part.trim()) ?? "";
	const word = (phrase.match(/[\p{L}\p{N}]+/gu) ?? []).at(-1)?.toLowerCase() ?? "";
	return /\p{Script=Han}$/u.test(word) ? word.slice(-1) : word.replace(/(?<=...)e?s$/, "");
}

/**
 * What to know about each element, by id.
 * @param {readonly PanelElement[]} elements from back to front
 * @param {readonly number[] | null} size in pixels @param {string} said the prompt and the base
 * @param {Counts} counts
 */
export function warningsOf(elements, size, said, counts) {
	const least = Math.floor(Math.min(LEAST_PX, ...(size ?? []).map((side) => side * LEAST_SHARE)));
	/** @type {Warned} */
	const warned = ({ id, box, description }, index) => {
		/** @type {Fault[]} */
		const faults = [];
		const warn = (/** @type {string} */ code, /** @type {(string | number)[]} */ ...args) =>
			faults.push({ code, args });
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
		return [id, faults];
	};
	return new Map(elements.map(warned));
}

export class Warnings extends Part {
	/** @type {Counts} */ #counts = new Map();
	#timer = 0;
	/** What `#found` was found for. @type {any[]} */ #seen = [];
	/** @type {Map<string, Fault[]>} */ #found = new Map();

	/** What to know about an element, in words. @param {string} id */
	of(id) {
		const { size, prompt } = this.context;
		const { elements, base = "" } = this.state.panel;
		const said = `${prompt()} ${base}`;
		const seen = [elements, size, said, this.#counts];
		if (seen.some((value, index) => value !== this.#seen[index])) {
			this.#seen = seen;
			this.#found = warningsOf(elements, size, said, this.#counts);
			this.#count();
		}
		return (this.#found.get(id) ?? []).map(({ code, args }) => this.t(`warn_${code}`, ...args));
	}

	/** How much of its room a text takes, where that is known. @param {string} text */
	tokens(text) {
		return this.#counts.get(text)?.join("/") ?? "";
	}

	/** Ask for what is not known, once no more of it is typed. */
	#count() {
		const { service } = this.context;
		clearTimeout(this.#timer);
		const texts = new Set(this.state.panel.elements.map((e) => e.description));
		const wanted = [...texts].filter((text) => !this.#counts.has(text)).slice(0, MOST_TEXTS);
		if (!service || !wanted.length) return;
		const known = (/** @type {[number, number][]} */ counts) => {
			const added = wanted.map((text, n) => /** @type {const} */ ([text, counts[n]]));
			// A new map, by which it shows; the oldest go.
			this.#counts = new Map([...[...this.#counts].slice(-4 * MOST_TEXTS), ...added]);
			this.context.redraw();
		};
		const ask = () => service.tokens(wanted).then(known, () => {});
		this.#timer = window.setTimeout(ask, HOLD_MS);
	}

	destroy() {
		clearTimeout(this.#timer);
	}
}
