/** What a mouse, a finger or a pen does on the canvas. */

import { add, grasped, place, select } from "./commands.mjs";
import {
  LEAST,
  allowedShift,
  between,
  bounds,
  hits,
  meets,
  moved,
  nextBelow,
  resized,
  scaled,
  snap,
  snapLines,
  snapPlaces,
} from "./geometry.mjs";

const CLICK_PX = 4;
const SNAP_PX = 6;

/**
 * @typedef {import("./commands.mjs").State} State
 * @typedef {import("./geometry.mjs").Box} Box
 * @typedef {import("./geometry.mjs").Handle} Handle
 * @typedef {{kind: "move" | "resize" | "draw" | "marquee" | "pan" | "point", pointer: number, px: number, py: number,
 *   x: number, y: number, before: State, run: string, began: boolean, handle?: Handle,
 *   point?: number, click?: string[]}} Gesture
 *   `click` is what a press without movement selects; `before` the state that every movement starts from.
 */

export class Gestures {
  /** @type {Gesture | null} */ #gesture = null;
  /** @type {Map<number, [number, number]>} */ #fingers = new Map();
  #count = 0;
  #context;
  #node;
  /** @type {import("./canvas.mjs").Overlay} */ overlay = { guides: [], marquee: null };
  /** Whether the space bar is down, so that dragging pans. */
  spaceHeld = false;

