/**
 * The commands of the editor: each makes a function from a state to the next one.
 *
 * A command that changes nothing returns the state it was given. Locked elements keep everything but their
 * place in the order, the lock itself, and whether they are shown.
 *
 * @typedef {import("./document.mjs").Element} Element
 * @typedef {import("./document.mjs").Panel} Panel
 * @typedef {import("./geometry.mjs").Box} Box
 * @typedef {Readonly<{panel: Panel, selection: readonly string[], hidden: readonly string[]}>} State
 * @typedef {(state: State) => State} Command
 */

import { DEFAULTS, EMPTY_PANEL, MAX_ELEMENTS, elementFault, freshId, panelFault } from "./document.mjs";
import {
  aligned,
  allowedShift,
  bounds,
  distributed,
  followed,
  freeBox,
  moved,
  resized,
} from "./geometry.mjs";

/** @type {State} */
export const START = Object.freeze({
  panel: EMPTY_PANEL,
  selection: Object.freeze([]),
  hidden: Object.freeze([]),
});

/** How far a copy is shifted so that it does not lie exactly on what it was copied from. */
const COPY_SHIFT = 0.02;

const SIDES = /** @type {const} */ (["x0", "y0", "x1", "y1"]);

/** @param {readonly string[]} a @param {readonly string[]} b */
const sameList = (a, b) => a.length === b.length && a.every((item, index) => item === b[index]);

/** @param {State} state @param {Partial<State>} changes @returns {State} */
function withState(state, changes) {
  const next = { ...state, ...changes };
  const ids = new Set(next.panel.elements.map((e) => e.id));
  const present = (/** @type {readonly string[]} */ list) =>
    Object.isFrozen(list) && list.every((id) => ids.has(id))
      ? list
      : Object.freeze(list.filter((id) => ids.has(id)));
  return Object.freeze({ ...next, selection: present(next.selection), hidden: present(next.hidden) });
}

/**
 * The panel changed by hand: its prompt no longer describes it.
 * @param {Panel} panel @param {Record<string, any>} changes @returns {Panel}
 */
function edited(panel, changes) {
  const provenance = Object.freeze({ ...panel.provenance, edited: true });
  return Object.freeze({ ...panel, ...changes, provenance });
}

/** @param {State} state @param {(element: Element) => Element} change @returns {State} */
function eachElement(state, change) {
  const elements = state.panel.elements.map(change);
  if (elements.every((element, index) => element === state.panel.elements[index])) return state;
  return withState(state, { panel: edited(state.panel, { elements: Object.freeze(elements) }) });
}

/** @param {Element} element @param {string} name @param {any} value @returns {Element} */
function withField(element, name, value) {
  const { [name]: old, ...rest } = element;
  const usual = DEFAULTS[name];
  const isUsual = name in DEFAULTS && JSON.stringify(value) === JSON.stringify(usual);
  if (JSON.stringify(old ?? usual) === JSON.stringify(value)) return element;
  const frozen = Array.isArray(value) ? Object.freeze([...value]) : value;
  return /** @type {Element} */ (Object.freeze(isUsual ? rest : { ...rest, [name]: frozen }));
}

/**
 * The element in another box; its keypoints follow, a mask no longer fits and goes.
 * @param {Element} element @param {Box} to @returns {Element}
 */
function placed(element, to) {
  const from = element.box;
  if (element.locked || SIDES.every((side) => Math.abs(from[side] - to[side]) < 1e-9)) return element;
  const { mask: _, ...rest } = element;
  const point = (/** @type {any} */ p) =>
    typeof p?.x === "number" && typeof p?.y === "number"
      ? Object.freeze({
          ...p,
          x: followed(p.x, from.x0, from.x1, to.x0, to.x1),
          y: followed(p.y, from.y0, from.y1, to.y0, to.y1),
        })
      : p;
  const points = Array.isArray(rest.keypoints) ? { keypoints: Object.freeze(rest.keypoints.map(point)) } : {};
  return /** @type {Element} */ (
    Object.freeze({ ...rest, ...points, box: Object.freeze({ ...from, ...to }) })
  );
}

