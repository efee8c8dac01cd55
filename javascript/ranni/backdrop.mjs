/** The picture under the boxes: the last result, what is painted over, or a file; and the one before it. */

import { button, html, icon, setClass, update } from "./dom.mjs";

const KEY = "ranni_backdrop";
const [NONE, ...KINDS] = ["none", "result", "input", "file"];

/** @type {IsOurs} */
function isOurs(url) {
	try {
		return /^data:image\//i.test(url) || new URL(url, document.baseURI).origin === location.origin;
	} catch {
		return false;
	}
}

/** What is shown if it is there, and how strongly. @returns {Wish} */
function remembered() {
	const usual = { kind: "result", opacity: 1 };
	try {
		return { ...usual, ...JSON.parse(localStorage.getItem(KEY) ?? "{}") };
	} catch {
		return usual;
	}
}

/** @param {(value: number) => void} hear */
const range = (hear) =>
	html("input", {
		type: "range",
		min: 0,
		max: 1,
		step: 0.01,
		input: ({ target }) => hear(Number(target.value)),
	});

/** @type {Labeled} */
function labeled(name, input, ...parts) {
	update(input, { "data-field": name, "data-label": name });
	return html("label", { "data-title": name }, ...parts, input);
}

/** @param {string} name */
const word = (name) => html("span", { "data-text": name });

/** @type {Create<Backdrop>} */
export function createBackdrop(context) {
	const { canvas, gone, redraw, service } = context;
	/** @type {Map<string, string | null>} */
	const pictures = new Map();
	/** The result before the last. @type {string | null} */
	let before = null;
	const wish = remembered();
	const kinds = html(
		"select",
		{ change: ({ target }) => want({ kind: target.value }) },
		...[NONE, ...KINDS].map((kind) => html("option", { value: kind, "data-text": `backdrop_${kind}` })),
	);
	const file = html("input", { type: "file", accept: "image/*" });
	const opacity = range((opacity) => want({ opacity }));
	const split = range(redraw);
	const labels = [
		labeled("backdrop", kinds),
		labeled("open_picture", file, icon("picture")),
		labeled("opacity", opacity, word("opacity")),
		labeled("compare", split, word("compare")),
	];
	/** Goes on from the result. */
	const edit = button("edit_here", () => context.edit(pictures.get("result") ?? ""));
	setClass(labels[1], "tool", true);
	update(file, { change: () => opened(file.files?.[0]) });
	split.value = "0";
	gone.addEventListener("abort", forget);

	/** @param {Partial<Wish>} wanted */
	function want(wanted) {
		Object.assign(wish, wanted);
		try {
			localStorage.setItem(KEY, JSON.stringify(wish));
		} catch {
			// Where nothing may be kept, it holds for this page.
		}
		redraw();
	}

	function forget() {
		URL.revokeObjectURL(pictures.get("file") ?? "");
	}

	/** @param {File | undefined} chosen */
	function opened(chosen) {
		if (!chosen) return;
		forget();
		pictures.set("file", URL.createObjectURL(chosen));
		file.value = "";
		want({ kind: "file" });
	}

	return {
		node: html("div.backdrop", ...labels, edit),
		set(kind, url) {
			const next = url && isOurs(url) ? url : null;
			const last = pictures.get(kind) ?? null;
			if (next === last) return;
			if (kind === "result" && last) before = last;
			pictures.set(kind, next);
			redraw();
		},
		draw() {
			// Until there is a result, one sees what is painted over.
			const wanted = wish.kind === NONE ? [] : [wish.kind, "result", "input"];
			const shown = wanted.find((kind) => pictures.get(kind)) ?? NONE;
			const under = shown === "result" ? before : null;
			canvas.show({
				url: pictures.get(shown) ?? null,
				before: under,
				split: under ? Number(split.value) : 0,
				opacity: wish.opacity,
			});
			for (const option of kinds.options)
				option.disabled = option.value !== NONE && !pictures.get(option.value);
			kinds.value = shown;
			opacity.value = String(wish.opacity);
			labels[0].hidden = ![...pictures.values()].some(Boolean);
			labels[2].hidden = shown === NONE;
			labels[3].hidden = !under;
			edit.hidden = !service || !pictures.get("result");
		},
	};
}
