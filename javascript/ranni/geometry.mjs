/**
 * Arithmetic on boxes. Everything is in units of the canvas: x to the right, y down, 0..1.
 *
 * @typedef {Readonly<{x0: number, y0: number, x1: number, y1: number}>} Box
 * @typedef {"n" | "ne" | "e" | "se" | "s" | "sw" | "w" | "nw"} Handle
 * @typedef {"left" | "center" | "right" | "top" | "middle" | "bottom"} Edge
 * @typedef {{x: number[], y: number[]}} Lines Places on both axes to snap to.
 * @typedef {{axis: "x" | "y", at: number}} Guide A line that something has snapped to.
 */

/** @type {readonly Handle[]} */
export const HANDLES = Object.freeze(["nw", "n", "ne", "e", "se", "s", "sw", "w"]);

/** Least width and height that drawing and resizing make. */
export const LEAST = 0.01;

/** Five decimals: a tenth of a pixel on the largest canvas. */
const PRECISION = 1e5;

/** @param {number} value @param {number} low @param {number} high */
export function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}

/** @param {number} value */
export function rounded(value) {
  return Math.round(value * PRECISION) / PRECISION;
}

/**
 * A frozen box, rounded.
 * @param {number} x0 @param {number} y0 @param {number} x1 @param {number} y1 @returns {Box}
 */
export function box(x0, y0, x1, y1) {
  return Object.freeze({ x0: rounded(x0), y0: rounded(y0), x1: rounded(x1), y1: rounded(y1) });
}

/** The box between two corners, cut to the canvas and at least `least` wide and high. @returns {Box} */
export function between(
  /** @type {number} */ ax,
  /** @type {number} */ ay,
  /** @type {number} */ bx,
  /** @type {number} */ by,
  least = LEAST,
) {
  /** @param {number} a @param {number} b */
  const side = (a, b) => {
    const low = clamp(Math.min(a, b), 0, 1 - least);
    return [low, clamp(Math.max(a, b), low + least, 1)];
  };
  const [x0, x1] = side(ax, bx);
  const [y0, y1] = side(ay, by);
  return box(x0, y0, x1, y1);
}

/** The smallest box around all of `boxes` (at least one). @param {readonly Box[]} boxes @returns {Box} */
export function bounds(boxes) {
  const first = { ...boxes[0] };
  for (const b of boxes) {
    first.x0 = Math.min(first.x0, b.x0);
    first.y0 = Math.min(first.y0, b.y0);
    first.x1 = Math.max(first.x1, b.x1);
    first.y1 = Math.max(first.y1, b.y1);
  }
  return Object.freeze(first);
}

/**
 * A shift cut so that the box stays on the canvas.
 * @param {Box} b @param {number} dx @param {number} dy @returns {[number, number]}
 */
export function allowedShift(b, dx, dy) {
  return [clamp(dx, -b.x0, 1 - b.x1), clamp(dy, -b.y0, 1 - b.y1)];
}

/**
 * The box shifted as far as the canvas allows; its size stays.
 * @param {Box} b @param {number} dx @param {number} dy
 */
export function moved(b, dx, dy) {
  [dx, dy] = allowedShift(b, dx, dy);
  return box(b.x0 + dx, b.y0 + dy, b.x1 + dx, b.y1 + dy);
}

/**
 * A place that keeps its share of the way from `low` to `high` when these become others.
 * @param {number} v @param {number} low @param {number} high @param {number} newLow @param {number} newHigh
 */
export function followed(v, low, high, newLow, newHigh) {
  return clamp(newLow + ((v - low) / (high - low)) * (newHigh - newLow), 0, 1);
}

/** The box as part of what was `from` and becomes `to`. @param {Box} b @param {Box} from @param {Box} to */
export function scaled(b, from, to) {
  const x = (/** @type {number} */ v) => followed(v, from.x0, from.x1, to.x0, to.x1);
  const y = (/** @type {number} */ v) => followed(v, from.y0, from.y1, to.y0, to.y1);
  return box(x(b.x0), y(b.y0), x(b.x1), y(b.y1));
}

/**
 * The box with the edges of `handle` brought to (x, y), cut to the canvas and never thinner than `least`
 * across or down. With `keep` its proportions stay, with `center` its center.
 * @param {Box} b @param {Handle} handle @param {number} x @param {number} y
 * @param {{least?: readonly [number, number], keep?: boolean, center?: boolean}} [how] @returns {Box}
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

/** @param {Box} b @param {number} x @param {number} y */
export function contains(b, x, y) {
  return b.x0 <= x && x <= b.x1 && b.y0 <= y && y <= b.y1;
}

/** @param {Box} a @param {Box} b */
export function meets(a, b) {
  return a.x0 <= b.x1 && b.x0 <= a.x1 && a.y0 <= b.y1 && b.y0 <= a.y1;
}

/**
 * Which of the items at (x, y), front first. `items` run from back to front.
 * @template {{box: Box}} T @param {readonly T[]} items @param {number} x @param {number} y @returns {T[]}
 */
export function hits(items, x, y) {
  return items.filter((item) => contains(item.box, x, y)).reverse();
}

/**
 * The one below `current` at a point, beginning anew after the last; the foremost if `current` is not there.
 * @template T @param {readonly T[]} found front first @param {(item: T) => boolean} current
 * @returns {T | undefined}
 */
export function nextBelow(found, current) {
  return found[(found.findIndex(current) + 1) % found.length];
}

