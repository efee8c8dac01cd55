/** What is wrong with the document that was given. */

import { html } from "./dom.mjs";

const SHOWN = 5;

/**
 * @typedef {"mended" | "unreadable" | "pasted" | "opened"} About What the problems are about, and the key of its text.
 */

export class Notice {
  #context;
  #restart;
  /** @type {readonly import("./document.mjs").Problem[]} */ #problems = [];
  /** @type {About} */ #about = "mended";
  node = html("div", { class: "ranni-notice", role: "status" });

  /** @param {import("./editor.mjs").Context} context @param {() => void} restart */
  constructor(context, restart) {
    this.#context = context;
    this.#restart = restart;
    this.node.hidden = true;
  }

  /** @param {readonly import("./document.mjs").Problem[]} problems @param {About} about */
  show(problems, about) {
    this.#problems = problems;
    this.#about = about;
    this.draw();
  }

  draw() {
    const { t } = this.#context;
    const problems = this.#problems;
    this.node.hidden = !problems.length;
    const items = problems
      .slice(0, SHOWN)
      .map(({ path, code, args }) =>
        html("li", { dir: "auto" }, `${path ? `${path}: ` : ""}${t(`fault_${code}`, ...args)}`),
      );
    if (problems.length > SHOWN) items.push(html("li", {}, t("more", problems.length - SHOWN)));
    const button = html(
      "button",
      { type: "button", class: "ranni-restart", click: this.#restart },
      t("restart"),
    );
    this.node.replaceChildren(
      html("p", {}, t(this.#about)),
      html("ul", {}, ...items),
      ...(this.#about === "unreadable" ? [button] : []),
    );
  }
}
