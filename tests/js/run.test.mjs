import assert from "node:assert/strict";
import test from "node:test";

import { pack, unpack } from "../../ui/stage/run/bytes.js";
import { Run } from "../../ui/stage/run/run.js";
import { capital, count, entropy, percent, place } from "../../ui/stage/run/words.js";
import { slotsOf } from "../../ui/stage/time/timeline.js";
import { message, step } from "./messages.mjs";

const whole = (changes) => {
  const told = message(changes);
  const run = new Run(told);
  run.take(told);
  return run;
};

test("numbers come back from their text as they were", () => {
  for (const [values, Type] of [[[0, 1, 65535], Uint16Array], [[-1, 2 ** 31 - 1, -(2 ** 31)], Int32Array], [[255, 0], Uint8Array], [[], Int32Array]]) {
    assert.deepEqual([...unpack(pack(values, Type), Type)], values);
  }
  assert.equal(pack([1], Int32Array), "AQAAAA=="); // little-endian, as NumPy's "<i4"
});

test("a run keeps every step and counts what happened", () => {
  const run = whole();
  assert.equal(run.last, 2);
  assert.equal(run.cells, 6);
  assert.deepEqual(run.frames.map((frame) => frame.masked), [6, 4, 0]);
  assert.deepEqual(run.frames.map((frame) => frame.editsSoFar), [0, 0, 1]);
  assert.deepEqual(run.frames.map((frame) => Math.round(frame.meanP * 100)), [0, 50, 90]);
  assert.deepEqual(run.frames[2].edited, [{ at: 1, from: 2, to: 5 }]);
  assert.deepEqual([...run.born(2)], [1, 2, 2, 2, 2, 2]);
  assert.deepEqual([...run.editCounts(2)], [0, 1, 0, 0, 0, 0]);
  assert.ok(run.isMasked(1, 5) && !run.isMasked(2, 5));
});

test("frames arrive in any window, a gap waits for the message that closes it", () => {
  const { frames, ...rest } = message();
  const run = new Run(rest);
  run.take({ ...rest, state: "running", frames: [frames[0]] });
  run.take({ ...rest, state: "running", frames: [frames[2]] });
  assert.equal(run.last, 0);
  run.take({ ...rest, state: "done", frames });
  run.take({ ...rest, state: "done", frames });
  assert.equal(run.last, 2);
  assert.equal(run.state, "done");
});

test("a cell's history names what was set, edited and masked again", () => {
  const frames = [...message().frames, step(3, [1, 8, 3, 3, 3, 3], { edited: [[1, 5, 8]], phase: "polish" })];
  const kinds = whole({ frames }).history(1).map(({ k, kind, to }) => [k, kind, to]);
  assert.deepEqual(kinds, [[0, "start", 8], [1, "set", 2], [2, "edit", 5], [3, "remask", 8]]);
});

test("a branch shares the steps of its parent when this tab has it, and counts on from there", () => {
  const parent = whole();
  const told = message({ run: "r2", kind: "branch", parent: ["r1", 1], prefix: 2, frames: [step(2, [1, 2, 6, 6, 6, 6], { set: [2, 3, 4, 5] })] });
  const branch = new Run(told, parent);
  branch.take(told);
  assert.equal(branch.last, 2);
  assert.equal(branch.frames[1], parent.frames[1]);
  assert.equal(branch.base, 2);
  assert.equal(branch.note(), "branch from step 1 · seed 7 · 2 steps");
  const alone = new Run(told);
  alone.take(told);
  assert.equal(alone.last, 0);
  assert.equal(alone.offset, 2);
});

test("a step is described in words, whatever the grid", () => {
  const run = whole();
  assert.equal(run.describe(0), "start of 2 steps · 0 of 6 tokens set · 0 edited");
  assert.equal(run.describe(1), "step 1 of 2 · 2 of 6 tokens set · 0 edited · 0.1 s");
  assert.equal(run.describe(2, 3), "step 2 of 2 · 6 of 6 tokens set · 1 edited · 0.2 s · 3 changed by hand");
});

test("numbers and places as people read them", () => {
  assert.deepEqual([1, 0.996, 0.5, 0.0123, 0.00001].map(percent), ["100 %", "> 99 %", "50 %", "1.2 %", "< 0.01 %"]);
  assert.deepEqual([count(1, "step"), count(0, "step")], ["1 step", "0 steps"]);
  assert.equal(capital(place(5, 3)), "Row 2, column 3");
});

test("steps and polish passes are counted apart, and never a step 13 of 12", () => {
  const settings = { steps: 2, edit: "overwrite", polish: 2 };
  const [first, second, third] = message().frames;
  const carved = { ...message({ settings, state: "running" }), frames: [first, second] };
  const run = new Run(carved);
  run.take(carved);
  assert.equal(run.describe(1).split(" · ")[0], "step 1 of 2 + 2 polish");
  assert.equal(run.describe(0).split(" · ")[0], "start of 2 steps + 2 polish");
  assert.equal(slotsOf(run), 5);
  const polished = step(3, [1, 5, 3, 3, 3, 3], { phase: "polish" });
  run.take({ ...carved, state: "done", frames: [third, polished] });
  assert.equal(run.describe(3).split(" · ")[0], "step 3, polish pass 1 of 1");
  assert.deepEqual(run.described(3, 2).slice(-2), ["polish pass 1 of 1 · 1 edited · 2 by hand", "polish pass 1 of 1 · 2 by hand"]);
  // before the end the sum is told apart from what the step alone edits, where there is room for it
  assert.equal(run.describe(2).split(" · ")[2], "1 edited so far");
  assert.deepEqual(run.described(2, 2).slice(-2), ["step 2 of 2 · 1 edited · 2 by hand", "step 2 of 2 · 2 by hand"]);
  assert.equal(run.note(), "seed 7 · 2 steps");
  assert.equal(run.note(true), "seed 7 · 2 steps + 1 polish");
  assert.equal(new Run({ ...carved, planned: 1 }).note(), "seed 7 · 1 step");
  for (const edit of ["remask", "off"]) {
    const other = new Run(message({ settings: { ...settings, edit }, state: "running" }));
    assert.equal(other.polish, 0);
  }
});

test("what a number means stands with it", () => {
  assert.equal(entropy(0), "0.00 nats, as among 1.0 equal choices");
  assert.equal(entropy(1.5), "1.50 nats, as among 4.5 equal choices");
  assert.equal(entropy(5), "5.00 nats, as among 148 equal choices");
});
