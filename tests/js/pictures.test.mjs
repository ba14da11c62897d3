// Steps that came without their picture: passed over while they stream, decoded when they are looked at.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Pictures } from "../../ui/stage/ask/pictures.js";
import { Stage } from "../../ui/stage/stage.js";
import { message, step } from "./messages.mjs";

const JPEG = "data:image/jpeg;base64,AAAA";
const moment = () => new Promise((done) => setTimeout(done, 5));

globalThis.Image ??= class {
  decode() { return Promise.resolve(); }
};

/** A stage with a run of `images`, and what the server was asked for. */
function staged(images, answer = ({ step }) => ({ image: `${JPEG}${step}` })) {
  const stage = new Stage({ rows: 2, columns: 3 });
  const asked = [];
  new Pictures(stage, { picture: async (data) => { asked.push(data.step); return answer(data); } });
  const frames = images.map((image, k) => ({ ...step(k, Array.from({ length: 6 }, (_, i) => (i < 2 * k ? k : 8))), image }));
  const told = message({ frames, planned: 3 });
  return { stage, asked, told };
}

test("a step without its picture is passed over while the run streams, and asked for when it is chosen", async () => {
  const { stage, asked, told } = staged(["", JPEG, null, null]);
  stage.take({ ...told, state: "running" });
  await moment();
  assert.equal(stage.run.last, 3);
  assert.equal(stage.shown, 1);
  assert.ok(stage.follow);
  assert.deepEqual(asked, []);
  stage.go(2);
  assert.equal(stage.shown, 1); // what is there stays until the picture came
  await moment();
  assert.equal(stage.shown, 2);
  assert.deepEqual(asked, [2]);
  assert.equal(stage.frame.image.src, `${JPEG}2`);
  stage.go(1);
  stage.go(2);
  await moment();
  assert.deepEqual(asked, [2]); // once
});

test("the end of a run is looked at, and its closing message may bring the picture", async () => {
  const { stage, asked, told } = staged(["", JPEG, null, null]);
  stage.take({ ...told, state: "running" });
  const frames = told.frames.map((raw) => (raw.k === 3 ? { ...raw, image: JPEG } : { ...raw, image: raw.image && null }));
  stage.take({ ...told, state: "done", frames });
  await moment();
  assert.equal(stage.shown, 3);
  assert.deepEqual(asked, []);
  assert.ok(stage.run.frames[1].image && !stage.run.frames[2].image); // what is there is not lost
});

test("a step that was left for another does not come back when its picture arrives", async () => {
  let open = () => {};
  const gate = new Promise((done) => { open = done; });
  const { stage, told } = staged(["", JPEG, null, JPEG], async () => { await gate; return { image: JPEG }; });
  stage.take({ ...told, state: "done" });
  await moment();
  stage.go(2);
  stage.go(1);
  await moment();
  assert.equal(stage.shown, 1);
  open();
  await moment();
  assert.equal(stage.shown, 1);
  assert.ok(stage.run.frames[2].image);
});

test("a refusal and a broken line are said, and the line is asked again", async () => {
  const words = [];
  const { stage, asked, told } = staged(["", JPEG, null, null], ({ step }) => {
    if (step === 2) return { error: "This picture is no longer kept." };
    throw new Error("offline");
  });
  stage.on("say", (line) => words.push(line));
  stage.take({ ...told, state: "done" });
  await moment();
  stage.go(2);
  await moment();
  assert.equal(stage.shown, 2);
  stage.go(3);
  await moment();
  assert.equal(stage.shown, 2);
  assert.ok(words.includes("This picture is no longer kept.") && words.some((line) => line.includes("did not come")));
  assert.deepEqual(asked, [3, 2, 3]);
});