/**
 * What a box can snap to: the canvas's edges and center lines, those of other boxes, and a grid.
 * @param {readonly Box[]} others @param {number} cells cells of the grid along each axis; 0 for none
 * @returns {Lines}
 */
export function snapLines(others, cells = 0) {
  const x = [0, 0.5, 1];
  const y = [0, 0.5, 1];
  for (const b of others) {
    x.push(b.x0, (b.x0 + b.x1) / 2, b.x1);
    y.push(b.y0, (b.y0 + b.y1) / 2, b.y1);
  }
  for (let n = 1; n < cells; n += 1) {
    x.push(n / cells);
    y.push(n / cells);
  }
  return { x, y };
}

/**
 * The line nearest to any of `values` within `tolerance`, and the shift that brings the value onto it.
 * @param {readonly number[]} values @param {readonly number[]} lines @param {number} tolerance
 * @returns {{shift: number, at: number} | null}
 */
export function nearest(values, lines, tolerance) {
  let best = null;
  for (const at of lines) {
    for (const value of values) {
      const shift = at - value;
      if (Math.abs(shift) <= tolerance && (best === null || Math.abs(shift) < Math.abs(best.shift))) {
        best = { shift, at };
      }
    }
  }
  return best;
}

/**
 * Snap places on both axes: what to add to them, and the guides to show.
 * @param {{x: number[], y: number[]}} places @param {Lines} lines @param {{x: number, y: number}} tolerance
 * @returns {{dx: number, dy: number, guides: Guide[]}}
 */
export function snap(places, lines, tolerance) {
  const x = nearest(places.x, lines.x, tolerance.x);
  const y = nearest(places.y, lines.y, tolerance.y);
  /** @type {Guide[]} */
  const guides = [];
  if (x) guides.push({ axis: "x", at: x.at });
  if (y) guides.push({ axis: "y", at: y.at });
  return { dx: x?.shift ?? 0, dy: y?.shift ?? 0, guides };
}

/** The places of a box that snap while it moves: edges and center lines. @param {Box} b */
export function snapPlaces(b) {
  return { x: [b.x0, (b.x0 + b.x1) / 2, b.x1], y: [b.y0, (b.y0 + b.y1) / 2, b.y1] };
}

/**
 * The boxes with one edge (or center line) brought to that of their common bounds.
 * @param {readonly Box[]} boxes @param {Edge} edge @returns {Box[]}
 */
export function aligned(boxes, edge) {
  const all = bounds(boxes);
  /** @type {Record<Edge, (b: Box) => [number, number]>} */
  const shifts = {
    left: (b) => [all.x0 - b.x0, 0],
    center: (b) => [(all.x0 + all.x1 - b.x0 - b.x1) / 2, 0],
    right: (b) => [all.x1 - b.x1, 0],
    top: (b) => [0, all.y0 - b.y0],
    middle: (b) => [0, (all.y0 + all.y1 - b.y0 - b.y1) / 2],
    bottom: (b) => [0, all.y1 - b.y1],
  };
  return boxes.map((b) => moved(b, ...shifts[edge](b)));
}

/**
 * The boxes with equal gaps along an axis; the outermost two stay. Fewer than three stay as they are.
 * @param {readonly Box[]} boxes @param {"x" | "y"} axis @returns {Box[]}
 */
export function distributed(boxes, axis) {
  if (boxes.length < 3) return [...boxes];
  /** @type {(b: Box) => [number, number]} */
  const side = (b) => (axis === "x" ? [b.x0, b.x1] : [b.y0, b.y1]);
  const middle = (/** @type {Box} */ b) => side(b)[0] + side(b)[1];
  const order = [...boxes.keys()].sort((a, b) => middle(boxes[a]) - middle(boxes[b]));
  const last = side(boxes[order[order.length - 1]])[1];
  const filled = boxes.reduce((sum, b) => sum + side(b)[1] - side(b)[0], 0);
  const gap = (last - side(boxes[order[0]])[0] - filled) / (boxes.length - 1);
  const result = [...boxes];
  let at = side(boxes[order[0]])[1] + gap;
  for (const index of order.slice(1, -1)) {
    const b = boxes[index];
    const shift = at - side(b)[0];
    result[index] = axis === "x" ? moved(b, shift, 0) : moved(b, 0, shift);
    at += side(b)[1] - side(b)[0] + gap;
  }
  return result;
}

/**
 * A box of this size where it covers least of the others, nearest to the middle.
 * @param {readonly Box[]} others @returns {Box}
 */
export function freeBox(others, width = 0.3, height = 0.3, steps = 10) {
  let best = { cost: Infinity, b: box(0.35, 0.35, 0.35 + width, 0.35 + height) };
  for (let row = 0; row <= steps; row += 1) {
    for (let column = 0; column <= steps; column += 1) {
      const x = (column / steps) * (1 - width);
      const y = (row / steps) * (1 - height);
      const b = box(x, y, x + width, y + height);
      const taken = others.reduce((sum, o) => sum + overlap(b, o), 0);
      const cost = taken * 100 + (column / steps - 0.5) ** 2 + (row / steps - 0.5) ** 2;
      if (cost < best.cost) best = { cost, b };
    }
  }
  return best.b;
}

/** The area that two boxes share. @param {Box} a @param {Box} b */
export function overlap(a, b) {
  const width = Math.min(a.x1, b.x1) - Math.max(a.x0, b.x0);
  const height = Math.min(a.y1, b.y1) - Math.max(a.y0, b.y0);
  return width > 0 && height > 0 ? width * height : 0;
}
