/**
 * The one state of an editor and its history.
 *
 * @typedef {import("./commands.mjs").State} State
 * @typedef {import("./commands.mjs").Command} Command
 */

import { START } from "./commands.mjs";

/** How many steps can be undone. */
export const MAX_STEPS = 300;

export class Store {
  /** @type {State} */ #state = START;
  /** @type {State[]} */ #past = [];
  /** @type {State[]} */ #future = [];
  /** @type {string | null} */ #run = null;
  /** What could be redone before the present run. @type {State[]} */ #redoable = [];
  /** @type {Set<(state: State, before: State) => void>} */ #listeners = new Set();

  get state() {
    return this.#state;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  /**
   * Apply a command. Steps in a row with the same `run` become one; selecting is no step, but ends a run.
   * @param {Command} command @param {string | null} [run]
   * @returns {boolean} whether anything changed
   */
  apply(command, run = null) {
    const before = this.#state;
    const next = command(before);
    if (next === before) return false;
    const isStep = next.panel !== before.panel || next.hidden !== before.hidden;
    if (isStep && (run === null || run !== this.#run)) {
      this.#past = [...this.#past.slice(1 - MAX_STEPS), before];
      this.#redoable = this.#future;
      this.#future = [];
    }
    this.#run = isStep ? run : null;
    this.#become(next);
    return true;
  }

  /**
   * End the present run, or only the one of this name: the next command is a step of its own.
   * @param {string | null} [run]
   */
  seal(run = this.#run) {
    if (run === this.#run) this.#run = null;
  }

  /** Take back the present run as if it had not begun. @param {string} run */
  cancel(run) {
    if (this.#run !== run) return;
    this.#run = null;
    this.#future = this.#redoable;
    this.#become(/** @type {State} */ (this.#past.pop()));
  }

  undo() {
    this.#step(this.#past, this.#future);
  }

  redo() {
    this.#step(this.#future, this.#past);
  }

  /**
   * Call `listener` with the state and the one before, after every change.
   * @param {(state: State, before: State) => void} listener
   */
  subscribe(listener) {
    this.#listeners.add(listener);
  }

  /** @param {State[]} from @param {State[]} to */
  #step(from, to) {
    const next = from.pop();
    if (!next) return;
    to.push(this.#state);
    this.#run = null;
    this.#become(next);
  }

  /** @param {State} next */
  #become(next) {
    const before = this.#state;
    this.#state = next;
    for (const listener of this.#listeners) listener(next, before);
  }
}
