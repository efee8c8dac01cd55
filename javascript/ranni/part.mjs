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

	/** The elements that are selected. */
	get chosen() {
		const { panel, selection } = this.state;
		return panel.elements.filter((e) => selection.includes(e.id));
	}
}
