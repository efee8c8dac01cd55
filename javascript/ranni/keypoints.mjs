/** The named points of elements: on the canvas, in the fields, and as a pose for a ControlNet unit. */

import { setField } from "./commands.mjs";
import { fieldOf } from "./document.mjs";
import { button, html, setText, svg, update } from "./dom.mjs";
import { ListField } from "./fields.mjs";
import { download } from "./files.mjs";
import { clamp, rounded } from "./geometry.mjs";
import { icon } from "./icons.mjs";
import { ARROWS, NUDGE } from "./keyboard.mjs";

/**
 * @typedef {import("./document.mjs").Element} PanelElement
 * @typedef {{name: string, x: number, y: number}} Point
 */

/** The points of a body, in the order of OpenPose. */
export const BODY = Object.freeze(
  (
    "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip " +
    "right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear"
  ).split(" "),
);
/** Which of them are joined, in the order of their colors. */
const LIMBS = "1-2 1-5 2-3 3-4 5-6 6-7 1-8 8-9 9-10 1-11 11-12 12-13 1-0 0-14 14-16 0-15 15-17".split(" ");
/** Names of more points than these would cover each other. */
const NAMED = 6;

/** OpenPose's color of a point or limb. @param {number} index */
const hue = (index) => `hsl(${Math.max(0, index) * 20} 100% 50%)`;
const within = (/** @type {number} */ share) => rounded(clamp(share, 0, 1));

/** @param {PanelElement} element @returns {Point[]} */
const pointsOf = (element) => fieldOf(element, "keypoints");

/** The points of a body by their place in `BODY`. @param {PanelElement} element */
const bodyOf = (element) => BODY.map((name) => pointsOf(element).find((point) => point.name === name));

/**
 * The points of an element as nodes; `open` ones have names and can be gripped.
 * @param {PanelElement} element @param {{x: number, y: number, width: number, height: number}} page
 * @param {boolean} open
 */
export function pointNodes(element, { x, y, width, height }, open) {
  const points = pointsOf(element);
  if (!points.length) return [];
  const at = (/** @type {Point} */ p) => [x + p.x * width, y + p.y * height];
  const body = bodyOf(element);
  const limbs = LIMBS.flatMap((pair, index) => {
    const [a, b] = pair.split("-").map((end) => body[Number(end)]);
    const line = { "stroke-width": 4, "stroke-opacity": 0.6, "stroke-linecap": "round", stroke: hue(index) };
    return a && b ? [svg("path", { ...line, d: `M${at(a)}L${at(b)}` })] : [];
  });
  const dots = points.map((point, index) => {
    const dot = svg("circle", { r: 4, fill: hue(BODY.indexOf(point.name)) });
    const node = svg("g", { transform: `translate(${at(point)})` }, dot);
    if (!open) return node;
    node.prepend(svg("circle", { class: "ranni-grip", r: 11 }));
    node.append(svg("text", { class: "ranni-label", x: 7, y: 4 }, point.name));
    update(node, { "data-point": index, "data-crowded": points.length > NAMED });
    return node;
  });
  return [...limbs, ...dots];
}

/**
 * Bodies as OpenPose writes them, in pixels: one person for each element that has any.
 * @param {readonly PanelElement[]} elements @param {number} width @param {number} height
 */
export function pose(elements, width, height) {
  const people = elements
    .map(bodyOf)
    .filter((body) => body.some(Boolean))
    .map((body) => ({
      pose_keypoints_2d: body.flatMap((p) =>
        p ? [rounded(p.x * width), rounded(p.y * height), 1] : [0, 0, 0],
      ),
    }));
  return { people, canvas_width: width, canvas_height: height };
}

/**
 * The same as a PNG file, points on black.
 * @param {readonly PanelElement[]} elements @param {number} width @param {number} height
 * @returns {Promise<Blob>}
 */
