import assert from "node:assert/strict";
import { test } from "node:test";

import { elementFault, read } from "../../javascript/ranni/document.mjs";
import { element, panel } from "./panels.mjs";

const codes = (document) => read(document).problems.map((p) => [p.path, p.code]);

function isFrozen(value) {
  if (typeof value !== "object" || value === null) return true;
  return Object.isFrozen(value) && Object.values(value).every(isFrozen);
}

test("what is right is kept whole, unknown fields too, and frozen", () => {
  const document = {
    ...panel(
      element("e1", [0.1, 0.2, 0.3, 0.4], {
        box: { x0: 0.1, y0: 0.2, x1: 0.3, y1: 0.4, angle: 3 },
        newer: { a: [1, null] },
      }),
      element("x", [0, 0, 1, 1], { seed: null, base_ratio: 0.5, lora: [{ name: "l" }], mask: null }),
    ),
    base: "a room",
    aspect: 1.5,
    provenance: { planner: "p", later: 1 },
    2027: { deep: true },
    __proto: 1,
  };
  const text = JSON.stringify(document).replace('"__proto":1', '"__proto__":{"a":1}');
  for (const form of [document, JSON.stringify(document), "\ufeff" + text]) {
    const { panel: found, problems } = read(form);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      JSON.parse(JSON.stringify(found)),
      typeof form === "string" ? JSON.parse(form.replace("\ufeff", "")) : form,
    );
    assert.ok(isFrozen(found));
  }
  assert.equal({}.a, undefined);
});

test("what is no panel is said so", () => {
  assert.equal(read("{").problems[0].code, "json");
  assert.equal(read("").problems[0].code, "json");
  assert.equal(read(undefined).panel, null);
  assert.deepEqual(codes("3"), [["", "not_panel"]]);
  assert.deepEqual(codes("null"), [["", "not_panel"]]);
  assert.deepEqual(read("[{}, {}]").problems, [{ path: "", code: "several", args: [2] }]);
  const loop = {};
  loop.loop = loop;
  assert.equal(read(loop).problems[0].code, "json");
  assert.equal(read("[".repeat(200_000)).panel, null);
});

test("each fault is named with its place, and nothing is dropped silently", () => {
  const document = {
    version: 2,
    base: 5,
    negative: "\ud800",
    aspect: 0,
    provenance: [],
    elements: [
      7,
      { description: " ", box: {} },
      element("e1", [0, 0, 1, 1], {
        weight: 11,
        colors: ["red", "#00ff00"],
        seed: 1.5,
        locked: 1,
        start: 0.8,
        end: 0.2,
      }),
      element("e1", [0.5, 0.5, 0.4, 0.4]),
      element("e9", [2, 2, 3, 3]),
      element("e8", [100, 200, 300, 400]),
      { description: "no box" },
    ],
  };
  const { panel: found } = read(document);
  assert.deepEqual(codes(document), [
    ["version", "version"],
    ["base", "text"],
    ["negative", "unicode"],
    ["aspect", "number"],
    ["provenance", "dropped"],
    ["elements[0]", "dropped"],
    ["elements[1].description", "undescribed"],
    ["elements[2].weight", "number"],
    ["elements[2].colors", "colors"],
    ["elements[2].seed", "seed"],
    ["elements[2].locked", "flag"],
    ["elements[2].start", "span"],
    ["elements[3].box", "mended_box"],
    ["elements[3].id", "id"],
    ["elements[4].box", "outside"],
    ["elements[5].box", "mended_box"],
    ["elements[6].box", "box"],
  ]);
  assert.deepEqual(
    found.elements.map((e) => e.id),
    ["e1", "e2", "e8"],
  );
  assert.deepEqual(found.elements[1].box, { x0: 0.4, y0: 0.4, x1: 0.5, y1: 0.5 });
  assert.deepEqual(found.elements[2].box, { x0: 0.1, y0: 0.2, x1: 0.3, y1: 0.4 });
  assert.deepEqual(Object.keys(found.elements[0]).sort(), ["box", "colors", "description", "id", "weight"]);
  assert.deepEqual([found.elements[0].weight, found.elements[0].colors], [10, ["#00ff00"]]);
  assert.deepEqual([found.negative, found.aspect, found.base], ["\ufffd", 0.1, undefined]);
});

test("depth, length and number are bounded", () => {
  const deep = JSON.parse('{"a":'.repeat(40) + "1" + "}".repeat(40));
  assert.equal(codes({ elements: [], deep })[0][1], "deep");
  assert.equal(codes('{"elements": [], "big": 12345678901234567890}')[0][1], "inexact");
  const many = { elements: Array.from({ length: 1200 }, (_, n) => element(`e${n}`, [0, 0, 1, 1])) };
  assert.deepEqual(codes(many), [["elements", "many"]]);
  assert.equal(read(many).panel.elements.length, 1000);
  const long = { elements: [element("e1", [0, 0, 1, 1], { description: "x".repeat(10_001) })] };
  assert.deepEqual(codes(long), [["elements[0].description", "long"]]);
  assert.equal(read(long).panel.elements[0].description.length, 10_000);
  assert.deepEqual(codes({ elements: [], base: "😀".repeat(10_000) }), []);
});

test("a field is checked against the other fields", () => {
  const e = element("e1", [0, 0, 1, 1], { start: 0.2, end: 0.6 });
  assert.equal(elementFault(e, "start", 0.6).code, "span");
  assert.equal(elementFault(e, "end", 0.2).code, "span");
  assert.equal(elementFault(e, "end", 0.3), null);
  assert.equal(elementFault(e, "weight", NaN).code, "number");
  assert.equal(
    elementFault(e, "something", () => 1),
    null,
  );
});

test("LoRAs, points and masks are what Python takes", () => {
  const right = element("e1", [0, 0, 1, 1], {
    lora: [{ name: "a" }, { name: "\u5b57", weight: -10, later: 1 }],
    keypoints: [{ name: "x".repeat(64), x: 0, y: 1 }],
    mask: { width: 2, height: 2, runs: [1, 3] },
  });
  assert.deepEqual(read(panel(right)).problems, []);
  assert.deepEqual(read(panel(right)).panel.elements, [right]);
  const wrong = element("e1", [0, 0, 1, 1], {
    lora: [{ name: "a", weight: 11 }, { name: "" }, 7, null, { name: "b", weight: "1", toString: 1 }],
    keypoints: [
      { name: "eye", x: -1, y: 0.5 },
      { name: "ear", x: 0 },
      { name: "x".repeat(65), x: 0, y: 0 },
    ],
    mask: { width: 2, height: 2, runs: [4] },
  });
  assert.deepEqual(codes(panel(wrong)), [
    ["elements[0].lora", "lora"],
    ["elements[0].keypoints", "keypoints"],
    ["elements[0].mask", "mask"],
  ]);
  const [{ lora, keypoints, mask }] = read(panel(wrong)).panel.elements;
  assert.deepEqual([lora, mask], [[{ name: "a", weight: 10 }], undefined]);
  assert.deepEqual(keypoints, [{ name: "eye", x: 0, y: 0.5 }]);
  for (const bad of [
    {},
    [],
    { width: 1, height: 1, runs: [1] },
    { width: 5000, height: 1, runs: [0, 5000] },
    1,
  ]) {
    assert.equal(elementFault({}, "mask", bad)?.code, "mask");
  }
  assert.equal(elementFault({}, "mask", { width: 1, height: 1, runs: [0, 1] }), null);
});
