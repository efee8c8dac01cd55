import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { test } from "node:test";

const root = new URL("../../", import.meta.url);
const MOST_BYTES = 150_000;

test("the script and the style that a page loads stay small, as they are written", async () => {
	const scripts = (await readdir(new URL("javascript/", root), { recursive: true })).filter((name) =>
		/\.m?js$/.test(name),
	);
	const names = ["style.css", ...scripts.map((name) => `javascript/${name}`)];
	assert.ok(names.includes("javascript/ranni.mjs") && names.includes("javascript/ranni/editor.mjs"));
	const files = await Promise.all(names.map((name) => readFile(new URL(name, root))));
	const bytes = files.reduce((sum, file) => sum + file.length, 0);
	assert.ok(bytes <= MOST_BYTES, `${bytes} bytes`);
});
