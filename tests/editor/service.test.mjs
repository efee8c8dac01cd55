import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { ServiceError, baseOf, createService, eventParser } from "../../javascript/ranni/service.mjs";
import { random } from "./panels.mjs";

/** @param {string[]} pieces */
function parsed(pieces) {
  const events = [];
  const push = eventParser((event, data) => events.push([event, data.trimEnd()]));
  for (const piece of pieces) push(piece);
  return events;
}

test("the root is what comes before the place that the code is served at", () => {
  for (const [url, base] of [
    ["http://h:7860/file=extensions/ranni/javascript/ranni/host.mjs?1.5", "http://h:7860"],
    ["https://h/sub/path/file=/a/ranni/javascript/ranni/service.mjs", "https://h/sub/path"],
    ["http://h/file=x/file=y/ranni/javascript/ranni.mjs", "http://h"],
    ["http://127.0.0.1:7870/ranni/javascript/ranni/host.mjs", "http://127.0.0.1:7870"],
    ["https://h/app/ranni/javascript/ranni.mjs?a=/file=", "https://h/app"],
    ["http://h/javascript/ranni/host.mjs", "http://h"],
  ])
    assert.equal(baseOf(url), base, url);
});

test("events are found however their text is cut and its lines end", () => {
  const text =
    ': note\nevent: delta\ndata: {"a":\ndata:1}\n\n\n\ndata: alone\n\nevent: done\nid: 7\ndata:  x: y\n\nevent: half\ndata: gone';
  const expected = [
    ["delta", '{"a":\n1}'],
    ["", "alone"],
    ["done", " x: y"],
  ];
  const next = random(1);
  for (const end of ["\n", "\r\n", "\r"]) {
    const source = text.replaceAll("\n", end);
    assert.deepEqual(parsed([source]), expected, JSON.stringify(end));
    assert.deepEqual(parsed([...source]), expected, `${JSON.stringify(end)} by characters`);
    for (let run = 0; run < 50; run += 1) {
      const pieces = [];
      for (let at = 0; at < source.length;) {
        const size = 1 + Math.floor(next() * 12);
        pieces.push(source.slice(at, at + size));
        at += size;
      }
      assert.deepEqual(parsed(pieces), expected, JSON.stringify(pieces));
    }
  }
});

/** @type {(request: any, response: any, body: string) => void} */
let answer = () => {};
/** @type {import("node:http").Server} */
let server;
let base = "";

before(async () => {
  server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8");
    request.on("data", (piece) => (body += piece));
    request.on("end", () => answer(request, response, body));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  base = `http://127.0.0.1:${server.address().port}`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

const EVENTS = { "Content-Type": "text/event-stream; charset=utf-8" };
const never = new AbortController().signal;
const wait = () => new Promise((done) => setTimeout(done, 5));

test("a stream is heard as it comes, also where a character is cut", async () => {
  const bytes = Buffer.from(
    'event: delta\r\ndata: {"text":"苹果🍎"}\r\n\r\nevent: done\r\ndata: {"panel":1}\r\n\r\n',
  );
  answer = async (request, response, body) => {
    assert.deepEqual([request.url, JSON.parse(body)], ["/sub/ranni/v1/edit", { a: 1, stream: true }]);
    response.writeHead(200, EVENTS);
    for (const byte of bytes) {
      response.write(Buffer.of(byte));
      if (byte > 127) await wait();
    }
    response.end();
  };
  const heard = [];
  const done = await createService(`${base}/sub`).edit({ a: 1 }, (...what) => heard.push(what), never);
  assert.deepEqual([heard, done], [[["delta", { text: "苹果🍎" }]], { panel: 1 }]);
});

test("what goes wrong has a code that says what to do", async () => {
  const page = { "Content-Type": "text/html" };
  const json = { "Content-Type": "application/json" };
  const cases = [
    [401, json, "{}", "login", ""],
    [409, json, '{"error":"taken"}', "taken", ""],
    [422, json, '{"error":"no","problems":[{"path":"a","message":"is b"}]}', "server", "no; a: is b"],
    [500, page, "<p>Oops", "answer", 500],
    [200, page, "<p>Log in", "answer", 200],
    [200, EVENTS, "event: delta\ndata: 1\n\n", "cut", ""],
    [200, EVENTS, 'event: failed\ndata: {"error":"no model"}\n\n', "server", "no model"],
    [200, EVENTS, 'event: failed\ndata: {"error":"x","cancelled":true}\n\n', "cancelled", "x"],
  ];
  for (const [status, headers, body, code, about] of cases) {
    answer = (_, response) => response.writeHead(status, headers).end(body);
    const asked = createService(base).plan({}, () => {}, never);
    await assert.rejects(asked, (error) => {
      assert.ok(error instanceof ServiceError);
      assert.deepEqual([error.code, error.args], [code, [about]], body);
      return true;
    });
  }
  answer = (_, response) => response.writeHead(200, json).end('{"names": [');
  await assert.rejects(createService(base).loras(), { code: "cut" });
  await assert.rejects(createService("http://127.0.0.1:1").loras(), { code: "network" });
});

test("hanging up is no error of the server", async () => {
  const closed = new Promise((done) => {
    answer = (_, response) => {
      response.writeHead(200, EVENTS).write("event: delta\ndata: 1\n\n");
      response.on("close", () => done("closed"));
    };
  });
  const ends = new AbortController();
  const asked = createService(base).plan({}, () => ends.abort(), ends.signal);
  await assert.rejects(asked, { name: "AbortError" });
  assert.equal(await closed, "closed");
  await assert.rejects(
    createService(base).plan({}, () => {}, ends.signal),
    { name: "AbortError" },
  );
});
