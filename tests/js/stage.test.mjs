// The stage without a page: what comes onto it, where it stands, what it tells.

import assert from "node:assert/strict";
import test from "node:test";

import { Hands } from "../../ui/hands/hands.js";
import { actions } from "../../ui/hands/actions.js";
import { Mover } from "../../ui/hands/mover.js";
import { together } from "../../ui/stage/kept/keep.js";
import { Stage } from "../../ui/stage/stage.js";
import { slotsOf } from "../../ui/stage/time/timeline.js";
import { MASK, message, step } from "./messages.mjs";

const heard = (stage, ...names) => {
  const out = [];
  for (const name of names) stage.on(name, (detail) => out.push([name, detail]));
  return out;
};

const stageWith = (...messages) => {
  const stage = new Stage();
  for (const told of messages) stage.take(told);
  return stage;
};

test("a streamed run is followed to its newest step, and its end is told", () => {
  const stage = new Stage({ rows: 2, columns: 3 });
  const events = heard(stage, "run", "step", "done");
  const { frames, ...rest } = message();
  stage.asks.waiting = true;
  assert.ok(stage.busy);
  stage.take({ ...rest, state: "running", frames: frames.slice(0, 1), v: 1 });
  assert.ok(!stage.asks.waiting && stage.busy);
  assert.equal(slotsOf(stage.run), 3);
  stage.take({ ...rest, state: "running", frames: frames.slice(0, 2) });
  assert.equal(stage.shown, 1);
  stage.take({ ...rest, frames });
  assert.deepEqual(events, [["run", "r1"], ["step", 0], ["step", 1], ["done", "r1"], ["step", 2]]);
  assert.ok(stage.free);
});

test("who scrubs back while a run streams stays there", () => {
  const { frames, ...rest } = message();
  const stage = stageWith({ ...rest, state: "running", frames: frames.slice(0, 2) });
  stage.go(0);
  stage.take({ ...rest, frames });
  assert.equal(stage.shown, 0);
  stage.go(99);
  assert.equal(stage.shown, 2);
  stage.go(-5);
  assert.equal(stage.shown, 0);
});

test("messages of another version, and of none, change nothing", () => {
  const stage = stageWith(null, undefined, { ...message(), v: 2 }, { v: 1, state: "done" });
  assert.equal(stage.run, null);
  assert.equal(stage.longest, 0);
  assert.equal(stage.tokens, null);
});

test("undo goes back through runs and hands, redo forth again", () => {
  const stage = stageWith(message(), message({ run: "r2", seed: 8 }));
  const hands = new Hands(stage);
  stage.change(() => hands.put([[0, 6]]));
  assert.deepEqual([...stage.byHand], [0]);
  stage.travel(true);
  assert.equal(stage.byHand.size, 0);
  stage.travel(true);
  assert.equal(stage.run.id, "r1");
  stage.travel(false);
  stage.travel(false);
  assert.equal(stage.run.id, "r2");
  assert.deepEqual([...stage.byHand], [0]);
});

test("two runs side by side share one axis of steps", () => {
  const short = message({ run: "r2", role: "beside", frames: message().frames.slice(0, 2) });
  const stage = stageWith(message(), short);
  assert.equal(stage.beside.id, "r2");
  stage.go(2);
  assert.equal(stage.position, 2);
  stage.compare(null);
  assert.equal(stage.beside, null);
  assert.deepEqual(stage.shelf.runs.map((run) => run.id), ["r2", "r1"]);
});

test("variations are looked at, one is accepted, and undo brings back what was there", () => {
  const stage = stageWith(message());
  const trial = (id) => message({ run: id, role: "variation" });
  stage.take({ v: 1, state: "running", role: "variation", of: 2, variations: [trial("v1")] });
  assert.ok(stage.busy && !stage.free);
  stage.take({ v: 1, state: "done", role: "variation", of: 2, variations: [trial("v1"), trial("v2")] });
  assert.ok(!stage.busy && !stage.free);
  stage.variations.look(1);
  assert.equal(stage.run.id, "v2");
  stage.variations.accept();
  assert.ok(stage.free);
  assert.equal(stage.run.id, "v2");
  stage.travel(true);
  assert.equal(stage.run.id, "r1");
});

test("variations discarded leave the picture that was there", () => {
  const stage = stageWith(message());
  stage.go(1);
  stage.take({ v: 1, state: "done", role: "variation", of: 1, variations: [message({ run: "v1" })] });
  stage.variations.discard();
  assert.deepEqual([stage.run.id, stage.shown, stage.free], ["r1", 1, true]);
});

