/**
 * Every text of the editor, by language. The tables, in `strings/`, have the same keys and the same places to
 * fill: {0}, {1}, ...
 */

/** The languages that there are tables for; the first stands in for the others. */
export const LANGUAGES = Object.freeze(["en", "zh_CN"]);

/** @type {Map<string, Readonly<Record<string, string>>>} */
const tables = new Map();

/** Fetch the tables of a language and of the one that stands in for it. @param {string} language */
export async function loadTexts(language) {
	const wanted = LANGUAGES.filter((code) => [language, LANGUAGES[0]].includes(code) && !tables.has(code));
	const fetched = wanted.map(async (code) => {
		const answer = await fetch(new URL(`./strings/${code}.json`, import.meta.url), { cache: "no-cache" });
		addTexts(code, await answer.json());
	});
	await Promise.all(fetched);
}

/** @param {string} language @param {Record<string, string>} table */
export const addTexts = (language, table) => tables.set(language, Object.freeze(table));

/**
 * The text of `key` in a language (in the first one if it has none), with its places filled.
 * @param {string} language @param {string} key @param {...(string | number)} args
 */
export function text(language, key, ...args) {
	const found = tables.get(language)?.[key] ?? tables.get(LANGUAGES[0])?.[key] ?? key;
	return found.replace(/\{(\d)\}/g, (_, place) => String(args[Number(place)]));
}
