/** The one state of an editor and its history. */

import { START } from "./commands.mjs";

/** How many steps can be undone. */
export const MAX_STEPS = 300;

/** @returns {Store} */
export function createStore() {
	/** @type {State[]} */
	let past = [];
	/** @type {State[]} */
	let future = [];
	/** What could be redone before the present run. */
	let redoable = future;
	/** @type {string | null} */
	let present = null;
	/** @type {Hear[]} */
	const listeners = [];

	/** @type {Become} */
	function become(next, run = null) {
		if (!next) return;
		const before = store.state;
		store.state = next;
		present = run;
		for (const listener of listeners) listener(next, before);
	}

	/** @param {State[]} from @param {State[]} to */
	function step(from, to) {
		const next = from.pop();
		if (next) to.push(store.state);
		become(next);
	}

	/** @type {Store} */
	const store = {
		state: START,
		get panel() {
			return store.state.panel;
		},
		get selection() {
			return store.state.selection;
		},
		get chosen() {
			return store.panel.elements.filter((e) => store.selection.includes(e.id));
		},
		get visible() {
			return store.panel.elements.filter((e) => !store.state.hidden.includes(e.id));
		},
		get canUndo() {
			return past.length > 0;
		},
		get canRedo() {
			return future.length > 0;
		},
		apply(command, run = null) {
			const before = store.state;
			const next = command(before);
			if (next === before) return false;
			const isStep = next.panel !== before.panel || next.hidden !== before.hidden;
			if (isStep && (run === null || run !== present)) {
				past = [...past.slice(1 - MAX_STEPS), before];
				redoable = future;
				future = [];
			}
			become(next, isStep ? run : null);
			return true;
		},
		seal(run = present) {
			if (run === present) present = null;
		},
		cancel(run) {
			if (present !== run) return;
			future = redoable;
			become(past.pop());
		},
		undo: () => step(past, future),
		redo: () => step(future, past),
		subscribe: (listener) => void listeners.push(listener),
	};
	return store;
}
