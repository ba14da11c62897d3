// Chosen cells on their way: where they lie, what they leave, what undo brings back.

import assert from "node:assert/strict";
import test from "node:test";

import { Mover, placed, ring, shifted } from "../../ui/hands/mover.js";
import { flood } from "../../ui/hands/wand.js";
import { Stage } from "../../ui/stage/stage.js";
import { message, step } from "./messages.mjs";

const GRID = { rows: 4, columns: 4 };
const MASK = 99;
const BASE = Int32Array.from({ length: 16 }, (_, cell) => cell);

const stageOf = (...ids) => {
  const stage = new Stage();
  for (const [i, run] of ids.entries()) {
    const tokens = [...BASE].map((token) => token + 20 * i);
    stage.take(message({ run, grid: [4, 4], vocab: MASK, planned: 0, frames: [step(0, tokens)] }));
  }
  return stage;
};

test("cells beyond the edge are nowhere, and come back with the way back", () => {
  assert.deepEqual(shifted([0, 3, 15], 1, 0, GRID), [1, -1, -1]);
  assert.deepEqual(shifted([0, 3, 15], 0, -1, GRID), [-1, -1, 11]);
  assert.deepEqual([...ring(new Set([5]), GRID)].sort((a, b) => a - b), [0, 1, 2, 4, 6, 8, 9, 10]);
  assert.deepEqual([...ring(new Set([0]), GRID)].sort((a, b) => a - b), [1, 4, 5]);
});

test("what moves leaves a hole and masks a seam; what is copied leaves none", () => {
  const float = { base: BASE, cells: [0, 1], tokens: [0, 1], dx: 0, dy: 2, own: true, hole: true, bare: true, picture: null };
  const moved = placed(float, GRID, MASK);
  assert.deepEqual([...moved], [MASK, MASK, 2, 3, 4, 5, 6, 7, 0, 1, 10, 11, 12, 13, 14, 15]);
  assert.deepEqual([...placed({ ...float, hole: false }, GRID, MASK)].slice(0, 2), [0, 1]);
  const seam = placed({ ...float, bare: false }, GRID, MASK);
  assert.deepEqual([...seam.keys()].filter((cell) => seam[cell] === MASK), [0, 1, 4, 5, 6, 10, 12, 13, 14]);
  assert.deepEqual([seam[8], seam[9]], [0, 1]);
  // where nothing has moved nothing is masked, unless it came from elsewhere
  assert.deepEqual([...placed({ ...float, dy: 0, bare: false }, GRID, MASK)], [...BASE]);
  assert.equal(placed({ ...float, dy: 0, own: false, hole: false, bare: false }, GRID, MASK)[4], MASK);
});

test("locked cells are neither moved over, nor left, nor seam", () => {
  const float = { base: BASE, cells: [0, 1], tokens: [0, 1], dx: 0, dy: 2, own: true, hole: true, bare: false, picture: null };
  const out = placed(float, GRID, MASK, (cell) => [1, 8, 12].includes(cell));
  assert.deepEqual([out[0], out[1], out[8], out[9], out[12], out[13]], [MASK, 1, 8, 1, 12, MASK]);
});

test("moved again, cells are taken from where they first were, and what lay under them comes back", () => {
  const stage = stageOf("r1");
  const mover = new Mover(stage);
  mover.bare = true;
  mover.choose([0], false);
  assert.ok(mover.move(1, 0));
  assert.deepEqual([...stage.tokens].slice(0, 3), [MASK, 0, 2]);
  assert.ok(mover.move(1, 0));
  assert.deepEqual([...stage.tokens].slice(0, 3), [MASK, 1, 0]);
  assert.deepEqual([...mover.chosen], [2]);
  stage.travel(true);
  assert.deepEqual([...stage.tokens].slice(0, 3), [MASK, 0, 2]);
  assert.deepEqual([...mover.chosen], [1]);
  stage.travel(true);
  assert.deepEqual([...stage.tokens], [...BASE]);
  assert.deepEqual([...mover.chosen], [0]);
  stage.travel(false);
  stage.travel(false);
  assert.ok(mover.move(0, 1)); // still taken from where they first were
  assert.deepEqual([stage.tokens[0], stage.tokens[1], stage.tokens[2], stage.tokens[6]], [MASK, 1, 2, 0]);
});

