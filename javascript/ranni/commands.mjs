/**
 * The commands of the editor: each makes a function from a state to the next one.
 *
 * A command that changes nothing returns the state it was given. Locked elements keep everything but their
 * place in the order, the lock itself, and whether they are shown.
 */

import { DEFAULTS, EMPTY_PANEL, MAX_ELEMENTS, NONE, elementFault, freshId, panelFault } from "./document.mjs";
import * as geometry from "./geometry.mjs";

const { allowedShift, moved, resized } = geometry;
const { freeze } = Object;

/** @type {State} */
export const START = freeze({ panel: EMPTY_PANEL, selection: NONE, hidden: NONE });

/** How far a copy lies aside of what it was copied from. */
const COPY_SHIFT = 0.02;

/** @type {IsSame} */
const isSame = (a, b) => a.length === b.length && a.every((item, index) => item === b[index]);

/** @param {Box} box */
const sidesOf = ({ x0, y0, x1, y1 }) => [x0, y0, x1, y1];

/** @type {WithState} */
function withState(state, changes) {
	const next = { ...state, ...changes };
	const ids = new Set(next.panel.elements.map((e) => e.id));
	const present = (/** @type {Ids} */ list) =>
		Object.isFrozen(list) && list.every((id) => ids.has(id))
			? list
			: freeze(list.filter((id) => ids.has(id)));
	return freeze({ ...next, selection: present(next.selection), hidden: present(next.hidden) });
}

/** @type {Edited} */
function edited(state, changes, selection = state.selection) {
	const provenance = freeze({ ...state.panel.provenance, edited: true });
	return withState(state, { panel: freeze({ ...state.panel, ...changes, provenance }), selection });
}

/** @type {WithElements} */
const withElements = (state, elements, selection) =>
	isSame(elements, state.panel.elements) ? state : edited(state, { elements: freeze(elements) }, selection);

/** @type {WithField} */
function withField(element, name, value) {
	const { [name]: old, ...rest } = element;
	const usual = DEFAULTS[name];
	const isUsual = name in DEFAULTS && JSON.stringify(value) === JSON.stringify(usual);
	if (JSON.stringify(old ?? usual) === JSON.stringify(value)) return element;
	const frozen = Array.isArray(value) ? freeze([...value]) : value;
	return /** @type {any} */ (freeze(isUsual ? rest : { ...rest, [name]: frozen }));
}

/** @type {Placed} */
function placed(element, to) {
	const from = element.box;
	const [old, sides] = [sidesOf(from), sidesOf(to)];
	if (element.locked || sides.every((side, n) => Math.abs(side - old[n]) < 1e-9)) return element;
	const { mask: _, ...rest } = element;
	const follow = (/** @type {any} */ point) => {
		if (typeof point?.x !== "number" || typeof point?.y !== "number") return point;
		const [x, y] = geometry.followed(point.x, point.y, from, to);
		return freeze({ ...point, x, y });
	};
	const { keypoints } = rest;
	const points = Array.isArray(keypoints) && { keypoints: freeze(keypoints.map(follow)) };
	return /** @type {any} */ (freeze({ ...rest, ...points, box: freeze({ ...from, ...to }) }));
}

/** @type {OpenElements} */
export const openElements = ({ panel }, ids) => panel.elements.filter((e) => ids.includes(e.id) && !e.locked);

/** @type {Grasped} */
export const grasped = (state) =>
	openElements(state, state.selection).filter((e) => !state.hidden.includes(e.id));

/** @type {Select} */
export const select = (ids) => (state) => {
	const wanted = new Set(ids);
	const selection = state.panel.elements.map((e) => e.id).filter((id) => wanted.has(id));
	return isSame(selection, state.selection) ? state : withState(state, { selection });
};

/** @type {ToggleSelected} */
export const toggleSelected = (id) => (state) => {
	const { selection } = state;
	const others = selection.filter((other) => other !== id);
	return select(others.length < selection.length ? others : [...selection, id])(state);
};

/** @type {Insert} */
export const insert = (items) => (state) => {
	const { elements } = state.panel;
	const taken = new Set(elements.map((e) => e.id));
	const spots = new Set(elements.map((e) => sidesOf(e.box).join()));
	const added = items.slice(0, MAX_ELEMENTS - elements.length).map(({ id: _, ...item }) => {
		const id = freshId(taken);
		taken.add(id);
		return withField(/** @type {any} */ (freeze({ id, ...item })), "locked", false);
	});
	const isCopy = added.some((e) => spots.has(sidesOf(e.box).join()));
	const aside = isCopy ? added.map((e) => placed(e, besides(e.box))) : added;
	const selection = aside.map((e) => e.id);
	return withElements(state, [...elements, ...aside], selection);
};

