/** The one state of an editor and its history. */

import { START } from "./commands.mjs";

/** How many steps can be undone. */
export const MAX_STEPS = 300;

export class Store {
	/** @type {State[]} */ #past = [];
	/** @type {State[]} */ #future = [];
	/** @type {string | null} */ #run = null;
	/** What could be redone before the present run. @type {State[]} */ #redoable = [];
	/** @type {Hear[]} */ #listeners = [];
	state = START;

	get panel() {
		return this.state.panel;
	}

	get selection() {
		return this.state.selection;
	}

	/** The elements that are selected. */
	get chosen() {
		return this.panel.elements.filter((e) => this.selection.includes(e.id));
	}

	/** The elements that the canvas shows. */
	get visible() {
		return this.panel.elements.filter((e) => !this.state.hidden.includes(e.id));
	}

	get canUndo() {
		return this.#past.length > 0;
	}

	get canRedo() {
		return this.#future.length > 0;
	}

	/**
	 * Apply a command. Steps in a row with the same `run` become one; selecting is no step, but ends a run.
	 * @type {Apply}
	 */
	apply(command, run = null) {
		const before = this.state;
		const next = command(before);
		if (next === before) return false;
		const isStep = next.panel !== before.panel || next.hidden !== before.hidden;
		if (isStep && (run === null || run !== this.#run)) {
			this.#past = [...this.#past.slice(1 - MAX_STEPS), before];
			this.#redoable = this.#future;
			this.#future = [];
		}
		this.#become(next, isStep ? run : null);
		return true;
	}

	/** End the present run, or this one if it still runs: the next command is a step of its own. */
	seal(run = this.#run) {
		if (run === this.#run) this.#run = null;
	}

	/** Take back the present run as if it had not begun. @param {string} run */
	cancel(run) {
		if (this.#run !== run) return;
		this.#future = this.#redoable;
		this.#become(/** @type {State} */ (this.#past.pop()));
	}

	undo() {
		this.#step(this.#past, this.#future);
	}

	redo() {
		this.#step(this.#future, this.#past);
	}

	/** Call `listener` after every change. @param {Hear} listener */
	subscribe(listener) {
		this.#listeners.push(listener);
	}

	/** @param {State[]} from @param {State[]} to */
	#step(from, to) {
		const next = from.pop();
		if (!next) return;
		to.push(this.state);
		this.#become(next);
	}

	/** @param {State} next @param {string | null} [run] */
	#become(next, run = null) {
		const before = this.state;
		this.state = next;
		this.#run = run;
		for (const listener of this.#listeners) listener(next, before);
	}
}
