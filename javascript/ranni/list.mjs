/** The list of elements, front first: select, reorder, lock, hide. */

import { elementColor, shortened } from "./canvas.mjs";
import { reorder, select, setField, setHidden, toggleSelected } from "./commands.mjs";
import { Keyed, html, named, setText, update } from "./dom.mjs";
import { icon, tool } from "./icons.mjs";
import { Part } from "./part.mjs";

export class List extends Part {
	#title = html("h3");
	#rows = html("ul", { class: "ranni-rows" });
	/** @type {Keyed<Row>} */ #made = new Keyed(this.#rows, (id) => this.#make(id));
	node = html("section", { class: "ranni-list" }, this.#title, this.#rows);

	draw() {
		const { selection, hidden, panel } = this.state;
		const { elements } = panel;
		setText(this.#title, `${this.t("elements")} (${elements.length})`);
		this.node.hidden = elements.length === 0;
		const [chosen, unseen] = [new Set(selection), new Set(hidden)];
		this.#made.arrange(elements.map((e) => e.id).reverse());
		for (const [index, element] of elements.entries())
			this.#drawRow(element, index, chosen.has(element.id), unseen.has(element.id));
	}

	/** @type {DrawRow} */
	#drawRow({ id, description, locked = false }, index, chosen, hidden) {
		const { t } = this;
		const row = /** @type {Row} */ (this.#made.get(id));
		const advice = this.context.warnings.of(id).join("\n");
		const name = shortened(description);
		const seen = JSON.stringify([name, index, chosen, hidden, locked, advice, this.context.language]);
		if (row.seen === seen) return;
		row.seen = seen;
		row.node.classList.toggle("ranni-chosen", chosen);
		row.node.classList.toggle("ranni-unseen", hidden);
		setText(row.name, name);
		update(row.name, { "aria-pressed": String(chosen), title: name });
		update(row.mark, named(advice));
		row.mark.hidden = !advice;
		setText(row.swatch, String(index + 1));
		row.swatch.style.borderColor = elementColor(index);
		/** What a button does next, and the icon of what is now. @type {Record<string, [string, string]>} */
		const shown = {
			forward: ["forward", "forward"],
			backward: ["backward", "backward"],
			hide: hidden ? ["show", "hide"] : ["hide", "show"],
			lock: locked ? ["unlock", "lock"] : ["lock", "unlock"],
		};
		for (const [key, [does, now]] of Object.entries(shown)) {
			const [label, isOn] = [t(does), now === key && does !== key];
			update(row.tools[key], { "aria-label": `${label}: ${name}`, title: label, "data-on": isOn });
			row.tools[key].replaceChildren(icon(now));
		}
		if (chosen) this.#reveal(row.node);
	}

	/** Scroll the list, and nothing around it. @param {HTMLElement} node */
	#reveal({ offsetTop, offsetHeight }) {
		const low = offsetTop + offsetHeight - this.#rows.clientHeight;
		this.#rows.scrollTop = Math.min(offsetTop, Math.max(low, this.#rows.scrollTop));
	}

	/** @param {string} id @returns {Row} */
	#make(id) {
		const swatch = html("span", { class: "ranni-swatch", "aria-hidden": "true" });
		const click = (/** @type {MouseEvent} */ event) => this.#select(id, event);
		const name = html("button", { type: "button", class: "ranni-name", dir: "auto", click });
		/** @type {Record<string, () => Command>} */
		const actions = {
			forward: () => reorder([id], "forward"),
			backward: () => reorder([id], "backward"),
			hide: () => setHidden([id], !this.state.hidden.includes(id)),
			lock: () => setField([id], "locked", !this.state.panel.elements.find((e) => e.id === id)?.locked),
		};
		const tools = Object.fromEntries(
			Object.entries(actions).map(([key, action]) => [key, tool(key, () => this.apply(action()), {})]),
		);
		const mark = html("span", { class: "ranni-mark", role: "img" }, "!");
		const shared = { class: "ranni-row", "data-id": id };
		const node = html("li", shared, swatch, name, mark, ...Object.values(tools));
		return { node, swatch, name, mark, tools, seen: "" };
	}

	/** @type {ListSelect} */
	#select(id, event) {
		const isSeveral = event.shiftKey || event.ctrlKey || event.metaKey;
		this.apply(isSeveral ? toggleSelected(id) : select([id]));
	}
}
