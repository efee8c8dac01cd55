/** Where the canvas lies on the stage, in CSS pixels of the stage: fitted, zoomed and panned. */

import { clamp } from "./geometry.mjs";

const MARGIN_PX = 14;
const MOST_ZOOM = 16;

export class Viewport {
	#width = 1;
	#height = 1;
	#aspect = 1;
	#x = 0;
	#y = 0;
	zoom = 1;

	/**
	 * The stage's size in pixels, and the canvas's width / height.
	 * @param {number} width @param {number} height @param {number} aspect
	 */
	fit(width, height, aspect) {
		if (aspect !== this.#aspect) this.reset();
		[this.#width, this.#height, this.#aspect] = [Math.max(1, width), Math.max(1, height), aspect];
		this.pan(0, 0);
	}

	reset() {
		[this.zoom, this.#x, this.#y] = [1, 0, 0];
	}

	/** The canvas on the stage. @returns {{x: number, y: number, width: number, height: number}} */
	get page() {
		const [room, high] = [
			Math.max(1, this.#width - 2 * MARGIN_PX),
			Math.max(1, this.#height - 2 * MARGIN_PX),
		];
		const width = Math.min(room, high * this.#aspect) * this.zoom;
		const height = width / this.#aspect;
		return {
			x: (this.#width - width) / 2 + this.#x,
			y: (this.#height - height) / 2 + this.#y,
			width,
			height,
		};
	}

	/** A box in pixels of the stage. @param {import("./geometry.mjs").Box} box */
	rect(box) {
		const { x, y, width, height } = this.page;
		return {
			x: x + box.x0 * width,
			y: y + box.y0 * height,
			width: (box.x1 - box.x0) * width,
			height: (box.y1 - box.y0) * height,
		};
	}

	/**
	 * A place on the stage in units of the canvas.
	 * @param {number} px @param {number} py @returns {[number, number]}
	 */
	toCanvas(px, py) {
		const { x, y, width, height } = this.page;
		return [(px - x) / width, (py - y) / height];
	}

	/** Move the canvas by pixels; part of it always stays in sight. @param {number} dx @param {number} dy */
	pan(dx, dy) {
		const { width, height } = this.page;
		const free = (/** @type {number} */ size, /** @type {number} */ room) =>
			Math.max(0, (size - room) / 2 + room / 3);
		const [x, y] = this.zoom === 1 ? [0, 0] : [free(width, this.#width), free(height, this.#height)];
		this.#x = clamp(this.#x + dx, -x, x);
		this.#y = clamp(this.#y + dy, -y, y);
	}

	/**
	 * Zoom so that the place under (px, py) stays there.
	 * @param {number} px @param {number} py @param {number} factor
	 */
	zoomAbout(px, py, factor) {
		const [x, y] = this.toCanvas(px, py);
		this.zoom = clamp(this.zoom * factor, 1, MOST_ZOOM);
		const { x: left, y: top, width, height } = this.page;
		this.pan(px - (left + x * width), py - (top + y * height));
	}
}
