import assert from "node:assert/strict";
import test from "node:test";

import { unpack } from "../../ui/stage/bytes.js";
import { again, fill, FORM } from "../../ui/stage/ask.js";
import { Run } from "../../ui/stage/run.js";
import { message, step } from "./messages.mjs";

const VALUES = ["a cat", 7, 12, 3, true, 0.8, "confidence", "cosine", 0, "overwrite", 0.6, 0.2, 0.05, 2, null];
const of = (values, name) => values[FORM.indexOf(name)];

test("a changed field and the ask go in, all else stays as it was typed", () => {
  const ask = { kind: "heal" };
  const out = fill(VALUES, ask, { steps: 5, seed: 3 }, "", false);
  assert.deepEqual([of(out, "steps"), of(out, "seed"), of(out, "ask")], [5, 3, ask]);
  assert.deepEqual(out.filter((_, i) => !["steps", "seed", "ask"].includes(FORM[i])), VALUES.filter((_, i) => !["steps", "seed", "ask"].includes(FORM[i])));
});

test("the same press twice rolls a seed, unless it is kept or named", () => {
  const finished = JSON.stringify(VALUES);
  const seed = (...more) => of(fill(VALUES, null, ...more), "seed");
  assert.equal(seed({}, "", false), 7);
  assert.notEqual(seed({}, finished, false), 7);
  assert.equal(seed({}, finished, true), 7);
  assert.equal(seed({ seed: 7 }, finished, false), 7);
  assert.equal(of(fill([...VALUES.slice(0, 2), 13, ...VALUES.slice(3)], null, {}, finished, false), "seed"), 7);
});

test("a run is made again from where it began, with the settings that it had", () => {
  const make = (changes) => { const told = message(changes); const run = new Run(told); run.take(told); return run; };
  const fresh = again(make());
  assert.deepEqual(fresh.ask, { kind: "generate", run: null, step: 0, tokens: null, locked: null });
  assert.equal(fresh.changes.prompt, "a cat");
  assert.equal(fresh.changes.editing, true);
  assert.equal(fresh.changes.steps, 2);
  assert.ok(!("edit" in fresh.changes)); // no field of the form
  const around = make({ frames: [step(0, [1, 8, 8, 8, 8, 8], { locked: [0] }), step(1, [1, 2, 2, 2, 2, 2], { set: [1, 2, 3, 4, 5] })] });
  const { ask } = again(around);
  assert.deepEqual([...unpack(ask.tokens, Int32Array)], [1, 8, 8, 8, 8, 8]);
  assert.deepEqual([...unpack(ask.locked, Uint8Array)], [1, 0, 0, 0, 0, 0]);
  assert.equal(again(make({ settings: { steps: 2, edit: "off" } })).changes.editing, false);
});
