// What a visitor decides at one step: rules, presses, edits, and what is said of the end.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Choice, differing } from "../../ui/learn/sampler/choice.js";
import { verdict } from "../../ui/learn/sampler/end.js";
import { polishOf, stepWords } from "../../ui/learn/sampler/words.js";
import { pack } from "../../ui/stage/run/bytes.js";

const V = 9;

/** A step of a grid of 2x3 cells; cells 0 and 1 are set. */
function offered(more = {}) {
  const { edits = [[1, 4, 6]], commits = [5, 3], order = [5, 3, 2, 4], chance = [2, 4, 3, 5] } = more;
  return {
    state: "turn", run: "r", k: 2, phase: "unmask", steps: 4, seed: 1, prompt: "a cat", grid: [2, 3], vocab: V, guess: "",
    tokens: pack([3, 4, V, V, V, V], Int32Array), drawn: pack([3, 4, 1, 2, 1, 2], Int32Array),
    p: pack([9, 9, 20, 30, 10, 40], Uint16Array), order: pack(order, Uint16Array), chance: pack(chance, Uint16Array),
    commits: pack(commits, Uint16Array), edits: pack(edits.flat(), Int32Array), temperature: 1, form: {}, ...more.told,
  };
}

test("as it is offered, the choice is the sampler's own", () => {
  const choice = new Choice(offered());
  assert.deepEqual(choice.decided, { set: [5, 3], edit: [1], back: [] });
  assert.equal(choice.words, "Set 2 cells, change 1");
});

test("each rule takes as many as asked, in its own order", () => {
  const choice = new Choice(offered());
  choice.follow("least");
  assert.deepEqual(choice.set, [4, 2]);
  choice.take(3);
  assert.deepEqual(choice.set, [4, 2, 3]);
  choice.follow("chance");
  assert.deepEqual(choice.set, [2, 4, 3]);
  choice.take(99);
  assert.equal(choice.set.length, 4);
  choice.take(-1);
  assert.deepEqual(choice.set, []);
  assert.equal(choice.able, true); // an edit is left
  choice.editing = false;
  assert.equal(choice.able, false);
  assert.equal(choice.words, "Choose a cell first");
});

test("a press on stone goes on from what the rule had chosen, a press on a set cell sends it back", () => {
  const choice = new Choice(offered());
  choice.press(2);
  assert.equal(choice.rule, "hand");
  assert.deepEqual(new Set(choice.set), new Set([5, 3, 2]));
  choice.press(5);
  assert.deepEqual(new Set(choice.set), new Set([3, 2]));
  choice.press(1);
  assert.deepEqual(choice.decided.back, [1]);
  assert.deepEqual(choice.edit, []); // what goes back is not edited as well
  assert.equal(choice.words, "Set 2 cells, send 1 back");
  choice.press(1);
  assert.deepEqual(choice.edit, [1]);
  choice.press(0, true);
  choice.press(0, true);
  assert.deepEqual(choice.decided.back, [0]);
  choice.follow("surest");
  assert.deepEqual(choice.set, [5, 3]);
});

test("at another temperature what was chosen stays", () => {
  const choice = new Choice(offered());
  choice.press(4);
  choice.offered(offered({ commits: [2], order: [2, 3, 4, 5], edits: [] }));
  assert.deepEqual(new Set(choice.set), new Set([5, 3, 4]));
  assert.deepEqual(choice.edit, []);
  assert.equal(choice.many, 2);
});

test("once everything is set there is nothing that has to be chosen", () => {
  const told = offered({ edits: [], commits: [], order: [], chance: [], told: { phase: "polish" } });
  const choice = new Choice({ ...told, tokens: pack([1, 2, 3, 4, 5, 6], Int32Array) });
  assert.equal(choice.able, true);
  assert.equal(choice.words, "Leave it as it is");
  choice.press(4);
  assert.equal(choice.words, "Send 1 back");
});

/** A finished run as far as the verdict reads it. */
function ran(tokens, edited, steps) {
  const frames = Array.from({ length: steps + 1 }, (_, k) => ({ tokens, edited: k === 1 ? edited : [], editsSoFar: edited.length }));
  return { cells: tokens.length, maskId: V, frames, last: steps };
}

test("the end is told with a count, and with what was sent back", () => {
  const own = ran([1, 2, 3, 4], [{ at: 0, from: 1, to: 2 }], 3);
  assert.equal(verdict(ran([1, 2, 3, 4], [], 3), own), "All 4 tokens are the sampler's own: in 3 steps you made its picture.");
  const mine = ran([1, 2, 3, 5], [{ at: 0, from: 1, to: V }, { at: 1, from: 1, to: 2 }], 1);
  assert.equal(verdict(mine, own),
    "3 of 4 tokens are the sampler's own. You took 1 step and 1 edit, sending 1 cell back; it took 3 steps and 1 edit.");
  assert.equal(differing([1, 2, 3], [1, 3, 2]), 2);
});

test("a step is named by what it is: of the steps, a polish pass, or one more", () => {
  assert.equal(stepWords(3, 12, "unmask", 2), "Step 3 of 12 + 2 polish");
  assert.equal(stepWords(3, 12, "unmask", 0), "Step 3 of 12");
  assert.equal(stepWords(14, 12, "polish", 2), "Step 14: polish pass 2 of 2");
  assert.equal(stepWords(13, 12, "unmask", 2), "Step 13, beyond the 12");
  assert.deepEqual([
    { editing: true, edit_mode: "overwrite", polish: 2 }, { editing: false, edit_mode: "overwrite", polish: 2 },
    { editing: true, edit_mode: "remask", polish: 2 },
  ].map(polishOf), [2, 0, 0]);
});

test("the way to choose goes on to the next step, by hand with what the sampler would set", () => {
  const choice = new Choice(offered(), "hand");
  assert.equal(choice.rule, "hand");
  assert.deepEqual(choice.set, [5, 3]);
  choice.press(5);
  assert.deepEqual(choice.set, [3]);
});
