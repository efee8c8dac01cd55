/**
 * The tables of the editor: its texts, by language, and the strokes of its icons. Those in `strings/` have the
 * same keys and the same places to fill: {0}, {1}, ...
 */

/** The languages that there are texts in; the first stands in for the others. */
export const LANGUAGES = ["en", "zh_CN"];

/** By the name of their file. @type {Map<string, Record<string, string>>} */
const tables = new Map();

/** @type {LoadTexts} */
export async function loadTexts(language) {
	const codes = LANGUAGES.filter((code) => [language, LANGUAGES[0]].includes(code));
	const names = ["icons", ...codes.map((code) => `strings/${code}`)];
	const fetched = names.map(async (name) => {
		if (tables.has(name)) return;
		const answer = await fetch(new URL(`./${name}.json`, import.meta.url), { cache: "no-cache" });
		tables.set(name, await answer.json());
	});
	await Promise.all(fetched);
}

/** @type {AddTexts} */
export const addTexts = (language, table) => tables.set(`strings/${language}`, table);

/** @param {string} name */
export const strokesOf = (name) => tables.get("icons")?.[name];

/** @type {TextOf} */
export function text(language, key, ...args) {
	const [found] = [language, LANGUAGES[0]].flatMap((code) => tables.get(`strings/${code}`)?.[key] ?? []);
	return (found ?? key).replace(/\{(\d)\}/g, (_, place) => String(args[Number(place)]));
}
