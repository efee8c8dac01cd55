/**
 * The editor in a host's page: one in each tab, bound to the tab's panel text, its size, prompt and pictures.
 */

import { createEditor } from "./editor.mjs";
import { baseOf, createService } from "./service.mjs";
import { loadTexts } from "./strings.mjs";

const TABS = ["txt2img", "img2img", "app"];
/** The settings whose controls follow a file that is opened. */
const SETTINGS = "mode overlap base_ratio feather start end layout_noise attention_bias".split(" ");
/** How often the tab is looked at: values that its server sets fire no event. */
const LOOK_MS = 300;

/** What the host's own scripts share. @type {any} */
const host = globalThis;

/** @returns {ParentNode} */
const app = () => (typeof host.gradioApp === "function" ? host.gradioApp() : document);

/** What a selector finds in the page; as if it were any field. @type {HostFind} */
const find = (selector) => app().querySelector(selector);

/** The pictures that are there, apart from those of what is being drawn. @param {string} selector */
function pictures(selector) {
	const found = /** @type {NodeListOf<HTMLImageElement>} */ (app().querySelectorAll(selector));
	return [...found].filter((one) => one.complete && one.naturalWidth && !one.closest(".livePreview"));
}

/** The language of the host's interface, as far as there is a table for it. */
function language() {
	const name = host.opts?.localization;
	return typeof name === "string" && /^zh[-_]?(CN|Hans)?\b/i.test(name) ? "zh_CN" : "en";
}

/** Type a text into a field, if it is there. @type {Type} */
function type(field, text) {
	if (!field) return;
	field.value = text;
	field.dispatchEvent(new Event("input", { bubbles: true }));
}

/** One tab: the text of its panel and an editor of it. Neither answers to what came from itself. */
class Bound {
	#tab;
	#place;
	#editor;
	/** The text as it was last read or written. @type {string | null} */ #known = null;
	/** What was last seen of the size and the prompt. */ #seen = "";
	#language = language();

	/** @param {string} tab @param {HTMLElement} place */
	constructor(tab, place) {
		this.#tab = tab;
		this.#place = place;
		this.#editor = createEditor(place, {
			onChange: (panel) => this.#write(panel),
			language: this.#language,
			service: createService(baseOf(import.meta.url)),
			prompt: () => this.#field("prompt")?.value ?? "",
			planner: () => find(`#script_${tab}_ranni_planner input[type=radio]:checked`)?.value ?? "none",
			told: (guidance, prompt, negative) => {
				for (const name of SETTINGS) this.#set(name, guidance?.[name]);
				this.#fill("prompt", prompt);
				this.#fill("neg_prompt", negative);
			},
		});
		// For other scripts of the page, and for who tries things out in the browser's console.
		/** @type {any} */ (place).ranniEditor = this.#editor;
		this.look();
	}

	get isThere() {
		return this.#place.isConnected && this.#place.querySelector(".ranni-editor") !== null;
	}

	/** @param {string} name */
	#field(name) {
		return find(`#${this.#tab}_${name} textarea`);
	}

	get #text() {
		return find(`#script_${this.#tab}_ranni_panel textarea`);
	}

	/** Say it where nothing is said yet. @type {Fill} */
	#fill(name, text) {
		const area = this.#field(name);
		if (text && !area?.value.trim()) type(area, text);
	}

	/** @type {HostSet} */
	#set(name, value) {
		const of = `#script_${this.#tab}_ranni_${name} input, #${this.#tab}_${name} input`;
		for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (app().querySelectorAll(of))) {
			if (input.type === "number" && typeof value === "number") type(input, String(value));
			else if (input.type === "radio" && input.value === value) input.click();
		}
	}

	/** @param {Panel} panel */
	#write(panel) {
		const area = this.#text;
		if (!area) return;
		const isNothing = Object.keys(panel).length === 2 && panel.elements.length === 0;
		this.#known = isNothing ? "" : JSON.stringify(panel, null, 2);
		type(area, this.#known);
	}

	/** Follow what has changed in the tab since the last look. */
	look() {
		const text = this.#text?.value ?? this.#known;
		if (text !== this.#known) {
			this.#known = text;
			this.#editor.load(text?.trim() ? text : null);
		}
		const [width, height] = ["width", "height"].map((side) =>
			Number(find(`#${this.#tab}_${side} input[type=number]`)?.value),
		);
		// What is advised depends on the prompt: it is drawn anew.
		const seen = JSON.stringify([width, height, this.#field("prompt")?.value]);
		if (width > 0 && height > 0 && this.#seen !== seen) {
			this.#seen = seen;
			this.#editor.setAspect(width, height);
		}
		const result = this.#result(width / height);
		// While a picture is drawn there may be none.
		if (result) this.#editor.setResult(result);
		this.#editor.setInput(pictures(`#${this.#tab}_image img`)[0]?.src ?? null);
		const code = language();
		if (this.#language !== code) {
			this.#language = code;
			void loadTexts(code).then(() => this.#editor.setLanguage(code));
		}
	}

	/**
	 * The first picture of the tab's gallery, or the first that is no sheet of several.
	 * @param {number} aspect
	 */
	#result(aspect) {
		const found = pictures(`#${this.#tab}_gallery img`);
		const isWhole = (/** @type {HTMLImageElement} */ one) =>
			Math.abs(one.naturalWidth / one.naturalHeight / aspect - 1) < 0.02;
		return (found.find(isWhole) ?? found[0])?.src;
	}

	destroy() {
		this.#editor.destroy();
	}
}

/** Mount an editor wherever there is a place for one, now and whenever the host makes one. */
export async function start() {
	await loadTexts(language());
	/** @type {Map<string, Bound>} */
	const bound = new Map();
	const mount = () => {
		for (const tab of TABS) {
			const old = bound.get(tab);
			if (old?.isThere) continue;
			old?.destroy();
			bound.delete(tab);
			const place = find(`#script_${tab}_ranni_editor`);
			if (place) bound.set(tab, new Bound(tab, place));
		}
	};
	const look = () => {
		mount();
		if (!document.hidden) for (const one of bound.values()) one.look();
	};
	host.onUiLoaded?.(mount);
	host.onAfterUiUpdate?.(look);
	app().addEventListener("input", look);
	setInterval(look, LOOK_MS);
	mount();
}
