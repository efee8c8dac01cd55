/** Panels kept by name, and files: in a menu, or dropped on the editor. */

import { EMPTY_PANEL, read } from "./document.mjs";
import { button, consume, html, setText, translate, update } from "./dom.mjs";
import { tool } from "./icons.mjs";
import { Part } from "./part.mjs";
import { download, drawn, png, svgText } from "./pictures.mjs";
import { ServiceError, wordsOf } from "./service.mjs";

const MOST_MIB = 32;
/** Formats that the server need not be asked for, or only reads. */
const UNASKED = ["panel", "omost"];

/** @param {...Child} children */
const bar = (...children) => html("div", { class: "ranni-bar" }, ...children);

/** @param {string} key */
const title = (key) => html("h3", { "data-text": key });

export class Files extends Part {
	#message = html("p", { class: "ranni-fault", role: "alert" });
	#rows = html("ul", { class: "ranni-rows" });
	#exports = bar();
	/** @type {HTMLDialogElement} */
	#dialog = html("dialog", {
		class: "ranni-dialog",
		"data-label": "files",
		// Keys in the menu are neither the editor's nor the host's.
		keydown: (event) => event.stopPropagation(),
		// Its content fills it, so this is beside it.
		pointerdown: ({ target }) => target === this.#dialog && this.#dialog.close(),
	});
	/** Opens the menu. */
	button = button("files", () => this.#open());

	/** @param {Context} context */
	constructor(context) {
		super(context);
		const drag = (/** @type {DragEvent} */ event) => this.#drag(event);
		update(context.root, { dragenter: drag, dragover: drag, dragleave: drag, drop: drag });
		context.root.append(this.#dialog);
	}

	/** @param {DragEvent} event */
	#drag(event) {
		const { root } = this.context;
		const { type, dataTransfer, relatedTarget } = event;
		if (!dataTransfer?.types.includes("Files")) return;
		consume(event);
		const isLeft = type === "dragleave" && !root.contains(/** @type {Node | null} */ (relatedTarget));
		root.classList.toggle("ranni-dropping", type !== "drop" && !isLeft);
		update(root, { "data-drop": this.t("drop") });
		if (type === "drop") this.#read(dataTransfer.files[0]);
	}

	/** Do it, or say why not. @type {Try} */
	#try(action) {
		setText(this.#message, "");
		action().catch((error) => {
			if (!(error instanceof ServiceError)) throw error;
			const { code, args } = error;
			if (this.#dialog.open) setText(this.#message, this.t(`fault_${code}`, ...args));
			else this.context.tell([{ path: "", code, args }], "opened");
		});
	}

	/** @param {File | undefined} file */
	#read(file) {
		const { service } = this.context;
		if (!file) return;
		this.#try(async () => {
			if (file.size > MOST_MIB * 2 ** 20) throw new ServiceError("large", MOST_MIB);
			this.#take(service ? await service.open(file) : { panel: await file.text() });
		});
	}

	/** Bring back what a picture was drawn with, so that the next one keeps the rest of it. @param {string} url */
	edit(url) {
		this.#try(async () => {
			const picture = await fetch(url).catch(() => null);
			if (!picture?.ok) throw new ServiceError("network");
			const found = await this.context.service?.open(await picture.blob());
			this.#take({ ...found, guidance: { ...found.guidance, seed: found.seed, keep: true } });
		});
	}

	/** Show a panel from outside, as one step. @type {FileTake} */
	#take({ panel: document, problems = [], guidance, prompt, negative }) {
		const { panel, problems: found } = read(document);
		if (!panel) throw new ServiceError(found[0].code, found[0].args[0]);
		const told = wordsOf(problems).map((words) => ({ path: "", code: "server", args: [words] }));
		this.#dialog.close();
		this.context.replace(panel);
		this.context.tell([...told, ...found], "opened");
		this.context.told(guidance, prompt, negative);
	}

	/** A button to save the panel as a file. @type {Saving} */
	#saving(label, end, make) {
		const save = button("", () => this.#try(async () => download(`panel${end}`, await make())));
		setText(save, label);
		return save;
	}

	#open() {
		const { service } = this.context;
		const text = html("textarea", {
			rows: 2,
			dir: "auto",
			placeholder: this.t("layout"),
			"data-label": "layout",
		});
		/** @type {HTMLInputElement} */
		const file = html("input", { type: "file", hidden: true, change: () => this.#read(file.files?.[0]) });
		const bring = async () =>
			this.#take(service ? await service.import({ text: text.value }) : { panel: text.value });
		const picture = () => drawn(this.context.value(), this.context.aspect);
		this.#rows.replaceChildren();
		this.#exports.replaceChildren(
			this.#saving("JSON", ".json", () => JSON.stringify(this.context.value(), null, 2)),
			this.#saving("SVG", ".svg", () => svgText(picture())),
			this.#saving("PNG", ".png", () => png(picture())),
		);
		const content = html(
			"div",
			{},
			service && title("kept"),
			service && this.#rows,
			service && this.#keeping(service),
			title("bring"),
			text,
			bar(
				button("import", () => this.#try(bring)),
				button("open", () => file.click()),
				button("clear", () => this.#take({ panel: EMPTY_PANEL })),
			),
			title("export"),
			this.#exports,
			this.#message,
			file,
		);
		this.#dialog.replaceChildren(content);
		translate(this.#dialog, this.t);
		this.#dialog.showModal();
		if (service) this.#try(() => this.#ask(service));
	}

	/** What the server keeps, and the formats that it writes. @param {Service} service */
	async #ask(service) {
		await this.#list(service);
		for (const format of (await service.version()).formats) {
			if (UNASKED.includes(format)) continue;
			const write = async () => {
				const { text, problems } = await service.export({ panel: this.context.value(), format });
				setText(this.#message, wordsOf(problems).join("\n"));
				return text;
			};
			const suffix = format === "tiled_diffusion" ? "json" : "txt";
			this.#exports.append(this.#saving(format, `-${format}.${suffix}`, write));
		}
	}

	/** A field for a name. @param {() => void} enter what Enter does @param {string} [value] */
	#entry(enter, value = "") {
		const keydown = (/** @type {KeyboardEvent} */ { key, isComposing }) =>
			key === "Enter" && !isComposing && enter();
		const name = this.t("name");
		return html("input", {
			placeholder: name,
			"aria-label": name,
			value,
			maxlength: 80,
			dir: "auto",
			keydown,
		});
	}

	/** The field to keep the panel by a name; one that is taken is asked about. @param {Service} service */
	#keeping(service) {
		const keep = (replace = false) =>
			this.#try(async () => {
				const body = { name: name.value.trim(), panel: this.context.value(), replace };
				const failed = await service.panels.save(body).catch((error) => error);
				again.hidden = failed.status !== 409;
				if (failed instanceof Error) throw failed;
				await this.#list(service);
			});
		const name = this.#entry(keep);
		const again = button("overwrite", () => keep(true));
		again.hidden = true;
		name.addEventListener("input", () => (again.hidden = true));
		return bar(
			name,
			button("keep", () => keep()),
			again,
		);
	}

	/** @param {Service} service */
	async #list(service) {
		/** @type {{names: string[]}} */
		const { names } = await service.panels.list();
		this.#rows.replaceChildren(...names.map((name) => this.#row(service, name)));
		// What had the focus may be gone.
		if (!this.#dialog.contains(document.activeElement)) this.#dialog.querySelector("input")?.focus();
	}

	/** A kept panel; renaming and deleting ask in its place. @param {Service} service @param {string} name */
	#row(service, name) {
		const { load, rename, delete: remove } = service.panels;
		const show = (/** @type {HTMLElement[]} */ ...nodes) => {
			row.replaceChildren(...nodes);
			translate(row, this.t);
			nodes[0].focus();
		};
		const act = (/** @type {Promise<any>} */ done) => this.#try(() => done.then(() => this.#list(service)));
		const small = (/** @type {string} */ what, /** @type {Listener} */ click) =>
			tool(what, click, { title: this.t(what), "aria-label": `${this.t(what)}: ${name}` });
		const renaming = () => {
			const enter = () => act(rename({ name, to: to.value.trim() }));
			const to = this.#entry(enter, name);
			show(to, button("rename", enter), back);
		};
		const sure = button("really", () => act(remove({ name })));
		const main = button("", () => this.#try(async () => this.#take(await load({ name }))), "name");
		const asked = html("span", { class: "ranni-name" });
		for (const node of [main, asked]) {
			update(node, { dir: "auto" });
			setText(node, name);
		}
		const usual = [main, small("rename", renaming), small("remove", () => show(sure, asked, back))];
		const back = small("close", () => show(...usual));
		const row = html("li", { class: "ranni-row" }, ...usual);
		return row;
	}
}
