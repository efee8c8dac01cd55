/** Making and updating nodes. Text only ever becomes text nodes and attribute values. */

const SVG = "http://www.w3.org/2000/svg";
const SAYING = "[data-text], [data-title], [data-label]";

/** @type {<E extends Element>(node: E, attributes: Attributes, children: Child[]) => E} */
function filled(node, attributes, children) {
	update(node, attributes);
	node.append(.../** @type {Node[]} */ (children.filter(Boolean)));
	return node;
}

/**
 * An HTML element. Attributes that are functions become listeners of the event they are named for; the keys in
 * `data-text`, `data-title` and `data-label` are those of texts for `translate`. Children may be missing.
 * @type {MakeHtml}
 */
export const html = (name, attributes = {}, ...children) =>
	filled(document.createElement(name), attributes, children);

/** An SVG element, likewise. @type {MakeSvg} */
export const svg = (name, attributes = {}, ...children) =>
	filled(document.createElementNS(SVG, name), attributes, children);

/** A button that says the text of a key. @param {string} key @param {Listener} click @param {string} [kind] */
export const button = (key, click, kind = "button") =>
	html("button", { type: "button", class: `ranni-${kind}`, "data-text": key, click });

/** Attributes of what has no text of its own. @param {string} name */
export const named = (name) => ({ title: name, "aria-label": name });

/** Set attributes where they differ; null, undefined and false remove one. @type {Update} */
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

/** Set a node's text where it differs. @type {SetText} */
export function setText(node, text) {
	if (node.textContent !== text) node.textContent = text;
}

/**
 * Have these texts, which may be anyone's, as the lines of a list.
 * @param {Element} list @param {readonly string[]} lines
 */
export const setLines = (list, lines) =>
	list.replaceChildren(...lines.map((line) => html("li", { dir: "auto" }, line)));

/** Give a node and those in it their texts. @type {Translate} */
export function translate(root, t) {
	for (const node of [root, .../** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll(SAYING))]) {
		const { text, title, label = text ? "" : title } = node.dataset;
		if (text) setText(node, t(text));
		if (title) update(node, { title: t(title) });
		if (label) update(node, { "aria-label": t(label) });
	}
}

/** Whether keys and the clipboard belong to this node itself. @param {EventTarget | null} node */
export const isField = (node) =>
	node instanceof Element && node.matches("input, textarea, select, [contenteditable]");

/** Nobody else hears of an event. @param {Event} event */
export function consume(event) {
	event.preventDefault();
	event.stopPropagation();
}

/** Nodes of things that have ids, in the order of the things. @template {{node: Element}} T */
export class Keyed {
	/** @type {Map<string, T>} */ #all = new Map();
	#parent;
	#make;

	/** @param {Element} parent @param {(id: string) => T} make */
	constructor(parent, make) {
		this.#parent = parent;
		this.#make = make;
	}

	/** @param {string} id */
	get(id) {
		return this.#all.get(id);
	}

	/** Have these nodes and no others; those that are in their place are left alone. @param {Ids} ids */
	arrange(ids) {
		const [parent, wanted, focused] = [this.#parent, new Set(ids), document.activeElement];
		for (const [id, { node }] of this.#all) {
			if (wanted.has(id)) continue;
			node.remove();
			this.#all.delete(id);
		}
		/** @type {Node | null} */
		let at = parent.firstChild;
		for (const id of ids) {
			const item = this.#all.get(id) ?? this.#make(id);
			this.#all.set(id, item);
			if (item.node === at) at = at.nextSibling;
			else parent.insertBefore(item.node, at);
		}
		// What is moved loses the focus. A list follows it, the page does not.
		if (focused !== document.activeElement && parent.contains(focused))
			/** @type {HTMLElement} */ (focused).focus({ preventScroll: focused instanceof SVGElement });
	}
}
