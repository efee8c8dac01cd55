/** What a mouse, a finger or a pen does on the canvas. */

import { add, grasped, openElements, place, select, toggleSelected } from "./commands.mjs";
import { update } from "./dom.mjs";
import {
	LEAST,
	allowedShift,
	between,
	bounds,
	box,
	clamp,
	hits,
	meets,
	moved,
	nextBelow,
	resized,
	scaled,
	sizeOf,
	snap,
	snapLines,
	snapPlaces,
} from "./geometry.mjs";
import { Part } from "./part.mjs";

const CLICK_PX = 4;
const SNAP_PX = 6;

/** @type {Overlay} */
const NOTHING = Object.freeze({ guides: [], marquee: null });

export class Gestures extends Part {
	/** @type {Gesture | null} */ #gesture = null;
	/** @type {Map<number, [number, number]>} */ #fingers = new Map();
	#count = 0;
	#node = this.context.canvas.node;
	overlay = NOTHING;
	/** Whether the space bar is down, so that dragging pans. */
	spaceHeld = false;

	/** @param {Context} context */
	constructor(context) {
		super(context);
		const lost = (/** @type {PointerEvent} */ event) => this.#lost(event);
		// Focus is ours to give; the middle button would scroll, and on Linux paste what is selected.
		const prevent = (/** @type {Event} */ event) => event.preventDefault();
		update(this.#node, {
			pointerdown: (event) => this.#down(event),
			pointermove: (event) => this.#move(event),
			pointerup: (event) => this.#up(event),
			pointercancel: lost,
			lostpointercapture: lost,
			wheel: (event) => this.#wheel(event),
			mousedown: prevent,
			mouseup: prevent,
			auxclick: prevent,
		});
	}

	/** Whether something is being dragged. */
	get busy() {
		return this.#gesture !== null;
	}

	/** Give up what is being dragged, as if it had not begun. @returns {boolean} whether there was anything */
	cancel() {
		const gesture = this.#gesture;
		if (!gesture) return false;
		this.store.cancel(gesture.run);
		this.apply(select(gesture.before.selection));
		this.#end();
		return true;
	}

	/** @type {At} */
	#at({ clientX, clientY }) {
		const { left, top } = this.#node.getBoundingClientRect();
		return [clientX - left, clientY - top];
	}

	/** @type {OnPointer} */
	#down(event) {
		const { pointerId: pointer, button } = event;
		const [px, py] = this.#at(event);
		// Who points needs no ring to see what has the focus.
		this.#node.classList.add("ranni-pointed");
		this.#fingers.set(pointer, [px, py]);
		this.#node.setPointerCapture(pointer);
		if (this.#fingers.size === 2) this.cancel();
		if (this.#fingers.size > 1 || this.#gesture || button > 1) return;
		this.store.seal();
		const [x, y] = this.context.viewport.toCanvas(px, py);
		const run = `drag ${(this.#count += 1)}`;
		/** @type {Gesture} */
		const gesture = {
			kind: "draw",
			pointer,
			px,
			py,
			x,
			y,
			before: this.state,
			run,
			began: false,
			snaps: false,
		};
		this.#gesture = gesture;
		if (button === 1 || this.spaceHeld) gesture.kind = "pan";
		else this.#choose(event, gesture);
		gesture.before = this.state;
		const { selection } = this.state;
		this.context.canvas.focus(selection.length === 1 ? selection[0] : undefined);
	}

	/** What a press at this place begins. @type {Choose} */
	#choose({ target, ctrlKey, metaKey, shiftKey, altKey }, gesture) {
		const { keypoints } = this.context;
		const { selection } = this.state;
		const grip = /** @type {Element} */ (target).closest("[data-handle], [data-point]");
		const { handle, point } = /** @type {SVGElement | null} */ (grip)?.dataset ?? {};
		if (handle) {
			gesture.kind = "resize";
			gesture.handle = /** @type {Handle} */ (handle);
			return;
		}
		if (point || keypoints.placing) {
			gesture.kind = "point";
			gesture.point = point ? Number(point) : keypoints.put(gesture.x, gesture.y, gesture.run);
			return;
		}
		const found = hits(this.visible, gesture.x, gesture.y);
		const top = found[0];
		gesture.click = top ? [top.id] : [];
		if (ctrlKey || metaKey) return;
		if (!top) {
			if (shiftKey) gesture.kind = "marquee";
			return;
		}
		if (altKey || shiftKey) {
			const below = nextBelow(found, (e) => selection.includes(e.id)) ?? top;
			this.apply(altKey ? select([below.id]) : toggleSelected(top.id));
			gesture.click = undefined;
		} else if (!found.some((e) => selection.includes(e.id) && !e.locked)) {
			// What is locked, such as a background, can be drawn on.
			if (top.locked) return;
			this.apply(select([top.id]));
		}
		gesture.kind = "move";
	}

	/** @type {OnPointer} */
	#move(event) {
		const { pointerId } = event;
		const { viewport, options } = this.context;
		const [px, py] = this.#at(event);
		const old = this.#fingers.get(pointerId);
		if (old && this.#fingers.size === 2) this.#pinch(pointerId, px, py);
		if (old) this.#fingers.set(pointerId, [px, py]);
		const gesture = this.#gesture;
		if (gesture?.pointer !== pointerId || !old) return;
		if (!gesture.began && Math.hypot(px - gesture.px, py - gesture.py) < CLICK_PX) return;
		gesture.began = true;
		gesture.snaps = options.snap && !(event.ctrlKey && gesture.kind !== "draw");
		if (gesture.kind === "pan") viewport.pan(px - old[0], py - old[1]);
		else this.#drags[gesture.kind](gesture, ...viewport.toCanvas(px, py), event);
		this.context.redraw();
	}

	/** @type {Record<Exclude<Gesture["kind"], "pan">, Drag>} */
	#drags = {
		move: (gesture, x, y) => this.#shift(gesture, x - gesture.x, y - gesture.y),
		resize: (gesture, x, y, event) => this.#resize(gesture, x, y, event),
		draw: (gesture, x, y) => this.#draw(gesture, x, y),
		point: ({ point, run }, x, y) => this.context.keypoints.move(Number(point), x, y, run),
		marquee: ({ x: from, y: down, before }, x, y) => {
			const marquee = between(from, down, x, y, 1e-4);
			this.overlay = { guides: [], marquee };
			const inside = this.visible.filter((e) => meets(e.box, marquee)).map((e) => e.id);
			this.apply(select([...before.selection, ...inside]));
		},
	};

	/** Snap places to everything but `ids`. @type {Snapped} */
	#snapped({ snaps }, places, ids) {
		if (!snaps) return { dx: 0, dy: 0, guides: [] };
		const { viewport, options } = this.context;
		const others = this.visible.filter((e) => !ids.includes(e.id)).map((e) => e.box);
		const { width, height } = viewport.page;
		const lines = snapLines(others, options.grid ? options.cells : 0);
		return snap(places, lines, { x: SNAP_PX / width, y: SNAP_PX / height });
	}

	/** @type {GestureDraw} */
	#draw(gesture, x, y) {
		const { before, run } = gesture;
		const own = before === this.state ? [] : this.selection;
		const from = this.#snapped(gesture, { x: [gesture.x], y: [gesture.y] }, own);
		const to = this.#snapped(gesture, { x: [x], y: [y] }, own);
		this.overlay = { guides: to.guides, marquee: null };
		const drawn = between(gesture.x + from.dx, gesture.y + from.dy, x + to.dx, y + to.dy);
		const [left, right] = [Math.min(gesture.x, x), Math.max(gesture.x, x)];
		const [top, bottom] = [Math.min(gesture.y, y), Math.max(gesture.y, y)];
		if (meets(box(left, top, right, bottom), box(0, 0, 1, 1)))
			this.apply(() => add(this.t("new_element"), drawn)(before), run);
	}

	/**
	 * What is selected, about the opposite handle: with Alt about its middle, with Shift in its proportions.
	 * @type {Drag}
	 */
	#resize(gesture, x, y, { shiftKey: keep, altKey: center }) {
		const { before, run, handle } = gesture;
		const open = grasped(before);
		if (!open.length || !handle) return;
		const along = { x: /[ew]/.test(handle) ? [x] : [], y: /[ns]/.test(handle) ? [y] : [] };
		gesture.snaps &&= !keep;
		const { dx, dy, guides } = this.#snapped(gesture, along, before.selection);
		const around = bounds(open.map((e) => e.box));
		// None of them becomes too thin.
		const least = /** @type {const} */ (["x", "y"]).map((axis) => {
			const size = sizeOf(around, axis);
			return Math.min(size, (LEAST * size) / Math.min(...open.map((e) => sizeOf(e.box, axis))));
		});
		const to = resized(around, handle, x + dx, y + dy, { least, keep, center });
		this.overlay = { guides, marquee: null };
		const boxes = new Map(open.map((e) => [e.id, scaled(e.box, around, to)]));
		this.apply(() => place(boxes)(before), run);
	}

	/** @type {Shift} */
	#shift(gesture, dx, dy) {
		const { selection } = gesture.before;
		const moving = openElements(gesture.before, selection);
		if (!moving.length) return;
		const around = bounds(moving.map((e) => e.box));
		const [fromX, fromY] = allowedShift(around, dx, dy);
		const snapped = this.#snapped(gesture, snapPlaces(moved(around, fromX, fromY)), selection);
		const [toX, toY] = allowedShift(around, fromX + snapped.dx, fromY + snapped.dy);
		this.overlay = { guides: snapped.guides, marquee: null };
		const boxes = new Map(moving.map((e) => [e.id, moved(e.box, toX, toY)]));
		this.apply(() => place(boxes)(gesture.before), gesture.run);
	}

	/** @type {OnPointer} */
	#up({ pointerId }) {
		const gesture = this.#gesture;
		this.#fingers.delete(pointerId);
		if (gesture?.pointer !== pointerId) return;
		if (!gesture.began && gesture.click && gesture.kind !== "pan") {
			this.apply(select(gesture.click));
			this.context.canvas.focus(gesture.click[0]);
		}
		this.#end();
		const isDrawn = gesture.kind === "draw" && this.state.panel !== gesture.before.panel;
		if (isDrawn) this.context.describe();
	}

	/** @type {OnPointer} */
	#lost({ pointerId }) {
		this.#fingers.delete(pointerId);
		if (this.#gesture?.pointer === pointerId) this.cancel();
	}

	#end() {
		this.#gesture = null;
		this.overlay = NOTHING;
		this.store.seal();
		this.context.redraw();
		this.context.flush();
	}

	/** @type {Pinch} */
	#pinch(moving, px, py) {
		const { viewport } = this.context;
		const still = [...this.#fingers].find(([id]) => id !== moving)?.[1];
		const old = this.#fingers.get(moving);
		if (!still || !old) return;
		const before = Math.hypot(old[0] - still[0], old[1] - still[1]);
		const after = Math.hypot(px - still[0], py - still[1]);
		viewport.pan((px - old[0]) / 2, (py - old[1]) / 2);
		if (before > 0 && after > 0) viewport.zoomAbout((px + still[0]) / 2, (py + still[1]) / 2, after / before);
		this.context.redraw();
	}

	/** @param {WheelEvent} event */
	#wheel(event) {
		// Without the focus, a wheel over the canvas scrolls the page as everywhere else.
		if (!event.ctrlKey && !this.#node.contains(document.activeElement)) return;
		event.preventDefault();
		const px = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * 30;
		const factor = Math.exp(clamp(-px, -300, 300) / (event.ctrlKey ? 150 : 400));
		this.context.viewport.zoomAbout(...this.#at(event), factor);
		this.context.redraw();
	}
}
