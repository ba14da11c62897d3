// Edits of a step in words and numbers, and how long their frames stay.

import assert from "node:assert/strict";
import test from "node:test";

import { undecided } from "../../ui/inspector/lookup.js";
import { MARK_MS, strength } from "../../ui/stage/canvas/marks.js";
import { editing, editOf, editsAt, toldEdit } from "../../ui/stage/run/edits.js";
import { Run } from "../../ui/stage/run/run.js";
import { MASK, message, step } from "./messages.mjs";

const taken = (changes) => {
  const told = message(changes);
  const run = new Run(told);
  run.take(told);
  return run;
};

test("an edit says what was there, what came, and how sure the model was of both", () => {
  const run = taken();
  const [edit] = editsAt(run, 2);
  assert.deepEqual([edit.at, edit.from, edit.to], [1, 2, 5]);
  assert.ok(Math.abs(edit.before - 0.5) < 1e-4 && Math.abs(edit.after - 0.9) < 1e-4);
  assert.equal(toldEdit(edit, MASK), "was #2 (50\u00a0% a step before), now #5 (90\u00a0%)");
  assert.equal(toldEdit({ ...edit, to: MASK }, MASK), "was #2 (50\u00a0% a step before), now masked again");
  assert.equal(editOf(run, 2, 0), null);
  assert.deepEqual(editsAt(run, 1), []);
  assert.deepEqual(editing(run), [{ k: 2, edits: 1 }]);
});

test("what nobody had judged before has no figure of its own", () => {
  const run = taken({ kind: "heal", planned: 0, frames: [
    step(0, [1, 2, 3, 4, 5, 6], { p: 1 }),
    step(1, [1, 7, 3, 4, 5, 6], { edited: [[1, 2, 7]], phase: "polish", p: 0.25 }),
  ] });
  assert.equal(toldEdit(editOf(run, 1, 1), MASK), "was #2, now #7 (25\u00a0%)");
});

test("frames stay on every step but the last, and leave that one only in motion's own time", () => {
  const run = { last: 12, state: "done" };
  for (const age of [null, 0, 10 * MARK_MS]) for (const k of [1, 6, 11]) assert.equal(strength(run, k, age), 1);
  assert.equal(strength(run, 12, null), 0);
  assert.equal(strength(run, 12, 0), 1);
  assert.ok(strength(run, 12, 0.7 * MARK_MS) < 0.6);
  assert.equal(strength(run, 12, MARK_MS), 0);
  assert.equal(strength({ ...run, state: "running" }, 12, null), 1);
});

test("a group is asked about at the step that chose the token", () => {
  const run = taken();
  assert.equal(undecided(run, 2, 1), 1); // edited since: still the pass in which nothing stood there
  assert.equal(undecided(run, 2, 4), 2);
  assert.equal(undecided(run, 1, 4), 1); // masked
  assert.equal(undecided(run, 0, 0), 0);
});
