/** Arithmetic on boxes. Everything is in units of the canvas: x to the right, y down, 0..1. */

/** @type {readonly Axis[]} */
export const AXES = ["x", "y"];

/** @type {readonly Handle[]} */
export const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];

/** What boxes are aligned by, along x and along y. @type {readonly Edge[]} */
export const EDGES = ["left", "center", "right", "top", "middle", "bottom"];

/** Least width and height that drawing and resizing make. */
export const LEAST = 0.01;

/** Five decimals: a tenth of a pixel on the largest canvas. */
const PRECISION = 1e5;

/** @type {Clamp} */
export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** @param {number} value */
export const rounded = (value) => Math.round(value * PRECISION) / PRECISION;

/** A frozen box, rounded. @type {(...sides: Sides) => Box} */
export function box(...sides) {
	const [x0, y0, x1, y1] = sides.map(rounded);
	return Object.freeze({ x0, y0, x1, y1 });
}

/** @type {EdgesOf} */
const edges = (b, axis) => [b[`${axis}0`], b[`${axis}1`]];

/** @type {SizeOf} */
export const sizeOf = (b, axis) => b[`${axis}1`] - b[`${axis}0`];

/** @type {MiddleOf} */
export const middleOf = (b) => [(b.x0 + b.x1) / 2, (b.y0 + b.y1) / 2];

/** @type {Places} */
const places = (b, axis) => [b[`${axis}0`], middleOf(b)[AXES.indexOf(axis)], b[`${axis}1`]];

/** @type {WithSpan} */
export const withSpan = (b, axis, low, high) =>
	axis === "x" ? box(low, b.y0, high, b.y1) : box(b.x0, low, b.x1, high);

/** @type {HandleAt} */
export const handleAt = (handle) =>
	["we", "ns"].map(([low, high]) => (handle.includes(low) ? 0 : handle.includes(high) ? 1 : 0.5));

/** @type {CellLines} */
export const cellLines = (cells) => [...Array(cells).keys()].slice(1).map((n) => n / cells);

/** @type {Between} */
export function between(ax, ay, bx, by, least = LEAST) {
	const side = (/** @type {number} */ a, /** @type {number} */ b) => {
		const low = clamp(Math.min(a, b), 0, 1 - least);
		return [low, clamp(Math.max(a, b), low + least, 1)];
	};
	const [[x0, x1], [y0, y1]] = [side(ax, bx), side(ay, by)];
	return box(x0, y0, x1, y1);
}

/** @type {Bounds} */
export const bounds = (boxes) =>
	Object.freeze({
		x0: Math.min(...boxes.map((b) => b.x0)),
		y0: Math.min(...boxes.map((b) => b.y0)),
		x1: Math.max(...boxes.map((b) => b.x1)),
		y1: Math.max(...boxes.map((b) => b.y1)),
	});

/** @type {AllowedShift} */
export const allowedShift = (b, dx, dy) => [clamp(dx, -b.x0, 1 - b.x1), clamp(dy, -b.y0, 1 - b.y1)];

/** @type {Moved} */
export function moved(b, dx, dy) {
	const [x, y] = allowedShift(b, dx, dy);
	return box(b.x0 + x, b.y0 + y, b.x1 + x, b.y1 + y);
}

/** @type {MovedAlong} */
const movedAlong = (b, axis, by) => (axis === "x" ? moved(b, by, 0) : moved(b, 0, by));

/** @type {Followed} */
export function followed(x, y, from, to) {
	/** @type {(v: number, axis: Axis) => number} */
	const along = (v, axis) => {
		const share = (v - from[`${axis}0`]) / sizeOf(from, axis);
		return clamp(to[`${axis}0`] + share * sizeOf(to, axis), 0, 1);
	};
	return [along(x, "x"), along(y, "y")];
}

/** @type {Scaled} */
export const scaled = (b, from, to) =>
	box(...followed(b.x0, b.y0, from, to), ...followed(b.x1, b.y1, from, to));

