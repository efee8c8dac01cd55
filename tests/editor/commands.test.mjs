import assert from "node:assert/strict";
import { test } from "node:test";

import * as commands from "../../javascript/ranni/commands.mjs";
import { read } from "../../javascript/ranni/document.mjs";
import { MAX_STEPS, createStore } from "../../javascript/ranni/store.mjs";
import { element, panel, random } from "./panels.mjs";

function stateOf(...elements) {
	return commands.replacePanel(read(panel(...elements)).panel)(commands.START);
}

const A = element("e1", [0.1, 0.1, 0.3, 0.3]);
const B = element("e2", [0.5, 0.5, 0.9, 0.9]);
const C = element("e3", [0.2, 0.6, 0.4, 0.8]);
const LOCKED = { ...B, locked: true };
const ids = (state) => state.panel.elements.map((e) => e.id);
const boxOf = (state, id) => Object.values(state.panel.elements.find((e) => e.id === id).box);

test("adding fills the first free id, selects, and marks the panel as edited", () => {
	const state = commands.add("a dog", { x0: 0, y0: 0, x1: 0.2, y1: 0.2 })(stateOf(A, C));
	assert.deepEqual(ids(state), ["e1", "e3", "e2"]);
	assert.deepEqual(state.selection, ["e2"]);
	assert.equal(state.panel.provenance.edited, true);
});

test("copies lie aside, are open, and keep what they were", () => {
	const state = commands.duplicate(["e2"])(stateOf(A, { ...LOCKED, newer: 1, colors: ["#ff0000"] }));
	const copy = state.panel.elements[2];
	assert.deepEqual([copy.id, copy.locked, copy.newer, copy.colors], ["e3", undefined, 1, ["#ff0000"]]);
	assert.deepEqual(Object.values(copy.box), [0.52, 0.52, 0.92, 0.92]);
	assert.deepEqual(state.selection, ["e3"]);
});

test("locked elements stay", () => {
	const state = stateOf(A, LOCKED);
	const all = ["e1", "e2"];
	assert.deepEqual(ids(commands.remove(all)(state)), ["e2"]);
	assert.deepEqual(boxOf(commands.move(all, 0.1, 0)(state), "e2"), [0.5, 0.5, 0.9, 0.9]);
	assert.equal(commands.setField(["e2"], "negative", "x")(state), state);
	assert.equal(commands.align(all, "left")(state), state);
	assert.equal(commands.setField(["e2"], "locked", false)(state).panel.elements[1].locked, undefined);
});

test("a group stops together at the edge", () => {
	const state = commands.move(["e1", "e2"], 1, 0)(stateOf(A, B));
	assert.deepEqual(
		[boxOf(state, "e1"), boxOf(state, "e2")],
		[
			[0.2, 0.1, 0.4, 0.3],
			[0.6, 0.5, 1, 0.9],
		],
	);
});

test("keypoints follow a box, a mask goes, other fields stay", () => {
	const given = {
		...A,
		mask: { width: 1, height: 1, runs: [0, 1] },
		keypoints: [{ name: "eye", x: 0.2, y: 0.1, z: 1 }],
		newer: [],
	};
	const [moved] = commands.resize(["e1"], 0.2, 0.2)(stateOf(given)).panel.elements;
	assert.deepEqual(moved.keypoints, [{ name: "eye", x: 0.30000000000000004, y: 0.1, z: 1 }]);
	assert.deepEqual([moved.mask, moved.newer], [undefined, []]);
});

test("fields at their default are left out, wrong ones refused", () => {
	const state = stateOf({ ...A, weight: 2 });
	assert.equal("weight" in commands.setField(["e1"], "weight", 1)(state).panel.elements[0], false);
	assert.equal(commands.setField(["e1"], "weight", 11)(state), state);
	assert.equal(commands.setField(["e1"], "description", " ")(state), state);
	assert.deepEqual(commands.setField(["e1"], "colors", ["#00ff00"])(state).panel.elements[0].colors, [
		"#00ff00",
	]);
	assert.equal(commands.setPanelField("base", "a room")(state).panel.base, "a room");
	assert.equal(commands.setPanelField("base", "")(state), state);
});

test("the order changes by one or to the end, for several at once", () => {
	const state = stateOf(A, B, C);
	const order = (...args) => ids(commands.reorder(...args)(state));
	assert.deepEqual(order(["e1"], "forward"), ["e2", "e1", "e3"]);
	assert.deepEqual(order(["e1", "e2"], "forward"), ["e3", "e1", "e2"]);
	assert.deepEqual(order(["e2", "e3"], "backward"), ["e2", "e3", "e1"]);
	assert.deepEqual(order(["e1"], "front"), ["e2", "e3", "e1"]);
	assert.deepEqual(order(["e3"], "back"), ["e3", "e1", "e2"]);
	assert.equal(commands.reorder(["e2", "e3"], "forward")(state), state);
});

test("hiding is of the view, not of the panel", () => {
	const state = stateOf(A, B);
	const hidden = commands.setHidden(["e2"], true)(state);
	assert.equal(hidden.panel, state.panel);
	assert.deepEqual(hidden.hidden, ["e2"]);
	assert.deepEqual(commands.remove(["e2"])(hidden).hidden, []);
});

