import assert from "node:assert/strict";
import test from "node:test";

import { Run } from "../../ui/stage/run/run.js";
import { Sheet } from "../../ui/stage/kept/sheet.js";
import { MASK, message, step } from "./messages.mjs";

const told = message();
const run = new Run(told);
run.take(told);
const LAST = run.last;
const sheetOn = (one) => {
  const sheet = new Sheet();
  sheet.turn(one);
  return sheet;
};

test("what is put by hand stands on its step alone, and back again is no change", () => {
  const sheet = sheetOn(run);
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
  const sheet = sheetOn(run);
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
  const sheet = sheetOn(run);
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
  const sheet = sheetOn(run);
  sheet.begin(run, LAST);
  sheet.put(run, LAST, [[0, 6]]);
  sheet.abandon();
  assert.equal(sheet.draft(run, LAST), null);
  assert.equal(sheet.past.length, 0);
});

test("what a hand did is handed over to the page that comes after", () => {
  const sheet = sheetOn(run);
  sheet.put(run, LAST, [[0, 6]]);
  sheet.put(run, 1, [[1, MASK]]);
  sheet.lock(run, LAST, [3], true);
  const next = sheetOn(run);
  next.resume(run, JSON.parse(JSON.stringify(sheet.keep(run))));
  assert.deepEqual(next.keep(run), sheet.keep(run));
  assert.deepEqual([...next.tokens(run, 1)], [1, 8, 8, 8, 8, 8]);
  assert.ok(next.isLocked(3));
});

test("locks are the picture's own: another picture has none, and one that was made around them keeps them", () => {
  const sheet = sheetOn(run);
  sheet.lock(run, LAST, [0, 2], true);
  const { locks } = sheet;
  const brought = (frames) => {
    const other = new Run(message({ run: "r2", frames }));
    other.take(message({ run: "r2", frames }));
    return other;
  };
  const stranger = brought([step(0, [7, 7, 7, 7, 7, 7])]);
  sheet.inherit(stranger, locks);
  sheet.turn(stranger);
  assert.equal(sheet.locks, null);
  assert.deepEqual([...sheet.start(stranger, 0)], [7, 7, 7, 7, 7, 7]);
  assert.ok(sheet.put(stranger, 0, [[0, 5]]));
  // it locks the same cells, and holds other tokens there
  const alike = brought([step(0, [7, 8, 7, 8, 8, 8], { locked: [0, 2] })]);
  sheet.inherit(alike, locks);
  assert.equal(sheet.locksOf(alike), null);
  const around = brought([step(0, [1, 8, 3, 8, 8, 8], { locked: [0, 2] })]);
  sheet.inherit(around, locks);
  assert.deepEqual([...sheet.locksOf(around)], [1, -1, 3, -1, -1, -1]);
  sheet.turn(run);
  assert.equal(sheet.countLocked(), 2);
});
