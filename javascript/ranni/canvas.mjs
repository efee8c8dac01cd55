/** The drawing of a panel: one focusable group for each element, handles, guides, the picture behind. */

import { grasped } from "./commands.mjs";
import { Keyed, setText, svg, update } from "./dom.mjs";
import { HANDLES, bounds, sizeOf } from "./geometry.mjs";
import { pointNodes } from "./keypoints.mjs";
import { Part } from "./part.mjs";

const LABEL_PX = 18;
const SHOWN_CHARACTERS = 120;
/** Boxes narrower than this have handles at their corners only. */
const SMALL_PX = 34;

/** @param {number} index */
const hueOf = (index) => ((0.58 + index * 0.6180339887) % 1) * 360;

/** The color that stands for the element at `index`, as in `lib_ranni.panel.preview`. @param {number} index */
export const elementColor = (index) => `hsl(${Math.round(hueOf(index))} 72% 42%)`;

/** Black or white, whichever reads better on an element's color. @param {number} index */
export const inkColor = (index) => (hueOf(index) > 40 && hueOf(index) < 195 ? "#101014" : "#ffffff");

/** The start of a text, on one line. @param {string} text */
export function shortened(text, most = SHOWN_CHARACTERS) {
	const start = text.slice(0, most * 4);
	const line = start.replace(/\s+/g, " ").trim();
	const characters = [...line];
	return characters.length > most || text !== start ? `${characters.slice(0, most).join("")}…` : line;
}

/** @param {boolean | string | null} isShown */
const display = (isShown) => ({ display: isShown ? null : "none" });

export class Canvas extends Part {
	#page = svg("rect", { class: "ranni-page" });
	#picture = svg("image", { preserveAspectRatio: "none" });
	#before = svg("image", { preserveAspectRatio: "none" });
	#split = svg("svg", { class: "ranni-split" }, this.#before);
	#pictures = svg("g", { "aria-hidden": "true" }, this.#picture, this.#split);
	/** @type {any[]} */ #shown = [];
	#boxes = svg("g");
	/** @type {Keyed<DrawnElement>} */ #drawn = new Keyed(this.#boxes, (id) => this.#make(id));
	#points = svg("g", { class: "ranni-points", "aria-hidden": "true" });
	#frame = svg("rect", { class: "ranni-frame" });
	#handles = svg("g", { "aria-hidden": "true" }, this.#frame, ...HANDLES.map((name) => this.#handle(name)));
	#overlay = svg("g", { "aria-hidden": "true" });
	node = svg(
		"svg",
		{
			class: "ranni-canvas",
			role: "listbox",
			tabindex: 0,
			"data-label": "canvas",
			"aria-multiselectable": "true",
		},
		this.#page,
		this.#pictures,
		this.#boxes,
		this.#overlay,
		this.#handles,
		this.#points,
	);

