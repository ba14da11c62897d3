import assert from "node:assert/strict";
import test from "node:test";

import { onwardFrom } from "../../ui/learn/place/onward.js";

const chapters = [
  { name: "token", title: "What a token is" }, { name: "step", title: "One step of the model" }, { name: "sampler", title: "You are the sampler" },
];

test("every chapter leads to the next, the last and the lessons back to the first", () => {
  assert.deepEqual(onwardFrom(chapters, "token"), { to: "step", words: "Next: one step of the model", last: false });
  assert.deepEqual(onwardFrom(chapters, "step"), { to: "sampler", words: "Next: you are the sampler", last: false });
  for (const name of ["sampler", "lessons"]) {
    assert.deepEqual(onwardFrom(chapters, name), { to: "token", words: "Back to the start: what a token is", last: true });
  }
});
