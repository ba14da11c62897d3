// What came of a run, in one sentence: every number in it is counted here by hand.

import assert from "node:assert/strict";
import test from "node:test";

import { apart, compared, differing, outcome } from "../../ui/stage/beside/outcome.js";
import { Run } from "../../ui/stage/run/run.js";
import { MASK, message, step } from "./messages.mjs";

const taken = (changes = {}, parent = null) => {
  const told = message(changes);
  const run = new Run(told, parent);
  run.take(told);
  return run;
};
const without = (last) => taken({ run: "r2", settings: { edit: "off" }, frames: [
  step(0, [8, 8, 8, 8, 8, 8]),
  step(1, [1, 2, 8, 8, 8, 8], { set: [0, 1] }),
  step(2, last, { set: [2, 3, 4, 5] }),
] });

test("edits and differing tokens are counted, at the end and at the step on screen", () => {
  const run = taken();
  assert.equal(compared(run, without([1, 2, 3, 3, 3, 7]), 2), "1 edit; 2 of 6 tokens differ at the end.");
  assert.equal(compared(run, without([1, 2, 3, 3, 3, 7]), 1), "1 edit; 2 of 6 tokens differ at the end; 0 at this step.");
  assert.equal(compared(run, without([1, 2, 3, 3, 3, 3]), 2), "1 edit; 1 of 6 tokens differs at the end.");
  assert.equal(compared(run, without([1, 5, 3, 3, 3, 3]), 2), "1 edit; both end with the same 6 tokens.");
  assert.equal(compared(without([1, 2, 3, 3, 3, 3]), without([1, 2, 3, 3, 3, 3]), 2), "No edits; both end with the same 6 tokens.");
  assert.equal(compared(run, taken({ run: "r3" }), 2), "1 and 1 edit; both end with the same 6 tokens.");
  assert.deepEqual([...apart(run, without([1, 2, 3, 3, 3, 7]), 9)], [1, 5]);
  assert.deepEqual(differing([1, 2], [1, 3]), [1]);
});

test("grids of two models are not counted against each other, and a run that is carved is waited for", () => {
  const run = taken();
  assert.equal(compared(run, taken({ run: "x", grid: [1, 6] }), 2), "1 and 1 edit; both end with the same 6 tokens.");
  assert.equal(compared(run, taken({ run: "x", grid: [1, 2], frames: [step(0, [8, 8])] }), 0), "");
  assert.match(compared(run, taken({ run: "x", state: "running" }), 2), /carving/);
});

const healed = (start, end, parent) => taken({ run: "h", kind: "heal", planned: 0, parent, frames: [
  step(0, start), step(1, end, { phase: "polish" }),
] });

test("healing says what came back exactly, of what was broken", () => {
  const run = taken(); // ends with 1 5 3 3 3 3
  const told = (start, end) => outcome(healed(start, end, ["r1", 2]), run);
  assert.equal(told([7, 7, 7, 3, 3, 3], [1, 5, 6, 3, 3, 3]), "2 of 3 broken tokens came back exactly; no other changed.");
  assert.equal(told([7, 5, 3, 3, 3, 3], [1, 5, 3, 3, 3, 4]), "1 of 1 broken token came back exactly; 1 other changed.");
  assert.equal(told([1, 5, 3, 3, 3, 3], [1, 5, 3, 3, 3, 4]), "1 token changed that the model no longer believed.");
  assert.equal(told([1, 5, 3, 3, 3, 3], [1, 5, 3, 3, 3, 3]), "The model believes every token: nothing changed.");
  // where this tab no longer has the run before, nobody knows what was broken
  assert.equal(outcome(healed([7, 5, 3, 3, 3, 3], [1, 5, 3, 3, 3, 3], ["gone", 2]), null), "1 token changed that the model no longer believed.");
});

test("repainting says how much was made anew and that the rest stayed", () => {
  const run = (end) => taken({ run: "p", kind: "repaint", frames: [step(0, [1, 5, MASK, MASK, 3, 3]), step(1, end, { set: [2, 3] })] });
  assert.equal(outcome(run([1, 5, 4, 4, 3, 3]), null), "2 tokens made anew; the other 4 are as they were.");
  assert.equal(outcome(run([1, 5, 4, 4, 3, 6]), null), "2 tokens made anew; 1 of the others changed.");
});

test("a picture that began with nothing has nothing to be compared with, nor one that is not done", () => {
  assert.equal(outcome(taken(), null), "");
  assert.equal(outcome(taken({ kind: "heal", state: "stopped" }), null), "");
});
