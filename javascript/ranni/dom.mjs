/** Making and updating nodes. Text only ever becomes text nodes and attribute values. */

import { strokesOf } from "./strings.mjs";

/** Attributes of what is only there to be seen. */
export const SILENT = { "aria-hidden": "true" };

/** @type {Filled} */
function filled(tag, parts, make) {
	const [name, ...classes] = tag.split(".");
	const node = make(name);
	for (const one of classes) setClass(node, one, true);
	for (const part of parts)
		if (part instanceof Node || typeof part === "string") node.append(part);
		else if (part) update(node, part);
	return node;
}

/** @type {MakeHtml} */
export const html = (tag, ...parts) => filled(tag, parts, (name) => document.createElement(name));

/** @type {MakeSvg} */
export const svg = (tag, ...parts) =>
	filled(tag, parts, (name) => document.createElementNS("http://www.w3.org/2000/svg", name));

/** @type {MakeButton} */
export const button = (key, click, kind = "button") =>
	html(`button.${kind}`, { type: "button", "data-text": key, click });

/** @param {string} name */
export const icon = (name) =>
	svg("svg.icon", { viewBox: "0 0 16 16", ...SILENT }, svg("path", { d: strokesOf(name) }));

/** @type {MakeTool} */
export const tool = (name, click, attributes = { "data-title": name }) =>
	html("button.tool", { type: "button", "data-tool": name, click }, attributes, icon(name));

/** @type {Named} */
export const named = (name) => ({ title: name, "aria-label": name });

/** @type {Update} */
export function update(node, attributes) {
	for (const [name, value] of Object.entries(attributes)) {
		if (typeof value === "function") node.addEventListener(name, value);
		else if (value === null || value === undefined || value === false) node.removeAttribute(name);
		else {
			const text = value === true ? "" : String(value);
			if (node.getAttribute(name) !== text) node.setAttribute(name, text);
		}
	}
}

/** @type {SetClass} */
export const setClass = (node, name, isSet) => node.classList.toggle(`ranni-${name}`, isSet);

/** @type {SetText} */
export function setText(node, text) {
	if (node.textContent !== text) node.textContent = text;
}

/** @type {SetLines} */
export const setLines = (list, lines) =>
	list.replaceChildren(...lines.map((line) => html("li", { dir: "auto" }, line)));

/** @type {Translate} */
export function translate(root, t) {
	for (const node of [root, ...root.querySelectorAll("*")]) {
		const { text, title, label = text ? "" : title } = /** @type {HTMLElement} */ (node).dataset;
		if (text) setText(node, t(text));
		if (title) update(node, { title: t(title) });
		if (label) update(node, { "aria-label": t(label) });
	}
}

/** @type {IsField} */
export const isField = (node) =>
	node instanceof Element && node.matches("input, textarea, select, [contenteditable]");

/** @type {Consume} */
export function consume(event) {
	event.preventDefault();
	event.stopPropagation();
}

/** @type {Watch} */
export function watch() {
	/** @type {any[]} */
	let seen = [];
	return (...values) => {
		const isNew = values.some((value, index) => value !== seen[index]);
		seen = values;
		return isNew;
	};
}

/** @type {MakeKeyed} */
export function keyed(parent, make) {
	const all = new Map();
	return {
		get: (id) => all.get(id),
		arrange(ids) {
			const [wanted, focused] = [new Set(ids), document.activeElement];
			for (const [id, { node }] of all) {
				if (wanted.has(id)) continue;
				node.remove();
				all.delete(id);
			}
			/** @type {Node | null} */
			let at = parent.firstChild;
			for (const id of ids) {
				const { node } = all.get(id) ?? all.set(id, make(id)).get(id);
				if (node === at) at = node.nextSibling;
				else parent.insertBefore(node, at);
			}
			// What is moved loses the focus. A list follows it, the page does not.
			if (focused !== document.activeElement && parent.contains(focused))
				/** @type {HTMLElement} */ (focused).focus({ preventScroll: focused instanceof SVGElement });
		},
	};
}
