// How close a look may come.

import assert from "node:assert/strict";
import { test } from "node:test";

import { zooms } from "../../ui/stage/canvas/zoom.js";

test("finer grids can be looked at more closely", () => {
  const at = (rows, columns) => zooms({ rows, columns }).at(-1);
  assert.deepEqual(zooms({ rows: 16, columns: 16 }), [1, 2, 3]);
  assert.equal(at(2, 8), 3);
  assert.equal(at(32, 32), 3);
  assert.equal(at(64, 64), 5);
  assert.equal(at(8, 128), 8);
});
