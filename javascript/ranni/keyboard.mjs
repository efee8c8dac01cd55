/** What keys do on the canvas, and the clipboard. */

import { duplicate, insert, move, remove, reorder, resize, select } from "./commands.mjs";
import { read } from "./document.mjs";
import { consume, isField, update } from "./dom.mjs";
import { Part } from "./part.mjs";

/** How far an arrow key moves, as a share of the canvas; ten times as far with Shift. */
const NUDGE = 0.005;
/** A pause after which the next arrow key is a step of its own. */
const PAUSE_MS = 1000;

/** @type {Readonly<Record<string, [number, number]>>} */
const ARROWS = Object.freeze({
	ArrowLeft: [-1, 0],
	ArrowRight: [1, 0],
	ArrowUp: [0, -1],
	ArrowDown: [0, 1],
});

/** How far a key moves, if it is an arrow. @param {KeyboardEvent} event */
export const arrowOf = ({ key, shiftKey }) => ARROWS[key]?.map((way) => way * NUDGE * (shiftKey ? 10 : 1));

export class Keyboard extends Part {
	#canvas = this.context.canvas;
	#gestures = this.context.gestures;
	#pause = 0;
	#ends = new AbortController();
	/**
	 * What a key does to what is selected, and to the view.
	 * @type {Record<string, (selection: Ids) => unknown>}
	 */
	#keys = {
		Delete: (selection) => this.apply(remove(selection)),
		Backspace: (selection) => this.apply(remove(selection)),
		"]": (selection) => this.apply(reorder(selection, "forward")),
		"[": (selection) => this.apply(reorder(selection, "backward")),
		"+": () => this.context.zoom(1.25),
		"=": () => this.context.zoom(1.25),
		"-": () => this.context.zoom(0.8),
		0: () => this.context.zoom(0),
	};
	/** With Ctrl or Cmd, on the canvas. @type {Record<string, (selection: Ids) => unknown>} */
	#controlled = {
		a: () => this.apply(select(this.visible.map((e) => e.id))),
		d: (selection) => this.apply(duplicate(selection)),
	};

	/** @param {Context} context */
	constructor(context) {
		super(context);
		update(context.root, { keydown: (event) => this.#anywhere(event) });
		update(this.#canvas.node, {
			keydown: (event) => this.#onCanvas(event),
			keyup: ({ key }) => key === " " && this.#space(false),
			focusin: () => this.#focused(),
			focusout: () => this.#space(false),
		});
		// The clipboard's events go to the page where no text is selected.
		const { signal } = this.#ends;
		document.addEventListener("copy", (event) => this.#copy(event), { signal });
		document.addEventListener("cut", (event) => this.#copy(event), { signal });
		document.addEventListener("paste", (event) => this.#paste(event), { signal });
	}

	destroy() {
		clearTimeout(this.#pause);
		this.#ends.abort();
	}

	/** @param {boolean} held */
	#space(held) {
		this.#gestures.spaceHeld = held;
		this.#canvas.node.classList.toggle("ranni-panning", held);
	}

	/** Tab selects what it comes to. */
	#focused() {
		if (this.#gestures.busy) return;
		this.#canvas.node.classList.remove("ranni-pointed");
		const id = this.#canvas.focused;
		if (id !== null && !this.selection.includes(id)) this.apply(select([id]));
	}

	/** @type {OnKey} */
	#anywhere(event) {
		const { key, target, altKey, shiftKey } = event;
		const isControlled = event.ctrlKey || event.metaKey;
		// The host draws on Ctrl+Enter: it must see what is on the canvas now.
		if (key === "Enter" && (isControlled || altKey)) this.context.flush();
		if (isField(target)) {
			if (key !== "Escape") return;
			// From a field back to what it belongs to.
			consume(event);
			this.#canvas.focus(this.selection[0]);
		} else if (isControlled && !altKey) {
			const letter = key.toLowerCase();
			if (letter === "z" && !shiftKey) this.#do(event, () => this.store.undo());
			else if (letter === "y" || letter === "z") this.#do(event, () => this.store.redo());
		}
	}

	/** @type {Do} */
	#do(event, action) {
		if (!action) return;
		consume(event);
		if (this.#gestures.busy) return;
		action(this.selection);
		this.context.keepFocus();
	}

	/** @type {OnKey} */
	#onCanvas(event) {
		const { key, altKey } = event;
		if (!["Shift", "Control", "Alt", "Meta", " "].includes(key))
			this.#canvas.node.classList.remove("ranni-pointed");
		if (key === "Escape") this.#escape(event);
		else if (event.ctrlKey || event.metaKey) this.#do(event, this.#controlled[key.toLowerCase()]);
		else if (arrowOf(event)) this.#do(event, () => this.#nudge(event));
		else if (key === "Enter" && !altKey) this.#do(event, () => this.context.describe());
		else if (key === " ") {
			consume(event);
			this.#space(true);
		} else this.#do(event, this.#keys[key]);
	}

	/** @type {OnKey} */
	#escape(event) {
		const { keypoints } = this.context;
		if (!this.#gestures.cancel()) {
			if (keypoints.placing) keypoints.toggle();
			else if (!this.apply(select([]))) return;
		}
		consume(event);
		this.#canvas.focus();
	}

	/** @type {OnKey} */
	#nudge(event) {
		const [x, y] = arrowOf(event);
		const command = event.altKey ? resize : move;
		const run = event.altKey ? "resize" : "nudge";
		this.apply(command(this.selection, x, y), run);
		clearTimeout(this.#pause);
		this.#pause = window.setTimeout(() => this.store.seal(run), PAUSE_MS);
	}

	/** Whether the clipboard is ours now. */
	get #isOurs() {
		const node = document.activeElement;
		return this.context.root.contains(node) && !isField(node);
	}

	/** @param {ClipboardEvent} event */
	#copy(event) {
		const { type, clipboardData } = event;
		const elements = this.chosen;
		if (!this.#isOurs || !elements.length || !clipboardData) return;
		clipboardData.setData("text/plain", JSON.stringify({ version: 1, elements }, null, 2));
		event.preventDefault();
		if (type === "cut") this.apply(remove(this.selection));
		this.context.keepFocus();
	}

	/** Elements, one element, or a panel, as JSON: its elements are added. @param {ClipboardEvent} event */
	#paste(event) {
		const source = event.clipboardData?.getData("text/plain") ?? "";
		if (!this.#isOurs || !source.trim()) return;
		event.preventDefault();
		let value;
		try {
			value = JSON.parse(source);
		} catch {
			value = source;
		}
		if (Array.isArray(value)) value = { elements: value };
		else if (value?.box) value = { elements: [value] };
		const { panel, problems } = read(value);
		if (panel) this.apply(insert(panel.elements));
		this.context.flush();
		this.context.tell(problems, "pasted");
		this.context.keepFocus();
	}
}
