import assert from "node:assert/strict";
import test from "node:test";

import { ringIn, sizeFor } from "../../ui/learn/lab.js";

test("the lab's canvas has the picture's own shape and is never smaller than it", () => {
  const at = (naturalWidth, naturalHeight) => Object.values(sizeFor({ naturalWidth, naturalHeight }));
  assert.deepEqual(at(128, 128), [256, 256]);
  assert.deepEqual(at(32, 8), [256, 64]);
  assert.deepEqual(at(8, 32), [256, 1024]);
  assert.deepEqual(at(768, 512), [768, 512]);
  assert.deepEqual(at(2000, 1), [2000, 1]);
});

test("a ring reaches no more than a sixteenth beyond its cell and keeps a hole, however fine the grid", () => {
  assert.deepEqual(ringIn(16, false), { inset: 2, size: 12, line: 3, under: 5 });
  for (const side of [0.5, 1, 2, 4, 16, 100]) {
    const [thin, thick] = [ringIn(side, true), ringIn(side, false)];
    assert.ok(thin.line < thick.line);
    for (const { inset, size, under } of [thin, thick]) {
      assert.ok(size > under && inset + size + under / 2 <= side * (1 + 1 / 16));
    }
  }
});
