// Two prompts on the same noise: which runs are such a pair, how far apart they are, and in which words.

import assert from "node:assert/strict";
import { test } from "node:test";
import { apartAt, course, difference, otherColour, told, twins } from "../../ui/twin/apart.js";

const V = 9;
const run = (prompt, steps, more = {}) => ({
  prompt, seed: 7, kind: "generate", cells: 4, maskId: V, last: steps.length - 1, frames: steps.map((tokens) => ({ tokens })), ...more,
});
const red = run("a red car", [[V, V, V, V], [1, V, V, V], [1, 2, V, V], [1, 2, 3, 4]]);
const blue = run("a blue car", [[V, V, V, V], [1, V, V, V], [1, V, 5, V], [1, 2, 5, 6], [1, 2, 5, 4]]);

test("twins threw the same dice and differ in their words", () => {
  assert.equal(twins(red, blue), true);
  assert.equal(twins(red, null), false);
  for (const more of [{ seed: 8 }, { prompt: red.prompt }, { kind: "repaint" }, { cells: 9 }, { maskId: 8 }]) {
    assert.equal(twins(red, { ...blue, ...more }), false, JSON.stringify(more));
  }
});

test("cells are counted apart by whether both are set", () => {
  assert.deepEqual(course(red, blue).map(({ other, alone }) => [other, alone]), [[0, 0], [0, 0], [0, 2], [2, 0], [1, 0]]);
  assert.deepEqual(apartAt(red, blue, 99), { other: 1, alone: 0 }); // a run that is over stays as it ended
});

test("what differs is told in words, and for the step at hand", () => {
  assert.equal(told(red, blue, 2),
    "“blue” for “red”: they part at step 2, and 1 of 4 tokens differs at the end. Here, after step 2: 2 cells set in one of the two only.");
  assert.match(told(red, blue, 1), /after step 1: no difference yet\.$/);
  assert.match(told(red, blue, 3), /after step 3: 2 cells with different tokens\.$/);
  assert.equal(told(red, blue, 4), "“blue” for “red”: they part at step 2, and 1 of 4 tokens differs at the end.");
  assert.equal(told(red, { ...red, prompt: "a red car here" }, 1), "With “here”: all 4 tokens are the same at every step.");
  assert.match(told({ ...blue, prompt: "a car, fast" }, { ...red, prompt: "a car," }, 9), /^Without “fast”: /);
  assert.match(told(red, { ...blue, prompt: "A red car" }, 9), /^Spelt otherwise: /);
});

test("the words that differ are found whatever stands around them", () => {
  assert.deepEqual(difference("a red car", "a blue car"), ["red", "blue"]);
  assert.deepEqual(difference("a car", "a fast red car"), ["", "fast red"]);
  assert.deepEqual(difference("cat", "two dogs"), ["cat", "two dogs"]);
  assert.deepEqual(difference("a a", "a a a"), ["", "a"]);
  assert.deepEqual(difference("same", "same"), ["", ""]);
});

test("the other colour is another one, in its place", () => {
  assert.equal(otherColour("a Red car on red"), "a blue car on red");
  assert.equal(otherColour("a blue car"), "a red car");
  assert.equal(otherColour("three on a teal background"), "three on a red background");
  assert.equal(otherColour("a redhead"), "");
  assert.equal(otherColour(""), "");
});
