/** The named points of elements: on the canvas, in the fields, and as a pose for a ControlNet unit. */

import { setField } from "./commands.mjs";
import { fieldOf } from "./document.mjs";
import { button, html, named, setText, svg, update } from "./dom.mjs";
import { ListField } from "./fields.mjs";
import { clamp, rounded } from "./geometry.mjs";
import { tool } from "./icons.mjs";
import { arrowOf } from "./keyboard.mjs";
import { Part } from "./part.mjs";
import { download, png } from "./pictures.mjs";

/** The points of a body, in the order of OpenPose. */
const BODY = (
	"nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip " +
	"right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear"
).split(" ");
/** Which of them are joined, in the order of their colors. */
const LIMBS = "1-2 1-5 2-3 3-4 5-6 6-7 1-8 8-9 9-10 1-11 11-12 12-13 1-0 0-14 14-16 0-15 15-17".split(" ");
/** Names of more points than these would cover each other. */
const NAMED = 6;

/** OpenPose's color of a point or limb. @param {number} index */
const hue = (index) => `hsl(${Math.max(0, index) * 20} 100% 50%)`;

/** @type {PointsOf} */
const pointsOf = (element) => fieldOf(element, "keypoints");

/** The points of a body by their place in `BODY`. @param {PanelElement} element */
const bodyOf = (element) => BODY.map((name) => pointsOf(element).find((point) => point.name === name));

/** @param {PanelElement} element */
const hasBody = (element) => bodyOf(element).some(Boolean);

/**
 * The points of an element as nodes; `open` ones have names and can be gripped.
 * @param {PanelElement} element @param {Rect} page @param {boolean} open
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
		const own = open && { "data-point": index, "data-crowded": points.length > NAMED };
		return svg(
			"g",
			{ transform: `translate(${at(point)})`, ...own },
			open && svg("circle", { class: "ranni-grip", r: 11 }),
			svg("circle", { r: 4, fill: hue(BODY.indexOf(point.name)) }),
			open && svg("text", { class: "ranni-label", x: 7, y: 4 }, point.name),
		);
	});
	return [...limbs, ...dots];
}

/**
 * Bodies as OpenPose writes them, in pixels: one person for each element that has any.
 * @param {readonly PanelElement[]} elements @param {number} width @param {number} height
 */
export function pose(elements, width, height) {
	const written = (/** @type {Point | undefined} */ p) =>
		p ? [rounded(p.x * width), rounded(p.y * height), 1] : [0, 0, 0];
	const people = elements.filter(hasBody).map((e) => ({ pose_keypoints_2d: bodyOf(e).flatMap(written) }));
	return { people, canvas_width: width, canvas_height: height };
}

export class Keypoints extends Part {
	#field = new ListField(this.context, {
		name: "keypoints",
		key: "keypoint",
		columns: [{ member: "name" }],
		fresh: (name) => {
			const { x0, y0, x1, y1 } = this.#element.box;
			return this.#point(name, (x0 + x1) / 2, (y0 + y1) / 2);
		},
		tool: (index) => this.#mover(index),
	});
	#place = button("place_points", () => this.toggle());
	#copy = button("copy_pose", () => this.#export());
	#save = button("save_pose", async () => download("pose.png", await png(this.#drawn)));
	#tools = html("div", { class: "ranni-buttons" }, this.#place, this.#copy, this.#save);
	node = html("div", {}, this.#field.node, this.#tools);
	/** Whether a press on the canvas puts down a point. */
	placing = false;

	/** @param {Context} context */
	constructor(context) {
		super(context);
		update(this.#place, { "data-title": "place_points_how" });
		this.#field.offer(BODY);
	}

	get #element() {
		return this.chosen[0];
	}

	/** The size of the picture in pixels. */
	get #size() {
		const { size, aspect } = this.context;
		return size ?? [Math.round(512 * aspect), 512];
	}

	/** The points of all elements, on black. */
	get #drawn() {
		const [width, height] = this.#size;
		const page = { x: 0, y: 0, width, height };
		const points = this.state.panel.elements.flatMap((e) => pointNodes(e, page, false));
		return svg("svg", { width, height }, svg("rect", { width, height }), ...points);
	}

	/** Of no name: the first of a body that is missing. @type {KeypointPoint} */
	#point(name, x, y) {
		const next = BODY[bodyOf(this.#element).indexOf(undefined)];
		const number = pointsOf(this.#element).length + 1;
		return this.#within({ name: name || next || `point_${number}`, x, y });
	}

	/** @param {Point} point */
	#within({ x, y, ...point }) {
		return { ...point, x: rounded(clamp(x, 0, 1)), y: rounded(clamp(y, 0, 1)) };
	}

	/** @type {KeypointSet} */
	#set(points, run) {
		this.apply(setField([this.#element.id], "keypoints", points), run);
	}

	/** Put down the next point. @type {Put} */
	put(x, y, run) {
		const points = pointsOf(this.#element);
		this.#set([...points, this.#point(this.#field.take(), x, y)], run);
		return points.length;
	}

	/** @type {KeypointMove} */
	move(index, x, y, run) {
		const points = [...pointsOf(this.#element)];
		points[index] = this.#within({ ...points[index], x, y });
		this.#set(points, run);
	}

	/** Put points down from now on, or no longer. */
	toggle() {
		this.placing = !this.placing;
		this.context.redraw();
	}

	/** @type {KeypointDraw} */
	draw(element, open) {
		this.node.hidden = !element;
		this.placing &&= Boolean(element) && open;
		this.context.canvas.node.classList.toggle("ranni-placing", this.placing);
		if (!element) return;
		this.#field.draw([element], open, this.#point("", 0, 0).name);
		update(this.#place, { "aria-pressed": String(this.placing), disabled: !open });
		setText(this.#copy, this.t("copy_pose"));
		this.#copy.hidden = this.#save.hidden = !this.state.panel.elements.some(hasBody);
	}

	/** @param {number} index */
	#mover(index) {
		const keydown = (/** @type {KeyboardEvent} */ event) => {
			const arrow = arrowOf(event);
			if (!arrow) return;
			event.preventDefault();
			const { x, y } = pointsOf(this.#element)[index];
			this.move(index, x + arrow[0], y + arrow[1], `point ${index}`);
		};
		const blur = () => this.store.seal();
		const shared = { class: "ranni-tool ranni-tiny", "data-tool": `move_${index}`, keydown, blur };
		return tool("move", () => {}, { ...shared, ...named(this.t("move_point", index + 1)) });
	}

	async #export() {
		const text = JSON.stringify(pose(this.state.panel.elements, ...this.#size));
		// Pages that are not served securely have no clipboard.
		if (!navigator.clipboard) return download("pose.json", text);
		await navigator.clipboard.writeText(text);
		setText(this.#copy, this.t("copied"));
	}
}