	/** @param {Pictures} pictures */
	show({ url, before, split, opacity }) {
		const { page } = this.context.viewport;
		// An address may be a whole picture in base 64.
		const seen = [url, before, split, opacity, ...Object.values(page)];
		if (seen.every((value, n) => value === this.#shown[n])) return;
		this.#shown = seen;
		update(this.#pictures, { opacity, ...display(url) });
		update(this.#picture, { ...page, href: url });
		update(this.#split, { ...page, width: page.width * split, ...display(split ? before : null) });
		update(this.#before, { width: page.width, height: page.height, href: before });
		this.node.classList.toggle("ranni-pictured", Boolean(url));
	}

	/** Give an element of the panel the focus, or the canvas itself. @param {string} [id] */
	focus(id = "") {
		(this.#drawn.get(id)?.node ?? this.node).focus({ preventScroll: true });
	}

	/** The id of the element that has the focus. @returns {string | null} */
	get focused() {
		const node = document.activeElement;
		return node instanceof SVGElement && this.node.contains(node) ? (node.dataset.id ?? null) : null;
	}

	/** @param {Overlay} overlay */
	draw(overlay) {
		const { viewport, language } = this.context;
		const { panel, selection, hidden } = this.state;
		update(this.#page, viewport.page);
		const [chosen, unseen] = [new Set(selection), new Set(hidden)];
		const visible = panel.elements.filter((e) => !unseen.has(e.id));
		this.#drawn.arrange(visible.map((e) => e.id));
		const view = JSON.stringify([viewport.page, language]);
		for (const [index, element] of panel.elements.entries())
			if (!unseen.has(element.id)) this.#drawElement(element, index, chosen.has(element.id), view);
		const open = grasped(this.state);
		this.#drawHandles(open.length ? viewport.rect(bounds(open.map((e) => e.box))) : null);
		update(this.#frame, display(open.length > 1));
		const own = selection.length === 1 ? open[0] : undefined;
		const points = visible.flatMap((element) => pointNodes(element, viewport.page, element === own));
		if (points.length || this.#points.firstChild) this.#points.replaceChildren(...points);
		this.#drawOverlay(overlay);
	}

	/** @type {DrawElement} */
	#drawElement(element, index, selected, view) {
		const drawn = /** @type {DrawnElement} */ (this.#drawn.get(element.id));
		const seen = [element, index, selected, view];
		if (seen.every((value, n) => value === drawn.seen[n])) return;
		drawn.seen = seen;
		const { t } = this;
		const { box, locked, description, colors } = element;
		const rect = this.context.viewport.rect(box);
		const color = elementColor(index);
		const place = [box.x0, box.y0, sizeOf(box, "x"), sizeOf(box, "y")].map((share) =>
			Math.round(share * 100),
		);
		const label = [`${index + 1} ${shortened(description)}`, t("place", ...place)];
		if (locked) label.push(t("locked"));
		if (selected) label.push(t("selected"));
		update(drawn.node, { "aria-selected": String(selected), "aria-label": label.join(", ") });
		drawn.node.classList.toggle("ranni-selected", selected);
		drawn.node.classList.toggle("ranni-locked", Boolean(locked));
		update(drawn.box, { ...rect, stroke: color, fill: colors?.[0] ?? color });
		update(drawn.ring, { x: rect.x - 4, y: rect.y - 4, width: rect.width + 8, height: rect.height + 8 });
		setText(drawn.label, `${index + 1}  ${shortened(description, 60)}`);
		update(drawn.label, { fill: inkColor(index) });
		update(drawn.back, { fill: color, width: this.#labelWidth(drawn.label) });
		update(drawn.clip, { ...rect, width: Math.max(rect.width, 20), height: LABEL_PX });
	}

	/** @param {SVGTextElement} label */
	#labelWidth(label) {
		const { dataset } = label;
		const text = label.textContent ?? "";
		if (dataset.measured !== text) {
			const length = label.getComputedTextLength();
			// Nothing can be measured while the editor is not shown.
			if (!length) return "100%";
			dataset.measured = text;
			dataset.width = String(Math.ceil(length) + 12);
		}
		return dataset.width;
	}

	/** @type {Make} */
	#make(id) {
		const box = svg("rect", { class: "ranni-box" });
		const ring = svg("rect", { class: "ranni-ring" });
		const back = svg("rect", { height: LABEL_PX, rx: 2 });
		const label = svg("text", { x: 6, y: 13, class: "ranni-label" });
		const clip = svg("svg", { class: "ranni-clip" }, back, label);
		const shared = { class: "ranni-element", role: "option", tabindex: 0, "data-id": id };
		return { node: svg("g", shared, box, clip, ring), box, ring, clip, back, label, seen: [] };
	}

	/** @param {Handle} name */
	#handle(name) {
		return svg(
			"g",
			{ "data-handle": name, style: `cursor: ${name}-resize` },
			svg("rect", { class: "ranni-grip", x: -11, y: -11, width: 22, height: 22 }),
			svg("rect", { class: "ranni-handle", x: -4.5, y: -4.5, width: 9, height: 9, rx: 2 }),
		);
	}

	/** @param {Rect | null} rect */
	#drawHandles(rect) {
		update(this.#handles, display(rect && "shown"));
		if (!rect) return;
		update(this.#frame, rect);
		for (const [index, name] of HANDLES.entries()) {
			const along = (/** @type {string} */ low, /** @type {string} */ high) =>
				name.includes(low) ? 0 : name.includes(high) ? 1 : 0.5;
			const [u, v] = [along("w", "e"), along("n", "s")];
			const isCrowded = (u === 0.5 && rect.width < SMALL_PX) || (v === 0.5 && rect.height < SMALL_PX);
			// The areas to grip lie outside of a small box, so that it can still be moved.
			const out = Math.min(rect.width, rect.height) < SMALL_PX ? 9 : 0;
			const x = rect.x + u * rect.width + (u * 2 - 1) * out;
			const y = rect.y + v * rect.height + (v * 2 - 1) * out;
			const node = this.#handles.children[index + 1];
			update(node, { transform: `translate(${x} ${y})`, ...display(!isCrowded) });
		}
	}

	/** @param {Overlay} overlay */
	#drawOverlay({ guides, marquee }) {
		const { viewport, options } = this.context;
		const { x, y, width, height } = viewport.page;
		const down = (/** @type {number} */ at) => `M${x + at * width} ${y}v${height}`;
		const across = (/** @type {number} */ at) => `M${x} ${y + at * height}h${width}`;
		const shares = [...Array(options.grid ? options.cells : 0).keys()].slice(1).map((n) => n / options.cells);
		const grid = shares.map((at) => down(at) + across(at)).join("");
		const lines = guides.map(({ axis, at }) =>
			svg("path", { class: "ranni-guide", d: axis === "x" ? down(at) : across(at) }),
		);
		if (grid) lines.unshift(svg("path", { class: "ranni-grid", d: grid }));
		this.#overlay.replaceChildren(...lines);
		if (marquee) this.#overlay.append(svg("rect", { class: "ranni-marquee", ...viewport.rect(marquee) }));
	}
}
