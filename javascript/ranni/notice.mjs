/** What is wrong with the document that was given. */

import { button, html, setLines, setText } from "./dom.mjs";
import { Part } from "./part.mjs";

const SHOWN = 5;

export class Notice extends Part {
	/** @type {readonly Problem[]} */ #problems = [];
	/** @type {About} */ #about = "mended";
	#text = html("p");
	#list = html("ul");
	#restart;
	node = html("div", { class: "ranni-notice", role: "status", hidden: true }, this.#text, this.#list);

	/** @param {Context} context @param {() => void} restart */
	constructor(context, restart) {
		super(context);
		this.#restart = button("restart", restart, "button ranni-restart");
		this.node.append(this.#restart);
	}

	/** @type {NoticeShow} */
	show(problems, about) {
		this.#problems = problems;
		this.#about = about;
		this.draw();
	}

	draw() {
		const { t } = this;
		const count = this.#problems.length;
		this.node.hidden = !count;
		const lines = this.#problems
			.slice(0, SHOWN)
			.map(({ path, code, args }) => `${path ? `${path}: ` : ""}${t(`fault_${code}`, ...args)}`);
		if (count > SHOWN) lines.push(t("more", count - SHOWN));
		setText(this.#text, t(this.#about));
		setLines(this.#list, lines);
		this.#restart.hidden = this.#about !== "unreadable";
	}
}
