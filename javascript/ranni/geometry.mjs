/** Arithmetic on boxes. Everything is in units of the canvas: x to the right, y down, 0..1. */

/** @type {readonly Handle[]} */
export const HANDLES = Object.freeze(["nw", "n", "ne", "e", "se", "s", "sw", "w"]);

/** Least width and height that drawing and resizing make. */
export const LEAST = 0.01;

/** Five decimals: a tenth of a pixel on the largest canvas. */
const PRECISION = 1e5;

/**
 * What is aligned: the axis, and how far from the low to the high edge.
 * @type {Record<Edge, [Axis, number]>}
 */
const EDGES = {
	left: ["x", 0],
	center: ["x", 0.5],
	right: ["x", 1],
	top: ["y", 0],
	middle: ["y", 0.5],
	bottom: ["y", 1],
};

/** @type {Clamp} */
export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** @param {number} value */
export const rounded = (value) => Math.round(value * PRECISION) / PRECISION;

/** A frozen box, rounded. @type {(...sides: Sides) => Box} */
export function box(...sides) {
	const [x0, y0, x1, y1] = sides.map(rounded);
	return Object.freeze({ x0, y0, x1, y1 });
}

/** The low and the high edge along an axis. @type {Edges} */
const edges = (b, axis) => (axis === "x" ? [b.x0, b.x1] : [b.y0, b.y1]);

/** @param {Box} b @param {Axis} axis */
export function sizeOf(b, axis) {
	const [low, high] = edges(b, axis);
	return high - low;
}

/** Edges and center line. @type {Places} */
function places(b, axis) {
	const [low, high] = edges(b, axis);
	return [low, (low + high) / 2, high];
}

/** The box between two corners, cut to the canvas and at least `least` wide and high. @type {Between} */
export function between(ax, ay, bx, by, least = LEAST) {
	const side = (/** @type {number} */ a, /** @type {number} */ b) => {
		const low = clamp(Math.min(a, b), 0, 1 - least);
		return [low, clamp(Math.max(a, b), low + least, 1)];
	};
	const [[x0, x1], [y0, y1]] = [side(ax, bx), side(ay, by)];
	return box(x0, y0, x1, y1);
}

/** The smallest box around all of `boxes` (at least one). @type {Bounds} */
export const bounds = (boxes) =>
	Object.freeze({
		x0: Math.min(...boxes.map((b) => b.x0)),
		y0: Math.min(...boxes.map((b) => b.y0)),
		x1: Math.max(...boxes.map((b) => b.x1)),
		y1: Math.max(...boxes.map((b) => b.y1)),
	});

/** A shift cut so that the box stays on the canvas. @type {AllowedShift} */
export const allowedShift = (b, dx, dy) => [clamp(dx, -b.x0, 1 - b.x1), clamp(dy, -b.y0, 1 - b.y1)];

/** The box shifted as far as the canvas allows; its size stays. @type {Moved} */
export function moved(b, dx, dy) {
	const [x, y] = allowedShift(b, dx, dy);
	return box(b.x0 + x, b.y0 + y, b.x1 + x, b.y1 + y);
}

/** @type {MovedAlong} */
const movedAlong = (b, axis, by) => (axis === "x" ? moved(b, by, 0) : moved(b, 0, by));

/** The place in `to` that (x, y) has in `from`. @type {Followed} */
export function followed(x, y, from, to) {
	const along = (/** @type {number} */ v, /** @type {Axis} */ axis) => {
		const [low, at] = [edges(from, axis)[0], edges(to, axis)[0]];
		return clamp(at + ((v - low) / sizeOf(from, axis)) * sizeOf(to, axis), 0, 1);
	};
	return [along(x, "x"), along(y, "y")];
}

/** The box as part of what was `from` and becomes `to`. @type {Scaled} */
export const scaled = (b, from, to) =>
	box(...followed(b.x0, b.y0, from, to), ...followed(b.x1, b.y1, from, to));

/**
 * The box with the edges of `handle` brought to (x, y), cut to the canvas and never thinner than `least`
 * across or down. With `keep` its proportions stay, with `center` its center.
 * @type {Resized}
 */
export function resized(b, handle, x, y, { least = [LEAST, LEAST], keep = false, center = false } = {}) {
	/** @type {[string, string, number, number, number][]} */
	const sides = [
		["w", "e", b.x0, b.x1, x],
		["n", "s", b.y0, b.y1, y],
	];
	// Each axis is stretched about a place that stays, within what is neither too thin nor off the canvas.
	const axes = sides.map(([low, high, from, to, at], axis) => {
		const edge = handle.includes(low) ? from : handle.includes(high) ? to : null;
		const fixed = edge === null || center ? (from + to) / 2 : edge === from ? to : from;
		const room = (/** @type {number} */ e) =>
			(e < fixed ? fixed : e > fixed ? 1 - fixed : 1) / Math.abs(e - fixed);
		const by = edge === null ? -Infinity : (at - fixed) / (edge - fixed);
		return { from, to, fixed, by, least: least[axis] / (to - from), most: Math.min(room(from), room(to)) };
	});
	const common = clamp(
		Math.max(...axes.map((axis) => axis.by)),
		Math.max(...axes.map((axis) => axis.least)),
		Math.min(...axes.map((axis) => axis.most)),
	);
	const [x0, x1, y0, y1] = axes.flatMap(({ from, to, fixed, by, ...limits }) => {
		const scale = keep ? common : by === -Infinity ? 1 : clamp(by, limits.least, limits.most);
		return [from, to].map((e) => clamp(fixed + (e - fixed) * scale, 0, 1));
	});
	return box(x0, y0, x1, y1);
}