export async function posePicture(elements, width, height) {
  const page = { x: 0, y: 0, width, height };
  const points = elements.flatMap((e) => pointNodes(e, page, false));
  const drawing = svg("svg", { width, height }, svg("rect", { width, height }), ...points);
  const picture = new Image();
  picture.src = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(drawing))}`;
  await picture.decode();
  const canvas = html("canvas", { width, height });
  canvas.getContext("2d")?.drawImage(picture, 0, 0);
  return new Promise((done) => canvas.toBlob((blob) => done(/** @type {Blob} */ (blob))));
}

export class Keypoints {
  #context;
  #field;
  #place = button("", () => this.toggle());
  #copy = button("", () => this.#export());
  #save = button("", async () => download("pose.png", await posePicture(...this.#all)));
  /** Whether a press on the canvas puts down a point. */
  placing = false;

  /** @param {import("./editor.mjs").Context} context */
  constructor(context) {
    this.#context = context;
    this.#field = new ListField(context, {
      name: "keypoints",
      key: "keypoint",
      columns: [{ member: "name" }],
      fresh: (name) => {
        const { x0, y0, x1, y1 } = this.#element.box;
        return this.#point(name, (x0 + x1) / 2, (y0 + y1) / 2);
      },
      tool: (index) => this.#mover(index),
    });
    this.#field.offer(BODY);
    const tools = html("div", { class: "ranni-buttons" }, this.#place, this.#copy, this.#save);
    this.node = html("div", {}, this.#field.node, tools);
  }

  get #element() {
    const { panel, selection } = this.#context.store.state;
    return /** @type {PanelElement} */ (panel.elements.find((e) => e.id === selection[0]));
  }

  /** All elements, and the size of the picture in pixels. @returns {[readonly PanelElement[], number, number]} */
  get #all() {
    const { size, aspect, store } = this.#context;
    return [store.state.panel.elements, ...(size ?? /** @type {const} */ ([Math.round(512 * aspect), 512]))];
  }

  /** Of no name: the first of a body that is missing. @param {string} name @param {number} x @param {number} y */
  #point(name, x, y) {
    const next = BODY[bodyOf(this.#element).indexOf(undefined)];
    return {
      name: name || next || `point_${pointsOf(this.#element).length + 1}`,
      x: within(x),
      y: within(y),
    };
  }

  /** @param {readonly Point[]} points @param {string} run */
  #set(points, run) {
    this.#context.store.apply(setField([this.#element.id], "keypoints", points), run);
  }

  /** Put down the next point. @param {number} x @param {number} y @param {string} run @returns {number} which */
  put(x, y, run) {
    const points = pointsOf(this.#element);
    this.#set([...points, this.#point(this.#field.take(), x, y)], run);
    return points.length;
  }

  /** @param {number} index @param {number} x @param {number} y @param {string} run */
  move(index, x, y, run) {
    const to = { x: within(x), y: within(y) };
    this.#set(
      pointsOf(this.#element).map((point, n) => (n === index ? { ...point, ...to } : point)),
      run,
    );
  }

  /** Put points down from now on, or no longer. */
  toggle() {
    this.placing = !this.placing;
    this.#context.redraw();
  }

  /** @param {PanelElement | null} element the only one that is selected @param {boolean} open */
  draw(element, open) {
    const { t, canvas } = this.#context;
    this.node.hidden = !element;
    this.placing &&= Boolean(element) && open;
    canvas.node.classList.toggle("ranni-placing", this.placing);
    if (!element) return;
    this.#field.draw([element], open, this.#point("", 0, 0).name);
    setText(this.#place, t("place_points"));
    update(this.#place, {
      "aria-pressed": String(this.placing),
      title: t("place_points_how"),
      disabled: !open,
    });
    setText(this.#copy, t("copy_pose"));
    setText(this.#save, t("save_pose"));
    this.#copy.hidden = this.#save.hidden = !this.#all[0].some((e) => bodyOf(e).some(Boolean));
  }

  /** @param {number} index */
  #mover(index) {
    const { t, store } = this.#context;
    const keydown = (/** @type {KeyboardEvent} */ event) => {
      const arrow = ARROWS[event.key];
      if (!arrow) return;
      event.preventDefault();
      const { x, y } = pointsOf(this.#element)[index];
      const step = NUDGE * (event.shiftKey ? 10 : 1);
      this.move(index, x + arrow[0] * step, y + arrow[1] * step, `point ${index}`);
    };
    const label = t("move_point", index + 1);
    const node = button("", () => {}, "tool ranni-tiny");
    update(node, {
      "aria-label": label,
      title: label,
      "data-tool": `move_${index}`,
      keydown,
      blur: () => store.seal(),
    });
    node.append(icon("move"));
    return node;
  }

  async #export() {
    const text = JSON.stringify(pose(...this.#all));
    // Pages that are not served securely have no clipboard.
    if (!navigator.clipboard) return download("pose.json", text);
    await navigator.clipboard.writeText(text);
    setText(this.#copy, this.#context.t("copied"));
  }
}
