/** Panels kept by name, and files: in a menu, or dropped on the editor. */

import { EMPTY_PANEL, read } from "./document.mjs";
import { button, consume, html, setClass, setText, tool, translate, update } from "./dom.mjs";
import { download, drawn, png, svgText } from "./pictures.mjs";
import { ServiceError, wordsOf } from "./service.mjs";

const MOST_MIB = 32;
/** Formats that the server need not be asked for, or only reads. */
const UNASKED = ["panel", "omost"];

/** @param {string} key */
const title = (key) => html("h3", { "data-text": key });

/** The button that opens the menu. @type {Create<HTMLElement>} */
export function createFiles(context) {
	const { root, service, t } = context;
	const message = html("p.fault", { role: "alert" });
	const rows = html("ul.rows");
	const exports = html("div.bar");
	const dialog = html("dialog.dialog", { "data-label": "files" });
	update(dialog, {
		// Keys in the menu are neither the editor's nor the host's.
		keydown: (event) => event.stopPropagation(),
		// Its content fills it, so this is beside it.
		pointerdown: ({ target }) => target === dialog && dialog.close(),
	});
	update(root, { dragenter: drag, dragover: drag, dragleave: drag, drop: drag });
	root.append(dialog);
	context.edit = edit;

	/** @param {DragEvent} event */
	function drag(event) {
		const { type, dataTransfer, relatedTarget } = event;
		if (!dataTransfer?.types.includes("Files")) return;
		consume(event);
		const isLeft = type === "dragleave" && !root.contains(/** @type {Node | null} */ (relatedTarget));
		setClass(root, "dropping", type !== "drop" && !isLeft);
		update(root, { "data-drop": t("drop") });
		if (type === "drop") open(dataTransfer.files[0]);
	}

	/** @type {Attempt} */
	function attempt(action) {
		setText(message, "");
		action().catch((error) => {
			if (!(error instanceof ServiceError)) throw error;
			const { code, args } = error;
			if (dialog.open) setText(message, t(`fault_${code}`, ...args));
			else context.tell([{ path: "", code, args }], "opened");
		});
	}

	/** @param {File | undefined} file */
	function open(file) {
		if (!file) return;
		attempt(async () => {
			if (file.size > MOST_MIB * 2 ** 20) throw new ServiceError("large", MOST_MIB);
			take(service ? await service.open(file) : { panel: await file.text() });
		});
	}

	/** @type {Context["edit"]} */
	function edit(url) {
		attempt(async () => {
			const picture = await fetch(url).catch(() => null);
			if (!picture?.ok) throw new ServiceError("network");
			const found = await service?.open(await picture.blob());
			take({ ...found, guidance: { ...found.guidance, seed: found.seed, keep: true } });
		});
	}

	/** @type {Take} */
	function take({ panel: document, problems = [], guidance, prompt, negative }) {
		const { panel, problems: found } = read(document);
		if (!panel) throw new ServiceError(found[0].code, found[0].args[0]);
		const told = wordsOf(problems).map((words) => ({ path: "", code: "server", args: [words] }));
		dialog.close();
		context.replace(panel);
		context.tell([...told, ...found], "opened");
		context.told(guidance, prompt, negative);
	}

	/** @type {Saver} */
	function saver(label, end, make) {
		const save = button("", () => attempt(async () => download(`panel${end}`, await make())));
		setText(save, label);
		return save;
	}

	function show() {
		const text = html("textarea", { rows: 2, dir: "auto", placeholder: t("layout"), "data-label": "layout" });
		const file = html("input", { type: "file", hidden: true });
		const bring = async () =>
			take(service ? await service.import({ text: text.value }) : { panel: text.value });
		const picture = () => drawn(context.value(), context.aspect);
		update(file, { change: () => open(file.files?.[0]) });
		rows.replaceChildren();
		exports.replaceChildren(
			saver("JSON", ".json", () => JSON.stringify(context.value(), null, 2)),
			saver("SVG", ".svg", () => svgText(picture())),
			saver("PNG", ".png", () => png(picture())),
		);
		const kept = service ? [title("kept"), rows, keeper(service)] : [];
		const content = html(
			"div",
			...kept,
			title("bring"),
			text,
			html(
				"div.bar",
				button("import", () => attempt(bring)),
				button("open", () => file.click()),
				button("clear", () => take({ panel: EMPTY_PANEL })),
			),
			title("export"),
			exports,
			message,
			file,
		);
		dialog.replaceChildren(content);
		translate(dialog, t);
		dialog.showModal();
		if (service) attempt(() => ask(service));
	}

	/** @type {AskKept} */
	async function ask(service) {
		await list(service);
		for (const format of (await service.version()).formats) {
			if (UNASKED.includes(format)) continue;
			const write = async () => {
				const { text, problems } = await service.export({ panel: context.value(), format });
				setText(message, wordsOf(problems).join("\n"));
				return text;
			};
			exports.append(saver(format, `-${format}.${format === "tiled_diffusion" ? "json" : "txt"}`, write));
		}
	}

	/** @type {Entry} */
	function entry(enter, value = "") {
		const name = t("name");
		return html("input", {
			placeholder: name,
			"aria-label": name,
			value,
			maxlength: 80,
			dir: "auto",
			keydown: ({ key, isComposing }) => key === "Enter" && !isComposing && enter(),
		});
	}

	/** @type {Keeper} */
	function keeper(service) {
		const keep = (isSure = false) =>
			attempt(async () => {
				const body = { name: name.value.trim(), panel: context.value(), replace: isSure };
				const failed = await service.panels.save(body).catch((error) => error);
				again.hidden = failed.status !== 409;
				if (failed instanceof Error) throw failed;
				await list(service);
			});
		const name = entry(keep);
		const again = button("overwrite", () => keep(true));
		again.hidden = true;
		update(name, { input: () => (again.hidden = true) });
		return html(
			"div.bar",
			name,
			button("keep", () => keep()),
			again,
		);
	}

	/** @param {Service} service */
	async function list(service) {
		/** @type {{names: string[]}} */
		const { names } = await service.panels.list();
		rows.replaceChildren(...names.map((name) => row(service, name)));
		// What had the focus may be gone.
		if (!dialog.contains(document.activeElement)) dialog.querySelector("input")?.focus();
	}

	/** @type {KeptRow} */
	function row(service, name) {
		const { load, rename, delete: remove } = service.panels;
		const node = html("li.row");
		const shows = (/** @type {HTMLElement[]} */ ...nodes) => {
			node.replaceChildren(...nodes);
			translate(node, t);
			nodes[0].focus();
		};
		const act = (/** @type {Promise<any>} */ done) => attempt(() => done.then(() => list(service)));
		/** @type {MakeTool} */
		const small = (what, click) => tool(what, click, { title: t(what), "aria-label": `${t(what)}: ${name}` });
		const renaming = () => {
			const enter = () => act(rename({ name, to: to.value.trim() }));
			const to = entry(enter, name);
			shows(to, button("rename", enter), back);
		};
		const sure = button("really", () => act(remove({ name })));
		const main = button("", () => attempt(async () => take(await load({ name }))), "name");
		const asked = html("span.name");
		for (const named of [main, asked]) {
			update(named, { dir: "auto" });
			setText(named, name);
		}
		const usual = [main, small("rename", renaming), small("remove", () => shows(sure, asked, back))];
		const back = small("close", () => shows(...usual));
		node.append(...usual);
		return node;
	}

	return button("files", show);
}
