/** Where the canvas lies on the stage, in CSS pixels of the stage: fitted, zoomed and panned. */

import { clamp, sizeOf } from "./geometry.mjs";

const MARGIN_PX = 14;
const MOST_ZOOM = 16;

/** @returns {Viewport} */
export function createViewport() {
	let [stageWidth, stageHeight, aspect] = [1, 1, 1];
	let [shiftX, shiftY] = [0, 0];

	/** @type {(at: number, size: number, room: number) => number} */
	function kept(at, size, room) {
		const free = viewport.zoom === 1 ? 0 : Math.max(0, (size - room) / 2 + room / 3);
		return clamp(at, -free, free);
	}

	/** @type {Viewport} */
	const viewport = {
		zoom: 1,
		fit(width, height, shape) {
			if (shape !== aspect) viewport.reset();
			[stageWidth, stageHeight, aspect] = [Math.max(1, width), Math.max(1, height), shape];
			viewport.pan(0, 0);
		},
		reset() {
			[viewport.zoom, shiftX, shiftY] = [1, 0, 0];
		},
		get page() {
			const [room, high] = [stageWidth, stageHeight].map((side) => Math.max(1, side - 2 * MARGIN_PX));
			const width = Math.min(room, high * aspect) * viewport.zoom;
			const height = width / aspect;
			return { x: (stageWidth - width) / 2 + shiftX, y: (stageHeight - height) / 2 + shiftY, width, height };
		},
		rect(box) {
			const { x, y, width, height } = viewport.page;
			const [left, top] = [x + box.x0 * width, y + box.y0 * height];
			return { x: left, y: top, width: sizeOf(box, "x") * width, height: sizeOf(box, "y") * height };
		},
		toCanvas(px, py) {
			const { x, y, width, height } = viewport.page;
			return [(px - x) / width, (py - y) / height];
		},
		pan(dx, dy) {
			const { width, height } = viewport.page;
			shiftX = kept(shiftX + dx, width, stageWidth);
			shiftY = kept(shiftY + dy, height, stageHeight);
		},
		zoomAbout(px, py, factor) {
			const [x, y] = viewport.toCanvas(px, py);
			viewport.zoom = clamp(viewport.zoom * factor, 1, MOST_ZOOM);
			const { x: left, y: top, width, height } = viewport.page;
			viewport.pan(px - (left + x * width), py - (top + y * height));
		},
	};
	return viewport;
}