test("a run is one step, whatever ends it", () => {
	const store = createStore();
	store.apply(() => stateOf(A, B));
	for (let n = 0; n < 5; n += 1) store.apply(commands.move(["e1"], 0.01, 0), "nudge");
	assert.deepEqual(boxOf(store.state, "e1"), [0.15, 0.1, 0.35, 0.3]);
	store.undo();
	assert.deepEqual(boxOf(store.state, "e1"), [0.1, 0.1, 0.3, 0.3]);
	store.redo();
	store.apply(commands.move(["e1"], 0.01, 0), "nudge");
	store.apply(commands.select(["e2"]));
	store.apply(commands.move(["e1"], 0.01, 0), "nudge");
	store.seal();
	store.apply(commands.move(["e1"], 0.01, 0), "nudge");
	for (const x of [0.17, 0.16, 0.15, 0.1]) {
		store.undo();
		assert.equal(boxOf(store.state, "e1")[0], x);
	}
});

test("a canceled run leaves no trace, not even for redo", () => {
	const store = createStore();
	store.apply(() => stateOf(A));
	store.apply(commands.move(["e1"], 0.1, 0));
	store.undo();
	const before = store.state;
	store.apply(commands.move(["e1"], 0, 0.1), "drag");
	store.apply(commands.move(["e1"], 0, 0.1), "drag");
	store.cancel("drag");
	assert.equal(store.state, before);
	store.cancel("drag");
	store.redo();
	assert.equal(boxOf(store.state, "e1")[0], 0.2);
});

/** A random command, and whether it belongs to a run. */
function someCommand(next, state) {
	const pick = (list) => list[Math.floor(next() * list.length)];
	const some = state.panel.elements.map((e) => e.id).filter(() => next() < 0.4);
	const shift = () => next() * 0.6 - 0.3;
	const makers = [
		() => [commands.add("thing")],
		() => [commands.add("thing", { x0: 0, y0: 0, x1: 0.1 + next() / 2, y1: 0.5 })],
		() => [commands.remove(some.slice(0, 2))],
		() => [commands.duplicate(some.slice(0, 1))],
		() => [commands.move(some, shift(), shift()), pick([null, "nudge"])],
		() => [commands.resize(some, shift(), shift()), pick([null, "nudge"])],
		() => [
			commands.setField(some, pick(["weight", "start", "end", "seed", "what"]), next() * 2),
			pick([null, "type"]),
		],
		() => [commands.setField(some, "locked", next() < 0.3)],
		() => [commands.setPanelField("base", pick(["", "a", "b"])), "base"],
		() => [commands.reorder(some, pick(["front", "back", "forward", "backward"]))],
		() => [commands.align(some, pick(["left", "center", "right", "top", "middle", "bottom"]))],
		() => [commands.distribute(some, pick(["x", "y"]))],
		() => [commands.setHidden(some, next() < 0.5)],
		() => [commands.select(some)],
		() => [commands.replacePanel(read(panel(A, LOCKED, C)).panel), pick([null, "load"])],
	];
	return pick(makers)();
}

test("10,000 random commands with undo and redo agree with a plain list of snapshots", () => {
	const next = random(20);
	const store = createStore();
	// The model: every step as text, and where in it we are. A run rewrites the last one.
	let steps = [JSON.stringify(store.state)];
	let at = 0;
	let run = null;
	for (let n = 0; n < 10_000; n += 1) {
		const roll = next();
		if (roll < 0.2) {
			store.undo();
			if (at > 0) [at, run] = [at - 1, null];
		} else if (roll < 0.3) {
			store.redo();
			if (at < steps.length - 1) [at, run] = [at + 1, null];
		} else {
			const [command, name = null] = someCommand(next, store.state);
			const result = command(JSON.parse(steps[at]));
			if (JSON.stringify(result) !== steps[at]) {
				const old = JSON.parse(steps[at]);
				const isStep =
					JSON.stringify([result.panel, result.hidden]) !== JSON.stringify([old.panel, old.hidden]);
				if (!isStep) steps[at] = JSON.stringify(result);
				else if (name !== null && name === run) steps[at] = JSON.stringify(result);
				else {
					steps = [...steps.slice(0, at + 1), JSON.stringify(result)].slice(-MAX_STEPS - 1);
					at = steps.length - 1;
				}
				run = isStep ? name : null;
			}
			store.apply(command, name);
		}
		assert.equal(JSON.stringify(store.state), steps[at], `after ${n} commands`);
		assert.equal(store.canUndo, at > 0);
		assert.equal(store.canRedo, at < steps.length - 1);
		const { panel: read_, problems } = read(store.state.panel);
		assert.deepEqual(problems, [], `after ${n} commands`);
		assert.ok(read_.elements.length <= 1000);
	}
});

test("a pause after one run does not end the next one", () => {
	const store = createStore();
	store.apply(commands.replacePanel(read(panel(A)).panel), "load");
	store.apply(commands.move(["e1"], 0.1, 0), "drag");
	store.seal("load");
	store.apply(commands.move(["e1"], 0.1, 0), "drag");
	store.undo();
	assert.deepEqual(boxOf(store.state, "e1"), boxOf(stateOf(A), "e1"));
	store.seal("drag");
	store.apply(commands.move(["e1"], 0.1, 0), "drag");
	store.seal("drag");
	store.apply(commands.move(["e1"], 0.1, 0), "drag");
	store.undo();
	assert.notDeepEqual(boxOf(store.state, "e1"), boxOf(stateOf(A), "e1"));
});
