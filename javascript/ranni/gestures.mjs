/** What a mouse, a finger or a pen does on the canvas. */

import { add, grasped, openElements, place, select, toggleSelected } from "./commands.mjs";
import { setClass, update } from "./dom.mjs";
import * as geometry from "./geometry.mjs";

const { bounds, clamp, moved, sizeOf } = geometry;

const CLICK_PX = 4;
const SNAP_PX = 6;

/** @type {Create<Gestures>} */
export function createGestures(context) {
	const { store, viewport, options, canvas, redraw } = context;
	const { node } = canvas;
	/** @type {Gesture | null} */
	let gesture = null;
	/** Where they are, by their pointer's id. @type {Map<number, [number, number]>} */
	const fingers = new Map();
	let count = 0;
	/** @type {Gestures} */
	const gestures = {
		overlay: {},
		spaceHeld: false,
		get isBusy() {
			return gesture !== null;
		},
		cancel() {
			if (!gesture) return false;
			store.cancel(gesture.run);
			store.apply(select(gesture.before.selection));
			end();
			return true;
		},
	};

	/** @type {At} */
	function at({ clientX, clientY }) {
		const { left, top } = node.getBoundingClientRect();
		return [clientX - left, clientY - top];
	}

	/** @type {OnPointer} */
	function press(event) {
		const { pointerId: pointer, button } = event;
		const [px, py] = at(event);
		// Who points needs no ring to see what has the focus.
		setClass(node, "pointed", true);
		fingers.set(pointer, [px, py]);
		node.setPointerCapture(pointer);
		if (fingers.size === 2) gestures.cancel();
		if (fingers.size > 1 || gesture || button > 1) return;
		store.seal();
		const [x, y] = viewport.toCanvas(px, py);
		const run = `drag ${(count += 1)}`;
		gesture = { kind: "draw", pointer, px, py, x, y, before: store.state, run, began: false, snaps: false };
		if (button === 1 || gestures.spaceHeld) gesture.kind = "pan";
		else choose(event, gesture);
		gesture.before = store.state;
		canvas.focus(store.selection);
	}

	/** @type {Choose} */
	function choose({ target, ctrlKey, metaKey, shiftKey, altKey }, begun) {
		const { x, y, run } = begun;
		const { keypoints } = context;
		const { selection } = store;
		const grip = /** @type {Element} */ (target).closest("[data-handle], [data-point]");
		const { handle, point } = /** @type {SVGElement | null} */ (grip)?.dataset ?? {};
		if (handle) {
			begun.kind = "resize";
			begun.handle = /** @type {Handle} */ (handle);
			return;
		}
		if (point || keypoints.isPlacing) {
			begun.kind = "point";
			begun.point = point ? Number(point) : keypoints.put(x, y, run);
			return;
		}
		const found = geometry.hits(store.visible, x, y);
		const top = found[0];
		begun.click = top ? [top.id] : [];
		if (ctrlKey || metaKey) return;
		if (!top) {
			if (shiftKey) begun.kind = "marquee";
			return;
		}
		const isChosen = (/** @type {PanelElement} */ e) => selection.includes(e.id);
		if (altKey || shiftKey) {
			const below = geometry.nextBelow(found, isChosen) ?? top;
			store.apply(altKey ? select([below.id]) : toggleSelected(top.id));
			begun.click = undefined;
		} else if (!found.some((e) => isChosen(e) && !e.locked)) {
			// What is locked, such as a background, can be drawn on.
			if (top.locked) return;
			store.apply(select([top.id]));
		}
		begun.kind = "move";
	}

	/** @type {OnPointer} */
	function drag(event) {
		const { pointerId } = event;
		const [px, py] = at(event);
		const old = fingers.get(pointerId);
		if (!old) return;
		if (fingers.size === 2) pinch(pointerId, px, py, old);
		fingers.set(pointerId, [px, py]);
		if (gesture?.pointer !== pointerId) return;
		if (!gesture.began && Math.hypot(px - gesture.px, py - gesture.py) < CLICK_PX) return;
		gesture.began = true;
		gesture.snaps = options.snap && !(event.ctrlKey && gesture.kind !== "draw");
		if (gesture.kind === "pan") viewport.pan(px - old[0], py - old[1]);
		else gestures.overlay = drags[gesture.kind](gesture, ...viewport.toCanvas(px, py), event) ?? {};
		redraw();
	}

	/** @type {SnapTo} */
	function snapped({ snaps }, places, ids) {
		if (!snaps) return { dx: 0, dy: 0, guides: [] };
		const others = store.visible.filter((e) => !ids.includes(e.id)).map((e) => e.box);
		const { width, height } = viewport.page;
		const lines = geometry.snapLines(others, options.grid ? options.cells : 0);
		return geometry.snap(places, lines, { x: SNAP_PX / width, y: SNAP_PX / height });
	}

	/** @type {Drags} */
	const drags = {
		move(begun, x, y) {
			const { before, run } = begun;
			const moving = openElements(before, before.selection);
			if (!moving.length) return;
			const around = bounds(moving.map((e) => e.box));
			const [fromX, fromY] = geometry.allowedShift(around, x - begun.x, y - begun.y);
			const places = geometry.snapPlaces(moved(around, fromX, fromY));
			const { dx, dy, guides } = snapped(begun, places, before.selection);
			const [toX, toY] = geometry.allowedShift(around, fromX + dx, fromY + dy);
			const boxes = new Map(moving.map((e) => [e.id, moved(e.box, toX, toY)]));
			store.apply(() => place(boxes)(before), run);
			return { guides };
		},
		/** What is selected, about the opposite handle: with Alt about its middle, with Shift in its proportions. */
		resize(begun, x, y, { shiftKey: keep, altKey: center }) {
			const { before, run, handle } = begun;
			const open = grasped(before);
			if (!open.length || !handle) return;
			const [u, v] = geometry.handleAt(handle);
			begun.snaps &&= !keep;
			const places = { x: u === 0.5 ? [] : [x], y: v === 0.5 ? [] : [y] };
			const { dx, dy, guides } = snapped(begun, places, before.selection);
			const around = bounds(open.map((e) => e.box));
			// None of them becomes too thin.
			const least = geometry.AXES.map((axis) => {
				const size = sizeOf(around, axis);
				return Math.min(size, (geometry.LEAST * size) / Math.min(...open.map((e) => sizeOf(e.box, axis))));
			});
			const to = geometry.resized(around, handle, x + dx, y + dy, { least, keep, center });
			const boxes = new Map(open.map((e) => [e.id, geometry.scaled(e.box, around, to)]));
			store.apply(() => place(boxes)(before), run);
			return { guides };
		},
		draw(begun, x, y) {
			const { before, run } = begun;
			const own = before === store.state ? [] : store.selection;
			const from = snapped(begun, { x: [begun.x], y: [begun.y] }, own);
			const { dx, dy, guides } = snapped(begun, { x: [x], y: [y] }, own);
			const box = geometry.between(begun.x + from.dx, begun.y + from.dy, x + dx, y + dy);
			if (!geometry.areOutside(begun.x, begun.y, x, y))
				store.apply(() => add(context.t("new_element"), box)(before), run);
			return { guides };
		},
		point({ point, run }, x, y) {
			context.keypoints.move(Number(point), x, y, run);
		},
		marquee(begun, x, y) {
			const marquee = geometry.between(begun.x, begun.y, x, y, 1e-4);
			const inside = store.visible.filter((e) => geometry.meets(e.box, marquee)).map((e) => e.id);
			store.apply(select([...begun.before.selection, ...inside]));
			return { marquee };
		},
	};

	/** @type {OnPointer} */
	function release({ pointerId }) {
		fingers.delete(pointerId);
		if (gesture?.pointer !== pointerId) return;
		const { kind, began, click, before } = gesture;
		if (!began && click && kind !== "pan") {
			store.apply(select(click));
			canvas.focus(click);
		}
		end();
		if (kind === "draw" && store.panel !== before.panel) context.describe();
	}

	/** @type {OnPointer} */
	function lose({ pointerId }) {
		fingers.delete(pointerId);
		if (gesture?.pointer === pointerId) gestures.cancel();
	}

	function end() {
		gesture = null;
		gestures.overlay = {};
		store.seal();
		redraw();
		context.flush();
	}

	/** @type {Pinch} */
	function pinch(pointer, px, py, old) {
		const still = [...fingers].find(([id]) => id !== pointer)?.[1];
		if (!still) return;
		const before = Math.hypot(old[0] - still[0], old[1] - still[1]);
		const after = Math.hypot(px - still[0], py - still[1]);
		viewport.pan((px - old[0]) / 2, (py - old[1]) / 2);
		if (before > 0 && after > 0) viewport.zoomAbout((px + still[0]) / 2, (py + still[1]) / 2, after / before);
		redraw();
	}

	/** @param {WheelEvent} event */
	function wheel(event) {
		// Without the focus, a wheel over the canvas scrolls the page as everywhere else.
		if (!event.ctrlKey && !node.contains(document.activeElement)) return;
		event.preventDefault();
		const px = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * 30;
		const factor = Math.exp(clamp(-px, -300, 300) / (event.ctrlKey ? 150 : 400));
		viewport.zoomAbout(...at(event), factor);
		redraw();
	}

	update(node, { pointerdown: press, pointermove: drag, pointerup: release, wheel });
	update(node, { pointercancel: lose, lostpointercapture: lose });
	// Focus is ours to give; the middle button would scroll, and on Linux paste what is selected.
	const prevent = (/** @type {Event} */ event) => event.preventDefault();
	update(node, { mousedown: prevent, mouseup: prevent, auxclick: prevent });
	return gestures;
}