test("broken cells hold another token of the codebook, locked ones their own", () => {
  const stage = stageWith(message());
  const hands = new Hands(stage);
  const all = [0, 1, 2, 3, 4, 5];
  const before = [...stage.tokens];
  stage.change(() => stage.sheet.lock(stage.run, stage.shown, [4], true));
  for (let i = 0; i < 50; i++) {
    stage.change(() => hands.break(all));
    const after = [...stage.tokens];
    assert.equal(after[4], before[4]);
    assert.ok(after.every((token) => token >= 0 && token < MASK));
    stage.travel(true);
  }
  stage.change(() => hands.breakSome());
  assert.equal(stage.byHand.size, 1); // a tenth of six cells, at least one
});

test("every action is possible exactly when it makes sense", () => {
  const stage = new Stage();
  const hands = new Hands(stage);
  const mover = new Mover(stage);
  const table = actions(stage, hands, mover);
  const possible = () => Object.keys(table).filter((name) => table[name].can()).sort();
  assert.deepEqual(possible(), []);
  stage.take(message());
  assert.deepEqual(possible(), ["break-some", "choose-all", "heal"]);
  stage.select(0);
  table["mask-cell"].act();
  assert.equal(stage.task, "edit");
  assert.deepEqual(possible(), ["break-some", "choose-all", "clear", "invert", "mask-cell", "repaint", "undo", "vary"]);
  table["mask-cell"].act(); // brings it back
  table["lock-cell"].act();
  assert.deepEqual(possible(), [
    "around", "break-some", "choose-all", "clear", "heal", "invert", "lock-cell", "stamp", "undo", "unlock",
  ]);
  mover.choose([0, 1], false);
  assert.deepEqual(possible().filter((name) => /cells|choose/.test(name)), ["choose-all", "choose-none", "choose-others", "copy-cells", "mask-cells"]);
  mover.copy();
  assert.ok(table["paste-cells"].can());
  stage.go(1);
  assert.ok(table.branch.can());
  stage.asks.waiting = true;
  assert.deepEqual(possible(), ["stop"]);
});

test("a first cell that the run left masked cannot be brought back", () => {
  const stage = stageWith(message({ state: "stopped", frames: message().frames.slice(0, 2) }));
  const hands = new Hands(stage);
  stage.select(5);
  assert.ok(!hands.canMask && !hands.holdsToken);
  stage.select(0);
  assert.ok(hands.canMask && hands.holdsToken);
});

test("windows of frames are kept together as one message", () => {
  const { frames, ...rest } = message();
  let kept = together(null, { ...rest, frames: frames.slice(0, 2) });
  kept = together(kept, { ...rest, state: "done", frames: frames.slice(1) });
  assert.deepEqual(kept.frames.map((raw) => raw.k), [0, 1, 2]);
  assert.equal(kept.state, "done");
  kept = together(kept, { ...rest, run: "r9", frames: [step(0, [8, 8, 8, 8, 8, 8])] });
  assert.equal(kept.frames.length, 1);
});

test("variations that begin right after another event are not taken for over with it", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const stage = stageWith(message());
  stage.ended();
  const told = { v: 1, role: "variation", of: 3, variations: [] };
  stage.take({ ...told, state: "running" }); // within the moment in which the old event's last message may still come
  t.mock.timers.tick(1000);
  assert.ok(stage.variations.carving);
  stage.ended(); // their own event is over, its last message was lost
  t.mock.timers.tick(1000);
  assert.ok(stage.variations.ended);
});

test("a piece that comes late hears which chapter is open, once", async () => {
  const stage = new Stage();
  const heard = [];
  stage.on("chapter", (name) => heard.push(["early", name]));
  stage.enter("step");
  stage.on("chapter", (name) => heard.push(["late", name]));
  await null;
  assert.deepEqual(heard, [["early", "step"], ["late", "step"]]);
  stage.enter("");
  stage.on("chapter", (name) => heard.push(["later", name]));
  await null;
  assert.deepEqual(heard.slice(2), [["early", ""], ["late", ""]]);
});

test("the same run is on the shelf once, and is still found by its other name", () => {
  const stage = stageWith(message(), message({ run: "r2" }));
  assert.deepEqual(stage.shelf.runs.map(({ id }) => id), ["r2"]);
  assert.equal(stage.shelf.find("r1").id, "r1");
  // beside the one on the canvas it is that one which stays
  stage.take(message({ run: "r3", role: "beside" }));
  assert.deepEqual([stage.beside.id, ...stage.shelf.runs.map(({ id }) => id)], ["r3", "r2"]);
  // another seed, and one that was stopped, are others
  stage.take(message({ run: "r4", seed: 8 }));
  stage.take(message({ run: "r5", state: "stopped" }));
  assert.deepEqual(stage.shelf.runs.map(({ id }) => id), ["r5", "r4", "r2"]);
});

test("a run that bears something by hand stays on the shelf beside its equal", () => {
  const stage = stageWith(message());
  stage.change(() => new Hands(stage).put([[0, 6]]));
  stage.take(message({ run: "r2" }));
  assert.deepEqual(stage.shelf.runs.map(({ id }) => id), ["r2", "r1"]);
});