  /** @param {import("./editor.mjs").Context} context @param {SVGSVGElement} node */
  constructor(context, node) {
    this.#context = context;
    this.#node = node;
    node.addEventListener("pointerdown", (event) => this.#down(event));
    node.addEventListener("pointermove", (event) => this.#move(event));
    node.addEventListener("pointerup", (event) => this.#up(event));
    node.addEventListener("pointercancel", (event) => this.#lost(event));
    node.addEventListener("lostpointercapture", (event) => this.#lost(event));
    node.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    // Focus is ours to give; the middle button would scroll, and on Linux paste what is selected.
    for (const type of /** @type {const} */ (["mousedown", "mouseup", "auxclick"])) {
      node.addEventListener(type, (event) => event.preventDefault());
    }
  }

  /** Whether something is being dragged. */
  get busy() {
    return this.#gesture !== null;
  }

  /**
   * Give up what is being dragged, as if it had not begun.
   * @returns {boolean} whether there was anything
   */
  cancel() {
    const gesture = this.#gesture;
    if (!gesture) return false;
    this.#context.store.cancel(gesture.run);
    this.#context.store.apply(select(gesture.before.selection));
    this.#end();
    return true;
  }

  /** @param {MouseEvent} event @returns {[number, number]} */
  #at(event) {
    const { left, top } = this.#node.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  #visible() {
    const { panel, hidden } = this.#context.store.state;
    return panel.elements.filter((element) => !hidden.includes(element.id));
  }

  /** @param {PointerEvent} event */
  #down(event) {
    const [px, py] = this.#at(event);
    // Who points needs no ring to see what has the focus.
    this.#node.classList.add("ranni-pointed");
    this.#fingers.set(event.pointerId, [px, py]);
    this.#node.setPointerCapture(event.pointerId);
    if (this.#fingers.size === 2) this.cancel();
    if (this.#fingers.size > 1 || this.#gesture || event.button > 1) return;
    const { store, viewport, canvas } = this.#context;
    store.seal();
    const [x, y] = viewport.toCanvas(px, py);
    this.#count += 1;
    this.#gesture = {
      kind: "draw",
      pointer: event.pointerId,
      px,
      py,
      x,
      y,
      before: store.state,
      run: `drag ${this.#count}`,
      began: false,
    };
    if (event.button === 1 || this.spaceHeld) this.#gesture.kind = "pan";
    else this.#choose(event, this.#gesture);
    this.#gesture.before = store.state;
    const { selection } = store.state;
    canvas.focus(selection.length === 1 ? selection[0] : undefined);
  }

  /** What a press at this place begins. @param {PointerEvent} event @param {Gesture} gesture */
  #choose(event, gesture) {
    const { store, keypoints } = this.#context;
    const { selection } = store.state;
    const grip = /** @type {SVGElement | null} */ (
      /** @type {Element} */ (event.target).closest("[data-handle], [data-point]")
    );
    const { handle, point } = grip?.dataset ?? {};
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
    const found = hits(this.#visible(), gesture.x, gesture.y);
    const top = found[0];
    gesture.click = top ? [top.id] : [];
    if (event.ctrlKey || event.metaKey) return;
    if (!top) {
      if (event.shiftKey) gesture.kind = "marquee";
      return;
    }
    if (event.altKey) {
      const below = nextBelow(found, (e) => selection.includes(e.id));
      store.apply(select([(below ?? top).id]));
      gesture.click = undefined;
    } else if (event.shiftKey) {
      store.apply(
        select(selection.includes(top.id) ? selection.filter((id) => id !== top.id) : [...selection, top.id]),
      );
      gesture.click = undefined;
    } else if (!found.some((e) => selection.includes(e.id) && !e.locked)) {
      // What is locked, such as a background, can be drawn on.
      if (top.locked) return;
      store.apply(select([top.id]));
    }
    gesture.kind = "move";
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const [px, py] = this.#at(event);
    const old = this.#fingers.get(event.pointerId);
    if (old && this.#fingers.size === 2) this.#pinch(event.pointerId, px, py);
    if (old) this.#fingers.set(event.pointerId, [px, py]);
    const gesture = this.#gesture;
    if (!gesture || gesture.pointer !== event.pointerId || !old) return;
    if (!gesture.began && Math.hypot(px - gesture.px, py - gesture.py) < CLICK_PX) return;
    gesture.began = true;
    const { viewport } = this.#context;
    if (gesture.kind === "pan") viewport.pan(px - old[0], py - old[1]);
    else {
      const [x, y] = viewport.toCanvas(px, py);
      const snaps = this.#context.options.snap && !(event.ctrlKey && gesture.kind !== "draw");
      this.#drag(gesture, x, y, snaps, event);
    }
    this.#context.redraw();
  }

  /**
   * @param {Gesture} gesture @param {number} x @param {number} y @param {boolean} snaps
   * @param {PointerEvent} event
   */
  #drag(gesture, x, y, snaps, event) {
    if (gesture.kind === "marquee") {
      const area = between(gesture.x, gesture.y, x, y, 1e-4);
      this.overlay = { guides: [], marquee: area };
      const inside = this.#visible()
        .filter((e) => meets(e.box, area))
        .map((e) => e.id);
      this.#context.store.apply(select([...gesture.before.selection, ...inside]));
    } else if (gesture.kind === "draw") this.#draw(gesture, x, y, snaps);
    else if (gesture.kind === "resize") this.#resize(gesture, x, y, snaps, event);
    else if (gesture.kind === "point") this.#context.keypoints.move(Number(gesture.point), x, y, gesture.run);
    else this.#shift(gesture, x - gesture.x, y - gesture.y, snaps);
  }

  /**
   * Snap places to everything but `ids`.
   * @param {{x: number[], y: number[]}} places @param {readonly string[]} ids @param {boolean} snaps
   */
  #snapped(places, ids, snaps) {
    if (!snaps) return { dx: 0, dy: 0, guides: [] };
    const { viewport, options } = this.#context;
    const others = this.#visible()
      .filter((e) => !ids.includes(e.id))
      .map((e) => e.box);
    const { width, height } = viewport.page;
    return snap(places, snapLines(others, options.grid ? options.cells : 0), {
      x: SNAP_PX / width,
      y: SNAP_PX / height,
    });
  }

  /** @param {Gesture} gesture @param {number} x @param {number} y @param {boolean} snaps */
  #draw(gesture, x, y, snaps) {
    const drawn = this.#context.store.state.selection;
    const own = gesture.before === this.#context.store.state ? [] : drawn;
    const from = this.#snapped({ x: [gesture.x], y: [gesture.y] }, own, snaps);
    const to = this.#snapped({ x: [x], y: [y] }, own, snaps);
    const box = between(gesture.x + from.dx, gesture.y + from.dy, x + to.dx, y + to.dy);
    this.overlay = { guides: to.guides, marquee: null };
    const isOutside =
      Math.max(gesture.x, x) < 0 ||
      Math.max(gesture.y, y) < 0 ||
      Math.min(gesture.x, x) > 1 ||
      Math.min(gesture.y, y) > 1;
    if (isOutside) return;
    this.#context.store.apply(() => add(this.#context.t("new_element"), box)(gesture.before), gesture.run);
  }

  /**
   * What is selected, about the opposite handle: with Alt about its middle, with Shift in its proportions.
   * @param {Gesture} gesture @param {number} x @param {number} y @param {boolean} snaps
   * @param {PointerEvent} event
   */
  #resize(gesture, x, y, snaps, { shiftKey: keep, altKey: center }) {
    const open = grasped(gesture.before);
    if (!open.length || !gesture.handle) return;
    const isAlong = { x: /[ew]/.test(gesture.handle), y: /[ns]/.test(gesture.handle) };
    const { dx, dy, guides } = this.#snapped(
      { x: isAlong.x ? [x] : [], y: isAlong.y ? [y] : [] },
      gesture.before.selection,
      snaps && !keep,
    );
    const around = bounds(open.map((e) => e.box));
    // None of them becomes too thin.
    const least = /** @type {const} */ (["x", "y"]).map((axis) => {
      const size = (/** @type {Box} */ b) => b[`${axis}1`] - b[`${axis}0`];
      return Math.min(size(around), (LEAST * size(around)) / Math.min(...open.map((e) => size(e.box))));
    });
    const to = resized(around, gesture.handle, x + dx, y + dy, { least: [least[0], least[1]], keep, center });
    this.overlay = { guides, marquee: null };
    const boxes = new Map(open.map((e) => [e.id, scaled(e.box, around, to)]));
    this.#context.store.apply(() => place(boxes)(gesture.before), gesture.run);
  }

