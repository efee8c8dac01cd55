/** The picture under the boxes: the last result, what is painted over, or a file; and the one before it. */

import { button, html, update } from "./dom.mjs";
import { icon } from "./icons.mjs";
import { Part } from "./part.mjs";

const KEY = "ranni_backdrop";
const [NONE, ...KINDS] = ["none", "result", "input", "file"];

/** Whether a picture comes from here: from the host, or from what the page itself holds. @param {string} url */
function isOurs(url) {
	try {
		return /^data:image\//i.test(url) || new URL(url, document.baseURI).origin === location.origin;
	} catch {
		return false;
	}
}

export class Backdrop extends Part {
	/** @type {Map<string, string | null>} */ #pictures = new Map();
	/** The result before the last. @type {string | null} */ #before = null;
	/** What is shown if it is there, and how strongly. */
	#wish = { kind: "result", opacity: 1 };
	#kind = html("select", { change: ({ target }) => this.#want({ kind: target.value }) });
	#file = html("input", { type: "file", accept: "image/*", change: () => this.#opened() });
	#opacity = this.#range((opacity) => this.#want({ opacity }));
	#split = this.#range(() => this.context.redraw());
	/** @type {Record<string, HTMLElement>} */
	#labels = {
		backdrop: this.#labeled("backdrop", this.#kind),
		open_picture: this.#labeled("open_picture", icon("picture"), this.#file),
		opacity: this.#labeled("opacity", html("span", { "data-text": "opacity" }), this.#opacity),
		compare: this.#labeled("compare", html("span", { "data-text": "compare" }), this.#split),
	};
	/** Goes on from the result. */
	#edit = button("edit_here", () => this.context.edit(this.#pictures.get("result") ?? ""));
	node = html("div", { class: "ranni-backdrop" }, ...Object.values(this.#labels), this.#edit);

	/** @param {Context} context */
	constructor(context) {
		super(context);
		try {
			Object.assign(this.#wish, JSON.parse(localStorage.getItem(KEY) ?? "{}"));
		} catch {
			// Nothing that can be read is remembered.
		}
		this.#split.value = "0";
		for (const kind of [NONE, ...KINDS])
			this.#kind.append(html("option", { value: kind, "data-text": `backdrop_${kind}` }));
		this.#labels.open_picture.classList.add("ranni-tool");
	}

	/** @param {(value: number) => void} input */
	#range(input) {
		const hear = (/** @type {any} */ { target }) => input(Number(target.value));
		return html("input", { type: "range", min: 0, max: 1, step: 0.01, input: hear });
	}

	/** @param {string} name @param {Element[]} parts */
	#labeled(name, ...parts) {
		update(/** @type {Element} */ (parts.at(-1)), { "data-field": name, "data-label": name });
		return html("label", { "data-title": name }, ...parts);
	}

	/** @type {Want} */
	#want(wish) {
		Object.assign(this.#wish, wish);
		try {
			localStorage.setItem(KEY, JSON.stringify(this.#wish));
		} catch {
			// Where nothing may be kept, it holds for this page.
		}
		this.context.redraw();
	}

	#opened() {
		const file = this.#file.files?.[0];
		if (!file) return;
		this.destroy();
		this.#pictures.set("file", URL.createObjectURL(file));
		this.#file.value = "";
		this.#want({ kind: "file" });
	}

	/** @type {BackdropSet} */
	set(kind, url) {
		const next = url && isOurs(url) ? url : null;
		const last = this.#pictures.get(kind) ?? null;
		if (next === last) return;
		if (kind === "result" && last) this.#before = last;
		this.#pictures.set(kind, next);
		this.context.redraw();
	}

	draw() {
		const { kind, opacity } = this.#wish;
		const pictures = this.#pictures;
		// Until there is a result, one sees what is painted over.
		const shown = (kind !== NONE && [kind, "result", "input"].find((one) => pictures.get(one))) || NONE;
		const before = shown === "result" ? this.#before : null;
		const split = before ? Number(this.#split.value) : 0;
		this.context.canvas.show({ url: pictures.get(shown) ?? null, before, split, opacity });
		for (const option of this.#kind.options)
			option.disabled = option.value !== NONE && !pictures.get(option.value);
		this.#kind.value = shown;
		this.#opacity.value = String(opacity);
		this.#labels.backdrop.hidden = ![...pictures.values()].some(Boolean);
		this.#labels.opacity.hidden = shown === NONE;
		this.#labels.compare.hidden = !before;
		this.#edit.hidden = !this.context.service || !pictures.get("result");
	}

	destroy() {
		URL.revokeObjectURL(this.#pictures.get("file") ?? "");
	}
}
