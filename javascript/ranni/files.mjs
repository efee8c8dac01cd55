/** Panels kept by name, and files: in a menu, or dropped on the editor. */

import { elementColor, inkColor, shortened } from "./canvas.mjs";
import { EMPTY_PANEL, read } from "./document.mjs";
import { button, html, setText, svg, update } from "./dom.mjs";
import { icon } from "./icons.mjs";
import { ServiceError } from "./service.mjs";

const MOST_MIB = 32;
const PICTURE_PX = 1024;
/** Formats that the server need not be asked for, or only reads. */
const UNASKED = ["panel", "omost"];

/** @typedef {import("./service.mjs").Service} Service */

/** @param {string} name @param {Blob | string} content */
export function download(name, content) {
  const href = URL.createObjectURL(new Blob([content]));
  html("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

/**
 * A picture of a panel as SVG text, which needs no styles.
 * @param {import("./document.mjs").Panel} panel @param {number} aspect
 */
function drawn({ elements }, aspect) {
  const paint = /** @type {CanvasRenderingContext2D} */ (html("canvas").getContext("2d"));
  const [width, height] = [PICTURE_PX * Math.min(1, aspect), PICTURE_PX / Math.max(1, aspect)].map(
    Math.round,
  );
  const nodes = elements.flatMap(({ box, colors, description }, index) => {
    paint.fillStyle = elementColor(index);
    const stroke = String(paint.fillStyle);
    const [x, y] = [box.x0 * width, box.y0 * height];
    const rect = { x, y, width: box.x1 * width - x, height: box.y1 * height - y };
    const font = { "font-family": "sans-serif", "font-size": 18, fill: inkColor(index) };
    // XML cannot hold every character.
    const label = shortened(description).replace(/[^ -\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "");
    const back = svg("rect", { width: "100%", height: 28, fill: stroke });
    return [
      svg("rect", { ...rect, stroke, "stroke-width": 4, fill: colors?.[0] ?? stroke, "fill-opacity": 0.2 }),
      svg("svg", rect, back, svg("text", { x: 8, y: 20, ...font }, `${index + 1}  ${label}`)),
    ];
  });
  const page = svg("rect", { width, height, fill: "#ffffff" });
  const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}` }, page, ...nodes);
  return new XMLSerializer().serializeToString(picture);
}

/** @param {string} source SVG @returns {Promise<Blob>} PNG */
async function painted(source) {
  const image = new Image();
  image.src = `data:image/svg+xml,${encodeURIComponent(source)}`;
  await image.decode();
  const canvas = html("canvas", { width: image.width, height: image.height });
  canvas.getContext("2d")?.drawImage(image, 0, 0);
  return new Promise((done) => canvas.toBlob((blob) => done(/** @type {Blob} */ (blob))));
}

/** @param {...Node} children */
const bar = (...children) => html("div", { class: "ranni-bar" }, ...children);

/** @param {string} label @param {() => void} enter what Enter does @param {string} [value] */
function entry(label, enter, value = "") {
  const node = html("input", { placeholder: label, "aria-label": label, value, maxlength: 80, dir: "auto" });
  node.addEventListener("keydown", ({ key, isComposing }) => key === "Enter" && !isComposing && enter());
  return node;
}

export class Files {
  #context;
  #message = html("p", { class: "ranni-fault", role: "alert" });
  #rows = html("ul", { class: "ranni-rows" });
  #dialog = html("dialog", { class: "ranni-dialog" });
  /** Opens the menu. */
  button = button("", () => this.#open());

  /** @param {import("./editor.mjs").Context} context */
  constructor(context) {
    this.#context = context;
    const { root } = context;
    root.append(this.#dialog);
    // Keys in the menu are neither the editor's nor the host's.
    this.#dialog.addEventListener("keydown", (event) => event.stopPropagation());
    // Its content fills it, so this is beside it.
    this.#dialog.addEventListener(
      "pointerdown",
      ({ target }) => target === this.#dialog && this.#dialog.close(),
    );
    for (const type of /** @type {const} */ (["dragenter", "dragover", "dragleave", "drop"]))
      root.addEventListener(type, (event) => this.#drag(event));
  }

  draw() {
    const { root, t } = this.#context;
    setText(this.button, t("files"));
    update(root, { "data-drop": t("drop") });
  }

  /** @param {DragEvent} event */
  #drag(event) {
    const { root } = this.#context;
    const { type, dataTransfer, relatedTarget } = event;
    if (!dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    const isLeft = type === "dragleave" && !root.contains(/** @type {Node | null} */ (relatedTarget));
    root.classList.toggle("ranni-dropping", type !== "drop" && !isLeft);
    if (type === "drop") this.#read(dataTransfer.files[0]);
  }

  /** Do it, or say why not. @param {() => Promise<unknown>} action */
  #try(action) {
    const { t } = this.#context;
    setText(this.#message, "");
    action().catch((error) => {
      if (!(error instanceof ServiceError)) throw error;
      const { code, args } = error;
      if (this.#dialog.open) setText(this.#message, t(`fault_${code}`, ...args));
      else this.#context.tell([{ path: "", code, args }], "opened");
    });
  }

  /** @param {File | undefined} file */
  #read(file) {
    const { service } = this.#context;
    if (!file) return;
    this.#try(async () => {
      if (file.size > MOST_MIB * 2 ** 20) throw new ServiceError("large", MOST_MIB);
      this.#take(service ? await service.open(file) : { panel: await file.text() });
    });
  }

  /** Show a panel from outside, as one step. @param {any} answer of the server, or one with a panel alone */
  #take({ panel: document, problems = [], guidance, prompt, negative }) {
    const { panel, problems: found } = read(document);
    if (!panel) throw new ServiceError(found[0].code, found[0].args[0]);
    const told = problems.map((/** @type {any} */ p) => ({
      path: p.path,
      code: "server",
      args: [p.message],
    }));
    this.#dialog.close();
    this.#context.replace(panel);
    this.#context.tell([...told, ...found], "opened");
    this.#context.told(guidance, prompt, negative);
  }

  #open() {
    const { service, t } = this.#context;
    const title = (/** @type {string} */ key) => html("h3", {}, t(key));
    const text = html("textarea", {
      rows: 2,
      dir: "auto",
      placeholder: t("layout"),
      "aria-label": t("layout"),
    });
    const file = html("input", { type: "file", hidden: true });
    file.addEventListener("change", () => this.#read(file.files?.[0]));
    const bring = async () =>
      this.#take(service ? await service.import({ text: text.value }) : { panel: text.value });
    const picture = () => drawn(this.#context.value(), this.#context.aspect);
    /** @type {(label: string, kind: string, make: () => any) => HTMLElement} */
    const out = (label, kind, make) =>
      button(label, () => this.#try(async () => download(`panel${kind}`, await make())));
    const exports = bar(
      out("JSON", ".json", () => JSON.stringify(this.#context.value(), null, 2)),
      out("SVG", ".svg", picture),
      out("PNG", ".png", () => painted(picture())),
    );
    this.#rows.replaceChildren();
    const content = html(
      "div",
      {},
      ...(service ? [title("kept"), this.#rows, this.#keeping(service)] : []),
      title("bring"),
      text,
      bar(
        button(t("import"), () => this.#try(bring)),
        button(t("open"), () => file.click()),
        button(t("clear"), () => this.#take({ panel: EMPTY_PANEL })),
      ),
      title("export"),
      exports,
      this.#message,
      file,
    );
    this.#dialog.replaceChildren(content);
    update(this.#dialog, { "aria-label": t("files") });
    this.#dialog.showModal();
    if (!service) return;
    this.#try(async () => {
      await this.#list(service);
      for (const format of (await service.version()).formats)
        if (!UNASKED.includes(format))
          exports.append(out(format, `-${format}.txt`, () => this.#written(service, format)));
    });
  }

  /** @param {Service} service @param {string} format */
  async #written(service, format) {
    const { text, problems } = await service.export({ panel: this.#context.value(), format });
    setText(this.#message, problems.map((/** @type {any} */ p) => `${p.path}: ${p.message}`).join("\n"));
    return text;
  }

  /** The field to keep the panel by a name; one that is taken is asked about. @param {Service} service */
  #keeping(service) {
    const { t } = this.#context;
    const keep = (replace = false) =>
      this.#try(async () => {
        const body = { name: name.value.trim(), panel: this.#context.value(), replace };
        const failed = await service.panels.save(body).catch((error) => error);
        again.hidden = failed.status !== 409;
        if (failed instanceof Error) throw failed;
        await this.#list(service);
      });
    const name = entry(t("name"), keep);
    const again = button(t("overwrite"), () => keep(true));
    again.hidden = true;
    name.addEventListener("input", () => (again.hidden = true));
    return bar(
      name,
      button(t("keep"), () => keep()),
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
    const { t } = this.#context;
    const { load, rename, delete: remove } = service.panels;
    const show = (/** @type {HTMLElement[]} */ ...nodes) => {
      row.replaceChildren(...nodes);
      nodes[0].focus();
    };
    const act = (/** @type {Promise<any>} */ done) => this.#try(() => done.then(() => this.#list(service)));
    /** @param {string} what @param {() => void} click */
    const tool = (what, click) => {
      const made = button("", click, "tool");
      update(made, { title: t(what), "aria-label": `${t(what)}: ${name}` });
      made.append(icon(what));
      return made;
    };
    const renaming = () => {
      const enter = () => act(rename({ name, to: to.value.trim() }));
      const to = entry(t("name"), enter, name);
      show(to, button(t("rename"), enter), back);
    };
    const sure = button(t("really"), () => act(remove({ name })));
    const main = button(name, () => this.#try(async () => this.#take(await load({ name }))), "name");
    update(main, { dir: "auto" });
    const title = html("span", { class: "ranni-name", dir: "auto" }, name);
    const usual = [main, tool("rename", renaming), tool("remove", () => show(sure, title, back))];
    const back = tool("close", () => show(...usual));
    const row = html("li", { class: "ranni-row" }, ...usual);
    return row;
  }
}
