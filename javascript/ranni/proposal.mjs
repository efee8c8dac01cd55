/** What is not in the panel yet: elements on their way, and changes to accept or to reject. */

import { shortened } from "./canvas.mjs";
import { replacePanel } from "./commands.mjs";
import { fieldOf } from "./document.mjs";
import { button, html, setLines, setText, svg } from "./dom.mjs";
import { sizeOf } from "./geometry.mjs";
import { Part } from "./part.mjs";

const SIDES = ["x0", "y0", "x1", "y1"];
/** The least shift, as a share of the canvas, that is worth a word. */
const LEAST = 0.005;

/** Whether these are alike, in the members that count. @type {Same} */
const same = (a, b, names) => JSON.stringify(a, names) === JSON.stringify(b, names);

/** @param {number} share */
const percent = (share) => `${Math.round(Math.abs(share) * 100)}%`;

/** A value in a sentence, whose direction it leaves alone. @param {any} value */
function shown(value) {
	if (value === null || value === "" || same(value, [])) return "–";
	const text = typeof value === "string" ? value : JSON.stringify(value).replace(/["{}[\]]+/g, " ");
	return `\u2068${shortened(text, 60)}\u2069`;
}

/** What becomes of a box, and the key of what to call it. @param {Box} a @param {Box} b */
function way(a, b) {
	const size = (/** @type {Box} */ c) => `${percent(sizeOf(c, "x"))} × ${percent(sizeOf(c, "y"))}`;
	if (size(a) !== size(b)) return ["resized", `${size(a)} → ${size(b)}`];
	const [dx, dy] = [(b.x0 + b.x1 - a.x0 - a.x1) / 2, (b.y0 + b.y1 - a.y0 - a.y1) / 2];
	const across = Math.abs(dx) < LEAST ? "" : `${dx < 0 ? "←" : "→"} ${percent(dx)} `;
	return ["moved", across + (Math.abs(dy) < LEAST ? "" : `${dy < 0 ? "↑" : "↓"} ${percent(dy)}`)];
}

/** What turns a panel into another one: marks for the canvas, and words. @type {Differences} */
export function differences(before, after, t) {
	const old = new Map(before.elements.map((e) => [e.id, e]));
	const ids = new Set(after.elements.map((e) => e.id));
	const gone = before.elements.filter((e) => !ids.has(e.id));
	/** @type {Mark[]} */
	const marks = gone.map(({ box }) => ({ kind: "gone", box }));
	const words = gone.map((e) => t("gone", shown(e.description)));
	for (const e of after.elements) {
		const { box, description: label } = e;
		const was = old.get(e.id);
		if (!was) {
			marks.push({ kind: "added", box, label });
			words.push(t("added", shown(label)));
			continue;
		}
		const fields = Object.keys({ ...was, ...e }).filter(
			(name) => !same(fieldOf(was, name), fieldOf(e, name), name === "box" ? SIDES : undefined),
		);
		for (const name of fields) {
			const [from, to] = [was, e].map((one) => shown(fieldOf(one, name)));
			const [key, how] = way(was.box, box);
			if (name === "box") words.push(t(key, shown(label), how));
			else if (name === "description") words.push(t("changed", from, to));
			else words.push(t("changed_field", shown(label), t(name), from, to));
		}
		if (fields.includes("box")) marks.push({ kind: "old", box: was.box }, { kind: "placed", box, label });
		else if (fields.length) marks.push({ kind: "changed", box, label });
	}
	for (const [name, key] of Object.entries({ base: "base", negative: "panel_negative" })) {
		const [from, to] = [before[name] ?? "", after[name] ?? ""];
		if (from !== to) words.push(t("changed_field", t("whole"), t(key), shown(from), shown(to)));
	}
	const [was, is] = [before, after].map(({ elements }) =>
		elements.map((e) => e.id).filter((id) => old.has(id) && ids.has(id)),
	);
	if (!same(was, is)) words.push(t("reordered"));
	return { marks, words };
}

/** A panel in place of the present one, if the user agrees. Any change of the panel withdraws it. */
export class Proposal extends Part {
	#ended;
	/** @type {Offer | null} */ #offered = null;
	/** @type {Mark[]} */ #marks = [];
	#layer = svg("g", { class: "ranni-ghosts", "aria-hidden": "true" });
	#title = html("h3");
	#list = html("ul");
	#accept = button("accept", () => this.accept(), "button ranni-go");
	#reject = button("reject", () => this.end("rejected"));
	#buttons = html("div", { class: "ranni-bar" }, this.#accept, this.#reject);
	node = html("section", { class: "ranni-proposal" }, this.#title, this.#list, this.#buttons);

	/** @param {Context} context @param {(how: string) => void} ended */
	constructor(context, ended) {
		super(context);
		this.#ended = ended;
		context.canvas.node.append(this.#layer);
		context.store.subscribe(({ panel }) => {
			if (this.#offered && panel !== this.#offered.before) this.end("withdrawn");
		});
	}

	get isOpen() {
		return this.#offered !== null;
	}

	/** Show what is being planned. @type {Sketch} */
	sketch(elements) {
		this.#marks = elements.map(({ box, description }) => ({ kind: "added", box, label: description }));
		this.context.canvas.node.classList.toggle("ranni-sketched", elements.length > 0);
	}

	/** Returns the number of changes; without any there is nothing to offer. @param {Panel} after */
	offer(after) {
		const before = this.state.panel;
		const count = differences(before, after, this.t).words.length;
		if (count) this.#offered = { before, after };
		return count;
	}

	accept() {
		const { after } = /** @type {Offer} */ (this.#offered);
		this.end("accepted");
		this.apply(replacePanel(after));
		this.context.flush();
	}

	/** @type {End} */
	end(how) {
		this.#offered = null;
		this.#marks = [];
		this.#ended(how);
	}

	draw() {
		this.node.hidden = !this.#offered;
		if (this.#offered) {
			const { marks, words } = differences(this.#offered.before, this.#offered.after, this.t);
			this.#marks = marks;
			setText(this.#title, this.t("proposal", words.length));
			setLines(this.#list, words);
		}
		this.#layer.replaceChildren(...this.#marks.flatMap((mark) => this.#nodes(mark)));
	}

	/** @param {Mark} mark */
	#nodes({ kind, box, label = "" }) {
		const rect = this.context.viewport.rect(box);
		const { x, y, width, height } = rect;
		const cross = `M${x} ${y}l${width} ${height}m0 ${-height}l${-width} ${height}`;
		const text = svg("text", { class: "ranni-label", x: 5, y: height - 6 }, shortened(label, 60));
		return [
			svg("rect", { class: `ranni-ghost ranni-${kind}`, ...rect }),
			kind === "gone" ? svg("path", { class: "ranni-ghost", d: cross }) : svg("svg", rect, text),
		];
	}
}
