/**
 * The editor in a host's page: one in each tab, bound to the tab's panel text, its size, prompt and pictures.
 */

import { watch } from "./dom.mjs";
import { createEditor } from "./editor.mjs";
import { baseOf, createService } from "./service.mjs";
import { loadTexts } from "./strings.mjs";

const TABS = ["txt2img", "img2img", "app"];
/** The settings whose controls follow a file that is opened. */
const SETTINGS = ["mode", "overlap", "base_ratio", "feather", "start", "end", "seed", "keep"];
/** How often the tab is looked at: values that its server sets fire no event. */
const LOOK_MS = 300;

/** What the host's own scripts share. @type {any} */
const host = globalThis;

/** @returns {ParentNode} */
const app = () => (typeof host.gradioApp === "function" ? host.gradioApp() : document);

/** @type {HostFind} */
const find = (selector) => app().querySelector(selector);

/** @type {FindAll} */
const findAll = (selector) => [...app().querySelectorAll(selector)];

/** @type {Pictures} */
const pictures = (selector) =>
	findAll(selector).filter((one) => one.complete && one.naturalWidth && !one.closest(".livePreview"));

/** The language of the host's interface, as far as there is a table for it. */
function language() {
	const name = host.opts?.localization;
	return typeof name === "string" && /^zh[-_]?(CN|Hans)?\b/i.test(name) ? "zh_CN" : "en";
}

/** @type {Type} */
function type(field, text) {
	if (!field) return;
	field.value = text;
	field.dispatchEvent(new Event("input", { bubbles: true }));
}

/** @type {Bind} */
function bind(tab, place) {
	/** The text as it was last read or written. @type {string | null} */
	let known = null;
	let shown = language();
	/** What is advised depends on the prompt: with another one it is drawn anew. */
	const isOther = watch();

	/** @param {string} name */
	const field = (name) => find(`#${tab}_${name} textarea`);
	const text = () => find(`#script_${tab}_ranni_panel textarea`);

	/** @type {Fill} */
	function fill(name, said, always) {
		const area = field(name);
		if (always || (said && !area?.value.trim())) type(area, said ?? "");
	}

	/** @type {HostSet} */
	function set(name, value) {
		for (const input of findAll(`#script_${tab}_ranni_${name} input, #${tab}_${name} input`)) {
			if (input.type === "number" && typeof value === "number") type(input, String(value));
			else if (input.type === "radio" && input.value === value) input.click();
			else if (input.type === "checkbox" && value === !input.checked) input.click();
		}
	}

	/** @type {ResultOf} */
	function result(aspect) {
		const found = pictures(`#${tab}_chosen img, #${tab}_gallery img`);
		const whole = found.find((one) => Math.abs(one.naturalWidth / one.naturalHeight / aspect - 1) < 0.02);
		return (whole ?? found[0])?.src;
	}

	const editor = createEditor(place, {
		onChange(panel) {
			const area = text();
			if (!area) return;
			const isNothing = Object.keys(panel).length === 2 && panel.elements.length === 0;
			known = isNothing ? "" : JSON.stringify(panel, null, 2);
			type(area, known);
		},
		language: shown,
		service: createService(baseOf(import.meta.url)),
		prompt: () => field("prompt")?.value ?? "",
		planner: () => find(`#script_${tab}_ranni_planner input[type=radio]:checked`)?.value ?? "none",
		told(guidance, prompt, negative) {
			for (const name of SETTINGS) set(name, guidance?.[name]);
			// What is edited must be drawn with the same prompts.
			fill("prompt", prompt, guidance?.keep);
			fill("neg_prompt", negative, guidance?.keep);
		},
	});

	/** Follow what has changed in the tab since the last look. */
	function look() {
		const now = text()?.value ?? known;
		if (now !== known) {
			known = now;
			editor.load(now?.trim() ? now : null);
		}
		const [width, height] = ["width", "height"].map((side) =>
			Number(find(`#${tab}_${side} input[type=number]`)?.value),
		);
		if (width > 0 && height > 0 && isOther(width, height, field("prompt")?.value))
			editor.setAspect(width, height);
		const picture = result(width / height);
		// While a picture is drawn there may be none.
		if (picture) editor.setResult(picture);
		editor.setInput(pictures(`#${tab}_image img`)[0]?.src ?? null);
		const code = language();
		if (shown === code) return;
		shown = code;
		void loadTexts(code).then(() => editor.setLanguage(code));
	}

	// For other scripts of the page, and for who tries things out in the browser's console.
	/** @type {any} */ (place).ranniEditor = editor;
	look();
	return {
		look,
		isThere: () => place.isConnected && place.querySelector(".ranni-editor") !== null,
		destroy: editor.destroy,
	};
}

/** Mount an editor wherever there is a place for one, now and whenever the host makes one. */
export async function start() {
	await loadTexts(language());
	/** @type {Map<string, Bound>} */
	const bound = new Map();
	const mount = () => {
		for (const tab of TABS) {
			const old = bound.get(tab);
			if (old?.isThere()) continue;
			old?.destroy();
			bound.delete(tab);
			const place = find(`#script_${tab}_ranni_editor`);
			if (place) bound.set(tab, bind(tab, place));
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
