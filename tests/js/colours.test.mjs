// The scales of the maps.

import assert from "node:assert/strict";
import { test } from "node:test";

import { cividis, entropyTop } from "../../ui/stage/canvas/colours.js";

test("the scale of confidence rises steadily in brightness, and holds at its ends", () => {
  const light = (/** @type {number} */ p) => {
    const [r, g, b] = cividis(p);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  for (let i = 1; i <= 50; i++) assert.ok(light(i / 50) > light((i - 1) / 50));
  assert.deepEqual(cividis(-1), cividis(0));
  assert.deepEqual(cividis(2), [254, 232, 56]);
});

test("the scale of entropy ends at half of what the vocabulary allows", () => {
  assert.equal(entropyTop(16384).toFixed(1), "4.9");
  for (const vocab of [2, 27, 65_536, 131_072]) assert.ok(Math.abs(entropyTop(vocab) * 2 - Math.log(vocab)) < 1e-12);
  assert.ok(entropyTop(1) > 0);
});
