/** The list of elements, front first: select, reorder, lock, hide. */

import { elementColor, shortened } from "./canvas.mjs";
import { reorder, select, setField, setHidden, toggleSelected } from "./commands.mjs";
import { SILENT, button, html, icon, keyed, named, setClass, setText, tool, update, watch } from "./dom.mjs";

/** @type {Create<Drawn>} */
export function createList(context) {
	const { store, t } = context;
	const title = html("h3");
	const list = html("ul.rows");
	const node = html("section.list", title, list);
	const rows = keyed(list, (id) => {
		/** @type {Record<string, () => Command>} */
		const actions = {
			forward: () => reorder([id], "forward"),
			backward: () => reorder([id], "backward"),
			hide: () => setHidden([id], !store.state.hidden.includes(id)),
			lock: () => setField([id], "locked", !store.panel.elements.find((e) => e.id === id)?.locked),
		};
		const tools = Object.entries(actions).map(
			([key, action]) => /** @type {const} */ ([key, tool(key, () => store.apply(action()), {})]),
		);
		const swatch = html("span.swatch", SILENT);
		const name = button(
			"",
			({ shiftKey, ctrlKey, metaKey }) =>
				store.apply(shiftKey || ctrlKey || metaKey ? toggleSelected(id) : select([id])),
			"name",
		);
		const mark = html("span.mark", { role: "img" }, "!");
		const node = html("li.row", { "data-id": id }, swatch, name, mark, ...tools.map(([, made]) => made));
		update(name, { dir: "auto" });
		return { node, swatch, name, mark, tools, isNew: watch() };
	});

	/** @type {DrawElement} */
	function drawRow({ id, description, locked = false }, index, isChosen, isHidden) {
		const { node, swatch, name, mark, tools, isNew } = /** @type {Row} */ (rows.get(id));
		const advice = context.warnings.of(id).join("\n");
		const said = shortened(description);
		if (!isNew(said, index, isChosen, isHidden, locked, advice, context.language)) return;
		setClass(node, "chosen", isChosen);
		setClass(node, "unseen", isHidden);
		setText(name, said);
		update(name, { "aria-pressed": String(isChosen), title: said });
		update(mark, named(advice));
		mark.hidden = !advice;
		setText(swatch, String(index + 1));
		swatch.style.borderColor = elementColor(index);
		/** What some buttons do next, and the icon of what is now. @type {Record<string, [string, string]>} */
		const switched = {
			hide: isHidden ? ["show", "hide"] : ["hide", "show"],
			lock: locked ? ["unlock", "lock"] : ["lock", "unlock"],
		};
		for (const [key, made] of tools) {
			const [does, now] = switched[key] ?? [key, key];
			const label = t(does);
			update(made, { "aria-label": `${label}: ${said}`, title: label, "data-on": does !== key });
			made.replaceChildren(icon(now));
		}
		if (!isChosen) return;
		// Scroll the list, and nothing around it.
		const low = node.offsetTop + node.offsetHeight - list.clientHeight;
		list.scrollTop = Math.min(node.offsetTop, Math.max(low, list.scrollTop));
	}

	return {
		node,
		draw() {
			const { selection, hidden, panel } = store.state;
			const { elements } = panel;
			setText(title, `${t("elements")} (${elements.length})`);
			node.hidden = elements.length === 0;
			const [chosen, unseen] = [new Set(selection), new Set(hidden)];
			rows.arrange(elements.map((e) => e.id).reverse());
			for (const [index, element] of elements.entries())
				drawRow(element, index, chosen.has(element.id), unseen.has(element.id));
		},
	};
}
