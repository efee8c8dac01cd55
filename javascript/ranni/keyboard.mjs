/** What keys do on the canvas, and the clipboard. */

import { insert, move, remove, resize, select } from "./commands.mjs";
import { read } from "./document.mjs";
import { consume, isField, setClass, update } from "./dom.mjs";

/** How far an arrow key moves, as a share of the canvas; ten times as far with Shift. */
const NUDGE = 0.005;
/** A pause after which the next arrow key is a step of its own. */
const PAUSE_MS = 1000;

/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** What other keys do on the canvas. @type {Record<string, string>} */
const KEYS = {
	Delete: "remove",
	Backspace: "remove",
	"]": "forward",
	"[": "backward",
	"+": "zoom_in",
	"=": "zoom_in",
	"-": "zoom_out",
	0: "fit",
};
/** With Ctrl or Cmd. @type {typeof KEYS} */
const CONTROLLED = { a: "select_all", d: "duplicate" };

/** @type {ArrowOf} */
export const arrowOf = ({ key, shiftKey }) => ARROWS[key]?.map((way) => way * NUDGE * (shiftKey ? 10 : 1));

/** @param {Context} context */
export function listenToKeys(context) {
	const { root, store, canvas, gestures, keypoints, actions, gone, describe, flush, keepFocus, tell } =
		context;
	let pause = 0;
	/** @param {boolean} isHeld */
	function holdSpace(isHeld) {
		gestures.spaceHeld = isHeld;
		setClass(canvas.node, "panning", isHeld);
	}

	/** Tab selects what it comes to. */
	function focused() {
		if (gestures.isBusy) return;
		setClass(canvas.node, "pointed", false);
		const id = canvas.focused;
		if (id !== null && !store.selection.includes(id)) store.apply(select([id]));
	}

	/** @type {OnKey} */
	function anywhere(event) {
		const { key, target, altKey, shiftKey } = event;
		const isControlled = event.ctrlKey || event.metaKey;
		// The host draws on Ctrl+Enter: it must see what is on the canvas now.
		if (key === "Enter" && (isControlled || altKey)) flush();
		if (isField(target)) {
			if (key !== "Escape") return;
			// From a field back to what it belongs to.
			consume(event);
			canvas.focus(store.selection.slice(0, 1));
		} else if (isControlled && !altKey) {
			const letter = key.toLowerCase();
			if (letter === "z" && !shiftKey) act(event, actions.undo);
			else if (letter === "y" || letter === "z") act(event, actions.redo);
		}
	}

	/** @type {Act} */
	function act(event, action) {
		if (!action) return;
		consume(event);
		if (gestures.isBusy) return;
		action();
		keepFocus();
	}

	/** @type {OnKey} */
	function onCanvas(event) {
		const { key, altKey } = event;
		if (!["Shift", "Control", "Alt", "Meta", " "].includes(key)) setClass(canvas.node, "pointed", false);
		const arrow = arrowOf(event);
		if (key === "Escape") escape(event);
		else if (event.ctrlKey || event.metaKey) act(event, actions[CONTROLLED[key.toLowerCase()]]);
		else if (arrow) act(event, () => nudge(arrow, altKey));
		else if (key === "Enter" && !altKey) act(event, describe);
		else if (key === " ") {
			consume(event);
			holdSpace(true);
		} else act(event, actions[KEYS[key]]);
	}

	/** @type {OnKey} */
	function escape(event) {
		if (!gestures.cancel()) {
			if (keypoints.isPlacing) keypoints.toggle();
			else if (!store.apply(select([]))) return;
		}
		consume(event);
		canvas.focus();
	}

	/** @type {Nudge} */
	function nudge([x, y], isResized) {
		const run = isResized ? "resize" : "nudge";
		store.apply((isResized ? resize : move)(store.selection, x, y), run);
		clearTimeout(pause);
		pause = window.setTimeout(() => store.seal(run), PAUSE_MS);
	}

	/** Whether the clipboard is ours now. */
	function isOurs() {
		const { activeElement } = document;
		return root.contains(activeElement) && !isField(activeElement);
	}

	/** @param {ClipboardEvent} event */
	function copy(event) {
		const elements = store.chosen;
		if (!isOurs() || !elements.length || !event.clipboardData) return;
		event.clipboardData.setData("text/plain", JSON.stringify({ version: 1, elements }, null, 2));
		event.preventDefault();
		if (event.type === "cut") store.apply(remove(store.selection));
		keepFocus();
	}

	/** Elements, one element, or a panel, as JSON: its elements are added. @param {ClipboardEvent} event */
	function paste(event) {
		const source = event.clipboardData?.getData("text/plain") ?? "";
		if (!isOurs() || !source.trim()) return;
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
		if (panel) store.apply(insert(panel.elements));
		flush();
		tell(problems, "pasted");
		keepFocus();
	}

	update(root, { keydown: anywhere });
	update(canvas.node, {
		keydown: onCanvas,
		keyup: ({ key }) => key === " " && holdSpace(false),
		focusin: focused,
		focusout: () => holdSpace(false),
	});
	// The clipboard's events go to the page where no text is selected.
	document.addEventListener("copy", copy, { signal: gone });
	document.addEventListener("cut", copy, { signal: gone });
	document.addEventListener("paste", paste, { signal: gone });
}