/** @param {Box} a @param {Box} b */
export const meets = (a, b) => a.x0 <= b.x1 && b.x0 <= a.x1 && a.y0 <= b.y1 && b.y0 <= a.y1;

/**
 * Which of the items, which run from back to front, are at (x, y); front first.
 * @template {{box: Box}} T @param {readonly T[]} items @param {number} x @param {number} y
 */
export const hits = (items, x, y) =>
	items.filter((item) => meets(item.box, { x0: x, y0: y, x1: x, y1: y })).reverse();

/**
 * The one below `current` at a point, beginning anew after the last; the foremost if `current` is not there.
 * @template T @param {readonly T[]} found front first @param {(item: T) => boolean} current
 * @returns {T | undefined}
 */
export const nextBelow = (found, current) => found[(found.findIndex(current) + 1) % found.length];

/**
 * What a box can snap to: edges and center lines of the canvas and of other boxes, and a grid with so many
 * cells along each axis.
 * @type {SnapLines}
 */
export function snapLines(others, cells = 0) {
	const grid = [...Array(cells).keys()].slice(1).map((n) => n / cells);
	const boxes = [box(0, 0, 1, 1), ...others];
	const along = (/** @type {Axis} */ axis) => [...boxes.flatMap((b) => places(b, axis)), ...grid];
	return { x: along("x"), y: along("y") };
}

/**
 * The line nearest to any of `values` within `tolerance`, and the shift that brings the value onto it.
 * @type {Nearest}
 */
export function nearest(values, lines, tolerance) {
	let best = null;
	for (const at of lines)
		for (const value of values) {
			const shift = at - value;
			const isNear = Math.abs(shift) <= tolerance;
			if (isNear && (!best || Math.abs(shift) < Math.abs(best.shift))) best = { shift, at };
		}
	return best;
}

/**
 * Snap places on both axes: what to add to them, and the guides to show.
 * @param {Lines} from @param {Lines} lines @param {{x: number, y: number}} tolerance
 */
export function snap(from, lines, tolerance) {
	const x = nearest(from.x, lines.x, tolerance.x);
	const y = nearest(from.y, lines.y, tolerance.y);
	/** @type {Guide[]} */
	const guides = [];
	if (x) guides.push({ axis: "x", at: x.at });
	if (y) guides.push({ axis: "y", at: y.at });
	return { dx: x?.shift ?? 0, dy: y?.shift ?? 0, guides };
}

/** The places of a box that snap while it moves. @type {(b: Box) => Lines} */
export const snapPlaces = (b) => ({ x: places(b, "x"), y: places(b, "y") });

/** The boxes with one edge (or center line) brought to that of their common bounds. @type {Aligned} */
export function aligned(boxes, edge) {
	const [axis, share] = EDGES[edge];
	const place = (/** @type {Box} */ b) => edges(b, axis)[0] + share * sizeOf(b, axis);
	const to = place(bounds(boxes));
	return boxes.map((b) => movedAlong(b, axis, to - place(b)));
}

/**
 * The boxes with equal gaps along an axis; the outermost two stay. Fewer than three stay as they are.
 * @type {Distributed}
 */
export function distributed(boxes, axis) {
	const result = [...boxes];
	if (boxes.length < 3) return result;
	const order = [...boxes.keys()].sort((a, b) => places(boxes[a], axis)[1] - places(boxes[b], axis)[1]);
	const [first, last] = [boxes[order[0]], boxes[order[order.length - 1]]].map((b) => edges(b, axis));
	const filled = boxes.reduce((sum, b) => sum + sizeOf(b, axis), 0);
	const gap = (last[1] - first[0] - filled) / (boxes.length - 1);
	let at = first[1] + gap;
	for (const index of order.slice(1, -1)) {
		const b = boxes[index];
		result[index] = movedAlong(b, axis, at - edges(b, axis)[0]);
		at += sizeOf(b, axis) + gap;
	}
	return result;
}

/**
 * A box of this size where it covers least of the others, nearest to the middle.
 * @param {readonly Box[]} others
 */
export function freeBox(others, width = 0.3, height = 0.3, steps = 10) {
	const shares = [...Array(steps + 1).keys()].map((step) => step / steps);
	const found = shares.flatMap((down) =>
		shares.map((across) => {
			const [x, y] = [across * (1 - width), down * (1 - height)];
			const b = box(x, y, x + width, y + height);
			const taken = others.reduce((sum, o) => sum + overlap(b, o), 0);
			return { b, cost: taken * 100 + (across - 0.5) ** 2 + (down - 0.5) ** 2 };
		}),
	);
	return found.reduce((best, one) => (one.cost < best.cost ? one : best)).b;
}

/** The area that two boxes share. @param {Box} a @param {Box} b */
export function overlap(a, b) {
	const width = Math.min(a.x1, b.x1) - Math.max(a.x0, b.x0);
	const height = Math.min(a.y1, b.y1) - Math.max(a.y0, b.y0);
	return Math.max(0, width) * Math.max(0, height);
}