test("steps of the arrow keys are one thing to undo", () => {
  const stage = stageOf("r1");
  const mover = new Mover(stage);
  mover.choose([5, 6], false);
  for (let i = 0; i < 3; i++) mover.move(0, i ? 1 : -1, true);
  assert.equal(stage.sheet.past.length, 1);
  stage.travel(true);
  assert.deepEqual([...stage.tokens], [...BASE]);
  assert.deepEqual([...mover.chosen], [5, 6]);
});

test("beyond the edge the cells are kept, but not all of them can leave", () => {
  const stage = stageOf("r1");
  const mover = new Mover(stage);
  mover.bare = true;
  mover.choose([3, 2], false);
  assert.ok(mover.move(1, 0));
  assert.equal(stage.tokens[3], 2);
  assert.ok(!mover.move(1, 0));
  assert.ok(mover.move(-1, 1));
  assert.deepEqual([...stage.tokens].slice(2, 8), [MASK, MASK, 4, 5, 2, 3]);
});

test("cells come from another picture, with a seam, and leave that one as it was", () => {
  const stage = stageOf("r1", "r2");
  const mover = new Mover(stage);
  mover.choose([5], false);
  assert.equal(mover.copy(), 1);
  stage.show(stage.shelf.find("r1"));
  assert.equal(mover.chosen.size, 0);
  assert.ok(mover.paste());
  assert.equal(stage.tokens[5], 25);
  assert.deepEqual([...stage.tokens.keys()].filter((cell) => stage.tokens[cell] === MASK), [0, 1, 2, 4, 6, 8, 9, 10]);
  assert.ok(mover.move(1, 1));
  assert.deepEqual([stage.tokens[5], stage.tokens[10]], [MASK, 25]); // the seam's corner, and where it lies now
  assert.equal(stage.tokens[0], 0); // what the first seam had masked is back
  assert.deepEqual([...stage.shelf.find("r2").frames[0].tokens], [...BASE].map((token) => token + 20));
});

test("the switches change what hovers", () => {
  const stage = stageOf("r1");
  const mover = new Mover(stage);
  mover.choose([0], false);
  mover.move(2, 2);
  assert.equal(stage.tokens[0], MASK);
  mover.copies = true;
  mover.again();
  assert.deepEqual([stage.tokens[0], stage.tokens[10], stage.tokens[5]], [0, 0, MASK]);
  mover.bare = true;
  mover.again();
  assert.equal(stage.countMasked(), 0);
  assert.equal(stage.sheet.past.length, 1);
});

test("another change settles what hovers", () => {
  const stage = stageOf("r1");
  const mover = new Mover(stage);
  mover.bare = true;
  mover.choose([0], false);
  mover.move(1, 0);
  mover.choose([1], false);
  mover.move(1, 0);
  assert.deepEqual([...stage.tokens].slice(0, 4), [MASK, MASK, 0, 3]);
});

test("the wand takes what hangs together and looks alike", () => {
  const colours = [0, 0, 200, 0, 0, 200, 200, 200, 0, 0, 0, 20, 200, 200, 0, 200].flatMap((c) => [c, c, c, 255]);
  assert.deepEqual(flood(colours, 0, GRID).sort((a, b) => a - b), [0, 1, 4, 8, 9, 10, 11, 14]);
  assert.deepEqual(flood(colours, 3, GRID), [3]);
  assert.deepEqual(flood(colours, 2, GRID).sort((a, b) => a - b), [2, 5, 6, 7].filter((c) => [2, 6, 5, 7].includes(c)));
});
