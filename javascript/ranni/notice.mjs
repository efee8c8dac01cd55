/** What is wrong with the document that was given. */

import { button, html, setLines, setText } from "./dom.mjs";

const SHOWN = 5;

/** @type {CreateNotice} */
export function createNotice({ t }, restart) {
	/** @type {readonly Problem[]} */
	let problems = [];
	/** @type {About} */
	let about = "mended";
	const text = html("p");
	const list = html("ul");
	const again = button("restart", restart, "button.restart");
	const node = html("div.notice", { role: "status", hidden: true }, text, list, again);

	function draw() {
		const count = problems.length;
		node.hidden = !count;
		const lines = problems
			.slice(0, SHOWN)
			.map(({ path, code, args }) => `${path ? `${path}: ` : ""}${t(`fault_${code}`, ...args)}`);
		if (count > SHOWN) lines.push(t("more", count - SHOWN));
		setText(text, t(about));
		setLines(list, lines);
		again.hidden = about !== "unreadable";
	}

	return {
		node,
		draw,
		show(...shown) {
			[problems, about] = shown;
			draw();
		},
	};
}
