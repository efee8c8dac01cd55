import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";

import { LANGUAGES, addTexts, text } from "../../javascript/ranni/strings.mjs";

const folder = new URL("../../javascript/ranni/", import.meta.url);
const STRINGS = Object.fromEntries(
	await Promise.all(
		LANGUAGES.map(async (code) => [
			code,
			JSON.parse(await readFile(new URL(`strings/${code}.json`, folder), "utf8")),
		]),
	),
);
for (const [code, table] of Object.entries(STRINGS)) addTexts(code, table);
const places = (value) => [...value.matchAll(/\{\d\}/g)].map(String).sort();

async function sourcesOf() {
	const names = (await readdir(folder)).filter((name) => name.endsWith(".mjs"));
	return (await Promise.all(names.map((name) => readFile(new URL(name, folder), "utf8")))).join("\n");
}

test("every language has the same keys and the same places to fill", () => {
	for (const [language, table] of Object.entries(STRINGS)) {
		assert.deepEqual(Object.keys(table), Object.keys(STRINGS.en), language);
		for (const [key, value] of Object.entries(table)) {
			assert.ok(value.trim(), `${language}.${key}`);
			assert.deepEqual(places(value), places(STRINGS.en[key]), `${language}.${key}`);
		}
	}
});

test("a text is filled, and an unknown language is English", () => {
	assert.equal(text("zh_CN", "several", 3), "3 个元素");
	assert.equal(text("__proto__", "one", "{1}"), "Element {1}");
});

test("every key is used, and every key that is used exists", async () => {
	const sources = await sourcesOf();
	for (const key of Object.keys(STRINGS.en)) {
		const [short] = [key.replace(/^(fault|align|distribute|add|remove|warn|backdrop)_/, "")];
		assert.ok(sources.includes(`"${key}"`) || new RegExp(`["\\s{]${short}["\\s:,]`).test(sources), key);
	}
	const said = /(?:\b(?:t|title|button)\(|"data-(?:text|title|label)": )"(\w+)"/g;
	for (const [, key] of sources.matchAll(said)) assert.ok(key in STRINGS.en, key);
	for (const [, code] of sources.matchAll(/\b(?:fault|must|tell|ServiceError)\(\s*"(\w+)"/g))
		assert.ok(`fault_${code}` in STRINGS.en, code);
});

test("every icon is drawn, and used", async () => {
	const icons = JSON.parse(await readFile(new URL("icons.json", folder), "utf8"));
	for (const [name, strokes] of Object.entries(icons)) {
		assert.match(strokes, /^[Mm][-\d. a-zA-Z]+$/, name);
		const short = name.replace(/^(align|distribute)_/, "");
		assert.match(await sourcesOf(), new RegExp(`["\\s{]${short}["\\s:,]`), name);
	}
});

test("the entry asks after every part", async () => {
	const entry = await readFile(new URL("../ranni.mjs", folder), "utf8");
	const listed = [...entry.slice(entry.indexOf("[") + 1, entry.indexOf("]")).matchAll(/"(\w+)"/g)].map(
		([, name]) => `${name}.mjs`,
	);
	assert.deepEqual(listed, (await readdir(folder)).filter((name) => name.endsWith(".mjs")).sort());
});
