/** The panel editor: canvas, list and fields over one store. */

import { Backdrop } from "./backdrop.mjs";
import { Canvas } from "./canvas.mjs";
import { START, replacePanel } from "./commands.mjs";
import { EMPTY_PANEL, read } from "./document.mjs";
import { html, translate } from "./dom.mjs";
import { clamp, rounded } from "./geometry.mjs";
import { Files } from "./files.mjs";
import { Gestures } from "./gestures.mjs";
import { Inspector } from "./inspector.mjs";
import { Keyboard } from "./keyboard.mjs";
import { List } from "./list.mjs";
import { Notice } from "./notice.mjs";
import { Planning } from "./planning.mjs";
import { Store } from "./store.mjs";
import { text } from "./strings.mjs";
import { Toolbar } from "./toolbar.mjs";
import { Viewport } from "./viewport.mjs";
import { Warnings } from "./warnings.mjs";

/** How long changes that come one after the other are held back before `onChange` hears of them. */
const HOLD_MS = 150;
const PAUSE_MS = 1000;
const GRID_CELLS = 16;
const LEAST_STAGE_PX = 240;
const MOST_STAGE_PX = 560;

/**
 * Put an editor into `root`, which must be empty.
 *
 * `onChange` is called with the document after edits, once for a drag, never for a `load`. What `load` cannot
 * show is told, and editing waits until there is something that can be shown; it returns the problems.
 * @type {CreateEditor}
 */
export function createEditor(root, options = {}) {
	const parts = new Parts(root, options);
	return Object.freeze({
		load: (document) => parts.load(document),
		value: () => parts.value(),
		setAspect: (width, height) => parts.setAspect(width, height),
		setResult: (url) => parts.backdrop.set("result", url),
		setInput: (url) => parts.backdrop.set("input", url),
		setLanguage: (code) => parts.setLanguage(code),
		flush: () => parts.flush(),
		destroy: () => parts.destroy(),
	});
}

/** @implements {Context} */
class Parts {
	store = new Store();
	viewport = new Viewport();
	options = { snap: true, grid: false, cells: GRID_CELLS };
	/** @type {[number, number] | null} */ size = null;
	#onChange;
	#timer = 0;
	#pause = 0;
	/** The panel that `onChange` has last given, or `load` been given. */
	#known = EMPTY_PANEL;
	/** Panels that came from outside. @type {WeakSet<object>} */ #loaded = new WeakSet([EMPTY_PANEL]);
	#drawing = false;
	#frame = 0;
	/** The selection that the list and the fields were last drawn for. */
	#chosen = "";
	#stale = false;
	/** The language that the texts were last written in. */
	#written = "";

