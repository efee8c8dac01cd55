/** The panel editor: canvas, list and fields over one store. */

import { createBackdrop } from "./backdrop.mjs";
import { createCanvas } from "./canvas.mjs";
import { START, replacePanel } from "./commands.mjs";
import { EMPTY_PANEL, read } from "./document.mjs";
import { html, translate, watch } from "./dom.mjs";
import { createFiles } from "./files.mjs";
import { clamp, rounded } from "./geometry.mjs";
import { createGestures } from "./gestures.mjs";
import { createInspector } from "./inspector.mjs";
import { listenToKeys } from "./keyboard.mjs";
import { createList } from "./list.mjs";
import { createNotice } from "./notice.mjs";
import { createPlanning } from "./planning.mjs";
import { createStore } from "./store.mjs";
import { text } from "./strings.mjs";
import { createActions, createToolbar } from "./toolbar.mjs";
import { createViewport } from "./viewport.mjs";
import { createWarnings } from "./warnings.mjs";

/** How long changes that come one after the other are held back before `onChange` hears of them. */
const HOLD_MS = 150;
const PAUSE_MS = 1000;
const GRID_CELLS = 16;
const LEAST_STAGE_PX = 240;
const MOST_STAGE_PX = 560;

/** @type {CreateEditor} */
export function createEditor(place, given = {}) {
	const { onChange = () => {}, language = "en", service = null } = given;
	const { prompt = () => "", planner = () => "", told = () => {} } = given;
	const store = createStore();
	const viewport = createViewport();
	const end = new AbortController();
	/** Timers until `onChange` hears of changes, and until the next `load` is a step of its own. */
	let [holding, pausing] = [0, 0];
	/** The panel that `onChange` has last given, or `load` been given. */
	let known = EMPTY_PANEL;
	/** Panels that came from outside. @type {WeakSet<object>} */
	const loaded = new WeakSet([EMPTY_PANEL]);
	let frame = 0;
	let [isDrawing, isStale] = [false, false];
	/** For the list and the fields, and for the texts. */
	const [isOtherSelection, isOtherLanguage] = [watch(), watch()];
	const root = html("div.editor", { role: "group", "data-label": "editor", focusout: flush });
	/** @type {Partial<Context>} */
	const shared = {
		root,
		store,
		viewport,
		options: { snap: true, grid: false, cells: GRID_CELLS },
		gone: end.signal,
		language,
		size: null,
		get aspect() {
			const { size } = context;
			return clamp(rounded(size ? size[0] / size[1] : (store.panel.aspect ?? 1)), 0.1, 10);
		},
		get isBusy() {
			return context.gestures.isBusy;
		},
		t: (key, ...args) => text(context.language, key, ...args),
		service,
		prompt,
		planner,
		told,
		value,
		/** Its elements have nothing to do with those that are selected or hidden. */
		replace(panel) {
			context.gestures.cancel();
			store.apply((state) =>
				replacePanel(panel)(state) === state ? state : Object.freeze({ ...START, panel }),
			);
			flush();
		},
		redraw,
		flush,
		describe: () => inspector.describe(),
		keepFocus() {
			const { activeElement } = document;
			const { node, focused } = context.canvas;
			const isElsewhere = focused === null && activeElement !== node;
			if (!isElsewhere || !root.contains(activeElement)) context.canvas.focus(store.selection);
		},
		zoom(factor) {
			const { width, height } = context.canvas.node.getBoundingClientRect();
			if (factor) viewport.zoomAbout(width / 2, height / 2, factor);
			else viewport.reset();
			redraw();
		},
		tell(problems, about) {
			notice.show(problems, about);
			body.inert = about === "unreadable";
		},
	};
	/** Its parts come one after the other, each after those that it needs. */
	const context = /** @type {Context} */ (shared);
	context.warnings = createWarnings(context);
	const canvas = (context.canvas = createCanvas(context));
	const backdrop = createBackdrop(context);
	const gestures = (context.gestures = createGestures(context));
	const inspector = createInspector(context);
	context.keypoints = inspector.keypoints;
	context.actions = createActions(context);
	listenToKeys(context);
	const toolbar = createToolbar(context);
	const list = createList(context);
	const planning = createPlanning(context);
	const notice = createNotice(context, restart);
	const empty = html(
		"div.empty",
		html("strong", { "data-text": "empty_title" }),
		html("span", { "data-text": "empty_then" }),
	);
	const stage = html("div.stage", canvas.node, empty);
	const hint = html("p.hint", { "data-text": "hint" });
	const body = html(
		"div.body",
		html("div.main", planning.bar, toolbar.node, stage, backdrop.node, planning.node, hint),
		html("div.side", list.node, inspector.node),
	);
	planning.bar.append(createFiles(context));
	root.append(notice.node, body);
	place.append(root);
	store.subscribe((state, before) => {
		if (state.panel !== before.panel) {
			clearTimeout(holding);
			holding = window.setTimeout(flush, HOLD_MS);
		}
		redraw();
	});
	const observer = new ResizeObserver(redraw);
	observer.observe(stage);
	redraw();

	/** The panel; once edited, with the aspect at which it was seen. @returns {Panel} */
	function value() {
		const { panel } = store;
		if (!context.size || loaded.has(panel)) return panel;
		const { aspect: _, ...rest } = panel;
		return Object.freeze(context.aspect === 1 ? rest : { ...rest, aspect: context.aspect });
	}

	/** What the canvas shows takes the place of a text that it cannot show. */
	function restart() {
		give();
		canvas.focus();
	}

	function give() {
		context.tell([], "mended");
		onChange(value());
	}

	/** Give what is held back to `onChange` now, unless something is being dragged. */
	function flush() {
		if (gestures.isBusy) return;
		clearTimeout(holding);
		if (store.panel === known) return;
		known = store.panel;
		give();
	}

	/** Now; while something is dragged, once before the next frame. */
	function redraw() {
		if (gestures.isBusy) frame ||= requestAnimationFrame(drawAll);
		else drawAll();
	}

	function drawAll() {
		cancelAnimationFrame(frame);
		frame = 0;
		// Giving the focus back while drawing may select: then once more, not within.
		isStale = true;
		if (isDrawing) return;
		isDrawing = true;
		try {
			while (isStale) {
				isStale = false;
				draw();
			}
		} finally {
			isDrawing = false;
		}
	}

	function draw() {
		const { style, clientWidth } = stage;
		const { aspect } = context;
		const height = Math.round(clamp(clientWidth / aspect, LEAST_STAGE_PX, MOST_STAGE_PX));
		if (style.height !== `${height}px`) style.height = `${height}px`;
		viewport.fit(clientWidth, height, aspect);
		if (isOtherLanguage(context.language)) translate(root, context.t);
		empty.hidden = store.panel.elements.length > 0;
		if (isOtherSelection(store.selection.join()) || !gestures.isBusy)
			for (const part of [toolbar, list, inspector, planning]) part.draw();
		else inspector.drawSides();
		backdrop.draw();
		canvas.draw(gestures.overlay);
	}

	return Object.freeze({
		load(document) {
			gestures.cancel();
			const { panel, problems } = read(document ?? EMPTY_PANEL);
			context.tell(problems, panel === null ? "unreadable" : "mended");
			if (panel === null) return problems;
			// A text that is typed elsewhere comes piece by piece: one step.
			store.apply(replacePanel(panel), "load");
			clearTimeout(pausing);
			pausing = window.setTimeout(() => store.seal("load"), PAUSE_MS);
			known = store.panel;
			loaded.add(known);
			return problems;
		},
		value,
		setAspect(width, height) {
			if (!(width > 0 && height > 0 && Number.isFinite(width / height))) return;
			context.size = [width, height];
			redraw();
		},
		setResult: (url) => backdrop.set("result", url),
		setInput: (url) => backdrop.set("input", url),
		setLanguage(code) {
			context.language = code;
			notice.draw();
			redraw();
		},
		flush,
		destroy() {
			gestures.cancel();
			flush();
			end.abort();
			cancelAnimationFrame(frame);
			clearTimeout(pausing);
			observer.disconnect();
			root.remove();
		},
	});
}
