/** What is not in the panel yet: elements on their way, and changes to accept or to reject. */

import { shortened } from "./canvas.mjs";
import { replacePanel } from "./commands.mjs";
import { fieldOf } from "./document.mjs";
import { SILENT, button, html, setClass, setLines, setText, svg } from "./dom.mjs";
import { middleOf, sizeOf } from "./geometry.mjs";

const SIDES = ["x0", "y0", "x1", "y1"];
/** Of a shift, along either axis. */
const ARROWS = ["←→", "↑↓"];
/** The least shift, as a share of the canvas, that is worth a word. */
const LEAST = 0.005;

/** @type {Same} */
const same = (a, b, names) => JSON.stringify(a, names) === JSON.stringify(b, names);

/** @param {number} share */
const percent = (share) => `${Math.round(Math.abs(share) * 100)}%`;

/** @type {ShownValue} */
function shown(value) {
	if (value === null || value === "" || same(value, [])) return "–";
	const text = typeof value === "string" ? value : JSON.stringify(value).replace(/["{}[\]]+/g, " ");
	return `\u2068${shortened(text, 60)}\u2069`;
}

/** @type {Way} */
function way(a, b) {
	const size = (/** @type {Box} */ c) => `${percent(sizeOf(c, "x"))} × ${percent(sizeOf(c, "y"))}`;
	if (size(a) !== size(b)) return ["resized", `${size(a)} → ${size(b)}`];
	const from = middleOf(a);
	const steps = middleOf(b).map((to, axis) => {
		const by = to - from[axis];
		return Math.abs(by) < LEAST ? "" : `${ARROWS[axis][by < 0 ? 0 : 1]} ${percent(by)}`;
	});
	return ["moved", steps.filter(Boolean).join(" ")];
}

/** @type {Differences} */
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

/** @type {CreateProposal} */
export function createProposal({ store, canvas, viewport, t, flush }, ended) {
	/** @type {{ before: Panel, after: Panel } | null} */
	let offered = null;
	/** @type {Mark[]} */
	let marks = [];
	const layer = svg("g.ghosts", SILENT);
	const title = html("h3");
	const list = html("ul");
	const node = html(
		"section.proposal",
		title,
		list,
		html(
			"div.bar",
			button("accept", accept, "button.go"),
			button("reject", () => end("rejected")),
		),
	);
	canvas.node.append(layer);
	store.subscribe(({ panel }) => {
		if (offered && panel !== offered.before) end("withdrawn");
	});

	function accept() {
		if (!offered) return;
		const { after } = offered;
		end("accepted");
		store.apply(replacePanel(after));
		flush();
	}

	/** @param {string} how */
	function end(how) {
		offered = null;
		marks = [];
		ended(how);
	}

	/** @param {Mark} mark */
	function ghost({ kind, box, label = "" }) {
		const rect = viewport.rect(box);
		const { x, y, width, height } = rect;
		const cross = `M${x} ${y}l${width} ${height}m0 ${-height}l${-width} ${height}`;
		const text = svg("text.label", { x: 5, y: height - 6 }, shortened(label, 60));
		return [
			svg(`rect.ghost.${kind}`, rect),
			kind === "gone" ? svg("path.ghost", { d: cross }) : svg("svg", rect, text),
		];
	}

	return {
		node,
		get isOpen() {
			return offered !== null;
		},
		sketch(elements) {
			marks = elements.map(({ box, description }) => ({ kind: "added", box, label: description }));
			setClass(canvas.node, "sketched", elements.length > 0);
		},
		offer(after) {
			const before = store.panel;
			const count = differences(before, after, t).words.length;
			if (count) offered = { before, after };
			return count;
		},
		accept,
		end,
		draw() {
			node.hidden = !offered;
			if (offered) {
				const found = differences(offered.before, offered.after, t);
				marks = found.marks;
				setText(title, t("proposal", found.words.length));
				setLines(list, found.words);
			}
			layer.replaceChildren(...marks.flatMap(ghost));
		},
	};
}
