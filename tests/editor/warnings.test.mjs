import assert from "node:assert/strict";
import { test } from "node:test";

import { pose } from "../../javascript/ranni/keypoints.mjs";
import { mainWord, warningsOf } from "../../javascript/ranni/warnings.mjs";
import { element } from "./panels.mjs";

const codes = (found) =>
  Object.fromEntries([...found].map(([id, faults]) => [id, faults.map((f) => f.code)]));
const NOTHING = [null, "", new Map()];

test("the word that names a thing", () => {
  const words = {
    "a red apple": "apple",
    "Two shiny boxes on the table": "box",
    "a glass of water": "glas",
    "the dog's bed, blue": "bed",
    "  , a hat": "hat",
    "an old man wearing a hat": "man",
    "\u4e00\u53ea\u7ea2\u8272\u7684\u732b": "\u732b",
    "\u5728\u684c\u5b50\u4e0a\u7684\u82f9\u679c\uff0c\u7ea2\u8272": "\u679c",
    "!!!": "",
  };
  for (const [text, word] of Object.entries(words)) assert.equal(mainWord(text), word, text);
});

test("only what lies in front covers, and only most of it counts", () => {
  const elements = [
    element("far", [0.4, 0.4, 0.6, 0.6]),
    element("near", [0, 0, 1, 0.55]),
    element("nearest", [0, 0, 0.3, 0.3]),
  ];
  const found = warningsOf(elements, ...NOTHING);
  assert.deepEqual(codes(found), { far: ["covered"], near: [], nearest: [] });
  assert.deepEqual(found.get("far")[0].args, ["thing near", 75]);
});

test("boxes are small in pixels of the picture", () => {
  const elements = [element("e1", [0, 0, 0.1, 1]), element("e2", [0, 0, 0.125, 0.125])];
  const about = (...size) => codes(warningsOf(elements, size, "", new Map()));
  assert.deepEqual(about(640, 512), { e1: [], e2: [] });
  assert.deepEqual(about(600, 504), { e1: ["small"], e2: [] });
  assert.deepEqual(about(512, 512), { e1: ["small"], e2: [] });
  assert.deepEqual(about(1000, 510), { e1: [], e2: [] });
  assert.deepEqual(about(128, 128), { e1: ["small"], e2: [] });
});

test("a pose has a person for each body and nothing else", () => {
  const point = (name, x, y) => ({ name, x, y });
  const elements = [
    element("e1", [0, 0, 1, 1], { keypoints: [point("tail", 0, 0)] }),
    element("e2", [0, 0, 1, 1], { keypoints: [point("left_ear", 1, 0.5), point("left_ear", 0, 0)] }),
  ];
  const { people } = pose(elements, 512, 256);
  assert.equal(people.length, 1);
  assert.deepEqual(people[0].pose_keypoints_2d, [...Array(51).fill(0), 512, 128, 1]);
});
