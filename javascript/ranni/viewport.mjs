/** Where the canvas lies on the stage, in CSS pixels of the stage: fitted, zoomed and panned. */

import { clamp, sizeOf } from "./geometry.mjs";

const MARGIN_PX = 14;
const MOST_ZOOM = 16;

export class Viewport {
	#width = 1;
	#height = 1;
	#aspect = 1;
	#x = 0;
	#y = 0;
	zoom = 1;

	/** @type {Fit} */
	fit(width, height, aspect) {
		if (aspect !== this.#aspect) this.reset();
		[this.#width, this.#height, this.#aspect] = [Math.max(1, width), Math.max(1, height), aspect];
		this.pan(0, 0);
	}

	reset() {
		[this.zoom, this.#x, this.#y] = [1, 0, 0];
	}

	/** The canvas on the stage. @returns {Rect} */
	get page() {
		const [room, high] = [this.#width, this.#height].map((side) => Math.max(1, side - 2 * MARGIN_PX));
		const width = Math.min(room, high * this.#aspect) * this.zoom;
		const height = width / this.#aspect;
		const [x, y] = [(this.#width - width) / 2 + this.#x, (this.#height - height) / 2 + this.#y];
		return { x, y, width, height };
	}

	/** A box in pixels of the stage. @type {(box: Box) => Rect} */
	rect(box) {
		const { x, y, width, height } = this.page;
		const [left, top] = [x + box.x0 * width, y + box.y0 * height];
		return { x: left, y: top, width: sizeOf(box, "x") * width, height: sizeOf(box, "y") * height };
	}

	/** @type {ToCanvas} */
	toCanvas(px, py) {
		const { x, y, width, height } = this.page;
		return [(px - x) / width, (py - y) / height];
	}

	/** @type {Pan} */
	pan(dx, dy) {
		const { width, height } = this.page;
		/** @type {(at: number, size: number, room: number) => number} */
		const moved = (at, size, room) => {
			const free = this.zoom === 1 ? 0 : Math.max(0, (size - room) / 2 + room / 3);
			return clamp(at, -free, free);
		};
		this.#x = moved(this.#x + dx, width, this.#width);
		this.#y = moved(this.#y + dy, height, this.#height);
	}

	/** @type {ZoomAbout} */
	zoomAbout(px, py, factor) {
		const [x, y] = this.toCanvas(px, py);
		this.zoom = clamp(this.zoom * factor, 1, MOST_ZOOM);
		const { x: left, y: top, width, height } = this.page;
		this.pan(px - (left + x * width), py - (top + y * height));
	}
}
