/** The editor in a host's page: one in each tab, bound to the tab's panel text, its size, prompt and pictures. */

import { createEditor } from "./editor.mjs";
import { baseOf, createService } from "./service.mjs";
import { loadTexts } from "./strings.mjs";

const TABS = Object.freeze(["txt2img", "img2img", "app"]);
/** The settings whose controls follow a file that is opened. */
const SETTINGS = ["mode", "overlap", "base_ratio", "feather", "start", "end"];
/** How often the tab is looked at: values that its server sets fire no event. */
const LOOK_MS = 300;

/** @returns {ParentNode} */
function app() {
  const host = /** @type {any} */ (globalThis);
  return typeof host.gradioApp === "function" ? host.gradioApp() : document;
}

/** The pictures that are there, apart from those of what is being drawn. @param {string} selector */
function pictures(selector) {
  const found = /** @type {NodeListOf<HTMLImageElement>} */ (app().querySelectorAll(selector));
  return [...found].filter((one) => one.complete && one.naturalWidth && !one.closest(".livePreview"));
}

/** The language of the host's interface, as far as there is a table for it. */
function language() {
  const name = /** @type {any} */ (globalThis).opts?.localization;
  return typeof name === "string" && /^zh[-_]?(CN|Hans)?\b/i.test(name) ? "zh_CN" : "en";
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
      planner: () => this.#planner(),
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

  /** @param {string} name @param {string} [before] @returns {HTMLTextAreaElement | null} */
  #field(name, before = "") {
    return app().querySelector(`#${before}${this.#tab}_${name} textarea`);
  }

  #text() {
    return this.#field("ranni_panel", "script_");
  }

  #planner() {
    const chosen = app().querySelector(`#script_${this.#tab}_ranni_planner input[type=radio]:checked`);
    return /** @type {HTMLInputElement | null} */ (chosen)?.value ?? "none";
  }

  /** Say it where nothing is said yet. @param {string} name @param {string | null} text */
  #fill(name, text) {
    const area = this.#field(name);
    if (area && text && !area.value.trim()) this.#type(area, text);
  }

  /** @param {string} name @param {any} value */
  #set(name, value) {
    const of = `#script_${this.#tab}_ranni_${name} input, #${this.#tab}_${name} input`;
    for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (app().querySelectorAll(of))) {
      if (input.type === "number" && typeof value === "number") this.#type(input, String(value));
      else if (input.type === "radio" && input.value === value) input.click();
    }
  }

  /** @param {HTMLTextAreaElement | HTMLInputElement} area @param {string} text */
  #type(area, text) {
    area.value = text;
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /** @param {import("./document.mjs").Panel} panel */
  #write(panel) {
    const area = this.#text();
    if (!area) return;
    const isNothing = Object.keys(panel).length === 2 && panel.elements.length === 0;
    this.#known = isNothing ? "" : JSON.stringify(panel, null, 2);
    this.#type(area, this.#known);
  }

  /** Follow what has changed in the tab since the last look. */
  look() {
    const area = this.#text();
    if (area && area.value !== this.#known) {
      this.#known = area.value;
      this.#editor.load(area.value.trim() ? area.value : null);
    }
    const [width, height] = ["width", "height"].map((side) => {
      const input = app().querySelector(`#${this.#tab}_${side} input[type=number]`);
      return Number(/** @type {HTMLInputElement | null} */ (input)?.value);
    });
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
    if (this.#language !== language()) {
      const code = language();
      this.#language = code;
      void loadTexts(code).then(() => this.#editor.setLanguage(code));
    }
  }

  /** The first picture of the tab's gallery, or the first that is no sheet of several. @param {number} aspect */
  #result(aspect) {
    const found = pictures(`#${this.#tab}_gallery img`);
    const isWhole = (/** @type {HTMLImageElement} */ one) =>
      Math.abs(one.naturalWidth / one.naturalHeight / aspect - 1) < 0.02;
    return (found.find(isWhole) ?? found[0])?.src ?? null;
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
      const place = app().querySelector(`#script_${tab}_ranni_editor`);
      if (place instanceof HTMLElement) bound.set(tab, new Bound(tab, place));
    }
  };
  const look = () => {
    mount();
    if (!document.hidden) for (const one of bound.values()) one.look();
  };
  const { onUiLoaded, onAfterUiUpdate } = /** @type {any} */ (globalThis);
  if (typeof onUiLoaded === "function") onUiLoaded(mount);
  if (typeof onAfterUiUpdate === "function") onAfterUiUpdate(look);
  app().addEventListener("input", look);
  setInterval(look, LOOK_MS);
  mount();
}