  /** @param {Gesture} gesture @param {number} dx @param {number} dy @param {boolean} snaps */
  #shift(gesture, dx, dy, snaps) {
    const { panel, selection } = gesture.before;
    const moving = panel.elements.filter((e) => selection.includes(e.id) && !e.locked);
    if (!moving.length) return;
    const around = bounds(moving.map((e) => e.box));
    [dx, dy] = allowedShift(around, dx, dy);
    const snapped = this.#snapped(snapPlaces(moved(around, dx, dy)), selection, snaps);
    [dx, dy] = allowedShift(around, dx + snapped.dx, dy + snapped.dy);
    this.overlay = { guides: snapped.guides, marquee: null };
    const boxes = new Map(moving.map((e) => [e.id, moved(e.box, dx, dy)]));
    this.#context.store.apply(() => place(boxes)(gesture.before), gesture.run);
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const gesture = this.#gesture;
    this.#fingers.delete(event.pointerId);
    if (!gesture || gesture.pointer !== event.pointerId) return;
    const { store, canvas } = this.#context;
    if (!gesture.began && gesture.click && gesture.kind !== "pan") {
      store.apply(select(gesture.click));
      canvas.focus(gesture.click[0]);
    }
    this.#end();
    const isDrawn = gesture.kind === "draw" && store.state.panel !== gesture.before.panel;
    if (isDrawn) this.#context.describe();
  }

  /** @param {PointerEvent} event */
  #lost(event) {
    this.#fingers.delete(event.pointerId);
    if (this.#gesture?.pointer === event.pointerId) this.cancel();
  }

  #end() {
    this.#gesture = null;
    this.overlay = { guides: [], marquee: null };
    this.#context.store.seal();
    this.#context.redraw();
    this.#context.flush();
  }

  /** @param {number} moving @param {number} px @param {number} py */
  #pinch(moving, px, py) {
    const still = [...this.#fingers].find(([id]) => id !== moving)?.[1];
    const old = this.#fingers.get(moving);
    if (!still || !old) return;
    const before = Math.hypot(old[0] - still[0], old[1] - still[1]);
    const after = Math.hypot(px - still[0], py - still[1]);
    const { viewport } = this.#context;
    viewport.pan((px - old[0]) / 2, (py - old[1]) / 2);
    if (before > 0 && after > 0) viewport.zoomAbout((px + still[0]) / 2, (py + still[1]) / 2, after / before);
    this.#context.redraw();
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    // Without the focus, a wheel over the canvas scrolls the page as everywhere else.
    if (!event.ctrlKey && !this.#node.contains(document.activeElement)) return;
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY : event.deltaY * 30;
    const factor = Math.exp(Math.max(-300, Math.min(300, -lines)) / (event.ctrlKey ? 150 : 400));
    this.#context.viewport.zoomAbout(...this.#at(event), factor);
    this.#context.redraw();
  }
}
