/** The buttons above the canvas. */

import { add, duplicate, remove, reorder } from "./commands.mjs";
import { html, update } from "./dom.mjs";
import { tool } from "./icons.mjs";
import { Part } from "./part.mjs";

export class Toolbar extends Part {
	/** @type {Map<string, HTMLButtonElement>} */ #buttons = new Map();
	/** What the buttons do, in groups. @type {Record<string, () => unknown>[]} */
	#groups = [
		{ undo: () => this.store.undo(), redo: () => this.store.redo() },
		{
			add: () => this.apply(add(this.t("new_element"))) && this.context.describe(),
			duplicate: () => this.apply(duplicate(this.selection)),
			remove: () => this.apply(remove(this.selection)),
			forward: () => this.apply(reorder(this.selection, "forward")),
			backward: () => this.apply(reorder(this.selection, "backward")),
		},
		{ snap: () => this.#switch("snap"), grid: () => this.#switch("grid") },
		{
			zoom_out: () => this.context.zoom(0.8),
			fit: () => this.context.zoom(0),
			zoom_in: () => this.context.zoom(1.25),
		},
	];
	node = html(
		"div",
		{ class: "ranni-toolbar", role: "toolbar", "data-label": "tools" },
		...this.#groups.map((group) => this.#group(group)),
	);

	/** @param {Record<string, () => unknown>} group */
	#group(group) {
		const buttons = Object.entries(group).map(([name, action]) => {
			const made = tool(name, action);
			this.#buttons.set(name, made);
			return made;
		});
		return html("div", { class: "ranni-group", role: "group" }, ...buttons);
	}

	/** @param {"snap" | "grid"} name */
	#switch(name) {
		const { options } = this.context;
		options[name] = !options[name];
		this.context.redraw();
	}

	draw() {
		const { options, viewport } = this.context;
		const nothing = !this.selection.length;
		const fits = viewport.zoom <= 1;
		/** @type {Record<string, boolean>} */
		const disabled = {
			undo: !this.store.canUndo,
			redo: !this.store.canRedo,
			duplicate: nothing,
			remove: !this.chosen.some((e) => !e.locked),
			forward: nothing,
			backward: nothing,
			zoom_out: fits,
			fit: fits,
		};
		for (const [name, node] of this.#buttons) {
			const pressed = name === "snap" || name === "grid" ? String(options[name]) : null;
			// A button that loses the focus by being disabled would throw the keyboard user out.
			update(node, { "aria-pressed": pressed, "aria-disabled": disabled[name] ? "true" : null });
		}
	}
}
