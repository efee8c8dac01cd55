/** Planning by a planner, and changing the panel by telling one what to change. */

import { MAX_TEXT, read } from "./document.mjs";
import { button, html, isField, setText, update } from "./dom.mjs";
import { Proposal } from "./proposal.mjs";
import { ServiceError } from "./service.mjs";

const TICK_MS = 200;

/** @typedef {{route: "plan" | "edit", began: number, count: number, ends: AbortController}} Run */

/** @param {Run} run */
const seconds = ({ began }) => ((performance.now() - began) / 1000).toFixed(1);

export class Planning {
  #context;
  #proposal;
  /** @type {Run | null} */ #run = null;
  /** What was told, the last at the end. @type {string[]} */ #told = [];
  #place = 0;
  #gone = new AbortController();
  #plan = button("", () => this.#askPlan(), "button ranni-go");
  #send = button("", () => this.#askEdit(), "button ranni-go");
  #cancel = button("", () => this.#stop());
  #busy = html("span", { class: "ranni-busy", role: "progressbar" });
  #time = html("span");
  #status = html("span", { role: "status", dir: "auto" });
  #report = html("div", { class: "ranni-report", "aria-live": "polite" });
  #field = html("input", { dir: "auto", maxlength: MAX_TEXT });
  /** Above the canvas. */ bar = html("div", { class: "ranni-bar" }, this.#plan, this.#status);
  /** Below it. */ node = html("div", {}, html("div", { class: "ranni-bar" }, this.#field, this.#send));

  /** @param {import("./editor.mjs").Context} context */
  constructor(context) {
    this.#context = context;
    this.#proposal = new Proposal(context, (how) => this.#ended(how));
    this.node.append(this.#proposal.node, this.#report);
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
    const name = this.#context.planner();
    return !name || name === "none" ? "builtin" : name;
  }

  #askPlan() {
    const { prompt, aspect, store, t } = this.#context;
    if (this.#run) return;
    const text = prompt().trim();
    if (!text) return this.#say("failed", [t("no_prompt")]);
    // A panel of which nothing is kept need not even be right.
    const isKept = store.state.panel.elements.some((e) => e.locked);
    void this.#ask("plan", { prompt: text, aspect, ...(isKept && { panel: this.#context.value() }) });
  }

  #askEdit() {
    const instruction = this.#field.value.trim();
    if (this.#run || !instruction) return;
    this.#place = this.#told.push(instruction);
    this.#field.value = "";
    void this.#ask("edit", { instruction, panel: this.#context.value() });
  }

  /** @param {"plan" | "edit"} route @param {Record<string, any>} request */
  async #ask(route, request) {
    const { service, store, t } = this.#context;
    if (!service) return;
    if (this.#proposal.isOpen) this.#proposal.end("rejected");
    const start = route === "plan" ? this.#plan : this.#send;
    const run = { route, began: performance.now(), count: 0, ends: new AbortController() };
    const [asked, { signal }] = [store.state.panel, run.ends];
    this.#run = run;
    this.#say(route === "plan" ? "planning" : "asking");
    start.after(this.#cancel, this.#busy, this.#time);
    const timer = setInterval(() => this.draw(), TICK_MS);
    /** @type {import("./document.mjs").Element[]} */
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
      while (this.#context.busy) await new Promise((go) => setTimeout(go, TICK_MS));
      signal.throwIfAborted();
      this.#proposal.sketch([]);
      this.#finish(run, asked, answer);
    } catch (error) {
      if (!signal.aborted && !(error instanceof ServiceError)) throw error;
      this.#proposal.sketch([]);
      if (error instanceof ServiceError) this.#say("failed", [t(`fault_${error.code}`, ...error.args)]);
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

  /**
   * @param {Run} run @param {import("./document.mjs").Panel} asked
   * @param {import("./service.mjs").Answer} answer
   */
  #finish(run, asked, { panel, report, changes = [] }) {
    const { store, t } = this.#context;
    const after = read(panel).panel;
    if (!after) throw new ServiceError("answer", 200);
    const now = store.state.panel;
    const lines = [
      ...(report.fallback ? [t("fell_back", report.fallback)] : []),
      ...report.notes.filter((note) => !changes.includes(note)),
      ...report.repairs.map((repair) => t("repaired", repair)),
      ...(report.unread.length ? [t("unread", report.unread.join(", "))] : []),
    ];
    if (run.route === "edit" && now !== asked) return this.#say("withdrawn", lines);
    if (run.route === "plan" && now === asked) {
      this.#context.replace(after);
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

  /** @param {string} key @param {string[]} [lines] what else is to be told @param {...(string | number)} args */
  #say(key, lines = [], ...args) {
    const { t } = this.#context;
    setText(this.#status, t(key, ...args));
    const items = lines.map((line) => html("li", { dir: "auto" }, line));
    const close = button(t("dismiss"), () => this.#report.replaceChildren());
    this.#report.replaceChildren(...(lines.length ? [html("ul", {}, ...items), close] : []));
  }

  /**
   * In the field, Enter sends, up and down bring back what was told. Escape cancels or rejects, Enter accepts,
   * where they mean nothing else.
   * @param {KeyboardEvent} event
   */
  #key(event) {
    const { key, isComposing, ctrlKey, metaKey, altKey } = event;
    const target = /** @type {Element} */ (event.target);
    if (isComposing || ctrlKey || metaKey || altKey || target.closest("dialog")) return;
    const isHere = target === this.#field;
    const isFree = isHere ? !this.#field.value : !isField(target);
    const step = isHere && { ArrowUp: -1, ArrowDown: 1 }[key];
    if (step) {
      this.#place = Math.min(this.#told.length, Math.max(0, this.#place + step));
      this.#field.value = this.#told[this.#place] ?? "";
    } else if (key === "Enter" && isHere && !isFree) this.#askEdit();
    else if (key === "Escape" && this.#run && [this.bar, this.node].some((part) => part.contains(target)))
      this.#stop();
    else if (key === "Escape" && this.#proposal.isOpen && isFree) this.#proposal.end("rejected");
    else if (key === "Enter" && this.#proposal.isOpen && isFree && !target.matches("button"))
      this.#proposal.accept();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  draw() {
    const { service, t } = this.#context;
    const run = this.#run;
    this.node.hidden = this.#plan.hidden = !service;
    setText(this.#plan, t("plan", this.#planner));
    setText(this.#send, t("send"));
    setText(this.#cancel, t("cancel"));
    for (const start of [this.#plan, this.#send]) update(start, { "aria-disabled": run ? "true" : null });
    for (const part of [this.#cancel, this.#busy, this.#time]) part.hidden = !run;
    update(this.#busy, { "aria-label": t("planning") });
    update(this.#field, { placeholder: t("tell"), "aria-label": t("tell") });
    if (run) setText(this.#time, `${seconds(run)} s · ${t("elements")}: ${run.count}`);
    this.#proposal.draw();
  }
}
