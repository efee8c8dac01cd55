/** Planning by a planner, and changing the panel by telling one what to change. */

import { MAX_TEXT, read } from "./document.mjs";
import { button, consume, html, isField, setLines, setText, update } from "./dom.mjs";
import { clamp } from "./geometry.mjs";
import { Part } from "./part.mjs";
import { Proposal } from "./proposal.mjs";
import { ServiceError } from "./service.mjs";

const TICK_MS = 200;

/** @param {Run} run */
const seconds = ({ began }) => ((performance.now() - began) / 1000).toFixed(1);

export class Planning extends Part {
	#proposal = new Proposal(this.context, (how) => this.#ended(how));
	/** @type {Run | null} */ #run = null;
	/** What was told, the last at the end. @type {string[]} */ #told = [];
	#place = 0;
	#gone = new AbortController();
	#plan = button("", () => this.#askPlan(), "button ranni-go");
	#send = button("send", () => this.#askEdit(), "button ranni-go");
	#cancel = button("cancel", () => this.#stop());
	#busy = html("span", { class: "ranni-busy", role: "progressbar", "data-label": "planning" });
	#time = html("span");
	#status = html("span", { role: "status", dir: "auto" });
	#lines = html("ul");
	#dismiss = button("dismiss", () => (this.#report.hidden = true));
	#report = html(
		"div",
		{ class: "ranni-report", "aria-live": "polite", hidden: true },
		this.#lines,
		this.#dismiss,
	);
	#field = html("input", { dir: "auto", maxlength: MAX_TEXT, "data-label": "tell" });
	/** Above the canvas. */
	bar = html("div", { class: "ranni-bar" }, this.#plan, this.#cancel, this.#busy, this.#time, this.#status);
	/** Below it. */
	node = html(
		"div",
		{},
		html("div", { class: "ranni-bar" }, this.#field, this.#send),
		this.#proposal.node,
		this.#report,
	);

	/** @param {Context} context */
	constructor(context) {
		super(context);
		context.root.addEventListener("keydown", (event) => this.#key(event), true);
		// The planner is chosen elsewhere on the page.
		document.addEventListener("change", () => this.draw(), { signal: this.#gone.signal });
	}

	destroy() {
		this.#gone.abort();
		this.#stop();
	}

	#stop() {
		this.#run?.ends.abort();
	}

	get #planner() {
		const name = this.context.planner();
		return !name || name === "none" ? "builtin" : name;
	}

	#askPlan() {
		const { prompt, aspect } = this.context;
		if (this.#run) return;
		const text = prompt().trim();
		if (!text) return this.#say("failed", [this.t("no_prompt")]);
		// A panel of which nothing is kept need not even be right.
		const isKept = this.state.panel.elements.some((e) => e.locked);
		void this.#ask("plan", { prompt: text, aspect, ...(isKept && { panel: this.context.value() }) });
	}

	#askEdit() {
		const instruction = this.#field.value.trim();
		if (this.#run || !instruction) return;
		this.#place = this.#told.push(instruction);
		this.#field.value = "";
		void this.#ask("edit", { instruction, panel: this.context.value() });
	}

	/** @type {Ask} */
	async #ask(route, request) {
		const { service } = this.context;
		if (!service) return;
		if (this.#proposal.isOpen) this.#proposal.end("rejected");
		const start = route === "plan" ? this.#plan : this.#send;
		const run = { route, began: performance.now(), count: 0, ends: new AbortController() };
		const [asked, { signal }] = [this.state.panel, run.ends];
		this.#run = run;
		this.#say(route === "plan" ? "planning" : "asking");
		start.after(this.#cancel, this.#busy, this.#time);
		const timer = setInterval(() => this.#tick(run), TICK_MS);
		/** @type {PanelElement[]} */
		let sketch = [];
		const hear = (/** @type {string} */ event, /** @type {any} */ value) => {
			const [element] = event === "element" ? (read({ elements: [value] }).panel?.elements ?? []) : [];
			if (!element || signal.aborted) return;
			sketch = [...sketch.filter((e) => e.id !== element.id), element];
			run.count = sketch.length;
			if (route === "plan") this.#proposal.sketch(sketch);
			this.draw();
		};
		try {
			const answer = await service[route]({ planner: this.#planner, ...request }, hear, signal);
			// What is being dragged is let go first.
			while (this.context.busy) await new Promise((go) => setTimeout(go, TICK_MS));
			signal.throwIfAborted();
			this.#proposal.sketch([]);
			this.#finish(run, asked, answer);
		} catch (error) {
			if (!signal.aborted && !(error instanceof ServiceError)) throw error;
			this.#proposal.sketch([]);
			if (error instanceof ServiceError) this.#say("failed", [this.t(`fault_${error.code}`, ...error.args)]);
			else this.#say("fault_cancelled");
			// To be said better.
			this.#field.value ||= request.instruction ?? "";
		} finally {
			clearInterval(timer);
			this.#run = null;
			if (document.activeElement === this.#cancel) start.focus();
			this.draw();
		}
	}

	/** @type {Finish} */
	#finish(run, asked, { panel, report, changes = [] }) {
		const { t } = this;
		const after = read(panel).panel;
		if (!after) throw new ServiceError("answer", 200);
		const now = this.state.panel;
		const lines = [
			...(report.fallback ? [t("fell_back", report.fallback)] : []),
			...report.notes.filter((note) => !changes.includes(note)),
			...report.repairs.map((repair) => t("repaired", repair)),
			...(report.unread.length ? [t("unread", report.unread.join(", "))] : []),
		];
		if (run.route === "edit" && now !== asked) return this.#say("withdrawn", lines);
		if (run.route === "plan" && now === asked) {
			this.context.replace(after);
			return this.#say("planned", lines, seconds(run), after.elements.length);
		}
		// The planner may not know of what was locked while it planned.
		const locked = now === asked ? [] : now.elements.filter((e) => e.locked);
		const ids = locked.map((e) => e.id);
		const elements = [...after.elements.filter((e) => !ids.includes(e.id)), ...locked];
		const count = this.#proposal.offer({ ...after, elements });
		this.#say(count ? "proposal" : "unchanged", lines, count);
	}

	/** @param {string} how */
	#ended(how) {
		if (this.node.contains(document.activeElement)) this.#field.focus();
		this.#say(how);
		this.draw();
	}

	/** @type {Say} */
	#say(key, lines = [], ...args) {
		setText(this.#status, this.t(key, ...args));
		setLines(this.#lines, lines);
		this.#report.hidden = !lines.length;
	}

	/**
	 * In the field, Enter sends, up and down bring back what was told. Escape cancels or rejects, Enter
	 * accepts, where they mean nothing else.
	 * @type {Key}
	 */
	#key(event) {
		const { key, isComposing, ctrlKey, metaKey, altKey } = event;
		const target = /** @type {Element} */ (event.target);
		if (isComposing || ctrlKey || metaKey || altKey || target.closest("dialog")) return;
		const isHere = target === this.#field;
		const isFree = isHere ? !this.#field.value : !isField(target);
		const isOffered = this.#proposal.isOpen && isFree;
		const step = isHere && { ArrowUp: -1, ArrowDown: 1 }[key];
		if (step) {
			this.#place = clamp(this.#place + step, 0, this.#told.length);
			this.#field.value = this.#told[this.#place] ?? "";
		} else if (key === "Enter" && isHere && !isFree) this.#askEdit();
		else if (key === "Escape" && this.#run && [this.bar, this.node].some((part) => part.contains(target)))
			this.#stop();
		else if (key === "Escape" && isOffered) this.#proposal.end("rejected");
		else if (key === "Enter" && isOffered && !target.matches("button")) this.#proposal.accept();
		else return;
		consume(event);
	}

	draw() {
		const { service } = this.context;
		const run = this.#run;
		this.node.hidden = this.#plan.hidden = !service;
		setText(this.#plan, this.t("plan", this.#planner));
		for (const start of [this.#plan, this.#send]) update(start, { "aria-disabled": run ? "true" : null });
		for (const part of [this.#cancel, this.#busy, this.#time]) part.hidden = !run;
		update(this.#field, { placeholder: this.t("tell") });
		if (run) this.#tick(run);
		this.#proposal.draw();
	}

	/** @param {Run} run */
	#tick(run) {
		setText(this.#time, `${seconds(run)} s · ${this.t("elements")}: ${run.count}`);
	}
}