/** @type {Besides} */
function besides(box) {
	const by = (/** @type {number} */ end) => (end + COPY_SHIFT <= 1 ? COPY_SHIFT : -COPY_SHIFT);
	return moved(box, by(box.x1), by(box.y1));
}

/** @type {Add} */
export const add = (description, box) => (state) =>
	insert([{ description, box: box ?? geometry.freeBox(state.panel.elements.map((e) => e.box)) }])(state);

/** @type {OfIds} */
export const duplicate = (ids) => (state) =>
	insert(state.panel.elements.filter((e) => ids.includes(e.id)))(state);

/** @type {OfIds} */
export const remove = (ids) => (state) => {
	const gone = openElements(state, ids);
	const left = state.panel.elements.filter((e) => !gone.includes(e));
	return withElements(state, left);
};

/** @type {Place} */
export const place = (boxes) => (state) => {
	const elements = state.panel.elements.map((e) => placed(e, boxes.get(e.id) ?? e.box));
	return withElements(state, elements);
};

/** @type {Arrange} */
export const arrange = (ids, arrange) => (state) => {
	const open = openElements(state, ids);
	const boxes = arrange(open.map((e) => e.box));
	return place(new Map(open.map((e, index) => [e.id, boxes[index]])))(state);
};

/** @type {CommandMove} */
export const move = (ids, dx, dy) =>
	arrange(ids, (boxes) => {
		const [x, y] = allowedShift(geometry.bounds(boxes), dx, dy);
		return boxes.map((box) => moved(box, x, y));
	});

/** @type {Resize} */
export const resize = (ids, dx, dy) =>
	arrange(ids, (boxes) => boxes.map((box) => resized(box, "se", box.x1 + dx, box.y1 + dy)));

/** @type {Align} */
export const align = (ids, edge) =>
	arrange(ids, (boxes) => (boxes.length < 2 ? boxes : geometry.aligned(boxes, edge)));

/** @type {Distribute} */
export const distribute = (ids, axis) => arrange(ids, (boxes) => geometry.distributed(boxes, axis));

/** @type {SetField} */
export const setField = (ids, name, value) => (state) => {
	const isFor = (/** @type {PanelElement} */ e) =>
		ids.includes(e.id) && (!e.locked || name === "locked") && !elementFault(e, name, value);
	const elements = state.panel.elements.map((e) => (isFor(e) ? withField(e, name, value) : e));
	return withElements(state, elements);
};

/** @type {SetPanelField} */
export const setPanelField = (name, value) => (state) => {
	const old = state.panel[name] ?? (typeof value === "string" ? "" : undefined);
	return old === value || panelFault(name, value) ? state : edited(state, { [name]: value });
};

/** @type {Reorder} */
export const reorder = (ids, to) => (state) => {
	const elements = [...state.panel.elements];
	const isChosen = (/** @type {PanelElement} */ e) => ids.includes(e.id);
	const ends = [elements.filter(isChosen), elements.filter((e) => !isChosen(e))];
	if (to === "back") return withElements(state, ends.flat());
	if (to === "front") return withElements(state, ends.reverse().flat());
	const step = to === "forward" ? 1 : -1;
	const order = [...elements.keys()];
	for (const index of step > 0 ? order.reverse() : order) {
		const [element, neighbor] = [elements[index], elements[index + step]];
		if (isChosen(element) && neighbor && !isChosen(neighbor))
			[elements[index], elements[index + step]] = [neighbor, element];
	}
	return withElements(state, elements);
};

/** @type {SetHidden} */
export const setHidden = (ids, hide) => (state) => {
	const all = state.panel.elements.map((e) => e.id);
	const hidden = all.filter((id) => (ids.includes(id) ? hide : state.hidden.includes(id)));
	return isSame(hidden, state.hidden) ? state : withState(state, { hidden });
};

/** @type {ReplacePanel} */
export const replacePanel = (panel) => (state) =>
	JSON.stringify(panel) === JSON.stringify(state.panel) ? state : withState(state, { panel });
