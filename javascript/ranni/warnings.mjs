/** What an element will hardly get as it is, and how much of its room a description takes. */

import { shortened } from "./canvas.mjs";
import { overlap } from "./geometry.mjs";

/** @typedef {import("./document.mjs").Fault} Fault */

/** Two cells of the coarsest attention that still tells places apart; models of small pictures have finer ones. */
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

/** The word that names what is described, without grammar: the last before more is said of it. @param {string} text */
export function mainWord(text) {
  const phrase = text.split(END).find((part) => part.trim()) ?? "";
  const word =
    phrase
      .match(/[\p{L}\p{N}]+/gu)
      ?.pop()
      ?.toLowerCase() ?? "";
  return /\p{Script=Han}$/u.test(word) ? word.slice(-1) : word.replace(/(?<=...)e?s$/, "");
}

/**
 * What to know about each element, by id.
 * @param {readonly import("./document.mjs").Element[]} elements from back to front
 * @param {readonly [number, number] | null} size in pixels @param {string} said the prompt and the base
 * @param {ReadonlyMap<string, readonly [number, number]>} counts the tokens of texts, and the room for them
 */
export function warningsOf(elements, size, said, counts) {
  /** @type {Map<string, Fault[]>} */
  const found = new Map();
  const least = Math.floor(Math.min(LEAST_PX, ...(size ?? []).map((side) => side * LEAST_SHARE)));
  for (const [index, { id, box, description }] of elements.entries()) {
    /** @type {Fault[]} */
    const faults = [];
    const warn = (/** @type {string} */ code, /** @type {(string | number)[]} */ ...args) =>
      faults.push({ code, args });
    const [width, height] = [box.x1 - box.x0, box.y1 - box.y0];
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

export class Warnings {
  #context;
  /** The tokens of texts, and the room for them. @type {Map<string, readonly [number, number]>} */
  #counts = new Map();
  #timer = 0;
  /** What `#found` was found for. @type {any[]} */ #seen = [];
  /** @type {Map<string, Fault[]>} */ #found = new Map();

  /** @param {import("./editor.mjs").Context} context */
  constructor(context) {
    this.#context = context;
  }

  /** What to know about an element, in words. @param {string} id */
  of(id) {
    const { store, size, prompt, t } = this.#context;
    const { panel } = store.state;
    const said = `${prompt()} ${panel.base ?? ""}`;
    const seen = [panel.elements, size, said, this.#counts];
    if (seen.some((value, index) => value !== this.#seen[index])) {
      this.#seen = seen;
      this.#found = warningsOf(panel.elements, size, said, this.#counts);
      this.#count();
    }
    return (this.#found.get(id) ?? []).map(({ code, args }) => t(`warn_${code}`, ...args));
  }

  /** How much of its room a text takes, where that is known. @param {string} text */
  tokens(text) {
    return this.#counts.get(text)?.join("/") ?? "";
  }

  /** Ask for what is not known, once no more of it is typed. */
  #count() {
    const { service, store } = this.#context;
    clearTimeout(this.#timer);
    if (!service) return;
    const texts = [...new Set(store.state.panel.elements.map((e) => e.description))];
    const wanted = texts.filter((text) => !this.#counts.has(text)).slice(0, MOST_TEXTS);
    const known = (/** @type {[number, number][]} */ counts) => {
      // A new map, by which it shows; the oldest go.
      this.#counts = new Map([...this.#counts].slice(-4 * MOST_TEXTS));
      for (const [n, text] of wanted.entries()) this.#counts.set(text, counts[n]);
      this.#context.redraw();
    };
    const ask = () => service.tokens(wanted).then(known, () => {});
    if (wanted.length) this.#timer = window.setTimeout(ask, HOLD_MS);
  }

  destroy() {
    clearTimeout(this.#timer);
  }
}
