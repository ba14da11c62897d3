// Where a cell looks: shares as they travel, one layer or the mean of those that read the prompt.

import assert from "node:assert/strict";
import { test } from "node:test";
import { layersOf, reads, sharesOf, sum } from "../../ui/learn/attention/shares.js";
import { pack } from "../../ui/stage/run/bytes.js";

const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-4, `${a} is not ${b}`);
const told = {
  run: "r", step: 1, cell: 0, names: ["red", "car"], most: [0.5, 0.25, 0.75],
  // rows: words 0.5, 0.1, rest 0.1, cells 0.2, 0.1; words 0.25, 0.25, rest 0.25, cells 0.25, 0; the third sees cells alone
  words: pack([1, 0.2, 1, 1, 0, 0].map((x) => Math.round(x * 65535)), Uint16Array),
  rest: pack([0.2, 1, 0].map((x) => Math.round(x * 65535)), Uint16Array),
  cells: pack([0.4, 0.2, 1, 0, 1, 1 / 3].map((x) => Math.round(x * 65535)), Uint16Array),
};

test("every layer's shares add up to one", () => {
  const layers = layersOf(told);
  assert.equal(layers.length, 3);
  for (const { words, rest, cells } of layers) near(sum(words) + rest + sum(cells), 1);
  assert.deepEqual(layers.map(reads), [true, true, false]);
  near(layers[0].words[0], 0.5);
  near(layers[2].cells[1], 0.25);
});

test("the mean is over the layers that read the prompt, a single layer is itself", () => {
  const mean = sharesOf(told, -1);
  near(mean.words[0], 0.375);
  near(mean.rest, 0.175);
  near(mean.cells[0], 0.225);
  near(sum(mean.words) + mean.rest + sum(mean.cells), 1);
  near(sharesOf(told, 2).cells[0], 0.75);
});