/** @type {Resized} */
export function resized(b, handle, x, y, { least = [LEAST, LEAST], keep = false, center = false } = {}) {
	// Each axis is stretched about a place that stays, within what is neither too thin nor off the canvas.
	const axes = handleAt(handle).map((share, axis) => {
		const [from, to] = edges(b, AXES[axis]);
		const edge = share === 0.5 ? null : [from, to][share];
		const fixed = edge === null || center ? (from + to) / 2 : edge === from ? to : from;
		const room = (/** @type {number} */ e) =>
			(e < fixed ? fixed : e > fixed ? 1 - fixed : 1) / Math.abs(e - fixed);
		const by = edge === null ? -Infinity : ([x, y][axis] - fixed) / (edge - fixed);
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

/** @type {AreOutside} */
export const areOutside = (ax, ay, bx, by) =>
	Math.max(Math.min(ax, bx), Math.min(ay, by)) > 1 || Math.min(Math.max(ax, bx), Math.max(ay, by)) < 0;

/** @type {Hits} */
export const hits = (items, x, y) =>
	items.filter((item) => meets(item.box, { x0: x, y0: y, x1: x, y1: y })).reverse();

/** @type {NextBelow} */
export const nextBelow = (found, isCurrent) => found[(found.findIndex(isCurrent) + 1) % found.length];

/** @type {SnapLines} */
export function snapLines(others, cells = 0) {
	const all = [box(0, 0, 1, 1), ...others].map(snapPlaces);
	const grid = cellLines(cells);
	return { x: [...all.flatMap((b) => b.x), ...grid], y: [...all.flatMap((b) => b.y), ...grid] };
}

/** @type {Nearest} */
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

/** @type {Snap} */
export function snap(from, lines, tolerance) {
	/** @type {Guide[]} */
	const guides = [];
	const [dx, dy] = AXES.map((axis) => {
		const found = nearest(from[axis], lines[axis], tolerance[axis]);
		if (found) guides.push({ axis, at: found.at });
		return found?.shift ?? 0;
	});
	return { dx, dy, guides };
}

/** @type {SnapPlaces} */
export const snapPlaces = (b) => ({ x: places(b, "x"), y: places(b, "y") });

/** @type {Aligned} */
export function aligned(boxes, edge) {
	const index = EDGES.indexOf(edge);
	const axis = AXES[Math.floor(index / 3)];
	const place = (/** @type {Box} */ b) => places(b, axis)[index % 3];
	const to = place(bounds(boxes));
	return boxes.map((b) => movedAlong(b, axis, to - place(b)));
}

/** @type {Distributed} */
export function distributed(boxes, axis) {
	const result = [...boxes];
	if (boxes.length < 3) return result;
	const order = [...boxes.keys()].sort((a, b) => places(boxes[a], axis)[1] - places(boxes[b], axis)[1]);
	const [start, first] = edges(boxes[order[0]], axis);
	const [, end] = edges(boxes[order[order.length - 1]], axis);
	const filled = boxes.reduce((sum, b) => sum + sizeOf(b, axis), 0);
	const gap = (end - start - filled) / (boxes.length - 1);
	let at = first + gap;
	for (const index of order.slice(1, -1)) {
		const b = boxes[index];
		result[index] = movedAlong(b, axis, at - b[`${axis}0`]);
		at += sizeOf(b, axis) + gap;
	}
	return result;
}

/** @type {FreeBox} */
export function freeBox(others, size = 0.3, steps = 10) {
	const shares = [0, ...cellLines(steps), 1];
	const found = shares.flatMap((down) =>
		shares.map((across) => {
			const [x, y] = [across * (1 - size), down * (1 - size)];
			const b = box(x, y, x + size, y + size);
			const taken = others.reduce((sum, o) => sum + overlap(b, o), 0);
			return { b, cost: taken * 100 + (across - 0.5) ** 2 + (down - 0.5) ** 2 };
		}),
	);
	return found.reduce((best, one) => (one.cost < best.cost ? one : best)).b;
}

/** @type {Overlap} */
export function overlap(a, b) {
	const width = Math.min(a.x1, b.x1) - Math.max(a.x0, b.x0);
	const height = Math.min(a.y1, b.y1) - Math.max(a.y0, b.y0);
	return Math.max(0, width) * Math.max(0, height);
}
