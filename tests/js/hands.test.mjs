// Wrong tokens by hand: any but the one that is there, whatever the vocabulary.

import assert from "node:assert/strict";
import { test } from "node:test";

import { other } from "../../ui/hands/hands.js";

test("a broken cell holds any other token, each as likely as another", () => {
  for (const [token, vocab] of [[0, 2], [1, 2], [4, 5], [0, 5]]) {
    const counts = Array(vocab).fill(0);
    for (let i = 0; i < 4000; i++) counts[other(token, vocab)]++;
    assert.equal(counts[token], 0);
    for (const n of counts.filter((_, drawn) => drawn !== token)) {
      assert.ok(Math.abs(n - 4000 / (vocab - 1)) < 200, `${counts}`);
    }
  }
});

test("a masked cell may get any token", () => {
  const seen = new Set(Array.from({ length: 500 }, () => other(5, 5)));
  assert.deepEqual([...seen].sort(), [0, 1, 2, 3, 4]);
});
