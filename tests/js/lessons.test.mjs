import assert from "node:assert/strict";
import test from "node:test";

import { counted, spoilt } from "../../ui/learn/forward/forward.js";
import { folded, packed, unfolded, unpacked } from "../../ui/learn/lesson/packed.js";
import { NOT_HERE, Recorder, replayed } from "../../ui/learn/lesson/recorder.js";
import { differing, parted } from "../../ui/learn/pair.js";
import { shown, stepOf } from "../../ui/learn/show_me.js";
import { saved } from "../../ui/learn/one_token/token.js";

const MASK = 99;
const noise = {
  schedule: "linear", flip: 0.2, ratio: Array.from({ length: 101 }, (_, i) => i / 100),
  rank: Uint16Array.from([3, 1, 0, 2]), noise: Uint16Array.from([0, 60000, 30000, 10000]), wrong: Int32Array.from([5, 6, 7, 8]),
};

test("the noise masks by rank and flips what is left, and more noise keeps what less noise spoilt", () => {
  const tokens = [1, 2, 3, 4];
  assert.deepEqual([...spoilt(tokens, noise, 0, 0, MASK)], tokens);
  assert.deepEqual([...spoilt(tokens, noise, 50, 0, MASK)], [1, MASK, MASK, 4]);
  assert.deepEqual([...spoilt(tokens, noise, 50, 20, MASK)], [5, MASK, MASK, 8]);
  assert.deepEqual([...spoilt(tokens, noise, 100, 50, MASK)], [MASK, MASK, MASK, MASK]);
});

test("what came back is counted for masks and flips apart, and harm is told", () => {
  const whole = [1, 2, 3, 4];
  assert.equal(counted(whole, [1, MASK, MASK, 8], [1, 2, 9, 4], MASK),
    "1 of 2 masked tokens and 1 of 1 flipped ones came back exactly as they were.");
  assert.match(counted(whole, [1, MASK, 3, 4], [7, 2, 3, 4], MASK), /^1 of 1 masked tokens .* It also changed 1 token that was right\.$/);
});

test("two runs are compared step by step, the shorter one held at its end", () => {
  const run = (edits, ...steps) => ({
    cells: 3, last: steps.length - 1, frames: steps.map((tokens, k) => ({ tokens, editsSoFar: k === steps.length - 1 ? edits : 0 })),
  });
  const [a, b] = [run(2, [0, 0, 0], [1, 0, 0], [1, 2, 3]), run(0, [0, 0, 0], [1, 0, 0])];
  assert.deepEqual(differing([1, 2, 3], [1, 0, 0]), [1, 2]);
  assert.equal(parted(a, b), "2 edits against 0; 2 of 3 tokens differ in the end, the first of them at step 2.");
  assert.equal(parted(b, b), "0 edits against 0; 0 of 3 tokens differ in the end.");
});

test("a picture as tokens is so many bytes", () => {
  assert.deepEqual(saved({ grid: [16, 16], patch: 8, vocab: 16384 }), { cells: 256, vocab: 16384, pixels: 49152, tokens: 448, times: 110 });
});

test("Show me says what it shows, and which step a word means", () => {
  assert.deepEqual(shown("#show:step=edit,view=changes"), { step: "edit", view: "changes" });
  assert.deepEqual(shown("#show:generate"), { generate: "" });
  const run = { last: 3, frames: [[], [], [1], []].map((edited) => ({ edited })) };
  assert.deepEqual(["edit", "last", "middle", "1", "77", "x"].map((word) => stepOf(word, run)), [2, 3, 2, 1, 3, 0]);
  assert.equal(stepOf("edit", { last: 3, frames: [{ edited: [] }] }), 3);
});

test("long texts stand once in a lesson, and all comes back", async () => {
  const long = "data:image/jpeg;base64,".padEnd(500, "A");
  const data = { a: long, list: [long, "short", 3, null, true, { b: long.slice(1) }], $: "kept", none: [] };
  const once = folded(data);
  assert.deepEqual(once.texts, [long, long.slice(1)]);
  const { $: _, ...rest } = data;
  assert.deepEqual(unfolded(await unpacked(await packed(folded(rest)))), rest);
  assert.match(await packed({ words: "</script><!-- ü $&" }), /^[A-Za-z0-9+/=]+$/);
});

test("what was asked is answered again in a file, and what was not is told", async () => {
  const heard = [];
  let call = null;
  const props = { value: null };
  const piece = {
    element: null, props, trigger: (...sent) => heard.push(sent), watch: (_, then) => { call = then; },
    server: { look: async ({ n }) => (n < 0 ? { error: "no" } : { twice: 2 * n }) },
  };
  const recorder = new Recorder();
  const listened = recorder.listen("lab", piece);
  let seen = 0;
  listened.watch("value", () => { seen += 1; });
  assert.deepEqual(await listened.server.look({ n: 3 }), { twice: 6 });
  assert.deepEqual(await listened.server.look({ n: -1 }), { error: "no" });
  listened.trigger("heal", { run: "a", share: 10, seed: 5 });
  for (const passes of [0, 1]) { props.value = { passes }; call(); }
  assert.deepEqual([heard, seen], [[["heal", { run: "a", share: 10, seed: 5 }]], 2]);
  const kept = recorder.kept("lab");
  assert.equal(kept.calls.length, 1, "a refusal is no answer");
  const alone = replayed(null, JSON.parse(JSON.stringify(kept)), 0);
  assert.deepEqual(await alone.server.look({ n: 3 }), { twice: 6 });
  assert.deepEqual(await alone.server.look({ n: 4 }), { error: NOT_HERE });
  const came = [];
  alone.watch("value", () => came.push(alone.props.value));
  alone.trigger("heal", { run: "a", share: 10, seed: 77 });
  alone.trigger("heal", { run: "a", share: 20, seed: 5 });
  await new Promise((done) => { setTimeout(done, 30); });
  assert.deepEqual(came, [{ error: NOT_HERE }, { passes: 0 }, { passes: 1 }]);
  assert.deepEqual(new Recorder().kept("nobody"), { calls: [], live: [] });
});
