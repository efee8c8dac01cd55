/**
 * The one script that the WebUI loads. What it loads itself lies below it and carries no version in its address,
 * so the browser is first made to ask whether its copies are still good.
 */

const PARTS = [
	"backdrop",
	"canvas",
	"commands",
	"document",
	"dom",
	"editor",
	"fields",
	"files",
	"geometry",
	"gestures",
	"host",
	"inspector",
	"keyboard",
	"keypoints",
	"list",
	"notice",
	"pictures",
	"planning",
	"proposal",
	"service",
	"store",
	"strings",
	"toolbar",
	"viewport",
	"warnings",
];

const addresses = PARTS.map((name) => new URL(`./ranni/${name}.mjs`, import.meta.url));
await Promise.allSettled(addresses.map((address) => fetch(address, { cache: "no-cache" })));
const { start } = await import("./ranni/host.mjs");
await start();
