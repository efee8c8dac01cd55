/** The drawing of a panel: one focusable group for each element, handles, guides, the picture behind. */

import { grasped } from "./commands.mjs";
import { SILENT, keyed, setClass, setText, svg, update, watch } from "./dom.mjs";
import { HANDLES, bounds, cellLines, handleAt, sizeOf } from "./geometry.mjs";
import { pointNodes } from "./keypoints.mjs";

const LABEL_PX = 18;
const SHOWN_CHARACTERS = 120;
/** Boxes narrower than this have handles at their corners only. */
const SMALL_PX = 34;

/** @param {number} index */
const hueOf = (index) => ((0.58 + index * 0.6180339887) % 1) * 360;

/** @type {ColorOf} */
export const elementColor = (index) => `hsl(${Math.round(hueOf(index))} 72% 42%)`;

/** Black or white, whichever reads better on an element's color. @type {ColorOf} */
export const inkColor = (index) => (hueOf(index) > 40 && hueOf(index) < 195 ? "#101014" : "#ffffff");

/** @type {Shortened} */
export function shortened(text, most = SHOWN_CHARACTERS) {
	const start = text.slice(0, most * 4);
	const line = start.replace(/\s+/g, " ").trim();
	const characters = [...line];
	return characters.length > most || text !== start ? `${characters.slice(0, most).join("")}…` : line;
}

/** @param {unknown} isShown */
const display = (isShown) => ({ display: isShown ? null : "none" });

/** @param {string} id */
function makeElement(id) {
	const box = svg("rect.box");
	const ring = svg("rect.ring");
	const back = svg("rect", { height: LABEL_PX, rx: 2 });
	const label = svg("text.label", { x: 6, y: 13 });
	const clip = svg("svg.clip", back, label);
	const node = svg("g.element", { role: "option", tabindex: 0, "data-id": id }, box, clip, ring);
	return { node, box, ring, clip, back, label, isNew: watch() };
}

/** @param {Handle} name */
const makeHandle = (name) =>
	svg(
		"g",
		{ "data-handle": name, style: `cursor: ${name}-resize` },
		svg("rect.grip", { x: -11, y: -11, width: 22, height: 22 }),
		svg("rect.handle", { x: -4.5, y: -4.5, width: 9, height: 9, rx: 2 }),
	);

