import assert from "node:assert/strict";
import { test } from "node:test";

import * as geometry from "../../javascript/ranni/geometry.mjs";
import { random } from "./panels.mjs";

const { box } = geometry;

function onCanvas(b, least = 0) {
  return (
    0 <= b.x0 &&
    b.x0 < b.x1 &&
    b.x1 <= 1 &&
    0 <= b.y0 &&
    b.y0 < b.y1 &&
    b.y1 <= 1 &&
    b.x1 - b.x0 >= least - 1e-9 &&
    b.y1 - b.y0 >= least - 1e-9
  );
}

function someBox(next) {
  return geometry.between(next(), next(), next(), next());
}

test("a drawn box lies on the canvas and is never too thin", () => {
  const next = random(1);
  for (let n = 0; n < 2000; n += 1) {
    const [a, b, c, d] = [next, next, next, next].map((f) => f() * 3 - 1);
    assert.ok(onCanvas(geometry.between(a, b, c, d), geometry.LEAST));
  }
  assert.deepEqual(geometry.between(0.5, 0.25, 0.1, 0.75), box(0.1, 0.25, 0.5, 0.75));
});

test("a moved box keeps its size and stays on the canvas", () => {
  const next = random(2);
  for (let n = 0; n < 2000; n += 1) {
    const b = someBox(next);
    const m = geometry.moved(b, next() * 4 - 2, next() * 4 - 2);
    assert.ok(onCanvas(m));
    assert.ok(Math.abs(m.x1 - m.x0 - (b.x1 - b.x0)) < 2e-5 && Math.abs(m.y1 - m.y0 - (b.y1 - b.y0)) < 2e-5);
  }
  assert.deepEqual(geometry.moved(box(0.1, 0.1, 0.3, 0.3), 9, -9), box(0.8, 0, 1, 0.2));
});

test("each handle moves its edges alone", () => {
  const b = box(0.2, 0.2, 0.6, 0.6);
  const sides = { w: "x0", e: "x1", n: "y0", s: "y1" };
  for (const handle of geometry.HANDLES) {
    const r = geometry.resized(b, handle, 0.4, 0.5);
    for (const [letter, side] of Object.entries(sides)) {
      const moved = handle.includes(letter);
      assert.equal(r[side], moved ? (side[0] === "x" ? 0.4 : 0.5) : b[side], `${handle} ${side}`);
    }
  }
});

test("resizing stops at the least size and at the canvas's edge", () => {
  const next = random(3);
  for (let n = 0; n < 4000; n += 1) {
    const handle = geometry.HANDLES[Math.floor(next() * 8)];
    assert.ok(
      onCanvas(geometry.resized(someBox(next), handle, next() * 3 - 1, next() * 3 - 1), geometry.LEAST),
    );
  }
  assert.deepEqual(geometry.resized(box(0.2, 0.2, 0.6, 0.6), "nw", 0.9, -3), box(0.59, 0, 0.6, 0.6));
});

test("snapping takes the nearest line within tolerance and names it", () => {
  const lines = geometry.snapLines([box(0.2, 0.2, 0.4, 0.4)]);
  const near = geometry.snap({ x: [0.405], y: [0.7] }, lines, { x: 0.01, y: 0.01 });
  assert.ok(Math.abs(near.dx + 0.005) < 1e-9);
  assert.equal(near.dy, 0);
  assert.deepEqual(near.guides, [{ axis: "x", at: 0.4 }]);
  const center = geometry.snap({ x: [], y: [0.305] }, lines, { x: 0.01, y: 0.01 });
  assert.ok(Math.abs(center.guides[0].at - 0.3) < 1e-9);
  assert.ok(geometry.snapLines([], 8).x.includes(0.125));
  assert.equal(geometry.nearest([0.3], [0, 1], 0.1), null);
});

