import assert from "node:assert/strict";
import test from "node:test";

import { Listening } from "../../ui/layout/listening.js";

test("whoever waits for a first answer is nudged until one comes, and not for ever", (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  let nudges = 0;
  const listening = new Listening(() => { nudges += 1; }, 1500);
  t.mock.timers.tick(5000);
  assert.equal(nudges, 0); // nobody waits
  listening.expect();
  t.mock.timers.tick(1400);
  assert.equal(nudges, 0);
  t.mock.timers.tick(1700);
  assert.equal(nudges, 2);
  listening.heard();
  t.mock.timers.tick(9000);
  assert.equal(nudges, 2);
  listening.expect();
  listening.expect(); // the next event: one watch, not two
  t.mock.timers.tick(1500);
  assert.equal(nudges, 3);
  t.mock.timers.tick(10 ** 6);
  assert.equal(nudges, 42);
});
