/** Files to save, and pictures to put into them. */

import { elementColor, inkColor, shortened } from "./canvas.mjs";
import { html, svg } from "./dom.mjs";

const PICTURE_PX = 1024;

/** @type {Download} */
export function download(name, content) {
	const href = URL.createObjectURL(new Blob([content]));
	html("a", { href, download: name }).click();
	setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

/** @type {SvgText} */
export const svgText = (picture) => new XMLSerializer().serializeToString(picture);

/** @type {Png} */
export async function png(picture) {
	const image = new Image();
	image.src = `data:image/svg+xml,${encodeURIComponent(svgText(picture))}`;
	await image.decode();
	const canvas = html("canvas", { width: image.width, height: image.height });
	canvas.getContext("2d")?.drawImage(image, 0, 0);
	return new Promise((done) => canvas.toBlob((blob) => done(/** @type {Blob} */ (blob))));
}

/** @type {HexOf} */
export function hexOf(color) {
	const paint = html("canvas").getContext("2d");
	if (!paint || !CSS.supports("color", color)) return undefined;
	paint.fillStyle = color;
	return String(paint.fillStyle);
}

/** @type {DrawPicture} */
export function drawn({ elements }, aspect) {
	const width = Math.round(PICTURE_PX * Math.min(1, aspect));
	const height = Math.round(PICTURE_PX / Math.max(1, aspect));
	const nodes = elements.flatMap(({ box, colors, description }, index) => {
		const stroke = hexOf(elementColor(index));
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
	return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}` }, page, ...nodes);
}