test("hits come front first, and alt-click goes round", () => {
  const items = ["back", "middle", "front"].map((id) => ({ id, box: box(0, 0, 0.5, 0.5) }));
  const away = { id: "away", box: box(0.6, 0.6, 0.9, 0.9) };
  const found = geometry.hits([...items, away], 0.2, 0.2);
  assert.deepEqual(
    found.map((item) => item.id),
    ["front", "middle", "back"],
  );
  let id = "away";
  const seen = [];
  for (let n = 0; n < 4; n += 1) {
    id = geometry.nextBelow(found, (item) => item.id === id).id;
    seen.push(id);
  }
  assert.deepEqual(seen, ["front", "middle", "back", "front"]);
  assert.equal(
    geometry.nextBelow([], () => true),
    undefined,
  );
});

test("aligning brings one edge together and keeps sizes", () => {
  const boxes = [box(0.1, 0.1, 0.3, 0.2), box(0.5, 0.4, 0.9, 0.8)];
  const at = (edge, side) => geometry.aligned(boxes, edge).map((b) => b[side]);
  assert.deepEqual(at("left", "x0"), [0.1, 0.1]);
  assert.deepEqual(at("right", "x1"), [0.9, 0.9]);
  assert.deepEqual(at("top", "y0"), [0.1, 0.1]);
  assert.deepEqual(at("bottom", "y1"), [0.8, 0.8]);
  assert.deepEqual(
    geometry.aligned(boxes, "center").map((b) => geometry.rounded(b.x0 + b.x1)),
    [1, 1],
  );
  assert.deepEqual(
    geometry.aligned(boxes, "middle").map((b) => geometry.rounded(b.y0 + b.y1)),
    [0.9, 0.9],
  );
});

test("distributing makes gaps equal and leaves the outermost", () => {
  const boxes = [box(0.8, 0, 1, 0.1), box(0, 0, 0.1, 0.1), box(0.15, 0, 0.35, 0.1)];
  assert.deepEqual(geometry.distributed(boxes, "x"), [boxes[0], boxes[1], box(0.35, 0, 0.55, 0.1)]);
  assert.deepEqual(geometry.distributed(boxes.slice(1), "x"), boxes.slice(1));
  const down = [box(0, 0, 0.1, 0.1), box(0, 0.2, 0.1, 0.3), box(0, 0.9, 0.1, 1)];
  assert.deepEqual(geometry.distributed(down, "y")[1], box(0, 0.45, 0.1, 0.55));
});

test("a free box lies where nothing is", () => {
  const b = geometry.freeBox([box(0, 0, 1, 0.6)]);
  assert.ok(b.y0 >= 0.6);
  assert.deepEqual(geometry.freeBox([]), box(0.35, 0.35, 0.65, 0.65));
});

test("proportions and the center stay as asked, within the canvas", () => {
  const next = random(7);
  for (let n = 0; n < 2000; n += 1) {
    const b = someBox(next);
    const handle = geometry.HANDLES[n % 8];
    const [x, y] = [next() * 2 - 0.5, next() * 2 - 0.5];
    const kept = geometry.resized(b, handle, x, y, { keep: true, center: n % 3 === 0 });
    assert.ok(onCanvas(kept));
    const ratio = (c) => (c.x1 - c.x0) / (c.y1 - c.y0);
    assert.ok(Math.abs(kept.x1 - kept.x0 - ratio(b) * (kept.y1 - kept.y0)) < 2e-5 * (1 + ratio(b)));
    const centered = geometry.resized(b, handle, x, y, { center: true });
    assert.ok(onCanvas(centered, geometry.LEAST - 2e-5));
    assert.ok(Math.abs(centered.x0 + centered.x1 - b.x0 - b.x1) < 3e-5);
    assert.ok(Math.abs(centered.y0 + centered.y1 - b.y0 - b.y1) < 3e-5);
  }
});

test("parts of a box keep their share of it", () => {
  const [from, to] = [box(0.1, 0.2, 0.5, 0.6), box(0.2, 0, 1, 0.2)];
  assert.deepEqual(geometry.scaled(from, from, to), to);
  assert.deepEqual(geometry.scaled(box(0.2, 0.3, 0.3, 0.6), from, to), box(0.4, 0.05, 0.6, 0.2));
  assert.ok(Math.abs(geometry.overlap(from, box(0.3, 0.4, 1, 1)) - 0.04) < 1e-9);
});
