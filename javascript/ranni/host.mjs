/** The editor in the WebUI: one in each tab, bound to the tab's panel text and to its width and height. */

import { createEditor } from "./editor.mjs";
import { loadTexts } from "./strings.mjs";

const TABS = Object.freeze(["txt2img", "img2img"]);
/** How often the tab is looked at: values that its server sets fire no event. */
const LOOK_MS = 300;

/** @returns {ParentNode} */
function app() {
  const host = /** @type {any} */ (globalThis);
  return typeof host.gradioApp === "function" ? host.gradioApp() : document;
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
  #sizeKnown = "";
  #language = language();

  /** @param {string} tab @param {HTMLElement} place */
  constructor(tab, place) {
    this.#tab = tab;
    this.#place = place;
    this.#editor = createEditor(place, {
      onChange: (panel) => this.#write(panel),
      language: this.#language,
    });
    this.look();
  }

  get isThere() {
    return this.#place.isConnected && this.#place.querySelector(".ranni-editor") !== null;
  }

  #text() {
    return /** @type {HTMLTextAreaElement | null} */ (
      app().querySelector(`#script_${this.#tab}_ranni_panel textarea`)
    );
  }

  /** @param {import("./document.mjs").Panel} panel */
  #write(panel) {
    const area = this.#text();
    if (!area) return;
    const isNothing = Object.keys(panel).length === 2 && panel.elements.length === 0;
    this.#known = isNothing ? "" : JSON.stringify(panel, null, 2);
    area.value = this.#known;
    area.dispatchEvent(new Event("input", { bubbles: true }));
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
    if (width > 0 && height > 0 && this.#sizeKnown !== `${width}x${height}`) {
      this.#sizeKnown = `${width}x${height}`;
      this.#editor.setAspect(width, height);
    }
    if (this.#language !== language()) {
      const code = language();
      this.#language = code;
      void loadTexts(code).then(() => this.#editor.setLanguage(code));
    }
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