	/** @param {HTMLElement} root @param {EditorOptions} options */
	constructor(
		root,
		{ onChange, language = "en", service = null, prompt = () => "", planner = () => "", told = () => {} },
	) {
		this.#onChange = onChange;
		this.language = language;
		this.service = service;
		this.prompt = prompt;
		this.planner = planner;
		this.told = told;
		this.root = html("div", {
			class: "ranni-editor",
			role: "group",
			"data-label": "editor",
			focusout: () => this.flush(),
		});
		/** @type {Warnings} */
		this.warnings = new Warnings(this);
		/** @type {Canvas} */
		this.canvas = new Canvas(this);
		this.backdrop = new Backdrop(this);
		/** @type {Gestures} */
		this.gestures = new Gestures(this);
		this.keyboard = new Keyboard(this);
		/** @type {Inspector} */
		this.inspector = new Inspector(this);
		const [toolbar, list] = [new Toolbar(this), new List(this)];
		this.planning = new Planning(this);
		this.notice = new Notice(this, () => this.#restart());
		this.drawn = [toolbar, list, this.inspector, this.planning];
		const part = (/** @type {string} */ name, /** @type {Node[]} */ ...children) =>
			html("div", { class: `ranni-${name}` }, ...children);
		this.empty = part(
			"empty",
			html("strong", { "data-text": "empty_title" }),
			html("span", { "data-text": "empty_then" }),
		);
		this.stage = part("stage", this.canvas.node, this.empty);
		/** @type {Files} */
		const files = new Files(this);
		/** @type {Context["edit"]} */
		this.edit = (url) => files.edit(url);
		this.planning.bar.append(files.button);
		this.body = part(
			"body",
			part(
				"main",
				this.planning.bar,
				toolbar.node,
				this.stage,
				this.backdrop.node,
				this.planning.node,
				html("p", { class: "ranni-hint", "data-text": "hint" }),
			),
			part("side", list.node, this.inspector.node),
		);
		this.root.append(this.notice.node, this.body);
		root.append(this.root);
		this.store.subscribe((state, before) => this.#changed(state.panel !== before.panel));
		this.observer = new ResizeObserver(() => this.redraw());
		this.observer.observe(this.stage);
		this.redraw();
	}

	/** @type {Texts} */
	t = (key, ...args) => text(this.language, key, ...args);

	/** @param {any} document */
	load(document) {
		this.gestures.cancel();
		const { panel, problems } = read(document ?? EMPTY_PANEL);
		this.tell(problems, panel === null ? "unreadable" : "mended");
		if (panel === null) return problems;
		// A text that is typed elsewhere comes piece by piece: one step.
		this.store.apply(replacePanel(panel), "load");
		clearTimeout(this.#pause);
		this.#pause = window.setTimeout(() => this.store.seal("load"), PAUSE_MS);
		this.#known = this.store.state.panel;
		this.#loaded.add(this.#known);
		return problems;
	}

	/** @param {Panel} panel */
	replace(panel) {
		this.gestures.cancel();
		// Its elements have nothing to do with those that are selected or hidden.
		this.store.apply((state) =>
			replacePanel(panel)(state) === state ? state : Object.freeze({ ...START, panel }),
		);
		this.flush();
	}

	/** The panel; once edited, with the aspect at which it was seen. @returns {Panel} */
	value() {
		const { panel } = this.store.state;
		if (!this.size || this.#loaded.has(panel)) return panel;
		const { aspect: _, ...rest } = panel;
		return Object.freeze(this.aspect === 1 ? rest : { ...rest, aspect: this.aspect });
	}

	/** @type {SetAspect} */
	setAspect(width, height) {
		if (!(width > 0 && height > 0 && Number.isFinite(width / height))) return;
		this.size = [width, height];
		this.redraw();
	}

	/** @param {string} code */
	setLanguage(code) {
		this.language = code;
		this.notice.draw();
		this.redraw();
	}

	/** @type {Context["tell"]} */
	tell(problems, about) {
		this.notice.show(problems, about);
		this.body.inert = about === "unreadable";
	}

	/** What the canvas shows takes the place of a text that it cannot show. */
	#restart() {
		this.tell([], "mended");
		this.#onChange?.(this.value());
		this.canvas.focus();
	}

	/** @param {boolean} isEdit */
	#changed(isEdit) {
		if (isEdit) {
			clearTimeout(this.#timer);
			this.#timer = window.setTimeout(() => this.flush(), HOLD_MS);
		}
		this.redraw();
	}

	/** Give what is held back to `onChange` now, unless something is being dragged. */
	flush() {
		if (this.busy) return;
		clearTimeout(this.#timer);
		const { panel } = this.store.state;
		if (panel === this.#known) return;
		this.#known = panel;
		this.tell([], "mended");
		this.#onChange?.(this.value());
	}

	describe() {
		this.inspector.describe();
	}

	/** Keep the keyboard on the canvas when what had the focus is gone. */
	keepFocus() {
		const { activeElement } = document;
		const isElsewhere = this.canvas.focused === null && activeElement !== this.canvas.node;
		if (isElsewhere && this.root.contains(activeElement)) return;
		const { selection } = this.store.state;
		this.canvas.focus(selection.length === 1 ? selection[0] : undefined);
	}

	/** @param {number} factor */
	zoom(factor) {
		const { width, height } = this.canvas.node.getBoundingClientRect();
		if (factor) this.viewport.zoomAbout(width / 2, height / 2, factor);
		else this.viewport.reset();
		this.redraw();
	}

	get keypoints() {
		return this.inspector.keypoints;
	}

	/** Whether something is being dragged. @returns {boolean} */
	get busy() {
		return this.gestures.busy;
	}

	/** Width / height of the canvas. */
	get aspect() {
		const aspect = this.size ? this.size[0] / this.size[1] : (this.store.state.panel.aspect ?? 1);
		return clamp(rounded(aspect), 0.1, 10);
	}

	/** Now; while something is dragged, once before the next frame. */
	redraw() {
		if (this.busy) this.#frame ||= requestAnimationFrame(() => this.#redraw());
		else this.#redraw();
	}

	#redraw() {
		cancelAnimationFrame(this.#frame);
		this.#frame = 0;
		// Giving the focus back while drawing may select: then once more, not within.
		this.#stale = true;
		if (this.#drawing) return;
		this.#drawing = true;
		try {
			while (this.#stale) {
				this.#stale = false;
				this.#draw();
			}
		} finally {
			this.#drawing = false;
		}
	}

	#draw() {
		const { style, clientWidth } = this.stage;
		const height = Math.round(clamp(clientWidth / this.aspect, LEAST_STAGE_PX, MOST_STAGE_PX));
		if (style.height !== `${height}px`) style.height = `${height}px`;
		this.viewport.fit(clientWidth, height, this.aspect);
		if (this.#written !== this.language) translate(this.root, this.t);
		this.#written = this.language;
		const { panel, selection } = this.store.state;
		this.empty.hidden = panel.elements.length > 0;
		const chosen = selection.join();
		if (this.busy && chosen === this.#chosen) this.inspector.drawSides();
		else for (const part of this.drawn) part.draw();
		this.#chosen = chosen;
		this.backdrop.draw();
		this.canvas.draw(this.gestures.overlay);
	}

	destroy() {
		this.gestures.cancel();
		this.planning.destroy();
		this.flush();
		clearTimeout(this.#pause);
		cancelAnimationFrame(this.#frame);
		this.warnings.destroy();
		this.backdrop.destroy();
		this.observer.disconnect();
		this.keyboard.destroy();
		this.root.remove();
	}
}
