import assert from "node:assert/strict";
import test from "node:test";

import { unpack } from "../../ui/stage/run/bytes.js";
import { again, cameOf, fill } from "../../ui/stage/ask/ask.js";
import { Run } from "../../ui/stage/run/run.js";
import { message, step } from "./messages.mjs";

// any form: its fields and what they start with come from Python
const INITIAL = { prompt: "a dog", seed: 0, steps: 12, guidance: 1.5, editing: true, edit_mode: "overwrite", warmth: 3 };
const NAMES = Object.keys(INITIAL);
const VALUES = ["a cat", 7, 12, 3, true, "remask", 5, null];
const FORM = [...NAMES, "ask"];
const of = (values, name) => values[FORM.indexOf(name)];

test("a changed field and the ask go in, all else stays as it was typed", () => {
  const ask = { kind: "heal" };
  const out = fill(NAMES, VALUES, ask, { steps: 5, seed: 3 }, "", false);
  assert.deepEqual([of(out, "steps"), of(out, "seed"), of(out, "ask")], [5, 3, ask]);
  assert.deepEqual(out.filter((_, i) => !["steps", "seed", "ask"].includes(FORM[i])), VALUES.filter((_, i) => !["steps", "seed", "ask"].includes(FORM[i])));
});

test("the same press twice rolls a seed, unless it is kept or named", () => {
  const finished = JSON.stringify(VALUES);
  const seed = (...more) => of(fill(NAMES, VALUES, null, ...more), "seed");
  assert.equal(seed({}, "", false), 7);
  assert.notEqual(seed({}, finished, false), 7);
  assert.equal(seed({}, finished, true), 7);
  assert.equal(seed({ seed: 7 }, finished, false), 7);
  assert.equal(of(fill(NAMES, [...VALUES.slice(0, 2), 13, ...VALUES.slice(3)], null, {}, finished, false), "seed"), 7);
});

test("a run is made again from where it began, with the settings that it had", () => {
  const make = (changes) => { const told = message(changes); const run = new Run(told); run.take(told); return run; };
  const form = { steps: 2, guidance: 3, editing: false };
  const fresh = again(INITIAL, make({ form }));
  assert.deepEqual(fresh.ask, { kind: "generate", run: null, step: 0, tokens: null, locked: null });
  // what the run leaves open is as the model has it
  assert.deepEqual(fresh.changes, { ...INITIAL, ...form, prompt: "a cat", seed: 7 });
  const around = make({ frames: [step(0, [1, 8, 8, 8, 8, 8], { locked: [0] }), step(1, [1, 2, 2, 2, 2, 2], { set: [1, 2, 3, 4, 5] })] });
  const { ask } = again(INITIAL, around);
  assert.deepEqual([...unpack(ask.tokens, Int32Array)], [1, 8, 8, 8, 8, 8]);
  assert.deepEqual([...unpack(ask.locked, Uint8Array)], [1, 0, 0, 0, 0, 0]);
  const before = make();
  const branch = make({ kind: "branch", form, prefix: 1, frames: [step(1, [1, 2, 8, 8, 8, 8], { set: [0, 1] })] });
  assert.equal(again(INITIAL, branch).changes.steps, 2 + branch.base);
  assert.equal(again(INITIAL, before).changes.steps, 12); // a message kept from before says nothing of the form
});

test("an ask is known to make a run once more, and one with anything changed is not", () => {
  const run = new Run(message({ form: { steps: 2, guidance: 3 } }));
  run.take(message());
  const { ask, changes } = again(INITIAL, run);
  assert.ok(cameOf(INITIAL, run, ask, changes));
  for (const other of [{ editing: false }, { seed: 8 }, { prompt: "a dog" }, { steps: 3 }]) {
    assert.ok(!cameOf(INITIAL, run, ask, { ...changes, ...other }), JSON.stringify(other));
  }
  const locked = new Run(message());
  locked.take(message({ frames: [step(0, [1, 8, 8, 8, 8, 8], { locked: [0] }), step(1, [1, 2, 2, 2, 2, 2], { set: [1] })] }));
  assert.ok(!cameOf(INITIAL, locked, ask, again(INITIAL, locked).changes), "other constraints");
  run.state = "stopped";
  assert.ok(!cameOf(INITIAL, run, ask, changes));
});
