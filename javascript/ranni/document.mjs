/**
 * A panel document: what it may hold, and the reading of an untrusted one.
 *
 * The fields and their limits are those of `lib_ranni.panel.types`. Fields that are not known here survive.
 *
 * @typedef {import("./geometry.mjs").Box} Box
 * @typedef {Readonly<{id: string, description: string, box: Box, [field: string]: any}>} Element
 * @typedef {Readonly<{version: 1, elements: readonly Element[], [field: string]: any}>} Panel `elements` run
 *   from back to front.
 * @typedef {{code: string, args: (string | number)[]}} Fault A key of the strings table and what fills it.
 * @typedef {Fault & {path: string}} Problem
 */

import { between, clamp } from "./geometry.mjs";

export const MAX_ELEMENTS = 1000;
export const MAX_TEXT = 10_000;
export const MAX_COLORS = 5;
export const MAX_SEED = 2 ** 32 - 1;
const MAX_DEPTH = 32;

/** @type {Panel} */
export const EMPTY_PANEL = Object.freeze({ version: 1, elements: Object.freeze([]) });

/** What a field that is not there stands for. @type {Readonly<Record<string, any>>} */
export const DEFAULTS = Object.freeze({
  negative: "",
  colors: Object.freeze([]),
  keypoints: Object.freeze([]),
  lora: Object.freeze([]),
  mask: null,
  weight: 1,
  base_ratio: null,
  start: 0,
  end: 1,
  seed: null,
  locked: false,
});

/** @param {string} code @param {...(string | number)} args @returns {Fault} */
const fault = (code, ...args) => ({ code, args });

/** @param {any} value @returns {value is Record<string, any>} */
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** @param {number} low @param {number} high */
const number = (low, high) => (/** @type {any} */ value) =>
  typeof value === "number" && value >= low && value <= high ? null : fault("number", low, high);

/** @param {(value: any) => Fault | null} check */
const optional = (check) => (/** @type {any} */ value) => (value === null ? null : check(value));

/** @param {any} value */
function text(value) {
  if (typeof value !== "string") return fault("text");
  if ([...value].length > MAX_TEXT) return fault("long", MAX_TEXT);
  return isUnicode(value) ? null : fault("unicode");
}

/** Whether a text holds no half of a surrogate pair. @param {string} value */
function isUnicode(value) {
  return !/[\ud800-\udfff]/u.test(value);
}

