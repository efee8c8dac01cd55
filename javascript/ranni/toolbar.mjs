/** The buttons above the canvas. */

import { add, duplicate, remove, reorder } from "./commands.mjs";
import { html, update } from "./dom.mjs";
import { tool } from "./icons.mjs";
import { Part } from "./part.mjs";

export class Toolbar extends Part {
	/** @type {Map<string, HTMLButtonElement>} */ #buttons = new Map();
	node = html("div", { class: "ranni-toolbar", role: "toolbar", "data-label": "tools" });

	/** @param {Context} context */
	constructor(context) {
		super(context);
		const { store, options, t } = context;
		const selection = () => this.state.selection;
		/** @type {Record<string, () => unknown>[]} */
		const groups = [
			{ undo: () => store.undo(), redo: () => store.redo() },
			{
				add: () => store.apply(add(t("new_element"))) && context.describe(),
				duplicate: () => store.apply(duplicate(selection())),
				remove: () => store.apply(remove(selection())),
				forward: () => store.apply(reorder(selection(), "forward")),
				backward: () => store.apply(reorder(selection(), "backward")),
			},
			{ snap: () => (options.snap = !options.snap), grid: () => (options.grid = !options.grid) },
			{
				zoom_out: () => context.zoom(0.8),
				fit: () => context.zoom(0),
				zoom_in: () => context.zoom(1.25),
			},
		];
		for (const group of groups) {
			const buttons = Object.entries(group).map(([name, action]) => this.#make(name, action));
			this.node.append(html("div", { class: "ranni-group", role: "group" }, ...buttons));
		}
	}

	/** @param {string} name @param {() => unknown} action */
	#make(name, action) {
		const made = tool(name, () => {
			action();
			this.context.redraw();
		});
		this.#buttons.set(name, made);
		return made;
	}

	draw() {
		const { options, viewport } = this.context;
		const nothing = !this.state.selection.length;
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
