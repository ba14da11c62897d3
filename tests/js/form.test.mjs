// The form goes along with the run on the canvas, and a reload finds it again.

import assert from "node:assert/strict";
import test from "node:test";

import { followed, shownFor } from "../../ui/stage/ask/form.js";
import { order, read } from "../../ui/stage/kept/session.js";
import { Stage } from "../../ui/stage/stage.js";
import { message } from "./messages.mjs";

const INITIAL = { prompt: "", seed: 0, steps: 12, guidance: 1.5, editing: true };

test("what a run was made with is shown, and what it leaves open as the form starts", () => {
  const run = { kind: "generate", prompt: "a cat", seed: 7, form: { steps: 3, editing: false } };
  assert.deepEqual(shownFor(INITIAL, run), { prompt: "a cat", seed: 7, steps: 3, guidance: 1.5, editing: false });
  assert.equal(shownFor(INITIAL, { ...run, kind: "branch", base: 4 }).steps, 7);
});

test("a field follows unless the visitor has changed it since", () => {
  const last = { prompt: "a cat", seed: 7, steps: 3 };
  const next = { prompt: "a dog", seed: 9, steps: 12 };
  assert.deepEqual(followed({ ...last }, last, next), next);
  assert.deepEqual(followed({ ...last, prompt: "an owl" }, last, next), { ...next, prompt: "an owl" });
  assert.deepEqual(followed({ ...last, extra: 1 }, { ...last, extra: 1 }, next), { ...next, extra: 1 });
});

test("undo and redo take the form along, each before the other run is on the canvas", () => {
  const stage = new Stage();
  stage.take(message({ run: "a", prompt: "a cat" }));
  stage.take(message({ run: "b", prompt: "a dog" }));
  const told = [];
  stage.on("follow", (next) => told.push([stage.run.id, next.id]));
  stage.travel(true);
  stage.travel(false);
  assert.deepEqual(told, [["b", "a"], ["a", "b"]]);
});

test("after a reload the picture's own line comes first, then the others", () => {
  const session = { runs: ["e", "d", "c", "b", "a"], line: ["b", "d"], run: "d", k: 3, prompt: "", task: "create", hand: null };
  assert.deepEqual(order(session), ["b", "d", "e", "c", "a"]);
  assert.deepEqual(read(JSON.stringify(session)), session);
  for (const broken of [null, "", "{", "[]", "{}", JSON.stringify({ ...session, runs: [1] }), JSON.stringify({ ...session, k: "x" })]) {
    assert.equal(read(broken), null);
  }
});

test("a run that comes back onto the shelf leaves the canvas alone", () => {
  const stage = new Stage();
  stage.take(message({ run: "a" }));
  stage.asks.waiting = true;
  stage.shelve(message({ run: "b", seed: 8 }));
  assert.deepEqual([stage.run.id, stage.shelf.runs.map(({ id }) => id), stage.asks.waiting], ["a", ["b", "a"], true]);
});

test("what Stop ended can be carved on, and only that", () => {
  const { frames, ...rest } = message();
  const stage = new Stage();
  stage.take({ ...rest, state: "running", frames: frames.slice(0, 2) });
  assert.ok(!stage.canCarryOn);
  stage.take({ ...rest, state: "stopped", frames: frames.slice(0, 2) });
  assert.ok(stage.canCarryOn);
  stage.go(0);
  assert.ok(!stage.canCarryOn);
  const whole = new Stage();
  whole.take(message({ state: "stopped" }));
  assert.ok(!whole.canCarryOn); // stopped while it polished: nothing is masked
});