/** @param {any} value */
function colors(value) {
  if (!Array.isArray(value) || !value.every((c) => typeof c === "string" && /^#[0-9a-f]{6}$/.test(c))) {
    return fault("colors");
  }
  return value.length <= MAX_COLORS ? null : fault("many_colors", MAX_COLORS);
}

/** @param {any} value @param {number} most */
const isName = (value, most) =>
  typeof value === "string" && value && [...value].length <= most && isUnicode(value);

/**
 * A list of named records that all pass `check`.
 * @param {string} code @param {number} most characters of a name @param {(item: any) => any} check
 */
const records = (code, most, check) => (/** @type {any} */ value) =>
  Array.isArray(value) && value.every((item) => isObject(item) && isName(item.name, most) && !check(item))
    ? null
    : fault(code);

/** @param {any} value */
function mask(value) {
  const { width, height, runs } = /** @type {any} */ (isObject(value) ? value : {});
  const isWhole = (/** @type {any} */ n, low = 0, high = 2 ** 24) =>
    Number.isInteger(n) && n >= low && n <= high;
  const isRight =
    [width, height].every((side) => isWhole(side, 1, 4096)) &&
    Array.isArray(runs) &&
    runs.every((run) => isWhole(run)) &&
    runs.reduce((sum, run) => sum + run, 0) === width * height &&
    runs.some((run, index) => index % 2 && run);
  return isRight ? null : fault("mask");
}

/**
 * Maps, since a document may have a field named `__proto__`.
 * @typedef {Map<string, (value: any) => Fault | null>} Checks
 */

/** @type {Checks} */
const ELEMENT_CHECKS = new Map(
  Object.entries({
    description: (/** @type {any} */ value) => text(value) ?? (value.trim() ? null : fault("description")),
    negative: text,
    colors,
    keypoints: records("keypoints", 64, ({ x, y }) => number(0, 1)(x) ?? number(0, 1)(y)),
    lora: records("lora", 256, ({ weight = 1 }) => number(-10, 10)(weight)),
    mask: optional(mask),
    weight: number(0, 10),
    base_ratio: optional(number(0, 1)),
    start: number(0, 1),
    end: number(0, 1),
    seed: optional((value) =>
      Number.isInteger(value) && value >= 0 && value <= MAX_SEED ? null : fault("seed", MAX_SEED),
    ),
    locked: (/** @type {any} */ value) => (typeof value === "boolean" ? null : fault("flag")),
  }),
);

/** @type {Checks} */
const PANEL_CHECKS = new Map(Object.entries({ base: text, negative: text, aspect: number(0.1, 10) }));

/**
 * What is wrong with a value for a field of this element, or null.
 * @param {Readonly<Record<string, any>>} element @param {string} name @param {any} value
 * @returns {Fault | null}
 */
export function elementFault(element, name, value) {
  const found = ELEMENT_CHECKS.get(name)?.(value) ?? null;
  if (found) return found;
  if (name === "start" && value >= fieldOf(element, "end")) return fault("span");
  if (name === "end" && value <= fieldOf(element, "start")) return fault("span");
  return null;
}

/** What is wrong with a value for a field of a panel, or null. @param {string} name @param {any} value */
export function panelFault(name, value) {
  return PANEL_CHECKS.get(name)?.(value) ?? null;
}

/**
 * A field's value, or what its absence stands for.
 * @param {Readonly<Record<string, any>>} element @param {string} name
 */
export function fieldOf(element, name) {
  return element[name] ?? DEFAULTS[name] ?? null;
}

/** The first of e1, e2, ... that is not taken. @param {Set<string>} taken */
export function freshId(taken) {
  let count = 1;
  while (taken.has(`e${count}`)) count += 1;
  return `e${count}`;
}

/**
 * Read JSON text, or what JSON text decodes to. Whatever is not kept as it is becomes a problem.
 * `panel` is null where there is nothing that could be shown. Never throws.
 * @param {any} document @returns {{panel: Panel | null, problems: Problem[]}}
 */
export function read(document) {
  /** @type {Problem[]} */
  const problems = [];
  const value = decode(document, problems);
  if (Array.isArray(value)) problems.push({ path: "", ...fault("several", value.length) });
  else if (!problems.length && !isObject(value)) problems.push({ path: "", ...fault("not_panel") });
  if (problems.length) return { panel: null, problems };
  const members = kept(value, "", MAX_DEPTH, problems);
  if ("version" in members && members.version !== 1) problems.push({ path: "version", ...fault("version") });
  mend(members, "", panelFault, problems);
  if ("provenance" in members && !isObject(members.provenance)) {
    problems.push({ path: "provenance", ...fault("dropped") });
    delete members.provenance;
  }
  const elements = readElements(members.elements ?? [], "elements", problems);
  return { panel: Object.freeze({ ...members, version: 1, elements }), problems };
}

/** @param {any} value @param {string} path @param {Problem[]} problems @returns {readonly Element[]} */
function readElements(value, path, problems) {
  if (!Array.isArray(value)) {
    problems.push({ path, ...fault("dropped") });
    return EMPTY_PANEL.elements;
  }
  if (value.length > MAX_ELEMENTS) problems.push({ path, ...fault("many", MAX_ELEMENTS) });
  const items = value.slice(0, MAX_ELEMENTS);
  const given = new Set(items.map((item) => item?.id));
  const used = new Set();
  /** @type {Element[]} */
  const elements = [];
  for (const [index, item] of items.entries()) {
    const element = readElement(item, `${path}[${index}]`, problems);
    if (element === null) continue;
    let { id } = element;
    const usable =
      typeof id === "string" && id.length > 0 && id.length <= 64 && isUnicode(id) && !used.has(id);
    if (!usable) {
      if (id !== undefined && id !== null) problems.push({ path: `${path}[${index}].id`, ...fault("id") });
      id = freshId(new Set([...used, ...given]));
    }
    used.add(id);
    elements.push(/** @type {Element} */ (Object.freeze({ ...element, id })));
  }
  return Object.freeze(elements);
}

/**
 * @param {any} item @param {string} path @param {Problem[]} problems @returns {Record<string, any> | null}
 */
function readElement(item, path, problems) {
  if (!isObject(item)) {
    problems.push({ path, ...fault("dropped") });
    return null;
  }
  if (typeof item.description !== "string" || !item.description.trim()) {
    problems.push({ path: `${path}.description`, ...fault("undescribed") });
    return null;
  }
  // A mask alone says where the element is.
  const place = item.box ?? (isObject(item.mask) ? { x0: 0, y0: 0, x1: 1, y1: 1 } : null);
  const found = readBox(place, `${path}.box`, problems);
  if (found === null) return null;
  /** @type {Record<string, any>} */
  const element = { ...item, box: found };
  mend(element, `${path}.`, (name, value) => ELEMENT_CHECKS.get(name)?.(value) ?? null, problems);
  if (fieldOf(element, "start") >= fieldOf(element, "end")) {
    problems.push({ path: `${path}.start`, ...fault("span") });
    delete element.start;
    delete element.end;
  }
  return element;
}

/** @param {any} value @param {string} path @param {Problem[]} problems @returns {Box | null} */
function readBox(value, path, problems) {
  let sides = isObject(value) ? [value.x0, value.y0, value.x1, value.y1] : [];
  if (!sides.length || !sides.every((side) => typeof side === "number")) {
    problems.push({ path, ...fault("box") });
    return null;
  }
  const [x0, y0, x1, y1] = sides;
  if (0 <= x0 && x0 < x1 && x1 <= 1 && 0 <= y0 && y0 < y1 && y1 <= 1) return Object.freeze({ ...value });
  if (Math.max(...sides) > 10 && sides.every((s) => Number.isInteger(s) && s >= 0 && s <= 1000)) {
    sides = sides.map((side) => side / 1000);
  }
  const low = [Math.min(sides[0], sides[2]), Math.min(sides[1], sides[3])];
  const high = [Math.max(sides[0], sides[2]), Math.max(sides[1], sides[3])];
  const outside = Math.max(...low) > 1 || Math.min(...high) < 0;
  problems.push({ path, ...fault(outside ? "outside" : "mended_box") });
  return outside ? null : between(low[0], low[1], high[0], high[1], 0.005);
}

/**
 * Mend the fields of a record, in place; what cannot be mended goes.
 * @param {Record<string, any>} record
 * @param {string} prefix @param {(name: string, value: any) => Fault | null} check
 * @param {Problem[]} problems
 */
function mend(record, prefix, check, problems) {
  for (const name of Object.keys(record)) {
    const wrong = check(name, record[name]);
    if (!wrong) continue;
    problems.push({ path: prefix + name, ...wrong });
    const better = mended(record[name], wrong);
    if (better === undefined || check(name, better)) delete record[name];
    else record[name] = better;
  }
}

/** The nearest right value, or undefined. @param {any} value @param {Fault} wrong */
function mended(value, { code, args }) {
  if (code === "number" && typeof value === "number") return clamp(value, Number(args[0]), Number(args[1]));
  if (code === "unicode") return value.replace(/[\ud800-\udfff]/gu, "\ufffd");
  if (code === "long")
    return [...value]
      .slice(0, MAX_TEXT)
      .join("")
      .replace(/[\ud800-\udfff]/gu, "\ufffd");
  if (code === "colors" && Array.isArray(value))
    return Object.freeze(value.filter((c) => !colors([c])).slice(0, MAX_COLORS));
  if ((code === "lora" || code === "keypoints") && Array.isArray(value))
    return Object.freeze(value.map(bounded).filter((item) => !ELEMENT_CHECKS.get(code)?.([item])));
  return code === "many_colors" ? Object.freeze(value.slice(0, MAX_COLORS)) : undefined;
}

/** @type {ReadonlyMap<string, [number, number]>} */
const LIMITS = new Map([
  ["weight", [-10, 10]],
  ["x", [0, 1]],
  ["y", [0, 1]],
]);

/** A record with its numbers within their limits. @param {any} item */
function bounded(item) {
  const within = (/** @type {[string, any]} */ [name, value]) => {
    const limits = LIMITS.get(name);
    return [name, limits && typeof value === "number" ? clamp(value, ...limits) : value];
  };
  return Object.freeze(Object.fromEntries(Object.entries(item ?? {}).map(within)));
}

/** @param {any} document @param {Problem[]} problems @returns {any} */
function decode(document, problems) {
  try {
    // By way of text also for objects: nothing is shared, and what JSON cannot hold shows now.
    const source = typeof document === "string" ? document : JSON.stringify(document);
    return JSON.parse(source.replace(/^\ufeff/, ""));
  } catch (error) {
    problems.push({
      path: "",
      ...fault("json", String(/** @type {Error} */ (error).message).slice(0, 200)),
    });
    return null;
  }
}

/**
 * A frozen copy of a JSON value (its top stays open); what is nested too deep or would change is a problem.
 * @param {any} value @param {string} path @param {number} depth @param {Problem[]} problems @returns {any}
 */
function kept(value, path, depth, problems) {
  if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)) {
    problems.push({ path, ...fault("inexact") });
  }
  if (typeof value !== "object" || value === null) return value;
  if (depth === 0) {
    problems.push({ path, ...fault("deep", MAX_DEPTH) });
    return null;
  }
  const below = (/** @type {string | number} */ key) => (path ? `${path}.${key}` : String(key)).slice(0, 120);
  const copy = Array.isArray(value)
    ? value.map((item, index) => kept(item, below(index), depth - 1, problems))
    : Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key, kept(item, below(key), depth - 1, problems)]),
      );
  return depth === MAX_DEPTH ? copy : Object.freeze(copy);
}
