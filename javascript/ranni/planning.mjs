/** Planning by a planner, and changing the panel by telling one what to change. */

import { MAX_TEXT, read } from "./document.mjs";
import { button, consume, html, isField, setLines, setText, update } from "./dom.mjs";
import { clamp } from "./geometry.mjs";
import { createProposal } from "./proposal.mjs";
import { ServiceError } from "./service.mjs";

const TICK_MS = 200;

/** @param {Run} run */
const seconds = ({ began }) => ((performance.now() - began) / 1000).toFixed(1);

/** @type {Create<Planning>} */
export function createPlanning(context) {
	const { root, store, service, gone, t } = context;
	/** @type {Run | null} */
	let run = null;
	/** What was told, the last at the end. @type {string[]} */
	const told = [];
	let place = 0;
	const plan = button("", askPlan, "button.go");
	const send = button("send", askEdit, "button.go");
	const cancel = button("cancel", stop);
	const busy = html("span.busy", { role: "progressbar", "data-label": "planning" });
	const time = html("span");
	const status = html("span", { role: "status", dir: "auto" });
	const lines = html("ul");
	const dismiss = button("dismiss", () => (report.hidden = true));
	const report = html("div.report", { "aria-live": "polite", hidden: true }, lines, dismiss);
	const field = html("input", { dir: "auto", maxlength: MAX_TEXT, "data-label": "tell" });
	const proposal = createProposal(context, (how) => {
		if (node.contains(document.activeElement)) field.focus();
		say(how);
		draw();
	});
	const bar = html("div.bar", plan, cancel, busy, time, status);
	const node = html("div", html("div.bar", field, send), proposal.node, report);
	root.addEventListener("keydown", hearKey, true);
	// The planner is chosen elsewhere on the page.
	document.addEventListener("change", draw, { signal: gone });
	gone.addEventListener("abort", stop);

	function stop() {
		run?.ends.abort();
	}

	function planner() {
		const name = context.planner();
		return !name || name === "none" ? "builtin" : name;
	}

	function askPlan() {
		if (run) return;
		const prompt = context.prompt().trim();
		if (!prompt) return say("failed", [t("no_prompt")]);
		// A panel of which nothing is kept need not even be right.
		const isKept = store.panel.elements.some((e) => e.locked);
		void ask("plan", { prompt, aspect: context.aspect, ...(isKept && { panel: context.value() }) });
	}

	function askEdit() {
		const instruction = field.value.trim();
		if (run || !instruction) return;
		place = told.push(instruction);
		field.value = "";
		void ask("edit", { instruction, panel: context.value() });
	}

	/** @type {(route: Route, request: Json) => Promise<void>} */
	async function ask(route, request) {
		if (!service) return;
		if (proposal.isOpen) proposal.end("rejected");
		const start = route === "plan" ? plan : send;
		const own = { route, began: performance.now(), count: 0, ends: new AbortController() };
		const { signal } = own.ends;
		const asked = store.panel;
		run = own;
		say(route === "plan" ? "planning" : "asking");
		start.after(cancel, busy, time);
		const timer = setInterval(() => tick(own), TICK_MS);
		/** @type {PanelElement[]} */
		let sketch = [];
		/** @type {HearEvent} */
		const hear = (event, value) => {
			const [element] = event === "element" ? (read({ elements: [value] }).panel?.elements ?? []) : [];
			if (!element || signal.aborted) return;
			sketch = [...sketch.filter((e) => e.id !== element.id), element];
			own.count = sketch.length;
			if (route === "plan") proposal.sketch(sketch);
			draw();
		};
		try {
			const answer = await service[route]({ planner: planner(), ...request }, hear, signal);
			// What is being dragged is let go first.
			while (context.isBusy) await new Promise((go) => setTimeout(go, TICK_MS));
			signal.throwIfAborted();
			proposal.sketch([]);
			finish(own, asked, answer);
		} catch (error) {
			if (!signal.aborted && !(error instanceof ServiceError)) throw error;
			proposal.sketch([]);
			if (error instanceof ServiceError) say("failed", [t(`fault_${error.code}`, ...error.args)]);
			else say("fault_cancelled");
			// To be said better.
			field.value ||= request.instruction ?? "";
		} finally {
			clearInterval(timer);
			run = null;
			if (document.activeElement === cancel) start.focus();
			draw();
		}
	}

	/** @type {(own: Run, asked: Panel, answer: Answer) => void} */
	function finish(own, asked, { panel, report, changes = [] }) {
		const after = read(panel).panel;
		if (!after) throw new ServiceError("answer", 200);
		const now = store.panel;
		const notes = [
			...(report.fallback ? [t("fell_back", report.fallback)] : []),
			...report.notes.filter((note) => !changes.includes(note)),
			...report.repairs.map((repair) => t("repaired", repair)),
			...(report.unread.length ? [t("unread", report.unread.join(", "))] : []),
		];
		if (own.route === "edit" && now !== asked) return say("withdrawn", notes);
		if (own.route === "plan" && now === asked) {
			context.replace(after);
			return say("planned", notes, seconds(own), after.elements.length);
		}
		// The planner may not know of what was locked while it planned.
		const locked = now === asked ? [] : now.elements.filter((e) => e.locked);
		const ids = locked.map((e) => e.id);
		const elements = [...after.elements.filter((e) => !ids.includes(e.id)), ...locked];
		const count = proposal.offer({ ...after, elements });
		say(count ? "proposal" : "unchanged", notes, count);
	}

	/** @type {Say} */
	function say(key, notes = [], ...args) {
		setText(status, t(key, ...args));
		setLines(lines, notes);
		report.hidden = !notes.length;
	}

	/**
	 * In the field, Enter sends, up and down bring back what was told. Escape cancels or rejects, Enter
	 * accepts, where they mean nothing else.
	 * @param {KeyboardEvent} event
	 */
	function hearKey(event) {
		const { key, isComposing, ctrlKey, metaKey, altKey } = event;
		const target = /** @type {Element} */ (event.target);
		if (isComposing || ctrlKey || metaKey || altKey || target.closest("dialog")) return;
		const isHere = target === field;
		const isFree = isHere ? !field.value : !isField(target);
		const isOffered = proposal.isOpen && isFree;
		const step = isHere && { ArrowUp: -1, ArrowDown: 1 }[key];
		if (step) {
			place = clamp(place + step, 0, told.length);
			field.value = told[place] ?? "";
		} else if (key === "Enter" && isHere && !isFree) askEdit();
		else if (key === "Escape" && run && [bar, node].some((part) => part.contains(target))) stop();
		else if (key === "Escape" && isOffered) proposal.end("rejected");
		else if (key === "Enter" && isOffered && !target.matches("button")) proposal.accept();
		else return;
		consume(event);
	}

	function draw() {
		node.hidden = plan.hidden = !service;
		setText(plan, t("plan", planner()));
		for (const start of [plan, send]) update(start, { "aria-disabled": run ? "true" : null });
		for (const part of [cancel, busy, time]) part.hidden = !run;
		update(field, { placeholder: t("tell") });
		if (run) tick(run);
		proposal.draw();
	}

	/** @param {Run} own */
	function tick(own) {
		setText(time, `${seconds(own)} s · ${t("elements")}: ${own.count}`);
	}

	return { bar, node, draw };
}
