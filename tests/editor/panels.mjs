/** Panels for tests. */

/** @param {string} id @param {number[]} sides @param {Record<string, any>} [fields] */
export function element(id, [x0, y0, x1, y1], fields = {}) {
	return { id, description: `thing ${id}`, box: { x0, y0, x1, y1 }, ...fields };
}

/** @param {...any} elements */
export function panel(...elements) {
	return { version: 1, elements };
}

/** A repeatable source of numbers in 0..1 (mulberry32). @param {number} seed */
export function random(seed) {
	let a = seed;
	return () => {
		a = (a + 0x6d2b79f5) | 0;
		let t = Math.imul(a ^ (a >>> 15), 1 | a);
		t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
		return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
	};
}
