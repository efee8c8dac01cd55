/** What is done by a button above the canvas, or by a key. */

import { add, duplicate, remove, reorder, select } from "./commands.mjs";
import { html, tool, update } from "./dom.mjs";

const GROUPS = [
	["undo", "redo"],
	["add", "duplicate", "remove", "forward", "backward"],
	["snap", "grid"],
	["zoom_out", "fit", "zoom_in"],
];

/** @type {Create<Actions>} */
export const createActions = ({ store, options, t, zoom, redraw, describe }) => ({
	undo: () => store.undo(),
	redo: () => store.redo(),
	add: () => store.apply(add(t("new_element"))) && describe(),
	duplicate: () => store.apply(duplicate(store.selection)),
	remove: () => store.apply(remove(store.selection)),
	forward: () => store.apply(reorder(store.selection, "forward")),
	backward: () => store.apply(reorder(store.selection, "backward")),
	select_all: () => store.apply(select(store.visible.map((e) => e.id))),
	snap() {
		options.snap = !options.snap;
		redraw();
	},
	grid() {
		options.grid = !options.grid;
		redraw();
	},
	zoom_out: () => zoom(0.8),
	fit: () => zoom(0),
	zoom_in: () => zoom(1.25),
});

/** @type {Create<Drawn>} */
export function createToolbar({ store, options, viewport, actions }) {
	const buttons = GROUPS.map((names) => names.map((name) => tool(name, actions[name])));
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
