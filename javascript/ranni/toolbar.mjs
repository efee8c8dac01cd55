/** The buttons above the canvas. */

import { add, duplicate, remove, reorder } from "./commands.mjs";
import { html, tool, update } from "./dom.mjs";

/** @type {Create<Drawn>} */
export function createToolbar({ store, options, viewport, t, zoom, redraw, describe }) {
	/** What the buttons do, in groups. @type {Record<string, () => unknown>[]} */
	const groups = [
		{ undo: () => store.undo(), redo: () => store.redo() },
		{
			add: () => store.apply(add(t("new_element"))) && describe(),
			duplicate: () => store.apply(duplicate(store.selection)),
			remove: () => store.apply(remove(store.selection)),
			forward: () => store.apply(reorder(store.selection, "forward")),
			backward: () => store.apply(reorder(store.selection, "backward")),
		},
		{ snap: () => flip("snap"), grid: () => flip("grid") },
		{ zoom_out: () => zoom(0.8), fit: () => zoom(0), zoom_in: () => zoom(1.25) },
	];
	const buttons = groups.map((group) => Object.entries(group).map(([name, action]) => tool(name, action)));

	/** @param {"snap" | "grid"} name */
	function flip(name) {
		options[name] = !options[name];
		redraw();
	}

	return {
		node: html(
			"div.toolbar",
			{ role: "toolbar", "data-label": "tools" },
			...buttons.map((group) => html("div.group", { role: "group" }, ...group)),
		),
		draw() {
			const isNothing = !store.selection.length;
			const isWhole = viewport.zoom <= 1;
			/** @type {Record<string, boolean>} */
			const disabled = {
				undo: !store.canUndo,
				redo: !store.canRedo,
				duplicate: isNothing,
				remove: !store.chosen.some((e) => !e.locked),
				forward: isNothing,
				backward: isNothing,
				zoom_out: isWhole,
				fit: isWhole,
			};
			for (const node of buttons.flat()) {
				const name = node.dataset.tool ?? "";
				const pressed = name === "snap" || name === "grid" ? String(options[name]) : null;
				// A button that loses the focus by being disabled would throw the keyboard user out.
				update(node, { "aria-pressed": pressed, "aria-disabled": disabled[name] ? "true" : null });
			}
		},
	};
}
