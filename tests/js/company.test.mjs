import assert from "node:assert/strict";
import test from "node:test";

import { Company } from "../../ui/learn/company.js";
import { Stage } from "../../ui/stage/stage.js";
import { message } from "./messages.mjs";

const along = () => {
  const stage = new Stage();
  stage.take(message());
  const company = new Company(stage);
  for (const k of [0, 1, 0]) company.go(k);
  assert.equal(stage.shown, 0);
  return { stage, company };
};

test("a chapter that went along gives the stage back as it stood", () => {
  const { stage, company } = along();
  company.leave();
  assert.equal(stage.shown, stage.run.last);
  company.go(1);
  company.leave();
  assert.equal(stage.shown, stage.run.last);
});

test("who went elsewhere, or brought another run, stays there", () => {
  const one = along();
  one.stage.jump(1);
  one.company.leave();
  assert.equal(one.stage.shown, 1);
  const other = along();
  other.stage.take(message({ run: "r2", seed: 8 }));
  other.stage.jump(1);
  other.company.leave();
  assert.equal(other.stage.shown, 1);
});