/** @param {Readonly<Record<string, any>>} item @param {string} id @returns {Element} */
function withId({ id: _, ...item }, id) {
  return /** @type {Element} */ (Object.freeze({ id, ...item }));
}

/** The chosen elements that are seen and open: those that handles are drawn around. @param {State} state */
export function grasped(state) {
  return openElements(state, state.selection).filter((e) => !state.hidden.includes(e.id));
}

/** @param {State} state @param {readonly string[]} ids */
function openElements(state, ids) {
  return state.panel.elements.filter((e) => ids.includes(e.id) && !e.locked);
}

/** Select these, in the panel's order. @param {readonly string[]} ids @returns {Command} */
export function select(ids) {
  return (state) => {
    const wanted = new Set(ids);
    const selection = state.panel.elements.map((e) => e.id).filter((id) => wanted.has(id));
    return sameList(selection, state.selection) ? state : withState(state, { selection });
  };
}

/**
 * Put elements in front (with ids of their own, copies a little aside) and select them.
 * @param {readonly Readonly<Record<string, any>>[]} items each with description and box @returns {Command}
 */
export function insert(items) {
  return (state) => {
    const room = MAX_ELEMENTS - state.panel.elements.length;
    if (room <= 0 || !items.length) return state;
    const taken = new Set(state.panel.elements.map((e) => e.id));
    const spots = new Set(state.panel.elements.map((e) => SIDES.map((s) => e.box[s]).join()));
    const added = items.slice(0, room).map((item) => {
      const id = freshId(taken);
      taken.add(id);
      return withId(item, id);
    });
    const shift = added.some((e) => spots.has(SIDES.map((s) => e.box[s]).join())) ? COPY_SHIFT : 0;
    const elements = added.map((e) =>
      shift ? placed(withField(e, "locked", false), aside(e.box, shift)) : withField(e, "locked", false),
    );
    return withState(state, {
      panel: edited(state.panel, { elements: Object.freeze([...state.panel.elements, ...elements]) }),
      selection: elements.map((e) => e.id),
    });
  };
}

/**
 * A box shifted right and down, or left and up where there is no room.
 * @param {Box} box @param {number} by
 */
function aside(box, by) {
  return moved(box, box.x1 + by <= 1 ? by : -by, box.y1 + by <= 1 ? by : -by);
}

/**
 * A new element in front, where there is most room unless a box says where.
 * @param {string} description @param {Box} [box] @returns {Command}
 */
export function add(description, box) {
  return (state) =>
    insert([{ description, box: box ?? freeBox(state.panel.elements.map((e) => e.box)) }])(state);
}

/** @param {readonly string[]} ids @returns {Command} */
export function duplicate(ids) {
  return (state) => insert(state.panel.elements.filter((e) => ids.includes(e.id)))(state);
}

/** @param {readonly string[]} ids @returns {Command} */
export function remove(ids) {
  return (state) => {
    const gone = new Set(openElements(state, ids).map((e) => e.id));
    if (!gone.size) return state;
    const elements = Object.freeze(state.panel.elements.filter((e) => !gone.has(e.id)));
    return withState(state, { panel: edited(state.panel, { elements }) });
  };
}

/** Put elements into these boxes. @param {ReadonlyMap<string, Box>} boxes @returns {Command} */
export function place(boxes) {
  return (state) => eachElement(state, (e) => placed(e, boxes.get(e.id) ?? e.box));
}

/**
 * Shift elements together, as far as the canvas allows.
 * @param {readonly string[]} ids @param {number} dx @param {number} dy @returns {Command}
 */
export function move(ids, dx, dy) {
  return (state) => {
    const moving = openElements(state, ids);
    if (!moving.length) return state;
    const [x, y] = allowedShift(bounds(moving.map((e) => e.box)), dx, dy);
    return place(new Map(moving.map((e) => [e.id, moved(e.box, x, y)])))(state);
  };
}

