import assert from "node:assert/strict";
import test from "node:test";

import { Run } from "../../ui/stage/run/run.js";
import { Sheet } from "../../ui/stage/kept/sheet.js";
import { MASK, message } from "./messages.mjs";

const told = message();
const run = new Run(told);
run.take(told);
const LAST = run.last;

test("what is put by hand stands on its step alone, and back again is no change", () => {
  const sheet = new Sheet();
  assert.ok(sheet.put(run, LAST, [[0, 6], [1, MASK]]));
  assert.deepEqual([...sheet.changed(run, LAST)], [0, 1]);
  assert.deepEqual([...sheet.tokens(run, LAST)], [6, 8, 3, 3, 3, 3]);
  assert.deepEqual([...sheet.draft(run, LAST).pending], [0]); // a masked cell needs no picture
  assert.equal(sheet.draft(run, 1), null);
  assert.ok(!sheet.put(run, LAST, [[0, 6]]));
  sheet.put(run, LAST, [[0, 1], [1, 5]]);
  assert.equal(sheet.draft(run, LAST), null);
  assert.deepEqual([...run.frames[LAST].tokens], [1, 5, 3, 3, 3, 3]);
});

test("a locked cell holds its token against every hand and at every step", () => {
  const sheet = new Sheet();
  sheet.lock(run, LAST, [0, 2], true);
  assert.ok(!sheet.put(run, LAST, [[0, 7]]));
  assert.deepEqual([...sheet.start(run, 0)], [1, 8, 3, 8, 8, 8]);
  assert.deepEqual([...sheet.lockedCells()], [1, 0, 1, 0, 0, 0]);
  sheet.lock(run, 0, [5], true); // stone has nothing to hold
  assert.equal(sheet.countLocked(), 2);
  sheet.lock(run, LAST, [0, 2], false);
  assert.equal(sheet.locks, null);
});

test("undo and redo go through tokens and locks; a stroke without effect is none", () => {
  const sheet = new Sheet();
  const change = (make) => { sheet.begin(run, LAST); make(); return sheet.commit(run, LAST); };
  assert.ok(change(() => { sheet.put(run, LAST, [[0, 6]]); sheet.put(run, LAST, [[1, 6]]); }));
  assert.ok(change(() => sheet.lock(run, LAST, [3], true)));
  assert.ok(!change(() => sheet.put(run, LAST, [[3, 0]])));
  sheet.travel(true);
  assert.equal(sheet.countLocked(), 0);
  assert.deepEqual([...sheet.changed(run, LAST)], [0, 1]);
  sheet.travel(true);
  assert.equal(sheet.draft(run, LAST), null);
  assert.equal(sheet.travel(true), null);
  sheet.travel(false);
  assert.deepEqual([...sheet.changed(run, LAST)], [0, 1]);
  assert.ok(change(() => sheet.put(run, LAST, [[5, 0]])));
  assert.equal(sheet.travel(false), null); // a new change ends what could be redone
});

test("a stroke broken off leaves nothing", () => {
  const sheet = new Sheet();
  sheet.begin(run, LAST);
  sheet.put(run, LAST, [[0, 6]]);
  sheet.abandon();
  assert.equal(sheet.draft(run, LAST), null);
  assert.equal(sheet.past.length, 0);
});

test("what a hand did is handed over to the page that comes after", () => {
  const sheet = new Sheet();
  sheet.put(run, LAST, [[0, 6]]);
  sheet.put(run, 1, [[1, MASK]]);
  sheet.lock(run, LAST, [3], true);
  const next = new Sheet();
  next.resume(run, JSON.parse(JSON.stringify(sheet.keep(run))));
  assert.deepEqual(next.keep(run), sheet.keep(run));
  assert.deepEqual([...next.tokens(run, 1)], [1, 8, 8, 8, 8, 8]);
  assert.ok(next.isLocked(3));
});