/** @param {SVGTextElement} label */
function labelWidth(label) {
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

/** @type {Create<Canvas>} */
export function createCanvas(context) {
	const { store, viewport, options, t } = context;
	const page = svg("rect.page");
	const stretched = { preserveAspectRatio: "none" };
	const picture = svg("image", stretched);
	const older = svg("image", stretched);
	const split = svg("svg.split", older);
	const pictures = svg("g", SILENT, picture, split);
	const areNew = watch();
	const boxes = svg("g");
	const drawn = keyed(boxes, makeElement);
	const points = svg("g.points", SILENT);
	const frame = svg("rect.frame");
	const grips = HANDLES.map(makeHandle);
	const handles = svg("g", SILENT, frame, ...grips);
	const lines = svg("g", SILENT);
	const node = svg(
		"svg.canvas",
		{ role: "listbox", tabindex: 0, "data-label": "canvas", "aria-multiselectable": "true" },
		page,
		pictures,
		boxes,
		lines,
		handles,
		points,
	);

	/** @type {DrawElement} */
	function drawElement(element, index, isChosen, view) {
		const item = /** @type {DrawnElement} */ (drawn.get(element.id));
		if (!item.isNew(element, index, isChosen, view)) return;
		const { box, locked, description, colors } = element;
		const rect = viewport.rect(box);
		const color = elementColor(index);
		const place = [box.x0, box.y0, sizeOf(box, "x"), sizeOf(box, "y")].map((share) =>
			Math.round(share * 100),
		);
		const said = [`${index + 1} ${shortened(description)}`, t("place", ...place)];
		if (locked) said.push(t("locked"));
		if (isChosen) said.push(t("selected"));
		update(item.node, { "aria-selected": String(isChosen), "aria-label": said.join(", ") });
		setClass(item.node, "selected", isChosen);
		setClass(item.node, "locked", Boolean(locked));
		update(item.box, { ...rect, stroke: color, fill: colors?.[0] ?? color });
		update(item.ring, { x: rect.x - 4, y: rect.y - 4, width: rect.width + 8, height: rect.height + 8 });
		setText(item.label, `${index + 1}  ${shortened(description, 60)}`);
		update(item.label, { fill: inkColor(index) });
		update(item.back, { fill: color, width: labelWidth(item.label) });
		update(item.clip, { ...rect, width: Math.max(rect.width, 20), height: LABEL_PX });
	}

	/** @param {Rect} rect */
	function drawHandles(rect) {
		const { x, y, width, height } = rect;
		update(frame, rect);
		// The areas to grip lie outside of a small box, so that it can still be moved.
		const out = Math.min(width, height) < SMALL_PX ? 9 : 0;
		for (const [index, name] of HANDLES.entries()) {
			const [u, v] = handleAt(name);
			const isCrowded = (u === 0.5 && width < SMALL_PX) || (v === 0.5 && height < SMALL_PX);
			const at = `${x + u * width + (u * 2 - 1) * out} ${y + v * height + (v * 2 - 1) * out}`;
			update(grips[index], { transform: `translate(${at})`, ...display(!isCrowded) });
		}
	}

	/** @param {Overlay} overlay */
	function drawLines({ guides = [], marquee }) {
		const { x, y, width, height } = viewport.page;
		/** @type {(axis: Axis, at: number) => string} */
		const line = (axis, at) =>
			axis === "x" ? `M${x + at * width} ${y}v${height}` : `M${x} ${y + at * height}h${width}`;
		const grid = options.grid ? cellLines(options.cells) : [];
		const d = grid.map((at) => line("x", at) + line("y", at)).join("");
		lines.replaceChildren(
			...(d ? [svg("path.grid", { d })] : []),
			...guides.map(({ axis, at }) => svg("path.guide", { d: line(axis, at) })),
			...(marquee ? [svg("rect.marquee", viewport.rect(marquee))] : []),
		);
	}

	return {
		node,
		show({ url, before, split: share, opacity }) {
			const area = viewport.page;
			const { x, y, width, height } = area;
			if (!areNew(url, before, share, opacity, x, y, width, height)) return;
			update(pictures, { opacity, ...display(url) });
			update(picture, { ...area, href: url });
			update(split, { ...area, width: width * share, ...display(share && before) });
			update(older, { width, height, href: before });
			setClass(node, "pictured", Boolean(url));
		},
		focus([id, another] = []) {
			const item = another ? undefined : drawn.get(id);
			(item?.node ?? node).focus({ preventScroll: true });
		},
		get focused() {
			const { activeElement } = document;
			const isHere = activeElement instanceof SVGElement && node.contains(activeElement);
			return isHere ? (activeElement.dataset.id ?? null) : null;
		},
		draw(overlay) {
			const { panel, selection, hidden } = store.state;
			update(page, viewport.page);
			const [chosen, unseen] = [new Set(selection), new Set(hidden)];
			const visible = panel.elements.filter((e) => !unseen.has(e.id));
			drawn.arrange(visible.map((e) => e.id));
			const view = JSON.stringify([viewport.page, context.language]);
			for (const [index, element] of panel.elements.entries())
				if (!unseen.has(element.id)) drawElement(element, index, chosen.has(element.id), view);
			const open = grasped(store.state);
			update(handles, display(open.length));
			update(frame, display(open.length > 1));
			if (open.length) drawHandles(viewport.rect(bounds(open.map((e) => e.box))));
			const own = selection.length === 1 ? open[0] : undefined;
			const shown = visible.flatMap((element) => pointNodes(element, viewport.page, element === own));
			if (shown.length || points.firstChild) points.replaceChildren(...shown);
			drawLines(overlay);
		},
	};
}
