/** What every part of an editor has at hand. */
export class Part {
	/** @param {Context} context */
	constructor(context) {
		this.context = context;
		this.store = context.store;
		this.t = context.t;
	}

	get state() {
		return this.store.state;
	}

	/** The ids of what is selected. */
	get selection() {
		return this.state.selection;
	}

	/** The elements that are selected. */
	get chosen() {
		return this.state.panel.elements.filter((e) => this.selection.includes(e.id));
	}

	/** The elements that the canvas shows. */
	get visible() {
		const { panel, hidden } = this.state;
		return panel.elements.filter((e) => !hidden.includes(e.id));
	}

	/** @type {Apply} */
	apply(command, run) {
		return this.store.apply(command, run);
	}
}