/**
 * Move the right and lower edges of elements.
 * @param {readonly string[]} ids @param {number} dx @param {number} dy @returns {Command}
 */
export function resize(ids, dx, dy) {
  return (state) => {
    const boxes = openElements(state, ids).map((e) => [
      e.id,
      resized(e.box, "se", e.box.x1 + dx, e.box.y1 + dy),
    ]);
    return place(new Map(/** @type {[string, Box][]} */ (boxes)))(state);
  };
}

/**
 * Set a field of elements; those for which the value is wrong keep theirs.
 * @param {readonly string[]} ids @param {string} name @param {any} value @returns {Command}
 */
export function setField(ids, name, value) {
  return (state) =>
    eachElement(state, (e) => {
      const open = ids.includes(e.id) && (!e.locked || name === "locked");
      return open && !elementFault(e, name, value) ? withField(e, name, value) : e;
    });
}

/**
 * Set a field of the panel itself; a wrong value changes nothing.
 * @param {string} name @param {any} value @returns {Command}
 */
export function setPanelField(name, value) {
  return (state) => {
    const same = (state.panel[name] ?? (typeof value === "string" ? "" : undefined)) === value;
    if (same || panelFault(name, value)) return state;
    return withState(state, { panel: edited(state.panel, { [name]: value }) });
  };
}

/**
 * Change the order; `elements` run from back to front.
 * @param {readonly string[]} ids @param {"front" | "back" | "forward" | "backward"} to @returns {Command}
 */
export function reorder(ids, to) {
  return (state) => {
    const chosen = new Set(ids);
    let elements = [...state.panel.elements];
    const [its, others] = [
      elements.filter((e) => chosen.has(e.id)),
      elements.filter((e) => !chosen.has(e.id)),
    ];
    if (to === "front") elements = [...others, ...its];
    else if (to === "back") elements = [...its, ...others];
    else {
      const step = to === "forward" ? 1 : -1;
      const order = [...elements.keys()];
      if (step > 0) order.reverse();
      for (const index of order) {
        const neighbor = elements[index + step];
        if (chosen.has(elements[index].id) && neighbor && !chosen.has(neighbor.id)) {
          [elements[index], elements[index + step]] = [neighbor, elements[index]];
        }
      }
    }
    if (elements.every((e, index) => e === state.panel.elements[index])) return state;
    return withState(state, { panel: edited(state.panel, { elements: Object.freeze(elements) }) });
  };
}

/** @param {readonly string[]} ids @param {import("./geometry.mjs").Edge} edge @returns {Command} */
export function align(ids, edge) {
  return arranged(ids, (boxes) => aligned(boxes, edge));
}

/** Equal gaps along an axis. @param {readonly string[]} ids @param {"x" | "y"} axis @returns {Command} */
export function distribute(ids, axis) {
  return arranged(ids, (boxes) => distributed(boxes, axis));
}

/** @param {readonly string[]} ids @param {(boxes: Box[]) => Box[]} arrange @returns {Command} */
function arranged(ids, arrange) {
  return (state) => {
    const open = openElements(state, ids);
    if (open.length < 2) return state;
    const boxes = arrange(open.map((e) => e.box));
    return place(new Map(open.map((e, index) => [e.id, boxes[index]])))(state);
  };
}

/**
 * Show or hide on the canvas; hidden elements stay in the panel.
 * @param {readonly string[]} ids @param {boolean} hide @returns {Command}
 */
export function setHidden(ids, hide) {
  return (state) => {
    const hidden = state.panel.elements
      .map((e) => e.id)
      .filter((id) => (ids.includes(id) ? hide : state.hidden.includes(id)));
    return sameList(hidden, state.hidden) ? state : withState(state, { hidden });
  };
}

/** Another panel in place of this one. @param {Panel} panel @returns {Command} */
export function replacePanel(panel) {
  return (state) =>
    JSON.stringify(panel) === JSON.stringify(state.panel) ? state : withState(state, { panel });
}
