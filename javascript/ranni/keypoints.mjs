/** The named points of elements: on the canvas, in the fields, and as a pose for a ControlNet unit. */

import { setField } from "./commands.mjs";
import { fieldOf } from "./document.mjs";
import { button, html, named, setClass, setText, svg, tool, update } from "./dom.mjs";
import { createListField } from "./fields.mjs";
import { clamp, middleOf, rounded } from "./geometry.mjs";
import { arrowOf } from "./keyboard.mjs";
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

/** OpenPose's color of a point or limb. @type {ColorOf} */
const hue = (index) => `hsl(${Math.max(0, index) * 20} 100% 50%)`;

/** @type {PointsOf} */
const pointsOf = (element) => fieldOf(element, "keypoints");

/** @type {BodyOf} */
const bodyOf = (element) => BODY.map((name) => pointsOf(element).find((point) => point.name === name));

/** @param {PanelElement} element */
const hasBody = (element) => bodyOf(element).some(Boolean);

/** @type {PointNodes} */
export function pointNodes(element, { x, y, width, height }, isOpen) {
	const points = pointsOf(element);
	if (!points.length) return [];
	const at = (/** @type {Point} */ p) => [x + p.x * width, y + p.y * height];
	const body = bodyOf(element);
	const limbs = LIMBS.flatMap((pair, index) => {
		const [a, b] = pair.split("-").map((end) => body[Number(end)]);
		const line = { "stroke-width": 4, "stroke-opacity": 0.6, "stroke-linecap": "round", stroke: hue(index) };
		return a && b ? [svg("path", { ...line, d: `M${at(a)}L${at(b)}` })] : [];
	});
	const dots = points.map((point, index) =>
		svg(
			"g",
			{ transform: `translate(${at(point)})` },
			isOpen && { "data-point": index, "data-crowded": points.length > NAMED },
			isOpen && svg("circle.grip", { r: 11 }),
			svg("circle", { r: 4, fill: hue(BODY.indexOf(point.name)) }),
			isOpen && svg("text.label", { x: 7, y: 4 }, point.name),
		),
	);
	return [...limbs, ...dots];
}

/** @type {Pose} */
export function pose(elements, width, height) {
	const written = (/** @type {Point | undefined} */ p) =>
		p ? [rounded(p.x * width), rounded(p.y * height), 1] : [0, 0, 0];
	const people = elements.filter(hasBody).map((e) => ({ pose_keypoints_2d: bodyOf(e).flatMap(written) }));
	return { people, canvas_width: width, canvas_height: height };
}

/** @param {Point} point */
const within = ({ x, y, ...point }) => ({ ...point, x: rounded(clamp(x, 0, 1)), y: rounded(clamp(y, 0, 1)) });

/** @type {Create<Keypoints>} */
export function createKeypoints(context) {
	const { store, t } = context;
	const field = createListField(context, {
		name: "keypoints",
		key: "keypoint",
		columns: [{ member: "name" }],
		fresh: (name) => fresh(name, ...middleOf(store.chosen[0].box)),
		tool: mover,
	});
	const placer = button("place_points", () => keypoints.toggle());
	const copier = button("copy_pose", copy);
	/** What the clipboard has the pose of. @type {Panel | null} */
	let copied = null;
	const saver = button("save_pose", async () => download("pose.png", await png(drawn())));
	const node = html("div", field.node, html("div.buttons", placer, copier, saver));
	update(placer, { "data-title": "place_points_how" });
	field.offer(BODY);

	/** @type {PictureSize} */
	const size = () => context.size ?? [Math.round(512 * context.aspect), 512];

	/** The points of all elements, on black. */
	function drawn() {
		const [width, height] = size();
		const page = { x: 0, y: 0, width, height };
		const points = store.panel.elements.flatMap((e) => pointNodes(e, page, false));
		return svg("svg", { width, height }, svg("rect", { width, height }), ...points);
	}

	/** @type {FreshPoint} */
	function fresh(name, x, y) {
		const [element] = store.chosen;
		const next = BODY[bodyOf(element).indexOf(undefined)];
		return within({ name: name || next || `point_${pointsOf(element).length + 1}`, x, y });
	}

	/** @type {SetPoints} */
	const setPoints = (points, run) => store.apply(setField([store.chosen[0].id], "keypoints", points), run);

	/** A button that the arrow keys move a point with. @param {number} index */
	function mover(index) {
		const keydown = (/** @type {KeyboardEvent} */ event) => {
			const arrow = arrowOf(event);
			if (!arrow) return;
			event.preventDefault();
			const { x, y } = pointsOf(store.chosen[0])[index];
			keypoints.move(index, x + arrow[0], y + arrow[1], `point ${index}`);
		};
		const heard = { "data-tool": `move_${index}`, keydown, blur: () => store.seal() };
		return tool("move", () => {}, { ...heard, ...named(t("move_point", index + 1)) });
	}

	async function copy() {
		const text = JSON.stringify(pose(store.panel.elements, ...size()));
		// Pages that are not served securely have no clipboard.
		if (!navigator.clipboard) return download("pose.json", text);
		await navigator.clipboard.writeText(text);
		copied = store.panel;
		context.redraw();
	}

	/** @type {Keypoints} */
	const keypoints = {
		node,
		isPlacing: false,
		toggle() {
			keypoints.isPlacing = !keypoints.isPlacing;
			context.redraw();
		},
		put(x, y, run) {
			const points = pointsOf(store.chosen[0]);
			setPoints([...points, fresh(field.take(), x, y)], run);
			return points.length;
		},
		move(index, x, y, run) {
			const points = [...pointsOf(store.chosen[0])];
			points[index] = within({ ...points[index], x, y });
			setPoints(points, run);
		},
		draw(element, isOpen) {
			node.hidden = !element;
			keypoints.isPlacing &&= Boolean(element) && isOpen;
			setClass(context.canvas.node, "placing", keypoints.isPlacing);
			if (!element) return;
			field.draw([element], isOpen, fresh("", 0, 0).name);
			update(placer, { "aria-pressed": String(keypoints.isPlacing), disabled: !isOpen });
			setText(copier, t(copied === store.panel ? "copied" : "copy_pose"));
			copier.hidden = saver.hidden = !store.panel.elements.some(hasBody);
		},
	};
	return keypoints;
}
